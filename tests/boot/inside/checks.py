"""Run inside the booted Debian: selectd as its users know it, through systemctl, its file and its journal."""

import json
import os
import re
import resource
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest

CONF = Path("/etc/selectd.conf")
ORIGINAL = CONF.read_text()
ADDRESS = ("127.0.0.1", 8008)
DEADLINE = 30


def run(command, check=True):
    return subprocess.run(command, shell=True, check=check, text=True, capture_output=True)


def prop(name, unit="selectd.service"):
    return run(f"systemctl show -P {name} {unit}").stdout.strip()


def until(what, condition):
    """Waits for what only systemd knows, and tells nobody when it happens."""
    end = time.monotonic() + DEADLINE
    while not (result := condition()):
        assert time.monotonic() < end, f"not within {DEADLINE} s: {what}"
        time.sleep(0.02)
    return result


def journal(since, *matches):
    """The records of selectd since a cursor."""
    run("journalctl --sync")
    out = run(f"journalctl -u selectd -o json --after-cursor='{since}' {' '.join(matches)}").stdout
    return [json.loads(line) for line in out.splitlines()]


def messages(since):
    return [r["MESSAGE"] for r in journal(since)]


def connect():
    s = socket.create_connection(ADDRESS, timeout=DEADLINE)
    return s


def exchange(s, data):
    s.sendall(data)
    got = b""
    while len(got) < len(data):
        piece = s.recv(65536)
        assert piece, "closed before all came back"
        got += piece
    return got


@pytest.fixture
def cursor():
    run("journalctl --sync")
    return re.search(r"-- cursor: (.*)", run("journalctl -n 1 --show-cursor").stdout).group(1)


@pytest.fixture(autouse=True)
def fresh():
    """Every check begins with the shipped file, and nothing running."""
    CONF.write_text(ORIGINAL)
    yield
    run("systemctl stop selectd.socket selectd.service", check=False)
    run("rm -rf /run/systemd/system/selectd.service.d; systemctl daemon-reload")
    run("systemctl reset-failed", check=False)


def drop_in(text):
    directory = Path("/run/systemd/system/selectd.service.d")
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "test.conf").write_text(text)
    run("systemctl daemon-reload")


def test_units_are_sound():
    result = run("systemd-analyze verify --man=no selectd.service selectd.socket 2>&1")
    assert "selectd" not in result.stdout


def test_start_echo_journal_stop(cursor):
    run("systemctl start selectd")
    assert prop("StatusText") == "0 connections, 1 service"
    assert os.stat(f"/proc/{prop('MainPID')}").st_uid != 0

    result = run("printf 'one\\ntwo\\n' | selectc")
    assert result.stdout == "RECEIVE: one\nRECEIVE: two\n"
    closed = until("the record of the end", lambda: [
        r for r in journal(cursor) if r.get("SELECTD_REASON")])[0]
    assert closed["SELECTD_SERVICE"] == "echo"
    assert closed["SELECTD_CONNECTION"] == "1"
    assert re.fullmatch(r"127\.0\.0\.1:\d+", closed["SELECTD_CLIENT"])
    assert (closed["SELECTD_BYTES_IN"], closed["SELECTD_BYTES_OUT"]) == ("8", "8")
    assert closed["SELECTD_REASON"] == "end of stream"
    assert closed["PRIORITY"] == "6"
    assert re.fullmatch(r"echo: 127\.0\.0\.1:\d+ closed: end of stream, 8 B in, 8 B out, \d+\.\d{3} s",
                        closed["MESSAGE"])
    assert abs(int(closed["SELECTD_DURATION_USEC"]) / 1e6
               - float(closed["MESSAGE"].split()[-2])) < 0.001

    run("systemctl stop selectd")
    assert prop("Result") == "success"
    said = messages(cursor)
    assert "echo: listening on 127.0.0.1:8008" in said
    assert "ready: 1 service, epoll, 1 worker" in said
    assert "stopped" in said
    ours = [r for r in journal(cursor, "_COMM=selectd")]
    assert ours and all(re.fullmatch(r"[0-9a-f]{32}", r["MESSAGE_ID"]) for r in ours)


