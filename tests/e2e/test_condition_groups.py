# SPDX-License-Identifier: MIT
"""Several groups of conditions in one direction: how they act together, and how reloads add, change and
remove them on an open connection while bytes are held.
"""
import contextlib
import socket
import time

import pytest

from harness import (EARLY, WITHOUT_QUARANTINE, Daemon, config, echo, pattern, recv_exactly, recv_until_eof,
                     service)


class Conditioned:
    """An echo service with groups to the client, which the test changes."""

    def __init__(self, daemon, backend):
        self.daemon, self.backend = daemon, backend

    def set(self, *groups):
        """Replaces the groups by a reload, and waits until they are in force."""
        listen = f"127.0.0.1:{self.daemon.port()}"
        self.daemon.reload(config(service(listen=listen, to_client=list(groups)), log_level="debug",
                                  backend=self.backend))

    def hold(self, client, data):
        """Sends bytes, and waits until the daemon has them."""
        received = len(self.daemon.lines(f" received {len(data)} bytes"))
        client.sendall(data)
        self.daemon.wait_for(f" received {len(data)} bytes", received + 1)


@contextlib.contextmanager
def conditioned(backend, *groups, **top):
    text = config(service(to_client=list(groups)), **{"log_level": "debug", "backend": backend, **top})
    with Daemon(text, env=WITHOUT_QUARANTINE) as daemon:
        yield Conditioned(daemon, backend)


def group(name, **conditions):
    return {"name": name, **conditions}


def test_delays_add_up(backend):
    with conditioned(backend, group("near", latency="100ms"), group("far", latency="150ms")) as echoing, \
            echoing.daemon.connect() as client:
        began = time.monotonic()
        echo(client)
        assert time.monotonic() - began >= 0.25 - EARLY


def test_the_lowest_rate(backend):
    groups = [group("line", rate=10_000_000), group("slow", rate=20_000, burst=0)]
    for order in groups, groups[::-1]:
        with conditioned(backend, *order) as echoing, echoing.daemon.connect() as client:
            began = time.monotonic()
            echo(client, pattern(10_000))
            assert time.monotonic() - began >= 0.5 - EARLY


def test_the_lowest_limit(backend):
    with conditioned(backend, group("much", limit=1000), group("little", limit=500)) as echoing, \
            echoing.daemon.connect() as client:
        client.sendall(pattern(2000))
        assert recv_until_eof(client) == pattern(2000)[:500]
        echoing.daemon.wait_for(" closed: limit 500 B, ")


def test_each_group_is_drawn_by_itself(backend):
    """With this seed every combination of two groups occurs."""
    with conditioned(backend, group("sliced", slice_size=1, probability=0.5),
                     group("late", close_delay="1ms", probability=0.5), seed=7) as echoing:
        for i in range(32):
            with echoing.daemon.connect() as client:
                echo(client, b"two")
                client.shutdown(socket.SHUT_WR)
                assert client.recv(1) == b""
            echoing.daemon.wait_for(" closed: end of stream, ", i + 1)
        ends = echoing.daemon.lines(" closed: end of stream, ")
        assert len({("slice" in end, "close_delay" in end) for end in ends}) == 4


def test_added_and_removed(backend):
    """Reloads add groups to an open connection and remove them. Bytes held by a removed group are sent at once."""
    with conditioned(backend) as echoing, echoing.daemon.connect() as client:
        echo(client)
        echoing.set(group("slow", latency="100ms"))
        began = time.monotonic()
        echo(client)
        assert time.monotonic() - began >= 0.1 - EARLY
        echoing.set(group("slow", latency="100ms"), group("frozen", latency="1h"))
        echoing.hold(client, pattern(5000))
        echoing.set()
        assert recv_exactly(client, 5000) == pattern(5000)
        echo(client)


def test_one_of_two_is_removed(backend):
    """Held bytes keep waiting for the remaining group."""
    with conditioned(backend, group("frozen", latency="1h"), group("slow", latency="400ms")) as echoing, \
            echoing.daemon.connect() as client:
        began = time.monotonic()
        echoing.hold(client, pattern(3000))
        echoing.set(group("slow", latency="400ms"))
        assert recv_exactly(client, 3000) == pattern(3000)
        assert time.monotonic() - began >= 0.4 - EARLY


def test_changed(backend):
    """A shorter latency applies to held bytes too."""
    with conditioned(backend, group("slow", latency="1h")) as echoing, \
            echoing.daemon.connect() as client:
        began = time.monotonic()
        echoing.hold(client, pattern(3000))
        echoing.set(group("slow", latency="400ms"))
        assert recv_exactly(client, 3000) == pattern(3000)
        assert time.monotonic() - began >= 0.4 - EARLY


def test_a_limit_counts_from_its_own_group(backend):
    """It counts neither from the start of the connection nor from a change of another group."""
    with conditioned(backend) as echoing, echoing.daemon.connect() as client:
        echo(client, pattern(500))
        echoing.set(group("few", limit=300))
        echo(client, pattern(200))
        echoing.set(group("few", limit=300), group("slow", latency="1ms"))
        client.sendall(pattern(500))
        assert recv_until_eof(client) == pattern(500)[:100]


def test_cut_and_mended(backend):
    """Nothing passes at a rate of 0. All bytes and the end of the stream pass when the group is removed."""
    with conditioned(backend, group("slow", latency="1ms")) as echoing, \
            echoing.daemon.connect() as client, echoing.daemon.connect() as other:
        echoing.set(group("cut", rate=0), group("slow", latency="1ms"))
        echoing.hold(client, pattern(4000))
        client.shutdown(socket.SHUT_WR)
        other.shutdown(socket.SHUT_WR)
        assert other.recv(1) == b""  # without bytes in front of it, an end passes
        client.setblocking(False)
        with pytest.raises(BlockingIOError):
            client.recv(1)
        client.settimeout(20)
        echoing.set(group("slow", latency="1ms"))
        assert recv_until_eof(client) == pattern(4000)
        echoing.daemon.wait_for(" closed: end of stream, 4000 B in, 4000 B out, .*to_client: latency, rate")


def test_many_changes_lose_nothing(backend):
    """Groups are added, changed and removed while a stream passes."""
    data = pattern(600_000)
    turns = [
        [group("a", latency="20ms", jitter="10ms")],
        [group("a", latency="20ms", jitter="10ms"), group("b", rate="4M", burst=0)],
        [group("b", rate=0)],
        [group("c", slice_size=700, slice_variation=300), group("a", jitter="5ms")],
        [group("b", rate="8M"), group("c", slice_size=5000), group("d", stall_after=0, stall_for="30ms")],
        [],
    ]
    with conditioned(backend) as echoing, echoing.daemon.connect() as client:
        for i in range(12):
            part = data[i * 50_000:(i + 1) * 50_000]
            echoing.set(*turns[i % len(turns)])
            client.sendall(part)
        client.shutdown(socket.SHUT_WR)
        assert recv_until_eof(client) == data
