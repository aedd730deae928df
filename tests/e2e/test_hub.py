# SPDX-License-Identifier: MIT
"""A hub passes what one member sends on to all others, one read at a time, however slow some of them
are.

A hub runs on one thread, which makes tests exact. When b's answer to a message of a has come back to a,
everything that a sent before has been passed on to everybody.
"""
import contextlib
import signal
import socket
import struct
import threading
import time

import pytest

from harness import (DEADLINE, EARLY, WITHOUT_QUARANTINE, Daemon, config, echo, hub, in_time, name_of,
                     pattern, push, raise_descriptor_limit, recv_exactly, recv_until_eof, reset, service)
from harness.hub_members import (SMALL_RECEIVE_BUFFER, exchange, leave_hub, members, small_send_buffers,
                                 tell)

READ = 65536  # the most that one read takes
ONE_READ = 65_000  # one segment over loopback, and so one read
PLENTY = "1G"
ABSORBED = 50_000  # more than these two buffers hold


def closing(daemon, sock, reason):
    """Waits for the end of a member. Returns how many of the bytes for it its socket took."""
    return int(daemon.wait_for(
        rf"^hub: {name_of(sock)} closed: {reason}, 0 B in, (\d+) B out, ")[1])


# Which member gets which bytes


def test_everyone_but_the_sender(backend):
    with Daemon(config(hub(quota=PLENTY), backend=backend)) as daemon:
        socks = members(daemon, 4)
        for i, size in enumerate((1, 5000, 100_000, 300_001, 77)):
            sender = socks[i % 4]
            tell(sender, [sock for sock in socks if sock is not sender], pattern(size)[::-1])
        for sock in socks:  # nobody got other bytes, such as its own
            leave_hub(sock)


def test_a_late_joiner(backend):
    with Daemon(config(hub(), backend=backend)) as daemon:
        a, b = members(daemon, 2)
        tell(a, [b], b"before")
        late, = members(daemon, 1)
        tell(b, [a, late], b"after")
        tell(late, [a, b], b"and so on")


def test_alone(backend):
    """The bytes of a member without others go nowhere. The next member starts with an empty stream."""
    with Daemon(config(hub(), backend=backend)) as daemon:
        for _ in range(3):
            alone, = members(daemon, 1)
            alone.sendall(pattern(200_000))
            leave_hub(alone)
            daemon.wait_for(r" closed: end of stream, 200000 B in, 0 B out, ")
        exchange(*members(daemon, 2))


def test_hubs_do_not_mix(backend):
    names = [f"hub{i}" for i in range(12)]
    with Daemon(config(*map(hub, names), backend=backend)) as daemon:
        hubs = {name: members(daemon, 4, name) for name in names}
        for i in range(4):
            for name, socks in hubs.items():  # all messages are sent before any is received
                socks[i].sendall(f"{name}: {i}".encode())
            for name, socks in hubs.items():
                said = f"{name}: {i}".encode()
                for sock in socks[:i] + socks[i + 1:]:
                    assert recv_exactly(sock, len(said)) == said
        for socks in hubs.values():
            for sock in socks:
                leave_hub(sock)


def test_reads_are_not_mixed(backend):
    """Two members send as much as they can at once. The listener gets whole reads, in the order of the log.
    """
    text = config(hub(quota=PLENTY), backend=backend, log_level="debug")
    data = pattern(8 << 20)
    with Daemon(text) as daemon:
        a, b, listener = members(daemon, 3)
        daemon.halt()  # until both have sent a lot
        from_a = data[:push([a], data, quiet=0.1)[0]]
        from_b = data[::-1][:push([b], data[::-1], quiet=0.1)[0]]
        daemon.signal(signal.SIGCONT)
        heard = recv_exactly(listener, len(from_a) + len(from_b))
        assert_whole_reads(daemon, {name_of(a): from_a, name_of(b): from_b}, heard)
        assert recv_exactly(a, len(from_b)) == from_b
        assert recv_exactly(b, len(from_a)) == from_a


