# SPDX-License-Identifier: MIT
"""Relays that lead back to themselves.

A service does not connect to itself. A longer loop ends at max_connections, as any other number of
clients does. None of these loops is visible in the configuration, which would be refused (see
test_config_errors.py). They use names, and different spellings of addresses and paths, which form a loop
only at run time.
"""
import os
import contextlib
import socket
import subprocess

import pytest

from harness import (Daemon, Steady, cannot_run, config, echo, expect_reset, free_port, pattern,
                     recv_exactly, relay, service, until, workers)
from harness.proxy_headers import GOOD_HEADER

CLIENTS = 10
LIMIT = 100  # connections, so that a loop ends in a moment
CONNECTED = r"^r\d+: \S+ connected"
REFUSED = r" closed: upstream \S+: the service itself listens there, 0 B in, 0 B out, "


def at(port, upstream, name="r0", **pairs):
    """A relay that every spelling of this host reaches."""
    return relay(upstream, name, listen=f"*:{port}", **pairs)


def ring(n, **pairs):
    """n relays by name. Each leads to the next one, and the last to the first."""
    ports = [free_port() for _ in range(n)]
    return [at(port, f"localhost:{ports[i - n + 1]}", f"r{i}", **pairs) for i, port in enumerate(ports)]


def path_and_name(path):
    port = free_port()
    return [at(port, f"unix:{path}/r1"), relay(f"localhost:{port}", "r1", listen=f"unix:{path}/r1")]


LOOPS = {
    "two": lambda path: ring(2),
    "many": lambda path: ring(30),
    # The file does not show the loop: only the system can resolve "..".
    "path": lambda path: [relay(f"unix:{path}/../{os.path.basename(path)}/r0", "r0",
                                listen=["127.0.0.1:0", f"unix:{path}/r0"])],
    "path and name": path_and_name,
    "headers": lambda path: ring(2, send_proxy=2, proxy_protocol="accept",
                                 proxy_from=["127.0.0.1", "::1"]),
}


def test_service_does_not_connect_to_itself(backend):
    with Daemon(config(service(), *ring(1), backend=backend, max_connections=LIMIT)) as daemon:
        with Steady(daemon.connect()):
            for _ in range(CLIENTS):
                expect_reset(daemon, "r0")
            daemon.wait_for(REFUSED, CLIENTS)
        assert len(daemon.lines(CONNECTED)) == CLIENTS


def test_last_upstream_of_a_list_is_the_service_itself(backend):
    port = free_port()
    loop = at(port, [f"127.0.0.1:{free_port()}", "unix:/nonexistent/socket", f"localhost:{port}"])
    with Daemon(config(loop, backend=backend, max_connections=LIMIT)) as daemon:
        expect_reset(daemon, "r0")
        daemon.wait_for(REFUSED)
        assert len(daemon.lines(CONNECTED)) == 1


def test_next_upstream_is_tried(backend):
    """The first upstream is the service itself, and the second one answers."""
    port, echo_port = free_port(), free_port()
    with Daemon(config(service(listen=f"127.0.0.1:{echo_port}"),
                       at(port, [f"localhost:{port}", f"127.0.0.1:{echo_port}"]),
                       backend=backend, max_connections=LIMIT)) as daemon:
        with daemon.connect("r0") as client:
            echo(client)


def test_address_of_this_host(tmp_path):
    """A service that listens on all addresses does not connect to an address of this host.

    The test needs a network namespace of its own, which clients enter by a unix socket.
    """
    prepare = "ip link set lo up && ip addr add 192.0.2.1/24 dev lo"
    own = ["unshare", "-n", "sh", "-c", prepare + ' && exec "$@"', "sh"]
    if subprocess.run([*own, "true"], stderr=subprocess.DEVNULL).returncode != 0:
        cannot_run("a network of its own takes root, unshare and ip")
    loop = relay("192.0.2.1:7001", "r0", listen=[f"unix:{tmp_path}/r0", "*:7001"])
    with Daemon(config(loop, max_connections=LIMIT), wrapper=own) as daemon:
        with contextlib.suppress(ConnectionError), daemon.connect("r0") as client:
            assert client.recv(1) == b""
        daemon.wait_for(REFUSED)
        assert len(daemon.lines(CONNECTED)) == 1


@pytest.mark.parametrize("name", LOOPS)
def test_longer_loop_ends_at_max_connections(backend, name, tmp_path):
    """Existing clients stay connected, and everything works as before when the loop has ended."""
    with Daemon(config(service(), *LOOPS[name](tmp_path), backend=backend,
                       max_connections=LIMIT)) as daemon:
        before = daemon.descriptors()
        with Steady(daemon.connect()):
            with contextlib.suppress(ConnectionError), daemon.connect("r0") as client:
                client.sendall(GOOD_HEADER if name == "headers" else b"")
                assert client.recv(1) == b""
            daemon.wait_for(r"^r\d+: \S+ closed: ", LIMIT - 1)
        assert len(daemon.lines(CONNECTED)) == LIMIT - 1
        # Each event loop that looks up names keeps a socket for that.
        until(lambda: len(daemon.descriptors()) <= len(before) + workers()[0],
              "the return of all descriptors")
        with daemon.connect() as client:
            echo(client)


def test_reload(backend):
    """A reload may create a loop, and remove it again."""
    port, echo_port = free_port(), free_port()
    straight = config(service(listen=f"127.0.0.1:{echo_port}"), at(port, f"localhost:{echo_port}"),
                      backend=backend)
    with Daemon(straight) as daemon, daemon.connect("r0") as before:
        echo(before)
        daemon.reload(config(at(port, f"localhost:{port}"), backend=backend, max_connections=LIMIT))
        expect_reset(daemon, "r0")
        daemon.wait_for(REFUSED)
        echo(before)
        daemon.reload(straight)
        with daemon.connect("r0") as after:
            echo(after)


# Not a loop


@pytest.mark.parametrize("n", [1, 2, 20])
def test_chain(backend, n, tmp_path):
    """The chain works for any number of relays, by names and paths, and for several clients at once."""
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


def test_not_connected_to_itself():
    """Linux may choose the upstream's own port as the source port, and then connects the socket to itself.

    That needs a port on which nobody listens. Linux goes through the ports in turn, so it happens in that
    many attempts.
    """
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1] & ~1  # even ports are given out first
    tries, clients = 1000, 16
    with Daemon(config(relay([f"127.0.0.1:{port}"] * tries))) as daemon:
        for _ in range(clients):
            expect_reset(daemon)
        daemon.wait_for(" closed: upstream .*: Connection refused, ", clients)
