# SPDX-License-Identifier: MIT
"""Upstreams that misbehave: one client suffers, the others are served.

(One that refuses, one that can't be reached and one that reads nothing are in test_relay.py.)
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
    """The first client gets this, those after it an answer."""
    return lambda sock, n: (answer if n else serve)(sock, n)


# What is connected, and misbehaves


def test_silence(backend):
    """It hears what the client says and nothing comes of it, until idle_timeout."""
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
    """All that came before the reset is there, then the reset; the next client is served."""
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
    """It overtakes data, so some may be lost, but never does it look as if that were the end."""
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


@pytest.mark.parametrize("both", [False, True], ids=["one-way", "both-ways"])
def test_reset_in_a_standstill(backend, both):
    """It, or both, have sent until the relay took no more: it is not read, but its end is seen."""
    cue, taken = threading.Event(), []

    def cut_off(sock, n):
        taken.extend(push([sock], MUCH))
        cue.wait(DEADLINE)
        reset(sock)

    with Upstream(first(cut_off)) as upstream:
        with Daemon(config(relay(upstream.address), backend=backend)) as daemon:
            with daemon.connect("relay") as client:
                if both:
                    push([client], MUCH)
                until(lambda: taken, "the standstill")
                cue.set()
                daemon.wait_for(r" closed: upstream \S+: reset by peer, ")
                with pytest.raises(ConnectionResetError):
                    recv_until_eof(client)
            with daemon.connect("relay") as client:
                echo(client)


def test_flood(backend):
    """Who sends without end to clients that read nothing is held up: at little cost, at no loss."""
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
                for n in range(n_clients):  # in turn, so that the nth here is the nth there
                    clients.append(stack.enter_context(daemon.connect("flooded")))
                    until(lambda: len(upstream.clients) > n, "its connection")
                until(lambda: len(taken) == n_clients, "the standstill")
                assert (daemon.memory_bytes() - before
                        < (n_clients * 400 + workers()[0] * LOOP_KBYTES) * 1024)
                for n, client in enumerate(clients):
                    assert taken[n] < len(MUCH)
                    assert recv_until_eof(client) == MUCH[:taken[n]]
