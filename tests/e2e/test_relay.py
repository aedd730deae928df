# SPDX-License-Identifier: MIT
"""A relay links two streams, and has to reach the second one."""
import contextlib
import os
import pathlib
import re
import select
import socket
import threading
import time

import pytest

from harness import (DEADLINE, FILLS_ANY_LINE, WITHOUT_QUARANTINE, Daemon, config, echo, expect_reset,
                     free_port, listening, name_of, pattern, push, recv_exactly, recv_until_eof, relay,
                     relayed, reset, sending, service, until)


def pair(backend, **options):
    return relayed(backend, top={"log_level": "debug"}, **options)


def test_both_ways(backend):
    with pair(backend) as (daemon, client, server):
        client.sendall(b"question")
        assert recv_exactly(server, 8) == b"question"
        server.sendall(b"answer")
        assert recv_exactly(client, 6) == b"answer"
        daemon.wait_for(rf"^relay: {name_of(client)} received 8 bytes$")
        daemon.wait_for(rf"^relay: {name_of(client)} sending 8 bytes to 127\.0\.0\.1:\d+$")
        daemon.wait_for(rf"^relay: {name_of(client)} received 6 bytes from 127\.0\.0\.1:\d+$")


def test_bulk_both_ways_at_once(backend):
    """The upstream is an echo of the same daemon: every byte passes the relay twice."""
    data = pattern(8 << 20)
    port = free_port()
    with Daemon(config(service(listen=f"127.0.0.1:{port}"), relay(f"127.0.0.1:{port}"),
                       backend=backend)) as daemon:
        with daemon.connect("relay") as client:
            sender = threading.Thread(target=lambda: (client.sendall(data),
                                                      client.shutdown(socket.SHUT_WR)))
            sender.start()
            assert recv_until_eof(client) == data
            sender.join()
        daemon.wait_for(r"^relay: \S+ closed: end of stream, 8388608 B in, 8388608 B out")


def test_half_close_of_the_client(backend):
    """The client asks and half-closes, and gets the answer, which other relays lose."""
    with pair(backend) as (daemon, client, server):
        client.sendall(b"all there is")
        client.shutdown(socket.SHUT_WR)
        assert recv_until_eof(server) == b"all there is"
        server.sendall(pattern(300_000))
        server.shutdown(socket.SHUT_WR)
        assert recv_until_eof(client) == pattern(300_000)
        daemon.wait_for(r" closed: end of stream, 12 B in, 300000 B out")


def test_half_close_of_the_upstream(backend):
    with pair(backend) as (daemon, client, server):
        server.sendall(b"greeting")
        server.shutdown(socket.SHUT_WR)
        assert recv_until_eof(client) == b"greeting"
        client.sendall(b"still")
        assert recv_exactly(server, 5) == b"still"
        client.shutdown(socket.SHUT_WR)
        assert recv_until_eof(server) == b""
        daemon.wait_for(r" closed: end of stream, 5 B in, 8 B out")


@pytest.mark.parametrize("who", ["client", "upstream"])
def test_reset_passes_through_as_a_reset(backend, who):
    with pair(backend) as (daemon, client, server):
        client.sendall(b"x")
        assert recv_exactly(server, 1) == b"x"
        reset(client if who == "client" else server)
        with pytest.raises(ConnectionResetError):
            (server if who == "client" else client).recv(1)
        whose = "" if who == "client" else r"upstream \S+: "
        daemon.wait_for(rf" closed: {whose}reset by peer, 1 B in, 0 B out")


def test_back_pressure(backend):
    """An upstream that reads nothing stops the client. After that no byte is lost."""
    with pair(backend, env=WITHOUT_QUARANTINE) as (daemon, client, server):
        before = daemon.memory_bytes()
        data = pattern(FILLS_ANY_LINE)
        [taken] = push([client], data)
        assert taken < len(data)
        assert daemon.memory_bytes() - before < 400 * 1024
        client.shutdown(socket.SHUT_WR)
        assert recv_until_eof(server) == data[:taken]


def test_payload_shown_from_the_middle_of_bulk(backend):
    """Spliced bytes cannot be logged. After a reload asks for that, all bytes are logged, and none is lost.
    """
    data = pattern(48 << 20)
    with Daemon(config(backend=backend, log_level="debug")) as daemon:
        with daemon.connect() as client, sending(client, data):
            got = recv_exactly(client, 8 << 20)
            daemon.reload(config(backend=backend, log_level="debug", log_payload=True))
            assert got + recv_exactly(client, len(data) - len(got)) == data
        daemon.wait_for(f" closed: .*, {len(data)} B in, {len(data)} B out")
        log = daemon.log
        reloaded, = (i for i, line in enumerate(log) if line.startswith("reloaded "))
        moved = [line for line in log[reloaded:] if re.search(" (received|sending) ", line)]
        assert moved and all(re.search(r' bytes ".*"(…|)$', line) for line in moved)