def test_catalog_explains_every_record(cursor):
    run("journalctl --update-catalog")
    run("systemctl start selectd && echo x | selectc && systemctl stop selectd")
    ids = {r["MESSAGE_ID"] for r in journal(cursor, "_COMM=selectd")}
    for message_id in ids:
        assert "Subject:" in run(f"journalctl --dump-catalog {message_id}").stdout
    run("journalctl --sync")
    explained = run(f"journalctl -x -u selectd --after-cursor='{cursor}' _COMM=selectd").stdout
    assert "Subject: A client connected" in explained
    assert "journalctl -u selectd SELECTD_CONNECTION=1" in explained


def test_reload_keeps_live_connections(cursor):
    run("systemctl start selectd")
    with connect() as live:
        exchange(live, b"before")
        CONF.write_text(ORIGINAL.replace('send_delay = "0"', 'send_delay = "300ms"'))
        run("systemctl reload selectd")
        until("the reload", lambda: any("reloaded /etc/selectd.conf" in m for m in messages(cursor)))
        began = time.monotonic()
        assert exchange(live, b"after") == b"after"
        assert time.monotonic() - began >= 0.299
    assert prop("ActiveState") == "active"


def test_bad_file_fails_the_reload_with_the_reason(cursor):
    run("systemctl start selectd")
    pid = prop("MainPID")
    with connect() as live:
        CONF.write_text(ORIGINAL.replace("backlog = 4096", "backlog = -1").replace("mode =", "mod ="))
        failed = run("systemctl reload selectd", check=False)
        assert failed.returncode != 0
        records = [r for r in journal(cursor) if "CONFIG_LINE" in r]
        for key, value in ("backlog", "-1"), ("mod:", "mode"):
            line = 1 + next(i for i, text in enumerate(CONF.read_text().splitlines())
                            if re.match(rf"\s*{key.rstrip(':')} =", text))
            [record] = [r for r in records if key in r["MESSAGE"] and value in r["MESSAGE"]]
            assert record["CONFIG_FILE"] == str(CONF)
            assert record["CONFIG_LINE"] == str(line)
            assert record["MESSAGE"].startswith(f"{CONF}:{line}: services.echo.")
        # The signal alone, past the check: nothing changes, and it says so.
        os.kill(int(pid), signal.SIGHUP)
        until("the refusal", lambda: any(
            m.endswith("keeping the old configuration") for m in messages(cursor)))
        assert exchange(live, b"still here") == b"still here"
    assert prop("MainPID") == pid and prop("ActiveState") == "active"
    with connect() as new:
        assert exchange(new, b"and for others") == b"and for others"


def test_bad_file_fails_the_start(cursor):
    CONF.write_text("services = { echo = { listen = 8008; }; };\n")
    assert run("systemctl start selectd", check=False).returncode != 0
    assert prop("ExecMainStatus") == "78"
    assert prop("NRestarts") == "0"
    assert any(m.startswith(f"{CONF}:1: services.echo.listen: 8008 is not legal")
               for m in messages(cursor))


def test_port_in_use_fails_the_start(cursor):
    with socket.create_server(ADDRESS):
        assert run("systemctl start selectd", check=False).returncode != 0
    assert prop("ActiveState") == "failed"
    assert prop("ExecMainStatus") == "71"
    assert "echo: cannot listen on 127.0.0.1:8008: Address already in use" in messages(cursor)


def test_kill_9_while_a_client_connects():
    """With the socket unit nobody is refused: clients wait for the next daemon."""
    run("systemctl start selectd.socket selectd.service")
    for _ in range(5):
        pid = int(until("a daemon", lambda: prop("MainPID") != "0" and prop("MainPID")))
        os.kill(pid, signal.SIGSTOP)  # the client is in the backlog when the daemon dies
        with connect() as client:
            client.sendall(b"hello")
            os.kill(pid, signal.SIGKILL)
            assert client.recv(100) == b"hello"
            until("the next daemon", lambda: prop("MainPID") not in ("0", str(pid)))


