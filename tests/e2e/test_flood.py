# SPDX-License-Identifier: MIT
"""Clients that say nothing, that flood, that come and go by the thousand: a steady one loses nothing."""
import contextlib
import threading

from harness import Daemon, Steady, config, echo, pattern, push, reset, until

SILENT, FLOODERS, CALLS = 200, 5, 1000


def silent(daemon):
    """Connect and say nothing."""
    return [daemon.connect() for _ in range(SILENT)]


def flood(daemon):
    """Send as much as the line takes, without reading, and go."""
    with contextlib.ExitStack() as stack:
        socks = [stack.enter_context(daemon.connect()) for _ in range(FLOODERS)]
        push(socks, pattern(8 << 20), quiet=0.2)


def come_and_go(daemon):
    """Connect and close; every third one with a reset, every other one with something said."""
    for i in range(CALLS):
        sock = daemon.connect()
        if i % 2:
            sock.send(b"never mind")
        reset(sock) if i % 3 == 0 else sock.close()


def talk_fast(daemon):
    """Send and read as fast as can be."""
    with daemon.connect() as sock:
        for _ in range(CALLS // 4):
            echo(sock, pattern(40_000))


def at_once(daemon):
    """All of them together. Returns the silent ones, who are still there."""
    errors, held = [], silent(daemon)

    def run(what):
        try:
            what(daemon)
        except Exception as error:  # the thread's; reported by the test's own
            errors.append((what.__name__, error))

    threads = [threading.Thread(target=run, args=(what,))
               for what in (flood, come_and_go, come_and_go, talk_fast)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    return held


def test_nobody_else_loses(backend):
    with Daemon(config(backend=backend)) as daemon:
        before = len(daemon.descriptors())  # which ones may change: a loop's pipe is not always the same
        with Steady(daemon.connect()):
            held = at_once(daemon)
            for sock in held:
                echo(sock, b"here all along")
                sock.close()
        until(lambda: len(daemon.descriptors()) == before, "every descriptor closed")
        everyone = SILENT + FLOODERS + 2 * CALLS + 1 + 1
        daemon.wait_for(" closed: ", everyone)
        assert len(daemon.lines(" connected$")) == everyone
        assert not daemon.lines("turned away|cannot accept")