def assert_whole_reads(daemon, sent, heard):
    """Checks that the received bytes are the logged reads, one after the other."""
    reads = [line.split() for line in daemon.lines(r" received \d+ bytes$")]
    at, place, switches, last = dict.fromkeys(sent, 0), 0, 0, None
    for _, name, _, n, _ in reads:
        n = int(n)
        assert heard[place:place + n] == sent[name][at[name]:at[name] + n], (name, place)
        at[name], place, switches, last = at[name] + n, place + n, switches + (name != last), name
    assert place == len(heard) and [*at.values()] == [*map(len, sent.values())]
    assert switches > 2, "they did not take turns"


@pytest.mark.parametrize("size", [16, 512])
def test_small_writes_stay_whole(backend, tmp_path, size):
    """Over unix sockets, one read takes one write. No write ends up inside another one."""
    count = (1 << 18) // size

    def record(who, i):
        return struct.pack(">BI", who, i) + bytes([who]) * (size - 5)

    def send(who, sock):
        for i in range(count):
            sock.send(record(who, i))

    text = config(hub(listen=f"unix:{tmp_path}/hub", quota=PLENTY), backend=backend)
    with Daemon(text) as daemon:
        socks = members(daemon, 4)  # the last of which only listens
        threads = [threading.Thread(target=send, args=pair) for pair in enumerate(socks[:3])]
        for thread in threads:
            thread.start()
        heard = [recv_exactly(sock, size * count * (3 if who == 3 else 2))
                 for who, sock in reversed([*enumerate(socks)])]
        for thread in threads:
            thread.join()
    for listener, data in zip((3, 2, 1, 0), heard):
        following = [0] * 3
        for place in range(0, len(data), size):
            who = data[place]
            assert data[place:place + size] == record(who, following[who]), place
            following[who] += 1
        assert following == [0 if who == listener else count for who in range(3)]


# Members that leave


def test_leaving_by_half_close(backend):
    """The member gets the bytes that wait for it, and then its end. The others go on."""
    with small_send_buffers(hub(quota=PLENTY), backend=backend) as daemon:
        a, b = members(daemon, 2)
        leaving, = members(daemon, 1, receive_buffer=SMALL_RECEIVE_BUFFER)
        data = pattern(8 * READ)
        tell(a, [b], data)
        leaving.shutdown(socket.SHUT_WR)
        exchange(a, b, b"more")
        exchange(a, b, b"more")
        got = recv_until_eof(leaving)
        # It may or may not get bytes that are sent while it is leaving.
        assert got.startswith(data) and b"more!more!".startswith(got[len(data):])
        assert closing(daemon, leaving, "end of stream") == len(got)
        exchange(a, b, data)


@pytest.mark.parametrize("leave, end", [
    (reset, "reset by peer"),
    (lambda sock: sock.close(), "(end of stream|reset by peer)"),
], ids=["reset", "close"])
def test_leaving_at_once(backend, leave, end):
    """The others are not affected, whether or not bytes wait for the leaving member."""
    with small_send_buffers(hub(quota=PLENTY), backend=backend) as daemon:
        a, b = members(daemon, 2)
        stuck, fine = members(daemon, 4, receive_buffer=SMALL_RECEIVE_BUFFER), members(daemon, 4)
        data = pattern(3 * READ)
        tell(a, [b, *fine], data)
        for sock in (*stuck, *fine):
            leave(sock)
        exchange(a, b, data)
        daemon.wait_for(f" closed: {end}, ", 8)
        exchange(a, b, data)


def test_coming_and_going(backend):
    """Two members that exchange messages all the while lose nothing."""
    with small_send_buffers(hub(), backend=backend) as daemon:
        a, b = members(daemon, 2)
        for i in range(60):
            socks = [daemon.connect("hub", receive_buffer=SMALL_RECEIVE_BUFFER) for _ in range(4)]
            exchange(a, b, pattern(20_000))
            for j, sock in enumerate(socks):
                reset(sock) if (i + j) % 3 else sock.close()
        daemon.wait_for(" closed: ", 240)
        leave_hub(a)
        leave_hub(b)


# Members that fall behind


def assert_reset(sock):
    with pytest.raises(ConnectionResetError):
        recv_until_eof(sock)


@pytest.mark.parametrize("settings, quota", [
    ({}, 256 << 10), ({"quota": "8K"}, 8192), ({"quota": 1}, 1)], ids=["default", "8K", "1"])
