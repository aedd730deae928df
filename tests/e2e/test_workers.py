# SPDX-License-Identifier: MIT
"""workers = N spreads connections over N threads, and clients cannot tell the difference.

/proc shows which thread serves which client: each loop watches its connections with an epoll set, whose
members the kernel lists.
"""
import contextlib
import os
import pathlib
import re
import select
import signal
import time

import pytest

from harness import (DEADLINE, MORE_THAN_SELECT_HOLDS, Daemon, Steady, config, config_in, connect, echo,
                     free_port, halted, hub, pattern, push, recv_exactly, recv_until_eof, reset, served,
                     service, threads, until)
from harness.hub_members import exchange, members

N = 4
BACKENDS = pytest.mark.parametrize("backend", ["epoll", "poll", "select"])


def spread(daemon):
    """The connections of each thread that has any, as a list of the ports of their clients."""
    table = pathlib.Path(f"/proc/{daemon.pid}/net/tcp").read_text().splitlines()
    ports = {f"socket:[{fields[9]}]": int(fields[1].partition(":")[2], 16)
             for fields in map(str.split, table) if fields[3] == "01"}  # established
    of_all, sets = {}, set()
    for info in pathlib.Path(f"/proc/{daemon.pid}/fdinfo").iterdir():
        with contextlib.suppress(FileNotFoundError):  # closed in the meantime: no connection
            of_all[int(info.name)] = ports.get(os.readlink(f"/proc/{daemon.pid}/fd/{info.name}"))
            sets.add(frozenset(map(int, re.findall(r"^tfd:\s*(\d+)", info.read_text(), re.M))))
    sets = {frozenset(fd for fd in watched if of_all.get(fd)) for watched in sets}
    # If a loop has two epoll sets, one of them has all its connections, and the other one lacks new ones.
    loops = [fds for fds in sets if fds and not any(fds < other for other in sets)]
    return [[of_all[fd] for fd in fds] for fds in loops]


def clients(daemon, n):
    """n clients that are being served."""
    socks = [daemon.connect() for _ in range(n)]
    for sock in socks:
        echo(sock)
    return socks


# Threads


@pytest.mark.parametrize("n", [1, 2, N, 64])
def test_as_many_as_asked_for(n):
    with Daemon(config(workers=n)) as daemon, daemon.connect() as client:
        echo(client)
        assert daemon.lines(rf"^ready: 1 service, epoll, {n} worker{'s' * (n > 1)}; ")
        assert len(threads(daemon)) == (n if n > 1 else 0)  # a single worker has no thread of its own


def test_auto():
    """There are as many workers as CPUs that the daemon may use."""
    cpus = sorted(os.sched_getaffinity(0))
    for n in {1, len(cpus)}:
        wrapper = ["taskset", "-c", ",".join(map(str, cpus[:n]))]
        with Daemon(config(workers="auto"), wrapper=wrapper) as daemon, daemon.connect() as client:
            echo(client)
            assert daemon.lines(rf"^ready: .*, {n} worker{'s' * (n > 1)}; ")
            daemon.reload(config(workers=n))
            assert not daemon.lines("until selectd is restarted")


def test_too_few_descriptors():
    """Wherever the descriptors run out, the threads that have been started end in order."""
    for limit in range(20, 130, 11):
        wrapper = ["prlimit", f"--nofile={limit}:{limit}"]
        with Daemon(config(workers=64), wait=None, wrapper=wrapper) as daemon:
            assert daemon.wait() == 71, limit
            assert daemon.lines("Too many open files$")


