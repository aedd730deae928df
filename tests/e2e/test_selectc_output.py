# SPDX-License-Identifier: MIT
"""selectc's standard streams: shared with programs that do not block, not read, or on a terminal."""
import fcntl
import os
import pty
import re
import select
import termios

import pytest

from harness import (DEADLINE, FILLS_ANY_LINE, SANITIZE, Daemon, Server, config, environment, push,
                     recv_exactly, running_selectc, until)


@pytest.fixture
def server():
    with Daemon(config()) as daemon:
        yield daemon


class Pipe:
    """A pipe with little room. Each end blocks or not, as O_NONBLOCK is set."""

    def __init__(self, reads_block=True, writes_block=True):
        self.reads, self.writes = os.pipe()
        fcntl.fcntl(self.writes, fcntl.F_SETPIPE_SZ, 16384)
        os.set_blocking(self.reads, reads_block)
        os.set_blocking(self.writes, writes_block)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close_reads()
        self.close_writes()

    def close_reads(self):
        if self.reads >= 0:
            os.close(self.reads)
        self.reads = -1

    def close_writes(self):
        if self.writes >= 0:
            os.close(self.writes)
        self.writes = -1

    def wait_until_full(self):
        """Waits until the last of its four pages is in use."""
        poll = select.poll()
        poll.register(self.writes, select.POLLOUT)
        until(lambda: not poll.poll(0), "a full pipe")

    def read_all(self):
        self.close_writes()
        with open(self.reads, "rb", closefd=False) as file:
            return file.read()


@pytest.mark.parametrize("blocks", [False, True])
def test_every_line_reaches_a_slow_reader(server, tmp_path, blocks):
    """Whether or not standard output blocks. selectc does not change that."""
    lines = b"".join(b"%d\n" % i for i in range(20_000))
    path = tmp_path / "input"
    path.write_bytes(lines)
    with path.open() as file, Pipe(writes_block=blocks) as out:
        with running_selectc(server.addresses()[0], stdin=file, stdout=out.writes) as client:
            out.wait_until_full()
            assert os.get_blocking(out.writes) == blocks
            received = out.read_all()
            assert client.wait(DEADLINE) == 0
            assert client.stderr.read() == b""
    assert received == b"".join(b"RECEIVE: %d\n" % i for i in range(20_000))


def test_what_is_said_reaches_a_slow_reader():
    """Standard error, here the same pipe, comes after the last line."""
    with Server() as server, Pipe(writes_block=False) as out:
        with running_selectc(server.address, stdout=out.writes, stderr=out.writes) as client:
            with server.accept() as peer:
                peer.sendall(b"x" * 20_000)
            out.wait_until_full()
            assert out.read_all() == b"RECEIVE: " + b"x" * 20_000 + b"\nServer Down!\n"
            assert client.wait(DEADLINE) == 1


@pytest.mark.parametrize("blocks", [False, True])
def test_input_that_comes_slowly(server, blocks):
    with Pipe(reads_block=blocks) as source:
        with running_selectc(server.addresses()[0], stdin=source.reads) as client:
            for i in range(3):
                os.write(source.writes, b"%d\n" % i)
                assert client.stdout.readline() == b"RECEIVE: %d\n" % i
            source.close_writes()
            assert client.wait(DEADLINE) == 0
            assert client.stderr.read() == b""


def memory_bytes(pid):
    with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as rollup:
        return 1024 * int(re.search(r"^Private_Dirty:\s+(\d+) kB", rollup.read(), re.M)[1])


