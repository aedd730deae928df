# SPDX-License-Identifier: MIT
"""The log has exactly the words of the design, in order. Payload is shown only if configured, and is
escaped.
"""
import contextlib
import re
import socket

import pytest

from harness import Daemon, config, connect, echo, name_of, recv_exactly, recv_until_eof, service, workers

WAITING = "waiting for the next event"


def conversation(daemon):
    """One client says hello and leaves. Returns its name, and the log without the lines about waiting."""
    with daemon.connect() as client:
        name = name_of(client)
        echo(client)
        client.shutdown(socket.SHUT_WR)
        assert recv_until_eof(client) == b""
    daemon.wait_for(" closed: ")
    daemon.stop()
    assert not [line for line in daemon.log if not line.isprintable()]
    # A worker logs the end of a connection a moment before the main thread learns of it.
    other = r"^stopping: 1 connection left" if workers()[0] > 1 else "^$"
    return name, [line for line in daemon.log if line != WAITING and not re.search(other, line)]


def test_debug(backend):
    with Daemon(config(log_level="debug", log_payload=True, backend=backend)) as daemon:
        address = daemon.addresses()[0]
        client, lines = conversation(daemon)
        closed = lines.pop(6)
        assert lines == [
            f"echo: listening on {address}",
            f"ready: 1 service, {backend}, {workers()[1]}; echo on {address}",
            f"echo: {client} connected",
            f'echo: {client} received 5 bytes "hello"',
            f'echo: {client} sending 5 bytes "hello"',
            f"echo: {client} queue empty",
            "stopped",
        ]
        assert re.fullmatch(rf"echo: {client} closed: end of stream, 5 B in, 5 B out, "
                            r"\d+\.\d{3} s", closed)
        # The line about waiting is written before each wait: at first, and between two events.
        log = daemon.log
        if workers()[0] > 1:  # each thread writes the line at any time
            return
        assert log[2] == WAITING
        for event in (" connected", " queue empty"):
            at = next(i for i, line in enumerate(log) if line.endswith(event))
            assert log[at + 1] == WAITING


def test_without_payload(backend):
    with Daemon(config(log_level="debug", backend=backend)) as daemon:
        client, lines = conversation(daemon)
        assert f"echo: {client} received 5 bytes" in lines
        assert f"echo: {client} sending 5 bytes" in lines
        assert "hello" not in "".join(lines)


def test_info(backend):
    with Daemon(config(backend=backend, log_payload=True)) as daemon:
        address = daemon.addresses()[0]
        client, lines = conversation(daemon)
        assert lines[:3] == [f"echo: listening on {address}",
                             f"ready: 1 service, {backend}, {workers()[1]}; echo on {address}",
                             f"echo: {client} connected"]
        assert lines[3].startswith(f"echo: {client} closed: end of stream, ")
        assert lines[4:] == ["stopped"]
        assert WAITING not in daemon.log


@pytest.mark.parametrize("level, words", [("notice", ["ready: ", "stopped"]), ("warning", []),
                                          ("error", [])])
def test_less(level, words, tmp_path):
    address = f"unix:{tmp_path}/echo.sock"
    text = config(service(listen=[address, "127.0.0.1:0"]), log_level=level)
    ready = f"{tmp_path}/ready"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(ready)
        manager.settimeout(20)
        with Daemon(text, wait=None, env={"NOTIFY_SOCKET": ready}) as daemon:
            assert b"READY=1" in manager.recv(4096)  # the log does not show it at every level
            with socket.socket(socket.AF_UNIX) as client:
                client.settimeout(20)
                client.connect(address.removeprefix("unix:"))
                echo(client)
                client.shutdown(socket.SHUT_WR)
                assert recv_until_eof(client) == b""
            assert daemon.stop() == 0
            assert len(daemon.log) == len(words)
            assert all(map(str.startswith, daemon.log, words))


@pytest.mark.parametrize("payload, shown", [
    (b"a\0b\n\r\t\x1b[31m\x7f\x80\xff", r'a\\x00b\\n\\r\\t\\x1b\[31m\\x7f\\x80\\xff"'),
    (b'say "hi" \\ bye', r'say \\"hi\\" \\\\ bye"'),
    ("naïve".encode(), r'na\\xc3\\xafve"'),
    (b"%s%n%d", '%s%n%d"'),
    (b"x" * 64, "x{64}\""),
    (b"x" * 65, "x{64}\"…"),
    (b"\xff" * 1000, r'(\\xff){64}"…'),
])
def test_payload_is_escaped_and_cut(payload, shown):
    with Daemon(config(log_level="debug", log_payload=True)) as daemon:
        with daemon.connect() as client:
            client.sendall(payload)
            assert recv_exactly(client, len(payload)) == payload
        for verb in ("received", "sending"):
            daemon.wait_for(rf'^echo: \S+ {verb} {len(payload)} bytes "{shown}$')
        assert all(map(str.isprintable, daemon.log))


@pytest.mark.parametrize("stream", ["8:12345", "", "junk", "1:2:3", "99999999999999999999:1"])
def test_foreign_journal_stream(stream):
    """JOURNAL_STREAM in the environment does not count if standard error is not that stream."""
    with Daemon(config(), env={"JOURNAL_STREAM": stream}) as daemon:
        assert daemon.lines("^ready: ")


@pytest.mark.parametrize("conditions, fault", [
    ({"drop_new": 1.0}, "drop_new"),
    ({"reset_after": "50ms"}, "reset_after"),
    ({"limit": 3}, "to_client: limit"),
    ({"limit": 3, "latency": "1ms", "reset_after": "1h"}, "to_client: latency, limit"),
])
def test_journal_tells_what_was_done_on_purpose(journal, tmp_path, conditions, fault):
    """A record shows intended faults, so that nobody takes them for failures of the tested program."""
    address = f"unix:{tmp_path}/echo.sock"
    text = config(service(listen=address, to_client=conditions))
    with Daemon(text, wait=None, wrapper=journal.wrapper) as daemon:
        journal.wait_for("ready: ")
        with contextlib.suppress(ConnectionError), connect(address) as client:
            client.sendall(b"hello")
            recv_until_eof(client)
        closed = journal.wait_for(" closed: ")
        assert closed["SELECTD_FAULT"] == fault
        assert closed["SELECTD_SERVICE"] == "echo" and closed["SELECTD_CONNECTION"] == "1"
        assert closed["SYSLOG_IDENTIFIER"] == "selectd"
        assert daemon.log == []
