# SPDX-License-Identifier: MIT
"""Thousands of clients that are silent, that flood, or that come and go: a well-behaved client loses
nothing.
"""
import contextlib
import threading

from harness import Daemon, Steady, config, echo, pattern, push, reset, until

SILENT, FLOODERS, CALLS = 200, 5, 1000


def silent(daemon):
    """Clients that connect and send nothing."""
    return [daemon.connect() for _ in range(SILENT)]


def flood(daemon):
    """Clients that send until the socket takes no more, do not read, and leave."""
    with contextlib.ExitStack() as stack:
        socks = [stack.enter_context(daemon.connect()) for _ in range(FLOODERS)]
        push(socks, pattern(8 << 20), quiet=0.2)


def come_and_go(daemon):
    """Clients that connect and close. Every third one resets, and every second one sends something."""
    for i in range(CALLS):
        sock = daemon.connect()
        if i % 2:
            sock.send(b"never mind")
        reset(sock) if i % 3 == 0 else sock.close()


def talk_fast(daemon):
    """Clients that send and read as fast as possible."""
    with daemon.connect() as sock:
        for _ in range(CALLS // 4):
            echo(sock, pattern(40_000))


def at_once(daemon):
    """Runs all of them together. Returns the silent clients, which are still connected."""
    errors, held = [], silent(daemon)

    def run(what):
        try:
            what(daemon)
        except Exception as error:  # an error of the thread; the test reports it
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
        before = len(daemon.descriptors())  # the numbers may change: a loop may replace its pipe
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
