# SPDX-License-Identifier: MIT
"""Conditions: each row of the table of to_client and to_upstream by itself.

Nothing may come early: lower bounds are exact, except for one millisecond between two clocks. On a
shared machine the kernel promises nothing about lateness. Where a test judges lateness, it compares with
another connection at the same time, or with a deadline that only a hang misses.
"""
import contextlib
import re
import socket
import threading
import time

import pytest

from harness import (DEADLINE, EARLY, LOOP_KBYTES, WITHOUT_QUARANTINE, Daemon, config, echo, in_time,
                     pattern, push, recv_exactly, recv_until_eof, reset, sending, service, until)


@contextlib.contextmanager
def echoing(backend, top=(), **pairs):
    with Daemon(config(service(**pairs), backend=backend, **dict(top)), env=WITHOUT_QUARANTINE) as daemon:
        yield daemon


def conditioned(backend, top=(), **conditions):
    return echoing(backend, top, to_client=conditions)


def closed(daemon, reason):
    """Waits for the record of a connection that ended for this reason."""
    return daemon.wait_for(rf" closed: {reason}, ")


def test_latency_overlaps(backend):
    """Each chunk leaves a latency after it arrived: the delays of forty chunks do not add up to 20 s."""
    with conditioned(backend, {"log_level": "debug"}, latency="500ms") as daemon, \
            daemon.connect() as client:
        sent = []
        for i in range(40):
            sent.append(time.monotonic())
            client.sendall(bytes([i]) * 100)
            daemon.wait_for(r" received 100 bytes$", i + 1)  # otherwise one read might take two as one chunk
        for i in range(40):
            assert recv_exactly(client, 100) == bytes([i]) * 100
            assert time.monotonic() - sent[i] >= 0.5 - EARLY
        assert time.monotonic() - sent[0] < 40 * 0.5


def test_end_waits_behind_the_data(backend):
    with conditioned(backend, latency="150ms") as daemon, daemon.connect() as client:
        began = time.monotonic()
        client.sendall(b"all")
        client.shutdown(socket.SHUT_WR)
        assert recv_until_eof(client) == b"all"
        assert time.monotonic() - began >= 0.15 - EARLY


def test_jitter(backend):
    """The delays are within the range and differ, and chunks keep their order."""
    with conditioned(backend, latency="60ms", jitter="40ms") as daemon, daemon.connect() as client:
        took = []
        for i in range(12):
            began = time.monotonic()
            echo(client, bytes([i]))
            took.append(time.monotonic() - began)
        assert min(took) >= 0.02 - EARLY
        assert max(took) - min(took) > 0.005
        data = pattern(200_000)
        client.sendall(data)
        assert recv_exactly(client, len(data)) == data


def test_same_seed_same_fate(backend):
    """With a seed, connections in the same order get the same delays in each run."""
    def run():
        with conditioned(backend, {"seed": 42}, latency="60ms", jitter="50ms",
                         drop_new=0.3) as daemon:
            fates = []
            for _ in range(12):
                try:
                    with daemon.connect() as client:
                        began = time.monotonic()
                        echo(client)
                        fates.append(time.monotonic() - began)
                except ConnectionError:
                    fates.append(None)
            return fates

    runs = [run() for _ in range(3)]
    for fates in zip(*runs):
        assert len({fate is None for fate in fates}) == 1, runs
    assert {fate is None for fate in runs[0]} == {True, False}
    # The quickest of three runs shows the real delay, which must differ between connections.
    quickest = [min(fates) for fates in zip(*runs) if fates[0] is not None]
    assert max(quickest) - min(quickest) > 0.01


def test_rate(backend):
    """At no time have more bytes arrived than the burst and the rate allow."""
    rate, burst, size = 400_000, 20_000, 200_000
    with conditioned(backend, rate=rate, burst=burst) as daemon, daemon.connect() as client:
        data, got = pattern(size), bytearray()
        sender = threading.Thread(target=client.sendall, args=(data,))
        began = time.monotonic()
        sender.start()
        while len(got) < size:
            got += client.recv(65536)
            assert len(got) <= burst + rate * (time.monotonic() - began + EARLY)
        sender.join()
        assert bytes(got) == data


