# SPDX-License-Identifier: MIT
"""selectc times round trips, as ping(8) does."""
import contextlib
import re
import signal

import pytest

from harness import (DEADLINE, Daemon, Server, config, recv_exactly, running_selectc, selectc,
                     service)


@pytest.fixture
def server():
    with Daemon(config()) as daemon:
        yield daemon


def test_ping(server):
    address = server.addresses()[0]
    status, out, err = selectc("--ping", 5, "--interval", "10ms", "--size", 100, address)
    assert (status, err) == (0, "")
    lines = out.splitlines()
    assert lines[0] == f"PING {address} 100 bytes of data."
    times = []
    for i, line in enumerate(lines[1:6], 1):
        match = re.fullmatch(rf"100 bytes from {re.escape(address)}: seq={i} time=([\d.]+) ms", line)
        times.append(float(match[1]))
    assert lines[7] == f"--- {address} ping statistics ---"
    total = re.fullmatch(r"5 messages sent, 5 received, 0% lost, time (\d+) ms", lines[8])
    assert int(total[1]) >= 39  # four intervals
    rtt = re.fullmatch(r"rtt min/avg/max/mdev = ([\d.]+)/([\d.]+)/([\d.]+)/[\d.]+ ms", lines[9])
    assert float(rtt[1]) == min(times) and float(rtt[3]) == max(times)
    assert abs(float(rtt[2]) - sum(times) / 5) < 0.002


def test_ping_times_the_delay():
    with Daemon(config(service(send_delay=0.2))) as daemon:
        status, out, _ = selectc("--ping", 1, daemon.addresses()[0])
    assert status == 0
    assert float(re.search(r"time=([\d.]+) ms", out)[1]) >= 199


class Play:
    """A selectc that pings a server played by the test, while a with block runs."""

    def __init__(self, *args):
        self.args = args

    def __enter__(self):
        with contextlib.ExitStack() as stack:
            self.server = stack.enter_context(Server())
            self.client = stack.enter_context(
                running_selectc("--size", 8, *self.args, self.server.address))
            self.peer = stack.enter_context(self.server.accept())
            self.stack = stack.pop_all()
        assert self.line() == f"PING {self.server.address} 8 bytes of data."
        return self

    def __exit__(self, *_):
        self.stack.close()

    def any_line(self):
        return self.client.stdout.readline().decode().removesuffix("\n")

    def line(self):
        """The next line, except reports of late answers, which a busy machine may cause."""
        while (line := self.any_line()).startswith("no answer yet"):
            pass
        return line

    def message(self):
        return recv_exactly(self.peer, 8)

    def answer(self, seq):
        """Answers a message, and expects the answer to be printed."""
        self.peer.sendall(self.message())
        assert re.fullmatch(rf"8 bytes from {self.server.address}: seq={seq} time=[\d.]+ ms",
                            self.line())

    def end(self):
        """The exit status, the line with the counts, and the lines before the statistics."""
        status, lines = self.client.wait(DEADLINE), self.client.stdout.read().decode().split("\n")
        at = lines.index(f"--- {self.server.address} ping statistics ---")
        assert lines[at - 1] == ""
        return status, re.sub(r"\d+ ms$", "N ms", lines[at + 1]), lines[:at - 1]


def test_other_bytes_and_a_server_that_goes():
    with Play("--ping", 3, "--interval", "1ms") as ping:
        assert ping.message()
        ping.peer.sendall(b"\xff" * 8)
        assert "seq=1 other bytes than were sent" in ping.line()
        ping.peer.close()
        status, counts, _ = ping.end()
        assert status == 1
        assert ping.client.stderr.read() == b"Server Down!\n"
        assert " 0 received, +1 corrupted, 100% lost" in counts


def test_a_wrong_answer():
    with Play("--ping", 1) as ping:
        assert ping.message()
        ping.peer.sendall(b"\xff" * 8)
        status, counts, _ = ping.end()
        assert status == 1
        assert ping.client.stderr.read() == b""
        assert counts == "1 messages sent, 0 received, +1 corrupted, 100% lost, time N ms"


def test_duplicates():
    with Play("-c", 2, "-i", "10ms") as ping:
        message = ping.message()
        ping.peer.sendall(message + message)
        assert "seq=1 time=" in ping.line()
        assert ping.line() == f"8 bytes from {ping.server.address}: seq=1 (DUP!)"
        ping.answer(2)
        status, counts, _ = ping.end()
        assert status == 0
        assert counts == "2 messages sent, 2 received, +1 duplicates, 0% lost, time N ms"


def test_an_answer_that_is_left_out():
    """Each answer belongs to the message whose number it has."""
    with Play("-c", 3, "-i", "1ms") as ping:
        messages = [ping.message() for _ in range(3)]
        ping.peer.sendall(messages[0] + messages[2])
        assert ["seq=1" in ping.line(), "seq=3" in ping.line()] == [True, True]
        status, counts, _ = ping.end()
        assert status == 1
        assert counts == "3 messages sent, 2 received, 33.33% lost, time N ms"


@pytest.mark.parametrize("extra", [b"220 hello\r\n", b"hi", b"x" * 200_000],
                         ids=["longer", "shorter", "many"])
def test_bytes_that_nobody_asked_for(extra):
    """Unsolicited bytes between two messages are dropped, and do not shift the answers."""
    with Play("-c", 2, "-i", "2s") as ping:
        ping.answer(1)
        ping.peer.sendall(extra)
        unasked = 0
        while unasked < len(extra):
            match = re.fullmatch(rf"(\d+) bytes from {ping.server.address} that nobody asked for",
                                 ping.line())
            unasked += int(match[1])
        assert unasked == len(extra)
        ping.answer(2)
        status, counts, _ = ping.end()
        assert (status, counts) == (0, "2 messages sent, 2 received, 0% lost, time N ms")


