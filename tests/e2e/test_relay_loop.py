"""Relays that lead back to themselves: they end at once and cost little, and others are served.

The configuration shows no such loop here, or it would be refused (see test_config_errors.py): names,
and addresses and paths that are spelled in more than one way, lead into it only at run time.
"""
import contextlib
import re
import socket
import subprocess
import threading

import pytest

from harness import (Daemon, Steady, cannot_run, config, connect, echo, free_port, pattern, recv_exactly,
                     reset, service, until, workers)
from test_proxy_protocol import GOOD
from test_relay import expect_reset, relay

CLIENTS = 10
OVERSHOOT = 8  # connections of one client that may be made before its loop is seen
CONNECTED = r"^r\d+: \S+ connected"

# What a loop without end can take, so that the test ends too.
BOUNDED = {"wrapper": ["prlimit", "--nofile=4000:4000"]}


def at(port, upstream, name="r0", **pairs):
    """A relay where each spelling of this host reaches it."""
    return relay(upstream, name, listen=f"*:{port}", **pairs)


def itself(upstream):
    port = free_port()
    return [at(port, upstream % port)]


def ring(n, **pairs):
    """n relays, by names, of which each leads to the next and the last to the first."""
    ports = [free_port() for _ in range(n)]
    return [at(port, f"localhost:{ports[i - n + 1]}", f"r{i}", **pairs) for i, port in enumerate(ports)]


def others():
    """Relays that have nothing to do with it, but make a chain longer that may be none."""
    return [relay("127.0.0.1:1", f"x{i}") for i in range(40)]


def last_of_a_list(path):
    port = free_port()
    return [at(port, [f"127.0.0.1:{free_port()}", f"unix:{path}/no", f"localhost:{port}"])]


def path_and_name(path):
    port = free_port()
    return [at(port, f"unix:{path}/r1"), relay(f"localhost:{port}", "r1", listen=f"unix:{path}/r1")]


LOOPS = {
    "one": lambda path: ring(1),
    "two": lambda path: ring(2),
    "many": lambda path: ring(30),
    "one with others": lambda path: ring(1) + others(),
    "last of a list": last_of_a_list,
    "any address": lambda path: itself("0.0.0.0:%d"),
    "any IPv6 address": lambda path: itself("[::]:%d"),
    "path": lambda path: [relay(f"unix:{path}//r0", "r0", listen=["127.0.0.1:0", f"unix:{path}/r0"])],
    "path and name": path_and_name,
    "path and name with others": lambda path: path_and_name(path) + others(),
    "headers": lambda path: ring(2, send_proxy=2, proxy_protocol="accept",
                                 proxy_from=["127.0.0.1", "::1"]),
}


def comes_and_goes(daemon, hello=b""):
    """A client is reset, or just ended if there is a unix socket in between."""
    with contextlib.suppress(ConnectionError), daemon.connect("r0") as client:
        client.sendall(hello)
        assert client.recv(1) == b""


@contextlib.contextmanager
def loop(backend, services, clients):
    """A daemon with that loop and an echo, for these many clients, whom it does not cost much."""
    with Daemon(config(service(), *services, backend=backend), **BOUNDED) as daemon:
        descriptors, memory = daemon.descriptors(), daemon.memory_bytes()
        with Steady(daemon.connect()):
            yield daemon
        # Each event loop that looks names up keeps a socket for that.
        until(lambda: len(daemon.descriptors()) <= len(descriptors) + workers()[0],
              "the return of all descriptors")
        assert daemon.memory_bytes() - memory < 8 << 20
        made = len(daemon.lines(CONNECTED))
        assert clients <= made <= clients * (len(services) + 1 + OVERSHOOT)
        assert not daemon.lines("turned away")


@pytest.mark.parametrize("name", LOOPS)
def test_loop(backend, name, tmp_path):
    with loop(backend, LOOPS[name](tmp_path), CLIENTS) as daemon:
        for _ in range(CLIENTS):
            comes_and_goes(daemon, GOOD if name == "headers" else b"")
        daemon.wait_for(r"^r\d+: \S+ closed: relay loop: .*, 0 B in, 0 B out, ", CLIENTS)


def test_address_reached_from_another(tmp_path):
    """
    A connection to one of this host's addresses need not come from the same one: not to the second
    of a network. To have two takes a network of the daemon's own, which clients enter by a path.
    """
    prepare = "ip link set lo up && for i in 1 2; do ip addr add 192.0.2.$i/24 dev lo; done"
    own = ["unshare", "-n", "sh", "-c", prepare + ' && exec "$@"', "sh"]
    if subprocess.run([*own, "true"], stderr=subprocess.DEVNULL).returncode != 0:
        cannot_run("a network of its own takes root, unshare and ip")
    relays = [relay("192.0.2.2:7001", "r0", listen=[f"unix:{tmp_path}/r0", "*:7001"])]
    with Daemon(config(*relays), wrapper=[*own, *BOUNDED["wrapper"]]) as daemon:
        comes_and_goes(daemon)
        daemon.wait_for(r"^r0: 192\.0\.2\.1:\d+ closed: relay loop: ")
        assert len(daemon.lines(CONNECTED)) == 2


