# SPDX-License-Identifier: MIT
"""Clients beyond a limit are turned away, and one line counts them."""
import os
import re
import time

import pytest

from harness import (MORE_THAN_SELECT_HOLDS, Daemon, config, echo, is_served, listening, name_of, relay,
                     served, service, until, workers)

REPORTS = 5  # seconds between two such lines


class Excess:
    """The lines about clients that were turned away: their number, the reason, and one line every few
    seconds.
    """

    def __init__(self, daemon, began, why, client=r"127\.0\.0\.1:\d+"):
        self.daemon, self.began = daemon, began
        self.line = (rf"^echo: {client} (?:and (\d+) other connections? )?turned away: "
                     rf"the limit is {why}$")

    @staticmethod
    def count(match):
        return 1 + int(match[1] or 0)

    def wait_for(self, n):
        """Waits until the periodic lines have counted n clients."""
        reported = lines = 0
        while reported < n:
            lines += 1
            reported += self.count(self.daemon.wait_for(self.line, lines))
        self.check(n, at_the_end=0)

    def check(self, n, at_the_end=1):
        """Checks that the lines so far, and one at the daemon's end, count n clients, and that they are few.
        """
        lines = self.daemon.lines("turned away")
        assert sum(self.count(re.fullmatch(self.line, line)) for line in lines) == n
        assert len(lines) <= (time.monotonic() - self.began) / REPORTS + at_the_end


def test_max_connections(backend):
    with Daemon(config(max_connections=3, backend=backend)) as daemon:
        inside = [daemon.connect() for _ in range(3)]
        for sock in inside:
            echo(sock)
        began = time.monotonic()
        assert not served([daemon.connect() for _ in range(4)])
        for sock in inside:
            echo(sock)
        inside.pop().close()
        daemon.wait_for(" closed: end of stream, ")
        tried = [daemon.connect()]
        # A worker logs the end of a connection a moment before the main thread learns of it.
        until(lambda: is_served(tried[-1])
              or workers()[0] > 1 and tried.append(daemon.connect()))
        for sock in [*tried, *inside]:
            sock.close()
        assert daemon.stop() == 0
        Excess(daemon, began, "3, set by max_connections").check(4 + len(tried) - 1)


def test_limit_changed_by_reload():
    with Daemon(config(max_connections=1)) as daemon:
        first = daemon.connect()
        echo(first)
        assert not is_served(daemon.connect())
        daemon.reload(config(max_connections=2))
        second = daemon.connect()
        echo(second)
        daemon.reload(config(max_connections=1))
        assert not is_served(daemon.connect())
        echo(first)  # connected clients stay
        echo(second)


def test_record_names_the_limit_of_then(backend, tmp_path):
    """The record has the limit that applied then, not the one of a later reload, the service, and one of its
    clients.
    """
    def text(limit):
        return config(service(), service("other", listen=f"unix:{tmp_path}/s"), backend=backend,
                      max_connections=limit)

    with Daemon(text(1)) as daemon, daemon.connect() as first:
        echo(first)
        turned_away = [daemon.connect() for _ in range(3)]
        assert not served(turned_away)
        daemon.reload(text(2))
        with daemon.connect("other") as second, daemon.connect("other") as third:
            echo(second)
            assert not is_served(third)
        daemon.stop_now()
        last = name_of(turned_away[-1])
        assert daemon.lines("turned away") == [
            f"echo: {last} and 2 other connections turned away: the limit is 1, set by max_connections",
            f"other: unix:pid={os.getpid()},uid={os.getuid()} turned away: "
            "the limit is 2, set by max_connections"]


def test_too_many_for_select(crowd):
    """libevent's select backend aborts the process at descriptor 1024, so the daemon must never reach it."""
    with Daemon(config(backend="select")) as daemon:
        began = time.monotonic()
        admitted = served(crowd(daemon, MORE_THAN_SELECT_HOLDS))
        assert 900 < len(admitted) < 1024
        assert max(daemon.descriptors()) < 1024

        # The line is written a while after the first client was turned away, without a further event.
        excess = Excess(daemon, began, f'{len(admitted)}, set by backend = "select"')
        excess.wait_for(MORE_THAN_SELECT_HOLDS - len(admitted))

        for sock in admitted[:100]:
            sock.close()
        daemon.wait_for(" closed: end of stream, ", 100)
        assert len(served(crowd(daemon, 100))) == 100
        assert len(served(admitted[100:])) == len(admitted) - 100
        assert max(daemon.descriptors()) < 1024
        assert daemon.stop_now() == 0
        excess.check(MORE_THAN_SELECT_HOLDS - len(admitted))


@pytest.mark.parametrize("other", ["epoll", "poll"])
def test_not_too_many_for(other, crowd):
    with Daemon(config(backend=other)) as daemon:
        assert len(served(crowd(daemon, MORE_THAN_SELECT_HOLDS))) == MORE_THAN_SELECT_HOLDS
        assert not daemon.lines("turned away")


def test_as_many_as_descriptors_hold(backend):
    """Without max_connections, the descriptor limit applies, and enough descriptors are reserved."""
    limit = 100 if workers()[0] == 1 else 160  # each loop takes some descriptors
    with Daemon(config(backend=backend), wrapper=["prlimit", f"--nofile={limit}:{limit}"]) as daemon:
        began = time.monotonic()
        socks = [daemon.connect() for _ in range(limit + 50)]
        admitted = served(socks)
        assert 50 <= len(admitted) < limit
        # With every place taken, a reload can still open a file and a socket.
        daemon.reload(config(backend=backend, log_level="notice"))
        assert len(served(admitted)) == len(admitted)
        assert daemon.stop_now() == 0
        Excess(daemon, began, rf"{len(admitted)}, set by the descriptor limit \(LimitNOFILE=\)").check(
            limit + 50 - len(admitted))
        assert not daemon.lines("cannot accept")


@pytest.mark.parametrize("what", ["relay", "listeners"])
def test_what_else_takes_descriptors(what):
    """A relayed connection takes two descriptors, and each address one. They still do not run out."""
    with listening(backlog=200) as (_, address):
        services = {"relay": relay(address, "echo"), "listeners": service(listen=["127.0.0.1:0"] * 40)}
        with Daemon(config(services[what]), wrapper=["prlimit", "--nofile=100:100"]) as daemon:
            socks = [daemon.connect() for _ in range(100)]
            assert socks[-1].recv(1) == b""  # the last one was turned away: all have been handled
            assert 20 < len(daemon.lines(" connected$")) < 50
            assert not daemon.lines("Too many open files")
            for sock in socks:
                sock.close()
