# SPDX-License-Identifier: MIT
"""Standard error of every kind, and its failures: nothing blocks, and no line is lost without a report.

Clients use a unix socket, and NOTIFY_SOCKET tells that the daemon is ready: its standard error is not
read by the harness.
"""
import contextlib
import os
import pathlib
import re
import resource
import socket

import pytest

from harness import Daemon, config, own_mounts, service, until, visit

QUEUE_BYTES = 256 << 10  # the lines in the queue
TO_FILE = ["sh", "-c", 'exec "$@" 2>>"$0"']


def started(manager, tmp_path, wrapper, **settings):
    """A daemon whose standard error the wrapper chooses, and the address of its service."""
    address = f"unix:{tmp_path}/echo.sock"
    return Daemon(config(service(listen=address), **settings), wait=None, env=manager.env,
                  wrapper=wrapper), address


def wait_until_ready(manager):
    while "READY" not in manager.next():
        pass


def read_until(read, text, condition):
    """Reads until the condition holds for the text."""
    while not condition(text):
        text += read()
    return text


def check_whole(lines):
    """Checks that no line is cut, and that no two lines are joined."""
    whole = re.compile(r"echo: (no longer )?listening on \S+|ready: .*|stopped|\d+ records? w\w+ lost: .*|"
                       r"waiting for the next event|stopping: .*|"
                       r"echo: \S+ (connected|(received|sending) 5 bytes|queue empty|"
                       r"closed: end of stream, 5 B in, 5 B out, \d+\.\d{3} s)")
    assert [line for line in lines if not whole.fullmatch(line)] == []


def count_lost(lines):
    return sum(int(line.split()[0]) for line in lines if " lost: " in line)


def count_visits(lines):
    """Counts the lines of visits. Each visit writes two at level info."""
    return sum(line.endswith(" connected") or " closed: " in line for line in lines)


def test_terminal_that_nobody_reads(manager, tmp_path, backend):
    """A write to a terminal may block although poll(2) reports that it would not."""
    master, slave = os.openpty()
    with open(master, "rb", buffering=0) as terminal:
        wrapper = ["sh", "-c", 'exec "$@" 2>"$0"', os.ttyname(slave)]
        daemon, address = started(manager, tmp_path, wrapper, backend=backend, log_level="debug")
        with daemon:
            os.close(slave)
            wait_until_ready(manager)
            visit(address, 200)
            assert daemon.stop() == 0
            # The terminal is read at last. It held whole lines, except the last one.
            text = b""
            with contextlib.suppress(OSError):  # EIO: everything has been read
                while True:
                    text += terminal.read(4096)
            *lines, _ = text.decode().split("\r\n")
            check_whole(lines)
            assert any(line.startswith("echo: listening on ") for line in lines)


def test_terminal_that_is_read_late(manager, tmp_path, backend):
    """Lines that the terminal did not take at first come later, in order."""
    master, slave = os.openpty()
    with open(master, "rb", buffering=0) as terminal:
        wrapper = ["sh", "-c", 'exec "$@" 2>"$0"', os.ttyname(slave)]
        daemon, address = started(manager, tmp_path, wrapper, backend=backend)
        with daemon:
            os.close(slave)
            wait_until_ready(manager)
            visit(address, 500)
            text = read_until(lambda: terminal.read(4096), b"",
                              lambda text: text.count(b" closed: ") == 500 and text.endswith(b"\n"))
            lines = text.decode().splitlines()
            check_whole(lines)
            assert count_visits(lines) == 1000 and not count_lost(lines)


def test_socket_that_nobody_reads(manager, tmp_path, backend):
    ours, its = socket.socketpair()
    with ours, its:
        wrapper = ["bash", "-c", f'exec "$@" 2>&{its.fileno()}', "bash"]  # sh needs one digit
        daemon, address = started(manager, tmp_path, wrapper, backend=backend)
        daemon.pass_fds = [its.fileno()]
        with daemon:
            wait_until_ready(manager)
            visits = 2 * (QUEUE_BYTES + its.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF)) // 120
            visit(address, visits)
            ours.settimeout(20)
            text = read_until(lambda: ours.recv(1 << 16), b"",
                              lambda text: re.search(rb"\n\d+ records were lost: the reader was too slow\n", text))
            lines = text.decode().splitlines()
            check_whole(lines)
            assert count_visits(lines) + count_lost(lines) == 2 * visits


# Files


def wait_for_all(path, visits):
    """The lines of a log when those of all visits are there or have been reported as lost."""
    def complete():
        lines = path.read_text().splitlines()
        return count_visits(lines) + count_lost(lines) == 2 * visits and lines
    lines = until(complete, "every line")
    check_whole(lines)
    return lines


@pytest.mark.parametrize("visits", [1000, 5000])
def test_full_disk(manager, tmp_path, backend, visits):
    """Lines wait for space in the queue. Lines beyond its size are counted."""
    disk = tmp_path / "disk"
    disk.mkdir()
    wrapper = [*own_mounts(), "sh", "-c", """mount -t tmpfs -o size=4m tmpfs "$0" &&
        head -c 4032K /dev/zero >"$0/ballast" && exec "$@" 2>>"$0/log" """, str(disk)]
    daemon, address = started(manager, tmp_path, wrapper, backend=backend)
    with daemon:
        wait_until_ready(manager)
        its_disk = pathlib.Path(f"/proc/{daemon.pid}/root{disk}")
        visit(address, visits)
        lines = (its_disk / "log").read_text().splitlines()
        assert count_visits(lines) < 2 * visits
        # A line may have been written in part. Its rest comes first.
        check_whole(lines[:-1])
        (its_disk / "ballast").unlink()
        lines = wait_for_all(its_disk / "log", visits)
        assert bool(count_lost(lines)) == (visits == 5000)
        assert [line for line in lines if " lost: " in line] == [
            f"{count_lost(lines)} records were lost: No space left on device"][:visits // 5000]


def test_file_that_may_not_grow(manager, tmp_path, backend):
    """With RLIMIT_FSIZE, SIGXFSZ does not end the daemon."""
    log = tmp_path / "log"
    daemon, address = started(manager, tmp_path, [*TO_FILE, str(log)], backend=backend)
    with daemon:
        wait_until_ready(manager)
        resource.prlimit(daemon.pid, resource.RLIMIT_FSIZE, (65536, resource.RLIM_INFINITY))
        visit(address, 1000)
        assert log.stat().st_size == 65536
        resource.prlimit(daemon.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
        assert not count_lost(wait_for_all(log, 1000))


@pytest.mark.parametrize("device", ["/dev/full", "/dev/null"])
def test_device(manager, tmp_path, backend, device):
    daemon, address = started(manager, tmp_path, [*TO_FILE, device], backend=backend)
    with daemon:
        wait_until_ready(manager)
        visit(address, 500)
        assert daemon.stop() == 0