def test_clients_at_once(backend):
    side_by_side = 8
    with loop(backend, ring(2), CLIENTS * side_by_side) as daemon:
        threads = [threading.Thread(target=lambda: [comes_and_goes(daemon) for _ in range(CLIENTS)])
                   for _ in range(side_by_side)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        daemon.wait_for(" closed: relay loop: ", CLIENTS * side_by_side)


@pytest.mark.parametrize("leave", [socket.socket.close, reset])
def test_clients_that_leave_at_once(backend, leave):
    """The head of a loop does not run ahead of those who close it from behind."""
    with loop(backend, ring(2), CLIENTS) as daemon:
        for _ in range(CLIENTS):
            with contextlib.suppress(ConnectionError):  # it may have ended before
                leave(daemon.connect("r0"))
        daemon.wait_for(r"^r0: \S+ closed: ", CLIENTS)


def test_reload(backend):
    """It may lead into a loop, and out of it again."""
    port, echo_port = free_port(), free_port()
    straight = config(service(listen=f"127.0.0.1:{echo_port}"), at(port, f"localhost:{echo_port}"),
                      backend=backend)
    with Daemon(straight, **BOUNDED) as daemon, daemon.connect("r0") as before:
        echo(before)
        daemon.reload(config(at(port, f"localhost:{port}"), backend=backend))
        expect_reset(daemon, "r0")
        daemon.wait_for(r"^r0: \S+ closed: relay loop: ")
        echo(before)
        daemon.reload(straight)
        with daemon.connect("r0") as after:
            echo(after)


# What is no loop


@pytest.mark.parametrize("n", [1, 2, 20])
def test_chain(backend, n, tmp_path):
    """As long as there are relays, by names and paths, for several clients at once."""
    port, data = free_port(), pattern(20_000)
    services, upstream = [service(listen=f"127.0.0.1:{port}")], f"localhost:{port}"
    for i in range(n):
        port, path = free_port(), f"unix:{tmp_path}/r{i}"
        services.append(relay(upstream, f"r{i}", listen=[f"127.0.0.1:{port}", path]))
        upstream = path if i % 3 == 1 else f"localhost:{port}"
    with Daemon(config(*services, backend=backend)) as daemon, contextlib.ExitStack() as stack:
        clients = [stack.enter_context(daemon.connect(f"r{n - 1}")) for _ in range(CLIENTS)]
        for client in clients:
            client.sendall(data)
        for client in clients:
            assert recv_exactly(client, len(data)) == data
        assert len(daemon.lines(" connected$")) == CLIENTS * (n + 1)


def test_client_from_a_port_of_the_relays_own():
    """
    Linux gives one port to several sockets that lead to different places: to a relay's client, and
    to the relay for its upstream. That does not make the client a part of the relay.

    Where it begins to look for a port depends on where the socket leads to, so each address is
    another throw of dice.
    """
    ports = [free_port(), free_port()]
    upstream = f"127.0.0.1:{free_port()}"
    with Daemon(config(service(listen=upstream), relay(upstream, "r0", listen=[
            f"0.0.0.0:{port}" for port in ports]))) as daemon:
        with contextlib.ExitStack() as stack:
            for _ in range(400):
                echo(stack.enter_context(connect(f"127.0.0.1:{ports[0]}")))
            own = {int(re.search(r":(\d+) ", line)[1])
                   for line in daemon.lines(r"^echo: 127\.0\.0\.1:\d+ connected$")}
            met = 0
            for i in range(2, 255):
                for port in ports:
                    with connect(f"127.0.0.{i}:{port}") as client:
                        met += client.getsockname()[1] in own
                        echo(client)
            assert met


def test_not_connected_to_itself():
    """
    A port that nobody listens on may be the very one a socket is given to connect to it from, and
    then Linux connects the socket to itself. (It goes through the ports in turn: in so many tries
    one meets it.)
    """
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1] & ~1  # the even ones are the first that are given out
    tries, clients = 1000, 16
    with Daemon(config(relay([f"127.0.0.1:{port}"] * tries))) as daemon:
        for _ in range(clients):
            expect_reset(daemon)
        daemon.wait_for(" closed: upstream .*: Connection refused, ", clients)