def test_shared_rate(backend):
    """All connections of the service share one rate. Alone, each would have the whole rate."""
    rate, burst, size = 400_000, 4_000, 60_000
    with conditioned(backend, rate=rate, burst=burst, shared=True) as daemon:
        clients = [daemon.connect() for _ in range(4)]
        began = time.monotonic()
        for client in clients:
            client.sendall(pattern(size))
        for client in clients:
            assert recv_exactly(client, size) == pattern(size)
        assert time.monotonic() - began >= (4 * size - burst) / rate - EARLY
        for client in clients:
            client.close()


def test_slices(backend):
    with conditioned(backend, {"log_level": "debug"}, slice_size=100, slice_variation=20,
                     slice_delay="5ms") as daemon, daemon.connect() as client:
        began = time.monotonic()
        echo(client, pattern(1000))
        took = time.monotonic() - began
        daemon.wait_for(" queue empty$")
        sizes = [int(line.split()[-2]) for line in daemon.lines(" sending ")]
        assert sum(sizes) == 1000
        assert all(80 <= size <= 120 for size in sizes[:-1]) and sizes[-1] <= 120
        assert len(set(sizes)) > 2
        assert took >= 0.005 * (len(sizes) - 1) - EARLY


def test_limit(backend):
    with conditioned(backend, limit=1000) as daemon, daemon.connect() as client:
        client.sendall(pattern(1000))
        assert recv_exactly(client, 1000) == pattern(1000)
        assert client.recv(1) == b""
        closed(daemon, "limit 1000 B")


def test_limit_amid_a_chunk(backend):
    with conditioned(backend, limit=1500) as daemon, daemon.connect() as client:
        client.sendall(pattern(5000))
        assert recv_exactly(client, 1500) == pattern(5000)[:1500]
        closed(daemon, "limit 1500 B")


@pytest.mark.parametrize("limit", [1000, 1 << 20, 3 << 20])
def test_limit_while_more_comes(backend, limit):
    """All bytes up to the limit arrive, however late they are read, and then the end. Further bytes cause no
    reset.

    The kernel holds all of it: send_buffer does not bound that here.
    """
    with echoing(backend, to_client=dict(limit=limit), send_buffer=0) as daemon, \
            daemon.connect() as client:
        sender = threading.Thread(target=send_for_ever, args=(client,))
        sender.start()
        closed(daemon, f"limit {limit} B")
        assert len(recv_until_eof(client)) == limit
        client.close()
        sender.join()


def send_for_ever(sock):
    with contextlib.suppress(OSError):
        while True:
            sock.sendall(bytes(65536))


def test_limit_of_a_relay(backend):
    """The upstream keeps sending and reads nothing. Neither side is reset, and both are closed in time."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(DEADLINE)
        upstream = "127.0.0.1:%d" % listener.getsockname()[1]
        with echoing(backend, mode="relay", upstream=upstream,
                     to_client=dict(limit="1M"), send_buffer=0) as daemon, \
                daemon.connect() as client:
            client.sendall(b"not read")
            server, _ = listener.accept()
            before = len(daemon.descriptors()) - 2
            sender = threading.Thread(target=send_for_ever, args=(server,))
            sender.start()
            closed(daemon, "limit 1048576 B")
            assert len(recv_until_eof(client)) == 1 << 20
            sender.join()
            server.close()
            client.close()
            until(lambda: len(daemon.descriptors()) == before, "the end of the connection")


def test_the_limit_of_to_upstream():
    """The reason names the limit that was reached, not the other direction's."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(DEADLINE)
        upstream = "127.0.0.1:%d" % listener.getsockname()[1]
        with echoing("auto", mode="relay", upstream=upstream, to_upstream=dict(limit=1000),
                     to_client=dict(limit=5000)) as daemon, daemon.connect() as client:
            server, _ = listener.accept()
            with server:
                server.settimeout(DEADLINE)
                client.sendall(pattern(3000))
                assert recv_until_eof(server) == pattern(1000)
                closed(daemon, "limit 1000 B")