@pytest.mark.parametrize("args", [["-c", 3], ["-p", 3], ["--count", 3], ["--ping", 3],
                                  ["--ping=3"], ["-p3"], ["-c", 9, "-c", 3]])
def test_count(server, args):
    status, out, _ = selectc(*args, "-i", "1ms", server.addresses()[0])
    assert status == 0 and out.count("time=") == 3 and "3 messages sent, 3 received" in out


@pytest.mark.parametrize("args", [["-c", 0], ["--ping", 0]])
def test_until_it_is_interrupted(server, args):
    with running_selectc(*args, "-i", "1ms", server.addresses()[0]) as client:
        for _ in range(20):
            client.stdout.readline()
        client.send_signal(signal.SIGINT)
        assert client.wait(DEADLINE) == 0
        sent, received = re.search(rb"(\d+) messages sent, (\d+) received",
                                   client.stdout.read()).groups()
        assert 19 <= int(received) <= int(sent)


def test_interrupted(server):
    with running_selectc("--ping", 1000, "--interval", "1h", server.addresses()[0]) as client:
        client.stdout.readline()
        assert b"seq=1 time=" in client.stdout.readline()
        client.send_signal(signal.SIGINT)
        assert client.wait(DEADLINE) == 0
        assert b"1 messages sent, 1 received, 0% lost" in client.stdout.read()


def test_interrupted_while_an_answer_is_under_way():
    """A message that has just been sent does not count as lost. One that was reported as late does."""
    seen = []
    while "1 messages sent, 0 received, 1 under way, 0% lost, time N ms" not in seen:
        assert len(seen) < 5, seen  # each answer is more than a second late
        with Play("-c", 0, "-i", "1h") as ping:
            ping.message()
            ping.client.send_signal(signal.SIGINT)
            status, counts, _ = ping.end()
            assert status == 1
            seen.append(counts)
    with Play("-c", 0, "-i", "1h", "-W", "20ms") as ping:
        assert ping.any_line() == "no answer yet for seq=1"
        ping.client.send_signal(signal.SIGINT)
        assert ping.end()[:2] == (1, "1 messages sent, 0 received, 100% lost, time N ms")


def test_a_silent_server_is_reported_per_message():
    """A late answer still counts."""
    with Play("-c", 3, "-i", "1s") as ping:
        assert [ping.any_line() for _ in range(3)] == [f"no answer yet for seq={i}" for i in (1, 2, 3)]
        for i in (1, 2, 3):
            ping.answer(i)
        assert ping.end() == (0, "3 messages sent, 3 received, 0% lost, time N ms", [])


def test_gives_up_on_a_silent_server():
    with Play("-c", 2, "-i", "1ms", "-W", "300ms") as ping:
        assert ping.end() == (1, "2 messages sent, 0 received, 100% lost, time N ms",
                              ["no answer yet for seq=1", "no answer yet for seq=2"])
        assert ping.client.stderr.read() == b""


def test_waits_for_each_answer():
    """The wait starts again at each answer: eight answers take longer than one wait."""
    with Daemon(config(service(send_delay=0.5, message_size=8))) as daemon:
        status, out, _ = selectc("-c", 8, "-i", "1ms", "-s", 8, "-W", "3s", daemon.addresses()[0])
    assert status == 0
    assert float(re.findall(r"time=([\d.]+) ms", out)[-1]) > 3000
    assert "8 messages sent, 8 received, 0% lost" in out


def test_deadline(server):
    """The deadline ends the run in any case. Without a count, that is a success."""
    address = server.addresses()[0]
    for count, expected in (0, 0), (100, 1):
        status, out, err = selectc("-c", count, "-i", "1h", "-w", "900ms", address)
        assert (status, err) == (expected, "")
        counts = re.search(r"^1 messages sent, 1 received, 0% lost, time (\d+) ms$", out, re.M)
        assert int(counts[1]) >= 900
    status, out, _ = selectc("-c", 2, "-i", "1ms", "-w", "1h", address)
    assert status == 0 and "2 messages sent, 2 received" in out


def test_deadline_of_a_silent_server():
    """A bare number is seconds, as in ping."""
    with Play("-c", 0, "-i", "400ms", "-w", 1) as ping:
        status, counts, _ = ping.end()
        assert status == 1 and " 0 received, " in counts


def test_quiet(server):
    address = server.addresses()[0]
    status, out, err = selectc("-q", "-c", 3, "-i", "1ms", address)
    assert (status, err) == (0, "")
    lines = out.splitlines()
    assert lines[:3] == [f"PING {address} 64 bytes of data.", "",
                         f"--- {address} ping statistics ---"]
    assert lines[3].startswith("3 messages sent, 3 received, 0% lost") and len(lines) == 5


def test_quiet_about_a_silent_server_and_strange_bytes():
    with Play("-q", "-c", 2, "-i", "1ms", "-W", "2s") as ping:
        ping.message()
        ping.message()
        ping.peer.sendall(b"\xff" * 8)
        assert ping.end() == (
            1, "2 messages sent, 0 received, +1 corrupted, 100% lost, time N ms", [])


def test_statistics_so_far(server):
    """SIGQUIT prints the statistics in one line."""
    with running_selectc("-c", 0, "-i", "1h", server.addresses()[0]) as client:
        client.stdout.readline()
        assert b"seq=1 time=" in client.stdout.readline()
        for _ in range(2):
            client.send_signal(signal.SIGQUIT)
            assert re.fullmatch(
                rb"1/1 messages, 0% lost, min/avg/max = ([\d.]+)/\1/\1 ms\n",
                client.stderr.readline())
        client.send_signal(signal.SIGINT)
        assert client.wait(DEADLINE) == 0
