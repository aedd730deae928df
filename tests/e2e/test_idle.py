# SPDX-License-Identifier: MIT
"""idle_timeout closes idle connections, and exit_on_idle ends a daemon without connections."""
import signal
import time

import pytest

from harness import (DEADLINE, EARLY, Daemon, config, echo, hub, in_time, name_of, pattern, push,
                     recv_exactly, recv_until_eof, service)
from harness.hub_members import SMALL_RECEIVE_BUFFER, members, small_send_buffers


def assert_quiet(sock, seconds):
    """Checks that nothing arrives for this time, not even an end of stream."""
    before = sock.gettimeout()
    sock.settimeout(seconds)
    with pytest.raises(TimeoutError):
        sock.recv(1)
    sock.settimeout(before)


def test_idle_timeout(backend):
    with Daemon(config(service(idle_timeout=0.5), backend=backend)) as daemon:
        began = time.monotonic()
        with daemon.connect() as client:
            assert recv_until_eof(client) == b""
            assert time.monotonic() - began >= 0.5 - EARLY
        daemon.wait_for(r" closed: idle timeout, 0 B in, 0 B out, ")


def test_bytes_put_it_off(backend):
    timeout = 1.5
    with Daemon(config(service(idle_timeout=timeout), backend=backend)) as daemon:
        def measure():
            with daemon.connect() as client:
                assert_quiet(client, 0.3)
                began = time.monotonic()
                echo(client)
                assert recv_until_eof(client) == b""
                took = time.monotonic() - began
            assert took >= timeout - EARLY
            return took

        # Twice the time would mean that the daemon notices only at its second check.
        in_time(measure, 2 * timeout - 0.4)
        daemon.wait_for(r" closed: idle timeout, 5 B in, 5 B out, ")


def test_reloads_do_not_put_it_off(backend):
    text = config(service(idle_timeout=1), backend=backend)
    with Daemon(text) as daemon, daemon.connect() as client:
        began = time.monotonic()
        while not daemon.lines(" closed: idle timeout, "):
            assert time.monotonic() - began < DEADLINE
            daemon.reload(text)
        assert recv_until_eof(client) == b""


def test_what_is_held_back_is_not_idle(backend):
    text = config(service(idle_timeout=0.2, send_delay=0.7, message_size=5), backend=backend)
    with Daemon(text) as daemon:
        daemon.halt()  # until bytes are held
        began = time.monotonic()
        client = daemon.connect()
        client.sendall(b"hello" * 2)
        daemon.signal(signal.SIGCONT)
        assert recv_exactly(client, 10) == b"hello" * 2
        assert recv_until_eof(client) == b""
        assert time.monotonic() - began >= 2 * 0.7 + 0.2 - EARLY
        daemon.wait_for(r" closed: idle timeout, 10 B in, 10 B out, ")
        client.close()


def test_who_never_reads_is_idle(backend):
    with Daemon(config(service(idle_timeout=0.5), backend=backend)) as daemon:
        with daemon.connect(receive_buffer=16384) as client:
            with pytest.raises((ConnectionResetError, BrokenPipeError)):
                for _ in range(100):  # until the daemon reads no more
                    push([client], pattern(16 << 20), quiet=1)
        daemon.wait_for(r" closed: idle timeout, \d+ B in, \d+ B out, ")


def test_who_never_reads_is_idle_with_conditions_too():
    """Delayed bytes are due, but wait behind bytes that the client does not take."""
    with Daemon(config(service(idle_timeout="1h"))) as daemon:
        with daemon.connect(receive_buffer=16384) as client:
            push([client], pattern(64 << 20), quiet=0.3)
            daemon.reload(config(service(listen=f"127.0.0.1:{daemon.port()}", idle_timeout=0.5,
                                         hold="64K", to_client=dict(latency="1h"))))
            daemon.wait_for(r" closed: idle timeout, \d+ B in, \d+ B out, ")


def test_a_queue_that_shrinks_is_not_idle():
    """A slow reader takes bytes that were sent long ago, while nothing else moves."""
    timeout, size = 1, 400_000

    def measure():
        """The longest time between two reads. Beyond idle_timeout, the connection may have been idle after
        all.
        """
        with small_send_buffers(hub(quota="1G", idle_timeout=timeout)) as daemon:
            slow, = members(daemon, 1, receive_buffer=SMALL_RECEIVE_BUFFER)
            sender, other = members(daemon, 2)
            sender.sendall(pattern(size))
            assert recv_exactly(other, size) == pattern(size)
            reads = [time.monotonic()]
            while reads[-1] - reads[0] < 1.5 * timeout:
                recv_exactly(slow, 12_000)
                reads.append(time.monotonic())
                time.sleep(0.1)
            alive = not daemon.lines(f"{name_of(slow)} closed: ")
        longest = max(b - a for a, b in zip(reads, reads[1:]))
        assert alive or longest >= timeout / 2
        return longest

    in_time(measure, timeout / 2)


def test_exit_on_idle_before_the_first(backend):
    began = time.monotonic()
    with Daemon(config(exit_on_idle="1s", backend=backend)) as daemon:
        assert daemon.wait() == 0
        assert time.monotonic() - began >= 1 - EARLY
        assert daemon.lines("^idle for 1 s, exiting$")


def test_exit_on_idle_after_the_last(backend):
    with Daemon(config(backend=backend)) as daemon:
        first, second = daemon.connect(), daemon.connect()
        daemon.wait_for(" connected$", 2)
        daemon.reload(config(exit_on_idle=0.6, backend=backend))
        echo(first)
        first.close()
        assert_quiet(second, 0.9)  # one client is still connected
        echo(second)
        began = time.monotonic()
        second.close()
        assert daemon.wait() == 0
        assert time.monotonic() - began >= 0.6 - EARLY
        assert len(daemon.lines("^idle for 600 ms, exiting$")) == 1


def test_exit_on_idle_set_by_reload():
    with Daemon(config()) as daemon:
        daemon.reload(config(exit_on_idle=0.2))
        assert daemon.wait() == 0
        assert daemon.lines("^idle for 200 ms, exiting$")


def test_exit_on_idle_shortened_by_reload():
    """The new value applies to the wait that has already begun."""
    with Daemon(config(exit_on_idle="1h")) as daemon:
        daemon.reload(config(exit_on_idle=0.2))
        assert daemon.wait() == 0
        assert daemon.lines("^idle for 200 ms, exiting$")