@pytest.mark.parametrize("gone", [reset, socket.socket.close], ids=["reset", "close"])
def test_limit_frees_its_place(backend, gone):
    """A connection that reached its limit ends when the client has read everything or has left, even if the
    upstream stays.
    """
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(DEADLINE)
        upstream = "127.0.0.1:%d" % listener.getsockname()[1]
        with echoing(backend, mode="relay", upstream=upstream, send_buffer=0,
                     to_client=dict(limit="1M")) as daemon:
            before = len(daemon.descriptors())

            def served():
                n = len(daemon.lines(" closed: limit "))
                client = daemon.connect()
                server, _ = listener.accept()
                with server:
                    server.sendall(bytes(2 << 20))
                    daemon.wait_for(" closed: limit 1048576 B", n + 1)
                    if gone is not reset:
                        assert len(recv_until_eof(client)) == 1 << 20
                    began = time.monotonic()
                    gone(client)
                    until(lambda: len(daemon.descriptors()) == before, "the end of the connection")
                    return time.monotonic() - began

            in_time(served, 0.7)  # seconds; others linger for one second


def test_stop_ends_a_limited_one_that_lingers(backend):
    """A second signal waits for no lingering connection."""
    with echoing(backend, to_client=dict(limit="3M"), send_buffer=0) as daemon, \
            daemon.connect(receive_buffer=16384) as client:
        sender = threading.Thread(target=send_for_ever, args=(client,))
        sender.start()
        closed(daemon, "limit 3145728 B")
        began = time.monotonic()
        daemon.stop_now()
        assert time.monotonic() - began < 10  # seconds of thirty
        sender.join()


def test_what_counts_for_a_limit(backend):
    """All bytes count that have passed since the group came into force, whatever its values were before.

    A limit below what has passed ends the connection at its next byte.
    """
    for before in ({}, {"latency": "1ms"}):
        with conditioned(backend, **before) as daemon:
            def reload(**conditions):
                daemon.reload(config(service(listen=f"127.0.0.1:{daemon.port()}",
                                             to_client={**before, **conditions}), backend=backend))

            with daemon.connect() as client:
                echo(client, pattern(50))
                reload(limit=70)
                client.sendall(pattern(50))
                assert recv_until_eof(client) == pattern(50)[:20]
                closed(daemon, "limit 70 B, 100 B in, 70 B out")
            reload()
            with daemon.connect() as client:
                echo(client, pattern(50))
                reload(limit=20)
                client.sendall(b"x")
                assert client.recv(1) == b""
                closed(daemon, "limit 20 B, 51 B in, 50 B out")
    with echoing(backend) as daemon, daemon.connect() as client:
        echo(client, pattern(50))
        daemon.reload(config(service(listen=f"127.0.0.1:{daemon.port()}", to_client=dict(limit=70)),
                             backend=backend))
        client.sendall(pattern(100))
        assert recv_until_eof(client) == pattern(100)[:70]
        closed(daemon, "limit 70 B, 150 B in, 120 B out")


def test_small_slices_hold_up_nobody(backend):
    """A million slices that are due at once leave in many turns of the loop, and other connections are served
    in between.
    """
    with Daemon(config(service("slow", to_client=dict(latency="300ms", slice_size=1)),
                       service("quick"), backend=backend), env=WITHOUT_QUARANTINE) as daemon:
        with daemon.connect("slow") as slow, daemon.connect("quick") as quick:
            slow.sendall(pattern(300_000))
            assert slow.recv(1) == pattern(1)
            rest = threading.Thread(target=recv_exactly, args=(slow, 299_999))
            rest.start()
            rounds = 0
            while rest.is_alive():
                echo(quick)
                rounds += 1
            assert rounds > 100


