# SPDX-License-Identifier: MIT
"""Misbehaving upstreams harm only their own client.

(An upstream that refuses, that is unreachable, or that reads nothing is tested in test_relay.py.)
"""
import contextlib
import socket
import threading

import pytest

from harness import (DEADLINE, LOOP_KBYTES, WITHOUT_QUARANTINE, Daemon, Steady, Upstream, answer, config,
                     echo, pattern, push, recv_exactly, recv_until_eof, relay, reset, until, workers)

DATA = pattern(1 << 20)
MUCH = pattern(64 << 20)


def first(serve):
    """The first client is served by this function, and later clients get an answer."""
    return lambda sock, n: (answer if n else serve)(sock, n)


# Connected upstreams that misbehave


def test_silence(backend):
    """The upstream reads and never answers. idle_timeout ends the connection."""
    def hear(sock, n):
        while sock.recv(1 << 16):
            pass

    with Upstream(hear) as upstream, Upstream(answer) as good:
        with Daemon(config(relay(upstream.address, "silent", idle_timeout="500ms"),
                           relay(good.address), backend=backend)) as daemon:
            with Steady(daemon.connect("relay")), daemon.connect("silent") as client:
                client.sendall(b"anyone?")
                assert client.recv(1) == b""
                took = daemon.wait_for(r" closed: idle timeout, 7 B in, 0 B out, (.+) s$")
                assert float(took[1]) >= 0.499


def test_reset_mid_stream(backend):
    """All bytes before the reset arrive, then the reset. The next client is served."""
    def cut_off(sock, n):
        sock.sendall(DATA)
        sock.recv(1)
        reset(sock)

    with Upstream(first(cut_off)) as upstream:
        with Daemon(config(relay(upstream.address), backend=backend)) as daemon:
            with daemon.connect("relay") as client:
                assert recv_exactly(client, len(DATA)) == DATA
                client.sendall(b"!")
                with pytest.raises(ConnectionResetError):
                    client.recv(1)
            daemon.wait_for(rf" closed: upstream \S+: reset by peer, 1 B in, {len(DATA)} B out")
            with daemon.connect("relay") as client:
                echo(client)


@pytest.mark.parametrize("size", [0, 1, len(DATA)])
def test_reset_close_behind(backend, size):
    """A reset may overtake data, so some may be lost. But the client never sees an orderly end."""
    def cut_off(sock, n):
        sock.sendall(DATA[:size])
        reset(sock)

    with Upstream(first(cut_off)) as upstream:
        with Daemon(config(relay(upstream.address), backend=backend)) as daemon:
            got = bytearray()
            with pytest.raises(ConnectionResetError), daemon.connect("relay") as client:
                while data := client.recv(1 << 16):
                    got += data
            assert DATA[:size].startswith(got)
            daemon.wait_for(r" closed: (upstream \S+: )?reset by peer, 0 B in, \d+ B out")
            with daemon.connect("relay") as client:
                echo(client)


def test_reset_in_a_standstill(backend):
    """Two upstreams have sent until the relay took no more, and so has one of their clients. The relay reads
    nothing, but notices that both upstreams reset.

    Both reset at the same time, because the daemon waits 5 s for a client that does not read.
    """
    cue, taken = threading.Event(), []

    def cut_off(sock, n):
        taken.extend(push([sock], MUCH))
        cue.wait(DEADLINE)
        reset(sock)

    with Upstream(lambda sock, n: (cut_off if n < 2 else answer)(sock, n)) as upstream:
        with Daemon(config(relay(upstream.address), backend=backend)) as daemon:
            with daemon.connect("relay") as silent, daemon.connect("relay") as sender:
                push([sender], MUCH)
                until(lambda: len(taken) == 2, "the standstill")
                cue.set()
                daemon.wait_for(r" closed: upstream \S+: reset by peer, ", 2)
                for client in silent, sender:
                    with pytest.raises(ConnectionResetError):
                        recv_until_eof(client)
            with daemon.connect("relay") as client:
                echo(client)


def test_flood(backend):
    """An upstream that sends without end to clients that read nothing is stopped: at little cost and without
    loss.
    """
    n_clients, taken = 4, {}

    def flood(sock, n):
        [taken[n]] = push([sock], MUCH)
        sock.shutdown(socket.SHUT_WR)
        sock.recv(1)

    with Upstream(flood) as upstream, Upstream(answer) as good:
        with Daemon(config(relay(upstream.address, "flooded"), relay(good.address),
                           backend=backend), env=WITHOUT_QUARANTINE) as daemon:
            before = daemon.memory_bytes()
            with contextlib.ExitStack() as stack, Steady(daemon.connect("relay")):
                clients = []
                for n in range(n_clients):  # one by one, so that both sides count alike
                    clients.append(stack.enter_context(daemon.connect("flooded")))
                    until(lambda: len(upstream.clients) > n, "its connection")
                until(lambda: len(taken) == n_clients, "the standstill")
                assert (daemon.memory_bytes() - before
                        < (n_clients * 400 + workers()[0] * LOOP_KBYTES) * 1024)
                for n, client in enumerate(clients):
                    assert taken[n] < len(MUCH)
                    assert recv_until_eof(client) == MUCH[:taken[n]]