def test_kill_9_without_the_socket_unit_restarts():
    run("systemctl start selectd")
    pid = prop("MainPID")
    os.kill(int(pid), signal.SIGKILL)
    until("the restart", lambda: prop("ActiveState") == "active" and prop("MainPID") not in ("0", pid))
    with connect() as client:
        assert exchange(client, b"again") == b"again"


def test_stop_drains(cursor):
    run("systemctl start selectd")
    with connect() as client:
        exchange(client, b"x")
        stop = subprocess.Popen(["systemctl", "stop", "selectd"])
        until("the drain", lambda: any(
            m == "stopping: 1 connection left, waiting at most 30 s" for m in messages(cursor)))
        assert prop("ActiveState") == "deactivating"
        assert exchange(client, b"still answered") == b"still answered"
        with pytest.raises(ConnectionRefusedError):
            connect()
    assert stop.wait(DEADLINE) == 0
    assert prop("Result") == "success"


def test_socket_activation_and_exit_on_idle(cursor):
    """The first client starts it, idleness ends it, again and again, and no limit is tripped."""
    CONF.write_text(ORIGINAL.replace('exit_on_idle = "0"', 'exit_on_idle = "100ms"'))
    run("systemctl start selectd.socket")
    assert prop("ActiveState") == "inactive"
    for _ in range(12):
        with connect() as client:
            assert exchange(client, b"wake up") == b"wake up"
        until("the exit on idle", lambda: prop("ActiveState") == "inactive")
    assert prop("Result") == "success"
    assert prop("ActiveState", "selectd.socket") == "active"
    said = messages(cursor)
    assert "echo: listening on 127.0.0.1:8008 passed by systemd" in said
    assert "idle for 100 ms, exiting" in said


def test_watchdog_ends_a_daemon_that_hangs():
    drop_in("[Service]\nWatchdogSec=1\n")
    run("systemctl start selectd")
    pid = int(prop("MainPID"))
    with connect() as client:
        exchange(client, b"x")
        stopped = time.monotonic()
        os.kill(pid, signal.SIGSTOP)
        until("the restart", lambda: prop("MainPID") not in ("0", str(pid)))
        assert time.monotonic() - stopped >= 0.4  # half a period may have passed already
    assert int(prop("NRestarts")) >= 1


def test_watchdog_leaves_a_daemon_that_turns_alone():
    drop_in("[Service]\nWatchdogSec=500ms\n")
    run("systemctl start selectd")
    fed = {int(prop("WatchdogTimestampMonotonic"))}
    until("four signs of life", lambda: fed.add(int(prop("WatchdogTimestampMonotonic"))) or len(fed) > 4)
    assert prop("NRestarts") == "0"


def test_unprivileged_but_on_port_7_and_a_unix_socket():
    CONF.write_text("""services = { echo = {
        listen = [ "127.0.0.1:7", "unix:/run/selectd/echo.sock" ]; }; };""")
    run("systemctl start selectd")
    assert os.stat(f"/proc/{prop('MainPID')}").st_uid != 0
    assert run("echo seven | selectc 127.0.0.1:7").stdout == "RECEIVE: seven\n"
    assert run("echo unix | selectc unix:/run/selectd/echo.sock").stdout == "RECEIVE: unix\n"


def test_fifteen_hundred_clients_under_select(cursor):
    resource.setrlimit(resource.RLIMIT_NOFILE, (4096, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    CONF.write_text('backend = "select";\n' + ORIGINAL.replace('backend = "auto";', ""))
    run("systemctl start selectd")
    clients = [connect() for _ in range(1500)]
    alive = 0
    for client in clients:
        try:
            client.sendall(b"x")
            alive += client.recv(1) == b"x"
        except (ConnectionResetError, BrokenPipeError):
            pass
    assert 900 < alive < 1024
    until("the one line", lambda: any("turned away" in m for m in messages(cursor)))
    assert [m for m in messages(cursor) if "turned away" in m] == [
        f'turned away {1500 - alive} connections: the limit is {alive}, set by backend = "select"']
    for client in clients:
        client.close()
    assert prop("NRestarts") == "0"