def test_socket_options(backend):
    """On both sides, small messages leave at once, and a peer that vanishes is noticed."""
    with pair(backend) as (daemon, _, _), daemon.sockets() as socks:
        assert len(socks) == 3  # the listening socket, the client's and the upstream's
        for sock in socks:
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY), sock
        until(lambda: all(sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) for sock in socks))


def test_no_descriptor_is_inherited(backend):
    """execve(2) closes all descriptors, should a library call it."""
    with pair(backend) as (daemon, _, _):
        for fd in daemon.descriptors():
            if fd > 2:
                info = pathlib.Path(f"/proc/{daemon.pid}/fdinfo/{fd}").read_text()
                flags = int(re.search(r"^flags:\s+(\d+)", info, re.M)[1], 8)
                assert flags & os.O_CLOEXEC, os.readlink(f"/proc/{daemon.pid}/fd/{fd}")


def test_unreachable():
    """A connection to a multicast address fails."""
    with Daemon(config(relay("224.0.0.1:1"))) as daemon:
        expect_reset(daemon)
        daemon.wait_for(r" closed: upstream 224\.0\.0\.1:1: unreachable, 0 B in, 0 B out")


def test_refused_then_there(backend):
    port = free_port()
    with Daemon(config(relay(f"127.0.0.1:{port}"), backend=backend)) as daemon:
        expect_reset(daemon)
        daemon.wait_for(rf" closed: upstream 127\.0\.0\.1:{port}: Connection refused, 0 B in, 0 B out")
        with socket.create_server(("127.0.0.1", port)) as listener, daemon.connect("relay") as client:
            listener.settimeout(DEADLINE)
            server, _ = listener.accept()
            server.settimeout(DEADLINE)
            with server:
                client.sendall(b"x")
                assert recv_exactly(server, 1) == b"x"


def test_list_in_order(backend):
    with listening() as (listener, address):
        refused = [f"127.0.0.1:{free_port()}", f"unix:/nonexistent/{os.getpid()}"]
        with Daemon(config(relay([*refused, address]), backend=backend)) as daemon:
            with daemon.connect("relay") as client:
                server, _ = listener.accept()
                with server:
                    server.sendall(b"third")
                    assert recv_exactly(client, 5) == b"third"


def test_name_and_unix_socket(backend, tmp_path):
    port, path = free_port(), f"unix:{tmp_path}/echo.sock"
    with Daemon(config(service(listen=[f"127.0.0.1:{port}", path]), relay(f"localhost:{port}", "named"),
                       relay(path, "local"), backend=backend)) as daemon:
        for name in "named", "local":
            with daemon.connect(name) as client:
                echo(client)


def test_connect_wait(backend):
    """The relay starts before its upstream, and early bytes of the client are not lost."""
    port = free_port()
    with Daemon(config(relay(f"127.0.0.1:{port}", connect_wait=DEADLINE), backend=backend)) as daemon:
        with daemon.connect("relay") as client:
            client.sendall(b"early")
            daemon.wait_for(" connected$")
            with socket.create_server(("127.0.0.1", port)) as listener:
                listener.settimeout(DEADLINE)
                server, _ = listener.accept()
                server.settimeout(DEADLINE)
                with server:
                    assert recv_exactly(server, 5) == b"early"


def test_connect_wait_ends(backend):
    with Daemon(config(relay(f"127.0.0.1:{free_port()}", connect_wait="300ms"),
                       backend=backend)) as daemon:
        expect_reset(daemon)
        took = daemon.wait_for(r"Connection refused, 0 B in, 0 B out, ([\d.]+) s")
        assert float(took[1]) >= 0.299


def test_connect_wait_counts_from_after_connect_delay():
    with Daemon(config(relay(f"127.0.0.1:{free_port()}", connect_delay="400ms",
                             connect_wait="300ms"))) as daemon:
        expect_reset(daemon)
        took = daemon.wait_for(r"Connection refused, 0 B in, 0 B out, ([\d.]+) s")
        assert float(took[1]) >= 0.699


def test_client_leaves_while_the_upstream_is_awaited(backend):
    with Daemon(config(relay(f"127.0.0.1:{free_port()}", connect_wait=10 * DEADLINE),
                       backend=backend)) as daemon:
        reset(daemon.connect("relay"))
        daemon.wait_for(r" closed: reset by peer, 0 B in, 0 B out")


