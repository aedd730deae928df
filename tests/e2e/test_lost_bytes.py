# SPDX-License-Identifier: MIT
"""When received bytes are not delivered, every side sees a reset, and the record counts the bytes.

A peer that gets a part must not take it for the whole, whatever ends the connection. Each test knows how
many bytes the daemon's socket has acknowledged. The bytes that arrived and those that the record calls
lost add up to that number.
"""
import contextlib
import os
import resource
import select
import signal
import socket

import pytest

from harness import (DEADLINE, FILLS_ANY_LINE, Daemon, config, echo, free_port, name_of, pattern, push,
                     recv_exactly, recv_until_eof, reset, sending, service, unacknowledged, until)

MUCH = pattern(FILLS_ANY_LINE)
LITTLE = 4096  # SO_RCVBUF of a peer that does not read
ENDED = r" closed: {}, \d+ B in, \d+ B out, [\d.]+ s; lost: (\d+) B to {}(?:;|$)"


def lost(daemon, reason, receiver):
    """Waits for the record of an end. Returns how many bytes were lost on the way to receiver."""
    return int(daemon.wait_for(ENDED.format(reason, receiver))[1])


def recv_until_reset(sock):
    """Everything that arrived before a reset. An orderly end fails the test.

    It reads only after the reset has arrived, because reading earlier would let more bytes arrive.
    """
    data = bytearray()
    poll = select.poll()
    poll.register(sock, 0)  # poll(2) still reports errors and the end of both streams
    assert poll.poll(DEADLINE * 1000)
    with pytest.raises(ConnectionResetError):
        while got := sock.recv(1 << 20):
            data += got
    return bytes(data)