def test_shared_rate_survives_a_reload(backend):
    """A reload that changes nothing does not refill the burst."""
    with conditioned(backend, rate=20_000, burst=20_000, shared=True) as daemon, \
            daemon.connect() as client:
        text = config(service(listen=f"127.0.0.1:{daemon.port()}", to_client=dict(
            rate=20_000, burst=20_000, shared=True)), backend=backend)
        began = time.monotonic()
        sender = threading.Thread(target=client.sendall, args=(pattern(60_000),))
        sender.start()
        for _ in range(4):
            recv_exactly(client, 10_000)
            daemon.reload(text)
        recv_exactly(client, 20_000)
        assert time.monotonic() - began >= 2 - EARLY
        sender.join()


def test_stall_after_bytes(backend):
    with conditioned(backend, stall_after="1K", stall_for="400ms") as daemon, \
            daemon.connect() as client:
        began = time.monotonic()
        client.sendall(pattern(3000))
        assert recv_exactly(client, 1024) == pattern(3000)[:1024]
        assert recv_exactly(client, 3000 - 1024) == pattern(3000)[1024:]
        assert time.monotonic() - began >= 0.4 - EARLY
        echo(client, pattern(5000))  # only once


def test_stall_after_a_time(backend):
    with conditioned(backend, stall_after="200ms", stall_for="500ms") as daemon:
        for i in range(1, 20):
            began = time.monotonic()
            with daemon.connect() as client:
                daemon.wait_for(" connected$", i)
                echo(client)
                time.sleep(0.21)  # into the stall, at any moment of it
                asked = time.monotonic()
                echo(client)
                answered = time.monotonic()
                echo(client)
            if asked < began + 0.7:  # otherwise the machine was so slow that the stall was over
                assert answered >= began + 0.7 - EARLY
                return
        pytest.fail("this machine never got there in time")


def test_another_stall_for_is_another_stall():
    """A reload with another stall_for starts a stall of that length, and the first one no longer counts."""
    def conditions(stall_for):
        return {"stall_after": 0, "stall_for": stall_for}

    with conditioned("auto", **conditions("200ms")) as daemon, daemon.connect() as client:
        echo(client)
        began = time.monotonic()
        daemon.reload(config(service(listen=f"127.0.0.1:{daemon.port()}",
                                     to_client=conditions("300ms"))))
        echo(client)
        assert time.monotonic() - began >= 0.3 - EARLY


def test_stall_forever_until_a_reload(backend):
    with conditioned(backend, stall_after=0, stall_for="forever") as daemon, \
            daemon.connect() as client:
        port = daemon.port()
        client.sendall(b"held")
        client.shutdown(socket.SHUT_WR)
        client.settimeout(0.3)
        with pytest.raises(TimeoutError):
            client.recv(1)
        client.settimeout(DEADLINE)
        daemon.reload(config(service(listen=f"127.0.0.1:{port}"), backend=backend))
        assert recv_until_eof(client) == b"held"


def test_reset_after(backend):
    with conditioned(backend, reset_after="300ms") as daemon:
        began = time.monotonic()
        with daemon.connect() as client:
            echo(client)
            with pytest.raises(ConnectionResetError):
                client.recv(1)
            assert time.monotonic() - began >= 0.3 - EARLY
        closed(daemon, "reset_after 300 ms")


def test_reset_after_is_not_put_off_by_reloads():
    with conditioned("auto", reset_after="300ms") as daemon, daemon.connect():
        text = config(service(listen=f"127.0.0.1:{daemon.port()}", to_client=dict(reset_after="300ms")))
        began = time.monotonic()
        while not daemon.lines(" closed: reset_after 300 ms, "):
            assert time.monotonic() - began < DEADLINE
            daemon.reload(text)


