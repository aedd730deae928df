# SPDX-License-Identifier: MIT
"""The effect of each toxic on a connection, and when it begins and ends."""
import contextlib
import socket
import time

import pytest
from harness import EARLY, Server, Upstream, answer, echo, in_time, pattern, recv_exactly, recv_until_eof
from harness.control import Control, controlled

LATE = 0.1  # seconds; a busy machine may add more now and then, see in_time()


@pytest.fixture
def line(backend):
    """A proxy in front of a server that the test plays itself."""
    with Server() as server, controlled(backend) as daemon:
        control = Control(daemon)
        control.create(upstream=server.address)
        yield Line(server, control)


class Line:
    def __init__(self, server, control):
        self.server, self.control = server, control

    @contextlib.contextmanager
    def open(self):
        """Both ends of a connection: the client's and the server's."""
        with self.control.dial() as client, self.server.accept() as served:
            yield client, served


def expect_delay(measure, delay):
    """Expects an action to take this time: never less, and rarely more."""
    def once():
        took = measure()
        assert took >= delay - EARLY
        return took
    in_time(once, delay + LATE, tries=10)


def one_way(sender, receiver, data=b"0123456789"):
    began = time.monotonic()
    sender.sendall(data)
    assert recv_exactly(receiver, len(data)) == data
    return time.monotonic() - began


def silent(sock, seconds=0.1):
    """Whether nothing arrives for a moment."""
    sock.settimeout(seconds)
    try:
        return not sock.recv(1)
    except TimeoutError:
        return True
    finally:
        sock.settimeout(20)


def test_latency(line):
    with line.open() as (client, server):
        line.control.add("latency", latency=200)
        expect_delay(lambda: one_way(server, client), 0.2)
        in_time(lambda: one_way(client, server), LATE, tries=10)
        line.control.add("latency", name="more", latency=100)
        expect_delay(lambda: one_way(server, client), 0.3)
        line.control.remove("latency_downstream")
        expect_delay(lambda: one_way(server, client), 0.1)
        line.control.expect(200, "POST", "/proxies/p/toxics/more", {"attributes": {"latency": 50}})
        expect_delay(lambda: one_way(server, client), 0.05)
        line.control.add("latency", stream="upstream", latency=70)
        expect_delay(lambda: one_way(client, server), 0.07)


def test_jitter(line):
    with line.open() as (client, server):
        line.control.add("latency", latency=100, jitter=100)
        took = [one_way(server, client) for _ in range(12)]
        assert max(took) - min(took) > 0.02 and sorted(took)[5] < 0.2 + LATE


@pytest.mark.parametrize("how", ["deleted", "shortened", "reset"])
def test_held_bytes_are_let_go(line, how):
    with line.open() as (client, server):
        line.control.add("latency", latency=5000)
        server.sendall(b"0123456789")
        server.shutdown(socket.SHUT_WR)
        assert silent(client)
        began = time.monotonic()
        if how == "deleted":
            line.control.remove("latency_downstream")
        elif how == "reset":
            line.control.expect(204, "POST", "/reset")
        else:
            line.control.expect(200, "POST", "/proxies/p/toxics/latency_downstream",
                                {"attributes": {"latency": 10}})
        assert recv_until_eof(client) == b"0123456789"
        assert time.monotonic() - began < 3


def test_bandwidth(line):
    with line.open() as (client, server):
        line.control.add("bandwidth", rate=100)
        expect_delay(lambda: one_way(server, client, b"x" * 1000), 0.01)
        expect_delay(lambda: one_way(server, client, pattern(50_000)), 0.5)
        line.control.expect(200, "POST", "/proxies/p/toxics/bandwidth_downstream",
                            {"attributes": {"rate": 1000}})
        expect_delay(lambda: one_way(server, client, pattern(480_000)), 0.48)