@BACKENDS
def test_even_spread(backend, manager):
    with Daemon(config(workers=N, backend=backend), env=manager.env) as daemon:
        socks = clients(daemon, 10 * N)
        assert [*map(len, spread(daemon))] == [10] * N
        for sock in socks[::2]:  # two threads have no connections
            sock.close()
        manager.wait_for_status(f"{5 * N} connections, 1 service")
        assert [*map(len, spread(daemon))] == [10] * (N // 2)
        socks += clients(daemon, 5 * N)
        assert [*map(len, spread(daemon))] == [10] * N


def test_a_hub_is_on_one():
    """Several hubs run on several threads, each with all its members. Other clients even out the numbers."""
    names = [f"hub{i}" for i in range(12)]
    with Daemon(config(*map(hub, names), service(), workers=N)) as daemon:
        socks = []
        for name in names:
            socks += members(daemon, 2, name)
            exchange(*socks[-2:])
        used = spread(daemon)
        assert len(used) > 1
        for name in names:
            assert sorted(ports.count(daemon.port(name)) for ports in used)[-2:] == [0, 2]
        socks += clients(daemon, 2 * len(names) * (N - 1))
        assert [*map(len, spread(daemon))] == [2 * len(names)] * N


# Events that concern all threads


def test_reload_with_another_number():
    with Daemon(config(workers=N)) as daemon:
        socks = clients(daemon, N)
        daemon.reload(config(workers=2))
        assert daemon.lines("^there are 4 workers until selectd is restarted, then 2$")
        assert len(threads(daemon)) == N
        for sock in (*socks, *clients(daemon, N)):
            echo(sock)
        daemon.reload(config(workers=N))
        assert len(daemon.lines("until selectd is restarted")) == 1


def test_reload_reaches_all(backend):
    def text(delay):
        return config(service(send_delay=delay), workers=N, backend=backend, log_level="debug")

    with Daemon(text("1h")) as daemon:
        socks = [daemon.connect() for _ in range(3 * N)]
        for sock in socks:
            sock.sendall(b"waits")
        daemon.wait_for(" received 5 bytes$", len(socks))
        daemon.reload(text(0))
        for sock in socks:
            assert recv_exactly(sock, 5) == b"waits"
            echo(sock)


def test_reloaded_is_told_when_all_have_it():
    """The line "reloaded" waits until every thread uses the new configuration."""
    with Daemon(config(workers=N)) as daemon:
        with halted(threads(daemon)[0]):
            config_in(daemon.directory.name, config(service(), service("new"), workers=N))
            daemon.signal(signal.SIGHUP)
            daemon.wait_for("^new: listening on ")
            daemon.reload("services = 1;\n", "; keeping")  # its end shows that the other signal was handled
            assert not daemon.lines("^reloaded ")
        daemon.wait_for("^reloaded ")


def test_reloads_under_load(backend):
    with Daemon(config(workers=N, backend=backend)) as daemon, contextlib.ExitStack() as stack:
        for _ in range(2 * N):
            stack.enter_context(Steady(daemon.connect()))
        for i in range(20):
            settings = {"send_delay": "1ms", "message_size": "64K"} if i % 2 else {}
            daemon.reload(config(service(**settings), workers=N, backend=backend))


def test_second_signal_ends_all():
    with Daemon(config(workers=N, drain_timeout="1h")) as daemon:
        socks = clients(daemon, 3 * N)
        daemon.signal(signal.SIGTERM)
        daemon.wait_for(f"^stopping: {3 * N} connections left")
        for sock in socks:
            echo(sock)
        daemon.signal(signal.SIGTERM)
        for sock in socks:
            assert recv_until_eof(sock) == b""
        assert daemon.wait() == 0
        assert len(daemon.lines(" closed: stopping, 10 B in, 10 B out, ")) == 3 * N
        assert daemon.log[-1] == "stopped"


def test_exit_on_idle():
    """The daemon stays while any thread has a connection."""
    timeout = 0.5
    with Daemon(config(workers=N)) as daemon:
        socks = clients(daemon, N)
        daemon.reload(config(workers=N, exit_on_idle=timeout))
        for sock in socks[:-1]:
            sock.close()
        last = socks[-1]
        last.settimeout(2 * timeout)
        with pytest.raises(TimeoutError):
            last.recv(1)
        last.settimeout(DEADLINE)
        echo(last)
        began = time.monotonic()
        last.close()
        assert daemon.wait() == 0
        assert time.monotonic() - began >= timeout - 0.001
        assert len(daemon.lines("^idle for 500 ms, exiting$")) == 1


def test_kill_leaves_nothing(tmp_path):
    """The next daemon serves at once at the same addresses."""
    listen = [f"127.0.0.1:{free_port()}", f"unix:{tmp_path}/echo.sock"]
    text = config(service(listen=listen), workers=N)
    with Daemon(text, check=False) as daemon:
        socks = [connect(address) for address in listen * N]
        push(socks[:N], pattern(1 << 20), quiet=0.1)  # clients that read nothing
        for sock in socks[N:]:
            echo(sock)
        daemon.signal(signal.SIGKILL)
        assert daemon.wait() == -signal.SIGKILL
        for sock in socks:
            with contextlib.suppress(ConnectionResetError):
                recv_until_eof(sock)
    with Daemon(text) as daemon:
        for address in listen * N:
            with connect(address) as client:
                echo(client)


@BACKENDS
def test_descriptors_come_back(backend):
    with Daemon(config(workers=N, backend=backend)) as daemon:
        before = daemon.descriptors()
        for i in range(50):
            socks = [daemon.connect() for _ in range(10)]
            for j, sock in enumerate(socks):
                if j % 2:
                    echo(sock)
                reset(sock) if j % 3 else sock.close()
        until(lambda: daemon.descriptors() == before, "every descriptor closed")
        daemon.wait_for(" closed: ", 500)


def test_too_many_for_select(crowd):
    """libevent's select backend aborts at descriptor 1024, in whichever thread."""
    with Daemon(config(workers=N, backend="select")) as daemon:
        admitted = served(crowd(daemon, MORE_THAN_SELECT_HOLDS))
        assert 900 < len(admitted) < 1024
        assert max(daemon.descriptors()) < 1024
        assert len(served(admitted)) == len(admitted)


def test_lines_are_whole():
    """Threads do not write into each other's lines."""
    with Daemon(config(workers=N, log_level="debug")) as daemon, contextlib.ExitStack() as stack:
        for _ in range(2 * N):
            stack.enter_context(Steady(daemon.connect()))
        daemon.wait_for(" received ", 2000)
        done = daemon.lines("")[:2000]
        client = r"echo: 127\.0\.0\.1:\d+ "
        whole = re.compile("waiting for the next event|ready: .*|echo: listening on .*|"
                           f"{client}(connected|(received|sending) \\d+ bytes|queue empty)")
        assert [line for line in done if not whole.fullmatch(line)] == []


# A thread that hangs


def test_one_that_hangs(manager):
    """The watchdog notices it, and clients of other threads do not."""
    period = 0.8
    env = {**manager.env, "WATCHDOG_USEC": str(int(period * 1e6))}
    with Daemon(config(workers=N), env=env) as daemon:
        socks = clients(daemon, N)
        manager.left()  # otherwise the daemon might wait for that thread
        with halted(threads(daemon)[0]):
            for sock in socks:
                sock.sendall(b"?")
            until(lambda: len(select.select(socks, [], [], 0)[0]) == N - 1, "three answers")
            fine = select.select(socks, [], [], 0)[0]
            stuck, = set(socks).difference(fine)
            manager.left()
            manager.sock.settimeout(2 * period)
            alive = 0
            with pytest.raises(TimeoutError):
                while alive < 2:  # one message may be from before the halt
                    alive += manager.next() == {"WATCHDOG": "1"}
            for sock in fine:
                assert recv_exactly(sock, 1) == b"?"
                echo(sock)
            assert not select.select([stuck], [], [], 0)[0]
        manager.sock.settimeout(DEADLINE)
        for _ in range(2):
            assert manager.next() == {"WATCHDOG": "1"}
        assert recv_exactly(stuck, 1) == b"?"
        echo(stuck)


def test_what_is_told_too_late():
    """Threads that answer the watchdog after the main thread has stopped listening do no harm."""
    env = {"WATCHDOG_USEC": "4"}  # so that the watchdog asks all the time
    with Daemon(config(workers=2), env=env) as daemon:
        first, second = sorted(threads(daemon))
        with halted(second):
            with halted(first):
                daemon.reload("services = 1;\n", "; keeping")  # its end shows that both were asked
                daemon.signal(signal.SIGTERM)
                daemon.wait_for("^stopped$")
            stat = pathlib.Path(f"/proc/{daemon.pid}/stat")
            until(lambda: not os.path.exists(f"/proc/{daemon.pid}/task/{first}")
                  and stat.read_text().rpartition(") ")[2][0] == "S", "the wait for the second")
        assert daemon.wait() == 0