@pytest.mark.parametrize("blocks", [False, True])
def test_output_that_is_not_read(blocks):
    """selectc stops reading from the server, so that memory stays bounded. Input is still sent."""
    with Server() as server, Pipe(writes_block=blocks) as out:
        with running_selectc(server.address, stdout=out.writes) as client, server.accept() as peer:
            sent, = push([peer], (b"y" * 99 + b"\n") * (FILLS_ANY_LINE // 100))
            assert sent < FILLS_ANY_LINE
            if not SANITIZE:
                assert memory_bytes(client.pid) < 4 << 20
            client.stdin.write(b"hello\n")
            assert recv_exactly(peer, 6) == b"hello\n"
            client.stdin.close()
            assert peer.recv(1) == b""
            peer.close()
            received = out.read_all()
            assert client.wait(DEADLINE) == 0
    lines, rest = divmod(sent, 100)
    expected = (b"RECEIVE: " + b"y" * 99 + b"\n") * lines
    assert received == expected + (b"RECEIVE: " + b"y" * rest + b"\n" if rest else b"")


def test_round_trips_whose_output_is_not_read(server):
    """Ctrl-C still ends the run, and everything that was printed comes out."""
    with Pipe() as out:
        with running_selectc("-c", 0, "-i", "1ms", server.addresses()[0],
                             stdout=out.writes) as client:
            out.wait_until_full()
            client.send_signal(2)
            received = out.read_all().decode()
            assert client.wait(DEADLINE) == 0
    numbers = re.findall(r"seq=(\d+) ", received)
    assert numbers == [str(i + 1) for i in range(len(numbers))]
    assert f"{len(numbers)} received, " in received and received.endswith(" ms\n")


# A terminal

TEXT = "tab\there \\ \"quoted\" café 中 done"
DRIVES = b"\x1b[2J\x1b]0;title\x07 \r \x00 \x7f \xc2\x9b1m \x9b1m \xff \xc3"


class Terminal:
    """selectc with its standard output on a terminal, for a with block."""

    def __init__(self, address, locale):
        self.address, self.locale = address, locale

    def __enter__(self):
        self.master, slave = pty.openpty()
        attributes = termios.tcgetattr(slave)
        attributes[1] &= ~termios.OPOST
        termios.tcsetattr(slave, termios.TCSANOW, attributes)
        self.running = running_selectc(self.address, stdout=slave,
                                       env=environment({"LC_ALL": self.locale}))
        self.client = self.running.__enter__()
        os.close(slave)
        return self

    def __exit__(self, *error):
        self.running.__exit__(*error)
        os.close(self.master)

    def read_line(self):
        line = b""
        while not line.endswith(b"\n"):
            assert select.select([self.master], [], [], DEADLINE)[0]
            line += os.read(self.master, 1 << 16)
        return line


@pytest.mark.parametrize("locale", ["C.UTF-8", "C", "no such"])
def test_control_characters_on_a_terminal(server, locale):
    """Control characters are shown and have no effect. The locale decides which text is readable."""
    with Terminal(server.addresses()[0], locale) as terminal:
        terminal.client.stdin.write(TEXT.encode() + b"\n")
        shown = TEXT if locale == "C.UTF-8" else "".join(
            c if c.isascii() else "".join(rf"\x{byte:02x}" for byte in c.encode()) for c in TEXT)
        assert terminal.read_line() == b"RECEIVE: " + shown.encode() + b"\n"
        terminal.client.stdin.write(DRIVES + b"\n")
        assert terminal.read_line() == (
            rb"RECEIVE: \x1b[2J\x1b]0;title\x07 \r \x00 \x7f \xc2\x9b1m \x9b1m \xff \xc3" b"\n")
        terminal.client.stdin.write(b"\x1b" * 70_000 + b"\n")
        assert terminal.read_line() == b"RECEIVE: " + rb"\x1b" * 70_000 + b"\n"
        terminal.client.stdin.close()
        assert terminal.client.wait(DEADLINE) == 0


def test_control_characters_in_a_pipe(server):
    """Control characters are printed unchanged."""
    with running_selectc(server.addresses()[0]) as client:
        out, _ = client.communicate(DRIVES + b"\n", DEADLINE)
    assert out == b"RECEIVE: " + DRIVES + b"\n"
