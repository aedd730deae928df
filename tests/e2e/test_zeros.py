# SPDX-License-Identifier: MIT
"""Conditions of 0 have their literal meaning: reset at once, no byte, no burst."""
import contextlib
import socket
import time

import pytest

from harness import (DEADLINE, EARLY, Daemon, config, echo, expect_reset, listening, pattern,
                     recv_exactly, recv_until_eof, relay, sending, service)


RATE = 100_000  # bytes a second


@pytest.mark.parametrize("mode", ["echo", "hub"])
def test_reset_at_once(backend, mode):
    text = config(service(mode=mode, to_client={"reset_after": 0}), backend=backend)
    with Daemon(text) as daemon:
        for n in range(1, 4):
            expect_reset(daemon, "echo")
            daemon.wait_for(r" closed: reset_after 0 s, 0 B in, 0 B out, .*; affected by reset_after$", n)


@pytest.mark.parametrize("way", ["to_client", "to_upstream"])
def test_reset_at_once_of_a_relay(backend, way):
    """The upstream of a client that is reset at once is not contacted."""
    with listening() as (listener, address):
        with Daemon(config(relay(address, "echo", **{way: {"reset_after": 0}}), backend=backend)) as daemon:
            expect_reset(daemon, "echo")
            daemon.wait_for(" closed: reset_after 0 s, ")
        listener.setblocking(False)
        with pytest.raises(BlockingIOError):
            listener.accept()


def test_reset_at_once_by_a_reload(backend):
    with Daemon(config(backend=backend)) as daemon, daemon.connect() as client:
        echo(client)
        daemon.reload(config(service(listen=f"127.0.0.1:{daemon.port()}", to_client={"reset_after": 0}),
                             backend=backend))
        with pytest.raises(ConnectionResetError):
            client.recv(1)
        daemon.wait_for(" closed: reset_after 0 s, 5 B in, 5 B out, ")


def test_limit_of_zero(backend):
    """The connection stays until a byte would pass, and then ends in order."""
    with Daemon(config(service(to_client={"limit": 0}), backend=backend)) as daemon:
        with daemon.connect() as first, daemon.connect() as second:
            daemon.wait_for(" connected$", 2)
            first.shutdown(socket.SHUT_WR)
            assert recv_until_eof(first) == b""
            daemon.wait_for(" closed: end of stream, 0 B in, 0 B out, ")
            second.sendall(b"hello")
            assert recv_until_eof(second) == b""
            daemon.wait_for(r" closed: limit 0 B, 5 B in, 0 B out, .*; affected by to_client: limit$")


@pytest.mark.parametrize("way", ["to_client", "to_upstream"])
def test_limit_of_zero_of_a_relay(backend, way):
    """Bytes of the other direction pass. The first byte of this direction ends both in order."""
    with listening() as (listener, address):
        text = config(relay(address, "echo", **{way: {"limit": 0}}), backend=backend)
        with Daemon(text) as daemon, daemon.connect() as client:
            server, _ = listener.accept()
            with server:
                server.settimeout(DEADLINE)
                ends = [client, server] if way == "to_client" else [server, client]
                ends[0].sendall(b"passes")
                assert recv_exactly(ends[1], 6) == b"passes"
                ends[1].sendall(b"does not")
                assert recv_until_eof(ends[0]) == b""
                assert recv_until_eof(ends[1]) == b""
                daemon.wait_for(" closed: limit 0 B, ")


def test_limit_of_zero_of_a_hub(backend):
    """A member leaves when the first byte would pass to it. A member that only sends stays."""
    text = config(service(mode="hub", to_client={"limit": 0}), backend=backend)
    with Daemon(text) as daemon, daemon.connect() as talks, daemon.connect() as listens:
        daemon.wait_for(" connected$", 2)
        talks.sendall(b"hello")
        assert recv_until_eof(listens) == b""
        daemon.wait_for(" closed: limit 0 B, 0 B in, 0 B out, ")
        talks.shutdown(socket.SHUT_WR)
        assert recv_until_eof(talks) == b""
        daemon.wait_for(" closed: end of stream, 5 B in, 0 B out, ")


def test_no_burst(backend):
    """At no time have more bytes arrived than the rate allows since the first one."""
    size = 50_000
    text = config(service(to_client={"rate": RATE, "burst": 0}), backend=backend)
    with Daemon(text) as daemon, daemon.connect() as client:
        began, got = time.monotonic(), bytearray()
        with sending(client, pattern(size)):
            while len(got) < size:
                got += client.recv(65536)
                assert len(got) <= RATE * (time.monotonic() - began + EARLY)
        assert bytes(got) == pattern(size)


def test_no_burst_of_a_message(backend):
    """However long the connection was quiet, each message waits for the time of its own bytes."""
    text = config(service(to_client={"rate": RATE, "burst": 0}), backend=backend)
    with Daemon(text) as daemon, daemon.connect() as client:
        for _ in range(5):
            began = time.monotonic()
            echo(client, pattern(1000))
            assert time.monotonic() - began >= 1000 / RATE - EARLY


def test_no_burst_shared(backend):
    """All connections of the service share one rate, and none has a burst."""
    size = 20_000
    text = config(service(to_client={"rate": 4 * RATE, "burst": 0, "shared": True}), backend=backend)
    with Daemon(text) as daemon:
        with contextlib.ExitStack() as stack:
            clients = [stack.enter_context(daemon.connect()) for _ in range(4)]
            began = time.monotonic()
            for client in clients:
                client.sendall(pattern(size))
            for client in clients:
                assert recv_exactly(client, size) == pattern(size)
            assert time.monotonic() - began >= 4 * size / (4 * RATE) - EARLY
