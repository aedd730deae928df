# SPDX-License-Identifier: MIT
"""Clients that leave while their upstream is down, and clients that stay."""
import contextlib
import socket
import time

import pytest

from harness import (DEADLINE, Daemon, Steady, Upstream, answer, config, echo, expect_reset, free_port,
                     name_of, raise_descriptor_limit, recv_until_eof, relay, reset, service, until,
                     workers)

LEFT = " closed: left before an upstream was reached, 0 B in, 0 B out, "


def test_end_without_a_byte(backend):
    """A client that ends without having sent a byte does not wait for retries or for connect_delay."""
    down = f"127.0.0.1:{free_port()}"
    with Daemon(config(relay(down, "waits", connect_wait="1h"), relay(down, "delayed", connect_delay="1h"),
                       backend=backend)) as daemon:
        before = daemon.descriptors()
        for name in "waits", "delayed":
            with daemon.connect(name) as client:
                client.shutdown(socket.SHUT_WR)
                with pytest.raises(ConnectionResetError):
                    client.recv(1)
                daemon.wait_for(f"^{name}: {name_of(client)}" + LEFT)
        until(lambda: daemon.descriptors() == before, "the return of all descriptors")


def test_end_after_a_while(backend):
    with Daemon(config(relay(f"127.0.0.1:{free_port()}", connect_wait="1h"), backend=backend,
                       log_level="debug")) as daemon:
        client = daemon.connect("relay")
        daemon.wait_for(" cannot reach upstream ", 3)
        client.close()
        daemon.wait_for(LEFT)


def test_reset(backend):
    with Daemon(config(relay(f"127.0.0.1:{free_port()}", connect_wait="1h"), backend=backend)) as daemon:
        client = daemon.connect("relay")
        client.sendall(b"hello")
        daemon.wait_for(" connected$")
        reset(client)
        daemon.wait_for(" closed: reset by peer, 0 B in, 0 B out")


def test_first_round_is_tried_for_all(backend):
    """A client that has half-closed still gets the upstream's banner, as on a direct connection."""
    def greet(sock, n):
        sock.sendall(b"banner")

    with Upstream(greet) as upstream:
        with Daemon(config(relay([f"127.0.0.1:{free_port()}", upstream.address], connect_wait="1h"),
                           backend=backend)) as daemon:
            for _ in range(10):
                with daemon.connect("relay") as client:
                    client.shutdown(socket.SHUT_WR)
                    assert recv_until_eof(client) == b"banner"


def test_bytes_before_a_half_close_wait(backend):
    port = free_port()
    with Daemon(config(relay(f"127.0.0.1:{port}", connect_wait="1h"), backend=backend,
                       log_level="debug")) as daemon, daemon.connect("relay") as client:
        client.sendall(b"all there is")
        client.shutdown(socket.SHUT_WR)
        daemon.wait_for(" cannot reach upstream ", 3)
        with socket.create_server(("127.0.0.1", port)) as listener:
            listener.settimeout(DEADLINE)
            with listener.accept()[0] as server:
                server.settimeout(DEADLINE)
                assert recv_until_eof(server) == b"all there is"
                server.sendall(b"answer")
            assert recv_until_eof(client) == b"answer"


def test_clients_share_retries(backend):
    """100 clients try once each. After that one of them retries at a time, at growing intervals."""
    n = 100
    port = free_port()
    with Daemon(config(relay(f"127.0.0.1:{port}", connect_wait="1h"), backend=backend,
                       log_level="debug")) as daemon, contextlib.ExitStack() as stack:
        began = time.monotonic()
        clients = [stack.enter_context(daemon.connect("relay")) for _ in range(n)]
        daemon.wait_for(" cannot reach upstream ", n + 3 * workers()[0])  # each loop retries by itself
        assert time.monotonic() - began >= 0.1 + 0.2 + 0.4
        with Upstream(answer, port=port):
            for client in clients:
                client.sendall(b"x")
            for client in clients:
                assert client.recv(1) == b"x"


def test_many_that_come_and_go(backend):
    """Nothing is kept of clients that left, and a well-behaved client is not affected."""
    n = 300 if backend == "select" else 1000
    raise_descriptor_limit(2 * n)
    down = f"127.0.0.1:{free_port()}"
    with Daemon(config(service(), relay(down, connect_wait="1h"), backend=backend)) as daemon:
        before = daemon.descriptors()
        with Steady(daemon.connect()):
            for _ in range(n):
                daemon.connect("relay").close()
            daemon.wait_for(LEFT, n)
        until(lambda: daemon.descriptors() == before, "the return of all descriptors")


def test_max_dialing(backend):
    """Clients beyond max_dialing are reset. Another service is served, and a freed place is used."""
    down = f"127.0.0.1:{free_port()}"
    with Daemon(config(service(), relay(down, connect_wait="1h", max_dialing=20), backend=backend,
                       log_level="debug")) as daemon:
        with contextlib.ExitStack() as stack:
            waiting = [stack.enter_context(daemon.connect("relay")) for _ in range(20)]
            until(lambda: len({line.split()[1] for line in daemon.lines(" cannot reach upstream ")}) == 20,
                  "the first try of every client")
            for _ in range(5):
                expect_reset(daemon)
            daemon.wait_for(r"^relay: \S+ closed: max_dialing 20, 0 B in, 0 B out", 5)
            with daemon.connect() as client:
                echo(client)
            gone = name_of(waiting[0])
            reset(waiting[0])
            daemon.wait_for(f"{gone} closed: ")
            stack.enter_context(daemon.connect("relay"))
            daemon.wait_for("^relay: .* connected$", 26)
            daemon.reload(config(service(), relay(down, listen=f"127.0.0.1:{daemon.port('relay')}",
                                                  connect_wait="1h", max_dialing=20), backend=backend))
            expect_reset(daemon)  # a reload frees no place
            daemon.wait_for(r"^relay: \S+ closed: max_dialing 20, ", 6)


def test_descriptors_are_left_for_others():
    """An upstream that is down uses no more descriptors than its service may."""
    down = f"127.0.0.1:{free_port()}"
    with Daemon(config(service(), relay(down, connect_wait="1h", max_dialing=100)),
                wrapper=["prlimit", "--nofile=500:500"]) as daemon, contextlib.ExitStack() as stack:
        for _ in range(400):
            with contextlib.suppress(ConnectionError):
                stack.enter_context(daemon.connect("relay"))
        daemon.wait_for(" closed: max_dialing 100, ", 300)
        with daemon.connect() as client:
            echo(client)
        assert not daemon.lines("turned away|cannot accept")