def test_a_cut_line(line):
    with line.open() as (client, server):
        line.control.add("bandwidth", rate=0)
        line.control.add("bandwidth", stream="upstream", rate=0)
        server.sendall(b"down")
        client.sendall(b"up")
        assert silent(client) and silent(server)
        line.control.remove("bandwidth_downstream")
        line.control.remove("bandwidth_upstream")
        assert recv_exactly(client, 4) == b"down" and recv_exactly(server, 2) == b"up"
        line.control.add("bandwidth", rate=0)
        server.shutdown(socket.SHUT_WR)  # nothing is held, so the end of the stream passes
        assert recv_until_eof(client) == b""


def test_slow_close(line):
    def measure():
        with line.open() as (client, server):
            began = time.monotonic()
            server.shutdown(socket.SHUT_WR)
            assert recv_until_eof(client) == b""
            return time.monotonic() - began

    line.control.add("slow_close", delay=300)
    expect_delay(measure, 0.3)
    with line.open() as (client, server):
        line.control.expect(200, "POST", "/proxies/p/toxics/slow_close_downstream",
                            {"attributes": {"delay": 60_000}})
        server.shutdown(socket.SHUT_WR)
        assert silent(client)
        line.control.remove("slow_close_downstream")
        assert recv_until_eof(client) == b""


def test_timeout(line):
    def measure():
        with line.open() as (client, server):
            began = time.monotonic()
            server.sendall(b"lost")
            assert recv_until_eof(client) == b"" and recv_until_eof(server) == b""
            return time.monotonic() - began

    line.control.add("timeout", timeout=300)
    expect_delay(measure, 0.3)
    with line.open() as (client, server):
        client.sendall(b"the other way")
        assert recv_exactly(server, 13) == b"the other way"
        server.shutdown(socket.SHUT_WR)  # an end passes at once
        assert recv_until_eof(client) == b""


def test_each_chunk_begins_a_timeout_anew(line):
    with line.open() as (client, server):
        line.control.add("timeout", timeout=400)
        began = time.monotonic()
        while time.monotonic() < began + 0.8:
            last = time.monotonic()
            server.sendall(b"lost")
            assert silent(client, 0.05)
        assert recv_until_eof(client) == b""
        assert time.monotonic() >= last + 0.4 - EARLY


@pytest.mark.parametrize("how", ["deleted", "reset"])
def test_the_end_of_a_timeout_closes(line, how):
    with line.open() as (client, server):
        line.control.add("timeout", timeout=0)
        server.sendall(b"lost")
        assert silent(client, 0.3)
        if how == "deleted":
            line.control.remove("timeout_downstream")
        else:
            line.control.expect(204, "POST", "/reset")
        with contextlib.suppress(ConnectionResetError):
            assert recv_until_eof(client) == b""
        with contextlib.suppress(ConnectionResetError):
            assert recv_until_eof(server) == b""


def test_reset_peer(line):
    def measure():
        with line.open() as (client, server):
            client.sendall(b"up")
            assert recv_exactly(server, 2) == b"up"
            assert silent(client, 0.3)  # it counts from the first chunk to the client
            began = time.monotonic()
            server.sendall(b"lost")
            with pytest.raises(ConnectionResetError):
                client.recv(1)
            with pytest.raises(ConnectionResetError):
                server.recv(1)
            return time.monotonic() - began

    line.control.add("reset_peer", timeout=200)
    expect_delay(measure, 0.2)


def test_a_pending_reset_can_be_taken_back(line):
    with line.open() as (client, server):
        line.control.add("reset_peer", timeout=60_000)
        server.sendall(b"lost")
        assert silent(client)
        assert line.control.remove("reset_peer_downstream") < 3
        assert one_way(server, client)


def test_slicer(line):
    with line.open() as (client, server):
        line.control.add("slicer", average_size=10, size_variation=0, delay=50_000)
        expect_delay(lambda: one_way(server, client, b"0123456789" * 4), 0.15)
        line.control.expect(200, "POST", "/proxies/p/toxics/slicer_downstream",
                            {"attributes": {"average_size": 10, "size_variation": 10, "delay": 0}})
        one_way(server, client, pattern(5000))