def test_quota(backend, settings, quota):
    """A member that does not read is reset when more than the quota waits for it, and not earlier. Others
    stay.
    """
    fell_behind = f"fell behind by more than {quota} B"
    step = pattern(5000 if quota > 10_000 else 500)
    with small_send_buffers(hub(**settings), backend=backend) as daemon:
        a, b = members(daemon, 2)
        stuck = {name_of(sock): sock for sock in members(daemon, 3, receive_buffer=SMALL_RECEIVE_BUFFER)}
        sent, gone = 0, {}  # name: how much had been sent one round before it was gone, and when it was gone
        while len(gone) < len(stuck):
            assert sent <= quota + 2 * ABSORBED, "somebody was spared"
            before, sent = sent, sent + exchange(a, b, step)
            for line in daemon.lines(f" closed: {fell_behind}, "):
                gone.setdefault(line.split()[1], (before, sent))
        assert gone.keys() == stuck.keys()
        for name, (before, after) in gone.items():
            taken = closing(daemon, stuck[name], fell_behind)
            # The last byte of the previous round may still have been in flight.
            assert before - 1 - taken <= quota < after - taken
            assert_reset(stuck[name])
        exchange(a, b, step)
        assert len(daemon.lines(" closed: ")) == len(stuck)


def test_who_reads_in_time_stays(backend):
    """A slow member stays, however much it gets: only the bytes that wait at one time count."""
    with small_send_buffers(hub(quota="64K"), backend=backend) as daemon:
        a, b = members(daemon, 2)
        slow, = members(daemon, 1, receive_buffer=SMALL_RECEIVE_BUFFER)
        for _ in range(20):
            sent = exchange(a, b, pattern(50_000))
            assert len(recv_exactly(slow, sent)) == sent
        assert not daemon.lines(" closed: ")


def test_nobody_waits(backend):
    """With a member that reads nothing, the others are as fast as before."""
    with small_send_buffers(hub(quota=PLENTY), backend=backend) as daemon:
        a, b = members(daemon, 2)

        def fastest():
            took = []
            for _ in range(30):
                began = time.monotonic()
                exchange(a, b, pattern(8000))
                took.append(time.monotonic() - began)
            return min(took)

        before = fastest()
        stuck, = members(daemon, 1, receive_buffer=SMALL_RECEIVE_BUFFER)
        exchange(a, b, pattern(2 * ABSORBED))
        in_time(fastest, 3 * before + 0.002)
        reset(stuck)


def test_quota_changed_by_reload(backend):
    """The new quota applies to existing members, from the next message on."""
    with small_send_buffers(hub(quota=PLENTY), backend=backend) as daemon:
        a, b = members(daemon, 2)
        stuck, = members(daemon, 1, receive_buffer=SMALL_RECEIVE_BUFFER)
        sent = exchange(a, b, pattern(300_000))
        daemon.reload(config(hub(quota=301_000), backend=backend))
        sent += exchange(a, b)
        assert not daemon.lines(" closed: ")
        daemon.reload(config(hub(quota=200_000), backend=backend))
        sent += exchange(a, b)
        assert sent - closing(daemon, stuck, "fell behind by more than 200000 B") > 200_000
        assert_reset(stuck)

        patient, = members(daemon, 1, receive_buffer=SMALL_RECEIVE_BUFFER)
        daemon.reload(config(hub(quota=PLENTY), backend=backend))
        sent = exchange(a, b, pattern(400_000))
        assert len(recv_exactly(patient, sent)) == sent


def test_memory_is_shared(backend):
    """A read that waits for a thousand members is stored once.

    Each of them adds book-keeping: once a bufferevent with its two buffers, about 1 KB, and for each read 1
    KB, the least that libevent allocates for a link in a buffer's chain. The bounds are several times that,
    because sanitizers need memory too. A copy for each member would take 64 KB.
    """
    count = 900 if backend == "select" else 1000  # the descriptor limit is 1024
    raise_descriptor_limit(count + 100)
    with small_send_buffers(hub(quota=PLENTY), backend=backend, env=WITHOUT_QUARANTINE) as daemon:
        stuck = members(daemon, count, receive_buffer=SMALL_RECEIVE_BUFFER)

        def memory_after_a_read():
            """The daemon's memory after a read of a member that leaves. Its end comes when every other member
            has been given the read.
            """
            with members(daemon, 1)[0] as sender:
                sender.sendall(pattern(ONE_READ))
                leave_hub(sender)
            return daemon.memory_bytes()

        used = [daemon.memory_bytes()] + [memory_after_a_read() for _ in range(3)]
        assert used[1] - used[0] < count * 16_384 + READ, "the first one"
        assert used[3] - used[1] < 2 * (count * 8192 + READ), "two more"
        assert daemon.stop_now() == 0
        for sock in stuck[::50]:  # the bytes did wait
            assert closing(daemon, sock, "stopping") < ABSORBED


