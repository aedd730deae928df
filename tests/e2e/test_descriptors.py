# SPDX-License-Identifier: MIT
"""When descriptors run out, clients wait, the daemon logs that once and does not spin, and continues
later.
"""
import resource
import signal
import time

import pytest

from harness import DEADLINE, Daemon, config, echo, service

WATCHED = 1.5  # seconds, longer than the pause between two attempts to accept
PAUSED = "^cannot accept: Too many open files; clients wait until a connection ends$"


@pytest.fixture
def full(backend):
    """A daemon without free descriptors, one client that it serves, and one that waits."""
    with Daemon(config(backend=backend)) as daemon:
        inside = daemon.connect()
        echo(inside)
        _, hard = resource.prlimit(daemon.pid, resource.RLIMIT_NOFILE)
        limit = max(daemon.descriptors()) + 1
        resource.prlimit(daemon.pid, resource.RLIMIT_NOFILE, (limit, hard))
        waiting = daemon.connect()
        waiting.sendall(b"me too")
        daemon.wait_for(PAUSED)
        yield daemon, inside, waiting, lambda n: resource.prlimit(
            daemon.pid, resource.RLIMIT_NOFILE, (limit + n, hard))
        inside.close()
        waiting.close()


def assert_waits(sock):
    sock.settimeout(WATCHED)
    with pytest.raises(TimeoutError):
        sock.recv(1)
    sock.settimeout(DEADLINE)


def test_waits_without_spinning(full):
    daemon, inside, waiting, _ = full
    before = daemon.cpu_seconds()
    assert_waits(waiting)
    assert daemon.cpu_seconds() - before < WATCHED / 10
    assert len(daemon.lines("cannot accept")) == 1
    echo(inside)
    inside.close()
    assert waiting.recv(6) == b"me too"
    daemon.wait_for(" connected$", 2)
    assert len(daemon.lines("cannot accept")) == 1


def test_resumes_when_the_system_relents(full):
    """No connection ends, so the daemon must try again from time to time."""
    daemon, inside, waiting, allow_more = full
    allow_more(1)
    assert waiting.recv(6) == b"me too"
    echo(inside)
    # The third client waits for a free descriptor.
    with daemon.connect() as third:
        third.sendall(b"!")
        assert_waits(third)
        waiting.close()
        assert third.recv(1) == b"!"


def test_a_place_is_taken_as_soon_as_it_is_free(full):
    """A free descriptor is used at once, not at the next attempt: ten of those would take ten seconds."""
    daemon, inside, waiting, _ = full
    began = time.monotonic()
    for _ in range(10):
        following = daemon.connect()
        following.sendall(b"me too")
        inside.close()
        assert waiting.recv(6) == b"me too"
        inside, waiting = waiting, following
    assert time.monotonic() - began < 8
    inside.close()
    waiting.close()


def test_stops_while_full(full):
    daemon, inside, waiting, _ = full
    inside.close()
    waiting.close()
    daemon.wait_for(" closed: end of stream, ")
    assert daemon.stop() == 0


@pytest.mark.parametrize("goes", ["stop", "reload"])
def test_who_waits_is_served_before_the_listener_goes(full, backend, goes):
    """Waiting clients are accepted as far as there are descriptors, and not reset."""
    daemon, inside, waiting, allow_more = full
    allow_more(8)
    if goes == "reload":
        daemon.reload(config(service(listen="0.0.0.0:0"), backend=backend))
    daemon.signal(signal.SIGTERM)
    assert waiting.recv(6) == b"me too"
    inside.close()
    waiting.close()
    assert daemon.wait() == 0