@contextlib.contextmanager
def deaf_upstream():
    """A listening socket with a small receive buffer, whose clients nobody reads."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(DEADLINE)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, LITTLE)
        yield listener, "127.0.0.1:%d" % listener.getsockname()[1]


@contextlib.contextmanager
def relayed(backend, top=(), **pairs):
    """A client that has sent as much as the way to an upstream that does not read holds.

    Yields (daemon, client, the upstream's socket, a function that returns how many bytes the daemon's system
    acknowledged).
    """
    with deaf_upstream() as (listener, address):
        text = config(service("relay", mode="relay", upstream=address, **pairs), backend=backend,
                      **dict(top))
        with Daemon(text) as daemon, daemon.connect("relay") as client:
            server, _ = listener.accept()
            server.settimeout(DEADLINE)
            with server:
                yield daemon, client, server, fill(client)


def fill(sock):
    """Sends until the socket takes no more. Returns a function that returns how many bytes the daemon's
    system acknowledged.
    """
    taken, = push([sock], MUCH, quiet=0.3)
    assert taken < len(MUCH)
    return lambda: taken - unacknowledged(sock)


def stop_after_drain_timeout(daemon):
    daemon.signal(signal.SIGTERM)


def stop_at_once(daemon):
    daemon.signal(signal.SIGTERM)
    daemon.wait_for("^stopping: ")
    daemon.signal(signal.SIGTERM)


def wait(daemon):
    pass


ENDS = [("stopping", {"drain_timeout": 0.3}, {}, stop_after_drain_timeout),
        ("stopping", {"drain_timeout": "1h"}, {}, stop_at_once),
        ("idle timeout", {}, {"idle_timeout": 1}, wait),
        ("reset_after 2 s", {}, {"to_client": dict(reset_after="2s")}, wait)]


@pytest.mark.parametrize("reason, top, pairs, act", ENDS,
                         ids=["drain_timeout", "second signal", "idle_timeout", "reset_after"])
def test_upstream_that_does_not_read(backend, reason, top, pairs, act):
    with relayed(backend, top, **pairs) as (daemon, client, server, accepted):
        act(daemon)
        n = lost(daemon, reason, "upstream")
        got = recv_until_reset(server)
        assert MUCH.startswith(got)
        recv_until_reset(client)
        assert 0 < len(got) < accepted()
        assert len(got) + n == accepted()


def test_after_the_client_has_ended_its_stream(backend):
    """The end waits behind the data, so the upstream must not see an end without the data."""
    with relayed(backend, {"drain_timeout": 0.3}) as (daemon, client, server, accepted):
        client.shutdown(socket.SHUT_WR)
        daemon.signal(signal.SIGTERM)
        n = lost(daemon, "stopping", "upstream")
        got = recv_until_reset(server)
        recv_until_reset(client)
        assert len(got) + n == accepted() + 1  # the end of the stream counts as an unacknowledged byte


@pytest.mark.parametrize("mode", ["echo", "relay"])
def test_held_by_a_condition(backend, mode):
    with deaf_upstream() as (listener, address):
        way = {"echo": "to_client", "relay": "to_upstream"}[mode]
        pairs = {"mode": mode, way: dict(latency="1h")}
        if mode == "relay":
            pairs["upstream"] = address
        text = config(service("it", **pairs), backend=backend, log_level="debug", drain_timeout=0.2)
        with Daemon(text) as daemon, daemon.connect("it") as client:
            client.sendall(pattern(5000))
            until(lambda: sum(int(line.split()[-2]) for line in daemon.lines(r" received \d+ bytes$")) == 5000,
                  "the receipt")
            with contextlib.ExitStack() as stack:
                if mode == "relay":
                    server = stack.enter_context(listener.accept()[0])
                daemon.signal(signal.SIGTERM)
                assert lost(daemon, "stopping", way.removeprefix("to_")) == 5000
                recv_until_reset(client)
                if mode == "relay":
                    assert recv_until_reset(server) == b""


def test_client_that_does_not_read(backend):
    """The upstream has ended its answer, and the client does not read it: both see a reset."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(DEADLINE)
        address = "127.0.0.1:%d" % listener.getsockname()[1]
        text = config(service("relay", mode="relay", upstream=address), backend=backend,
                      drain_timeout=0.3)
        with Daemon(text) as daemon, daemon.connect("relay", receive_buffer=LITTLE) as client:
            server, _ = listener.accept()
            with server:
                accepted = fill(server)
                daemon.signal(signal.SIGTERM)
                n = lost(daemon, "stopping", "client")
                got = recv_until_reset(client)
                recv_until_reset(server)
                assert len(got) + n == accepted()


def test_member_of_a_hub(backend):
    """A member with a queue loses it and sees a reset. A member without one sees an end."""
    text = config(service("hub", mode="hub", quota="1G"), backend=backend, drain_timeout=0.5)
    with Daemon(text) as daemon:
        deaf = daemon.connect("hub", receive_buffer=LITTLE)
        sender, other = daemon.connect("hub"), daemon.connect("hub")
        daemon.wait_for(" connected$", 3)
        data = MUCH[:16 << 20]
        with sending(sender, data):
            assert recv_exactly(other, len(data)) == data
        daemon.signal(signal.SIGTERM)
        n = int(daemon.wait_for(rf"{name_of(deaf)} closed: stopping, .*; lost: (\d+) B to client$")[1])
        assert len(recv_until_reset(deaf)) + n == len(data)
        assert recv_until_eof(sender) == recv_until_eof(other) == b""
        assert len(daemon.lines("; lost: ")) == 1
        for sock in (deaf, sender, other):
            sock.close()


def test_before_the_upstream_is_reached(backend):
    text = config(service("relay", mode="relay", upstream=f"127.0.0.1:{free_port()}",
                          connect_wait="1h"), backend=backend, drain_timeout="1h")
    with Daemon(text) as daemon, daemon.connect("relay") as client:
        client.sendall(b"hello")
        until(lambda: unacknowledged(client) == 0, "the arrival")
        daemon.wait_for(" connected$")
        stop_at_once(daemon)
        assert lost(daemon, "stopping", "upstream") == 5
        recv_until_reset(client)