# Together with other features


def test_send_delay(backend):
    """Each message waits for the one before it, whichever member sent it, and for each receiver separately.
    """
    delay = 0.2
    with Daemon(config(hub(send_delay=delay, message_size=5), backend=backend)) as daemon:
        a, b, c = members(daemon, 3)
        began = time.monotonic()
        a.sendall(b"11111" b"22222")
        c.sendall(b"33333")
        for sock, expected in ((c, 2), (b, 3), (a, 1)):
            got = [recv_exactly(sock, 5) for _ in range(expected)]
            assert time.monotonic() - began >= expected * delay - EARLY
            own = {a: (b"11111", b"22222"), c: (b"33333",)}.get(sock, ())
            assert sorted(got) == [m for m in (b"11111", b"22222", b"33333") if m not in own]
        for sock in (a, b, c):
            leave_hub(sock)


def test_delayed_for_all_alike(backend):
    """Messages that are due while others arrive reach every member in the same order."""
    text = config(hub(send_delay="1ms", message_size=64), backend=backend)
    with Daemon(text) as daemon:
        a, *others = members(daemon, 6)
        tell(a, others, pattern(64 * 400))


def test_delay_taken_away(backend):
    """Without the delay, waiting bytes leave at once and in order."""
    with Daemon(config(hub(send_delay="1h"), backend=backend)) as daemon:
        a, b, c = members(daemon, 3)
        a.sendall(pattern(20_000))
        b.sendall(pattern(100))
        daemon.reload(config(hub(), backend=backend))
        assert recv_exactly(b, 20_000) == pattern(20_000)
        assert recv_exactly(a, 100) == pattern(100)
        assert len(recv_exactly(c, 20_100)) == 20_100
        exchange(a, b)


def test_idle_timeout():
    """A member that only listens is not idle while it receives something."""
    timeout = 1.5
    with Daemon(config(hub(idle_timeout=timeout))) as daemon:
        a, b = members(daemon, 2)
        b.settimeout(0.2)
        with pytest.raises(TimeoutError):
            b.recv(1)
        b.settimeout(DEADLINE)
        began = time.monotonic()
        tell(a, [b], b"still there?")
        for sock in (b, a):
            assert recv_until_eof(sock) == b""
            assert time.monotonic() - began >= timeout - EARLY
        daemon.wait_for(" closed: idle timeout, ", 2)


def test_max_connections(backend):
    with Daemon(config(hub(), max_connections=3, backend=backend)) as daemon:
        a, b, c = members(daemon, 3)
        excess = daemon.connect("hub")
        with contextlib.suppress(ConnectionResetError):
            assert excess.recv(1) == b""
        tell(a, [b, c], b"three")
        leave_hub(c)
        exchange(a, b)


def test_a_hub_outlives_its_service(backend):
    """Members go on when a reload removes their service. New members join them when the service is back."""
    with Daemon(config(hub(), service("echo"), backend=backend)) as daemon:
        a, b = members(daemon, 2)
        daemon.reload(config(service("echo"), backend=backend))
        exchange(a, b)
        daemon.reload(config(service("hub"), backend=backend))  # an echo of the same name
        with daemon.connect("hub", i=1) as other:
            exchange(a, b)
            echo(other, b"?")
        daemon.reload(config(hub(), backend=backend))
        new, = members(daemon, 1, i=-1)
        tell(new, [a, b], b"here I am")
        tell(a, [b, new], b"welcome")


def test_drain(backend):
    """A stop waits for the members, which can go on. The last member's end ends the daemon."""
    with Daemon(config(hub(), backend=backend)) as daemon:
        a, b = members(daemon, 2)
        daemon.signal(signal.SIGTERM)
        daemon.wait_for("^stopping: 2 connections left")
        exchange(a, b)
        leave_hub(a)
        leave_hub(b)
        assert daemon.wait() == 0