@pytest.mark.parametrize("to_client, to_upstream", [("300ms", "1h"), ("1h", "300ms")])
def test_the_earlier_reset_after_wins(to_client, to_upstream):
    """The earlier reset_after of the two directions resets the whole connection."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        upstream = "127.0.0.1:%d" % listener.getsockname()[1]
        with echoing("auto", mode="relay", upstream=upstream, to_client=dict(reset_after=to_client),
                     to_upstream=dict(reset_after=to_upstream)) as daemon, daemon.connect():
            closed(daemon, "reset_after 300 ms")


def test_close_delay(backend):
    with conditioned(backend, close_delay="300ms") as daemon, daemon.connect() as client:
        began = time.monotonic()
        client.sendall(b"now")
        client.shutdown(socket.SHUT_WR)
        assert recv_exactly(client, 3) == b"now"
        assert client.recv(1) == b""
        assert time.monotonic() - began >= 0.3 - EARLY


@pytest.mark.parametrize("share, served", [(0.0, 20), (1.0, 0)])
def test_drop_new_none_and_all(backend, share, served):
    with conditioned(backend, drop_new=share) as daemon:
        answered = 0
        for _ in range(20):
            with contextlib.suppress(ConnectionError), daemon.connect() as client:
                echo(client)
                answered += 1
        assert answered == served
        if not served:
            daemon.wait_for(r" closed: drop_new, 0 B in, 0 B out", 20)


def test_probability(backend):
    """The conditions apply to half of the connections with this seed, and to none or all of them with 0 or 1.
    """
    def slow(probability):
        with conditioned(backend, {"seed": 7}, latency="100ms", probability=probability) as daemon:
            took = []
            for _ in range(16):
                with daemon.connect() as client:
                    began = time.monotonic()
                    echo(client)
                    took.append(time.monotonic() - began)
            return sum(t >= 0.1 - EARLY for t in took)

    assert slow(1.0) == 16
    assert 0 < slow(0.5) < 16


def test_each_way_draws_its_own_fate():
    """With the same seed, to_upstream drops other connections than to_client."""
    def fates(way):
        answered = []
        with Daemon(config()) as upstream, echoing(
                "auto", {"seed": 7}, mode="relay", upstream=upstream.addresses()[0],
                **{way: dict(drop_new=0.5)}) as daemon:
            for _ in range(16):
                try:
                    with daemon.connect() as client:
                        echo(client)
                    answered.append(True)
                except ConnectionError:
                    answered.append(False)
            assert len(daemon.lines(" closed: drop_new, 0 B in, 0 B out")) == answered.count(False)
        assert set(answered) == {True, False}
        return answered

    assert fates("to_client") != fates("to_upstream")


def test_each_way_on_its_own(backend):
    """In a relay, to_upstream delays the question and to_client the answer."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(DEADLINE)
        upstream = "127.0.0.1:%d" % listener.getsockname()[1]
        with echoing(backend, mode="relay", upstream=upstream, to_client=dict(latency="100ms"),
                     to_upstream=dict(latency="200ms")) as daemon, daemon.connect() as client:
            server, _ = listener.accept()
            with server:
                server.settimeout(DEADLINE)
                for sender, receiver, least in (client, server, 0.2), (server, client, 0.1):
                    began = time.monotonic()
                    sender.sendall(b"x")
                    assert recv_exactly(receiver, 1) == b"x"
                    assert time.monotonic() - began >= least - EARLY


def test_connect_delay(backend):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(DEADLINE)
        upstream = "127.0.0.1:%d" % listener.getsockname()[1]
        with echoing(backend, mode="relay", upstream=upstream, connect_delay="250ms") as daemon:
            began = time.monotonic()
            with daemon.connect() as client:
                client.sendall(b"early")
                server, _ = listener.accept()
                assert time.monotonic() - began >= 0.25 - EARLY
                with server:
                    assert recv_exactly(server, 5) == b"early"