def test_limit_is_an_orderly_end_of_its_way_alone(backend):
    """Bytes beyond a limit are not lost. Bytes held in the other direction are."""
    with deaf_upstream() as (listener, address):
        text = config(service("relay", mode="relay", upstream=address, to_client=dict(limit=10),
                              to_upstream=dict(latency="1h")), backend=backend, log_level="debug")
        with Daemon(text) as daemon, daemon.connect("relay") as client:
            server, _ = listener.accept()
            with server:
                client.sendall(b"question")
                daemon.wait_for(" received 8 bytes$")
                server.sendall(pattern(25))
                assert recv_until_eof(client) == pattern(25)[:10]
                assert lost(daemon, "limit 10 B", "upstream") == 8
                client.close()
                assert recv_until_reset(server) == b""


def test_nothing_lost(backend):
    """If everything has been delivered, the record says nothing about losses."""
    with deaf_upstream() as (listener, address):
        text = config(service(), service("relay", mode="relay", upstream=address), backend=backend,
                      drain_timeout=0.2)
        with Daemon(text) as daemon, daemon.connect() as one, daemon.connect("relay") as client:
            server, _ = listener.accept()
            with server:
                echo(one, pattern(10_000))
                client.sendall(b"question")
                assert recv_exactly(server, 8) == b"question"
                server.sendall(b"answer")
                assert recv_exactly(client, 6) == b"answer"
                daemon.signal(signal.SIGTERM)
                for sock in (one, client, server):
                    assert recv_until_eof(sock) == b""
                daemon.wait_for(" closed: stopping, ", 2)
                assert not daemon.lines("lost:")


def test_reset_by_a_peer(backend):
    """Bytes that a peer's reset keeps from being delivered are counted too.

    The client of one connection and the upstream of another reset at the same time, because the daemon waits
    5 s before it gives up.
    """
    with deaf_upstream() as (listener, address):
        text = config(service("relay", mode="relay", upstream=address, to_client=dict(latency="1h"),
                              to_upstream=dict(latency="1h")), backend=backend, log_level="debug")
        with Daemon(text) as daemon, contextlib.ExitStack() as stack:
            pairs = []
            for _ in range(2):
                client = stack.enter_context(daemon.connect("relay"))
                server = stack.enter_context(listener.accept()[0])
                client.sendall(b"question")
                server.sendall(b"answer")
                pairs.append((client, server))
            daemon.wait_for(" received 8 bytes$", 2)
            daemon.wait_for(" received 6 bytes from ", 2)
            (client, its_upstream), (its_client, upstream) = pairs
            reset(client)
            reset(upstream)
            recv_until_reset(its_upstream)
            recv_until_reset(its_client)
            for whose in "", r"upstream \S+: ":
                daemon.wait_for(rf" closed: {whose}reset by peer, .*; lost: 6 B to client, 8 B to upstream")


def out_of_memory(backend):
    """The daemon gets no more memory. The connection that needs some ends in resets."""
    with deaf_upstream() as (listener, address):
        text = config(service(), service("relay", mode="relay", upstream=address, hold="1G",
                                         to_upstream=dict(latency="1h")), backend=backend)
        with Daemon(text) as daemon, daemon.connect("relay") as client, daemon.connect() as other:
            server, _ = listener.accept()
            with server:
                echo(other)
                status = open(f"/proc/{daemon.pid}/status").read()
                data = int(status.partition("VmData:")[2].split()[0]) * 1024
                resource.prlimit(daemon.pid, resource.RLIMIT_DATA, (data + (2 << 20),) * 2)
                with pytest.raises(ConnectionError):
                    client.sendall(MUCH)
                assert 0 < lost(daemon, r"upstream \S+: out of memory", "upstream") <= len(MUCH)
                assert recv_until_reset(server) == b""
                echo(other)


if not os.environ.get("SANITIZE"):  # a sanitizer needs unlimited memory
    test_out_of_memory = out_of_memory