def test_connect_timeout(backend):
    """Linux drops the SYN when the backlog is full, so the upstream does not answer."""
    with listening(backlog=0) as (listener, address):
        with contextlib.ExitStack() as stack:
            for _ in range(4):
                filler = stack.enter_context(socket.socket())
                filler.setblocking(False)
                filler.connect_ex(listener.getsockname())
            assert select.select([listener], [], [], DEADLINE)[0]  # one connection fills it
            with Daemon(config(relay(address, connect_timeout="300ms"), backend=backend)) as daemon:
                expect_reset(daemon)
                took = daemon.wait_for(r": timed out, 0 B in, 0 B out, ([\d.]+) s")
                assert 0.299 <= float(took[1]) < 5  # the default


def test_a_stalled_upstream_holds_up_nobody(backend):
    port = free_port()
    with listening() as (_, silent):
        with Daemon(config(service(listen=f"127.0.0.1:{port}"), relay(silent, "silent"),
                           relay(f"127.0.0.1:{port}", "good"), backend=backend)) as daemon:
            with daemon.connect("silent") as stuck, daemon.connect("good") as client:
                push([stuck], pattern(32 << 20))
                for _ in range(20):
                    echo(client, pattern(10_000))


@pytest.mark.parametrize("last", ["client", "upstream"])
def test_idle_timeout_counts_both_ways(backend, last):
    """One byte passes in each direction, some time apart. The last one restarts idle_timeout, whatever its
    direction.
    """
    timeout = 1.5
    with pair(backend, idle_timeout=timeout) as (daemon, client, server):
        ways = [(server, client), (client, server)]
        for sender, receiver in ways if last == "client" else reversed(ways):
            assert not select.select([client, server], [], [], 0.3)[0]
            began = time.monotonic()
            sender.sendall(b"x")
            assert recv_exactly(receiver, 1) == b"x"
        assert recv_until_eof(client) == b"" and recv_until_eof(server) == b""
        assert time.monotonic() - began >= timeout - 0.001
        daemon.wait_for(r" closed: idle timeout, 1 B in, 1 B out")


def test_reload_changes_the_upstream_of_new_connections(backend):
    with listening() as (listener, second):
        with pair(backend) as (daemon, client, server):
            port = daemon.port("relay")
            daemon.reload(config(relay(second, listen=f"127.0.0.1:{port}"), backend=backend))
            client.sendall(b"x")
            assert recv_exactly(server, 1) == b"x"
            with daemon.connect("relay") as fresh:
                other, _ = listener.accept()
                other.settimeout(DEADLINE)
                with other:
                    fresh.sendall(b"y")
                    assert recv_exactly(other, 1) == b"y"


def test_descriptors_come_back(backend):
    port = free_port()
    with Daemon(config(service(listen=f"127.0.0.1:{port}"), relay(f"127.0.0.1:{port}"),
                       relay(f"127.0.0.1:{free_port()}", "nowhere"), backend=backend)) as daemon:
        before = daemon.descriptors()
        for _ in range(50):
            with daemon.connect("relay") as client:
                echo(client)
            expect_reset(daemon, "nowhere")
        daemon.wait_for(r" closed: ", 150)
        until(lambda: daemon.descriptors() == before, "the return of all descriptors")


@pytest.mark.parametrize("text, mistake", [
    (service(mode="relay"), r":2: services\.echo: upstream is missing, expected "),
    (service(upstream="127.0.0.1:1"), r':4: services\.echo\.upstream: is for mode = "relay" only'),
    (relay("127.0.0.1"), r':5: services\.relay\.upstream: "127\.0\.0\.1" is not legal, expected '),
    (relay("127.0.0.1:0"), r':5: services\.relay\.upstream: "127\.0\.0\.1:0" is not legal, '),
    (relay(["a b:1"]), r':5: services\.relay\.upstream: "a b:1" is not legal, '),
    (relay("127.0.0.1:7777", listen="*:7777"),
     r':5: services\.relay\.upstream: "127\.0\.0\.1:7777" is where the service itself listens'),
    (relay("0.0.0.0:7777", listen="*:7777"),
     r':5: services\.relay\.upstream: "0\.0\.0\.0:7777" is where the service itself listens'),
    (relay("127.0.0.1:1", connect_timeout=0), r":6: services\.relay\.connect_timeout: 0 is not legal"),
])
def test_mistakes(text, mistake):
    with Daemon(config(text), wait=None, check=False) as daemon:
        assert daemon.wait() == 78
        assert daemon.lines(mistake), daemon.text_of_log()