def test_hold_bounds_what_is_held(backend):
    """At hold bytes, reading stops. No byte is lost when it continues."""
    with echoing(backend, to_client=dict(latency="1h"), hold="256K") as daemon, \
            daemon.connect() as client:
        before = daemon.memory_bytes()
        [taken] = push([client], pattern(32 << 20))
        assert taken < 32 << 20
        # The held bytes and one read, each in a buffer with room to grow, and the loop's two buffers.
        assert daemon.memory_bytes() - before < (256 + 3 * 64 + 200 + LOOP_KBYTES) * 1024
        daemon.reload(config(service(listen=f"127.0.0.1:{daemon.port()}"), backend=backend))
        client.shutdown(socket.SHUT_WR)
        assert recv_until_eof(client) == pattern(32 << 20)[:taken]


@pytest.mark.parametrize("conditions", [
    {"latency": "1h"}, {"rate": 1}, {"slice_size": 1, "slice_delay": "1min"},
    {"stall_after": 0, "stall_for": "1h"}, {"close_delay": "1h"},
])
def test_a_fault_turned_off_and_on(backend, conditions):
    """Reloads change conditions while bytes are held: none is lost, and none waits any longer."""
    with conditioned(backend, **conditions) as daemon, daemon.connect() as client:
        listen = f"127.0.0.1:{daemon.port()}"
        client.sendall(pattern(5000))
        daemon.wait_for(" connected$")
        daemon.reload(config(service(listen=listen), backend=backend))
        assert recv_exactly(client, 5000) == pattern(5000)
        echo(client)
        daemon.reload(config(service(listen=listen, to_client=dict(latency="100ms")), backend=backend))
        began = time.monotonic()
        echo(client)
        assert time.monotonic() - began >= 0.1 - EARLY
        daemon.reload(config(service(listen=listen), backend=backend))
        client.shutdown(socket.SHUT_WR)
        assert recv_until_eof(client) == b""


def test_turned_on_from_the_middle_of_bulk(backend):
    """Conditions cannot be applied to spliced bytes. Splicing stops at the reload, and no byte is lost."""
    data = pattern(48 << 20)
    with echoing(backend) as daemon, daemon.connect() as client, sending(client, data):
        got = recv_exactly(client, 8 << 20)
        daemon.reload(config(service(listen=f"127.0.0.1:{daemon.port()}",
                                     to_client=dict(latency="1ms")), backend=backend))
        assert got + recv_exactly(client, len(data) - len(got)) == data


def test_hub(backend):
    with echoing(backend, mode="hub", to_client=dict(latency="150ms")) as daemon, \
            daemon.connect() as one, daemon.connect() as other:
        daemon.wait_for(" connected$", 2)
        began = time.monotonic()
        one.sendall(b"to all")
        assert recv_exactly(other, 6) == b"to all"
        assert time.monotonic() - began >= 0.15 - EARLY


def test_hub_member_that_leaves(backend):
    """The member gets the bytes that were under way, then its end, and nothing that was sent later."""
    with echoing(backend, mode="hub", to_client=dict(latency="200ms")) as daemon, \
            daemon.connect() as leaver, daemon.connect() as other:
        daemon.wait_for(" connected$", 2)
        other.sendall(b"in time")
        leaver.sendall(b"!")
        assert recv_exactly(other, 1) == b"!"  # so "in time" has arrived, too
        leaver.shutdown(socket.SHUT_WR)
        for _ in range(1000):
            other.sendall(b" late")
        assert re.fullmatch(b"in time( late){0,999}", recv_until_eof(leaver))


def test_the_client_of_another_service_is_not_held_up(backend):
    with Daemon(config(service("slow", to_client=dict(latency="1h")), service("quick"),
                       backend=backend)) as daemon:
        with daemon.connect("slow") as held, daemon.connect("quick") as client:
            held.sendall(pattern(100_000))
            for _ in range(20):
                echo(client)