def test_limit_data(line):
    with line.open() as (client, server):
        one_way(server, client, pattern(500))  # before the toxic: these do not count
        line.control.add("limit_data", bytes=100)
        server.sendall(pattern(150))
        assert recv_until_eof(client) == pattern(100)
        assert recv_until_eof(server) == b""
    with line.open() as (client, server):
        line.control.expect(200, "POST", "/proxies/p/toxics/limit_data_downstream",
                            {"attributes": {"bytes": 0}})
        assert silent(client)
        server.sendall(b"x")
        assert recv_until_eof(client) == b""


def test_noop_and_toxicity(line):
    line.control.add("noop")
    line.control.add("latency", toxicity=0, latency=60_000)
    line.control.add("reset_peer", toxicity=0, timeout=0)
    line.control.add("timeout", toxicity=0, timeout=0)
    with line.open() as (client, server):
        assert one_way(server, client) < 3
        line.control.expect(200, "POST", "/proxies/p/toxics/latency_downstream",
                            {"toxicity": 1, "attributes": {"latency": 50}})
        expect_delay(lambda: one_way(server, client), 0.05)


def test_a_share_of_connections(line):
    line.control.add("latency", toxicity=0.5, latency=100)
    slow = 0
    for _ in range(30):
        with line.open() as (client, server):
            slow += one_way(server, client) >= 0.1 - EARLY
    assert 3 <= slow <= 27


def fates(backend, seed):
    """Which of 20 connections are delayed by either of two toxics. One of them is added on the way."""
    with Upstream(answer) as upstream, controlled(backend, seed=seed) as daemon:
        control = Control(daemon)
        control.create(upstream=upstream.address)
        control.add("latency", toxicity=0.5, latency=30)
        seen = []
        for i in range(20):
            if i == 10:
                control.add("latency", name="more", stream="upstream", toxicity=0.5, latency=60)
            with control.dial() as client:
                began = time.monotonic()
                echo(client)
                seen.append(int((time.monotonic() - began + EARLY) / 0.03))
        return seen


def test_with_a_seed_the_same_requests_meet_the_same_fate(backend):
    for _ in range(5):  # a busy machine may add 30 ms to one of them
        first, second = fates(backend, 7), fates(backend, 7)
        if first == second:
            break
    assert first == second and len(set(first)) > 1
    assert fates(backend, 8) != first


def test_a_toxic_goes_while_the_client_does_not_read(line):
    """The removal is answered at once, and no byte is lost."""
    data = pattern(8 << 20)
    with line.open() as (client, server):
        line.control.add("latency", latency=20)
        server.settimeout(0.3)
        sent = 0
        with contextlib.suppress(TimeoutError):
            while sent < len(data):
                sent += server.send(data[sent:sent + 65536])
        assert line.control.remove("latency_downstream") < 3
        server.shutdown(socket.SHUT_WR)
        assert recv_until_eof(client) == data[:sent]


def test_many_changes_while_bytes_pass(backend):
    """Toxics come and go under a steady exchange, which loses no byte."""
    with Upstream(answer) as upstream, controlled(backend) as daemon:
        control = Control(daemon)
        control.create(upstream=upstream.address)
        with control.dial() as client:
            for i in range(30):
                kind, attributes = [("latency", {"latency": 3, "jitter": 3}), ("bandwidth", {"rate": 5000}),
                                    ("slicer", {"average_size": 100, "size_variation": 50}),
                                    ("slow_close", {"delay": 5})][i % 4]
                stream = ("upstream", "downstream")[i % 2]
                client.sendall(pattern(2000))
                control.add(kind, stream=stream, name=f"t{i}", **attributes)
                assert recv_exactly(client, 2000) == pattern(2000)
                if i % 3:
                    control.remove(f"t{i}")
            echo(client)
