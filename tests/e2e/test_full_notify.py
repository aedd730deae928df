# SPDX-License-Identifier: MIT
"""A service manager that does not read: NOTIFY_SOCKET is full, and the daemon does not wait for it."""
import socket
import time
from signal import SIGTERM

import pytest

from harness import DEADLINE, Daemon, Manager, config, echo

STUFFING = "STUFFING=1"


@pytest.fixture
def full(tmp_path):
    """A manager whose socket is full."""
    manager = Manager(tmp_path)
    senders, room = [], True
    while room:  # one sender might reach its own limit first
        senders.append(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
        senders[-1].setblocking(False)
        room = stuff(senders[-1], manager.address)
    yield manager
    for sock in (manager.sock, *senders):
        sock.close()


def stuff(sender, address):
    """Sends until the socket is full. Returns the number of messages."""
    for n in range(1 << 20):
        try:
            sender.sendto(STUFFING.encode(), address)
        except BlockingIOError:
            return n
    raise AssertionError("always room")


def next_state(manager):
    """The next message that is not stuffing, a status alone or a watchdog message."""
    while True:
        message = manager.next()
        if not {*message} & {"STUFFING", "WATCHDOG"}:
            return message


def wait_for_ready(manager, status):
    """Waits for READY. The status comes with it, or after it if a client had not quite left."""
    message = next_state(manager)
    assert message["READY"] == "1"
    if message["STATUS"] != status:
        manager.wait_for_status(status)


def serve(daemon, seconds):
    """Serves clients one after the other, for longer than the status may be delayed."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with daemon.connect() as client:
            echo(client)


def test_ready_is_told_late(full, backend):
    """Meanwhile the daemon serves and reloads. READY then comes with the newest status."""
    with (Daemon(config(backend=backend), env=full.env) as daemon, daemon.connect() as client):
        serve(daemon, 1.5)
        daemon.reload(config(backend=backend))
        daemon.reload(config(backend=backend))
        echo(client)
        assert len(daemon.lines("^the service manager takes no messages; READY=1 is sent later")) == 1
        wait_for_ready(full, "1 connection, 1 service")
        daemon.reload(config(backend=backend))
        assert next_state(full)["RELOADING"] == "1"
        assert next_state(full)["READY"] == "1"


def test_full_while_it_runs(tmp_path, backend):
    """The end of a reload and the newest status are sent late. Watchdog messages are dropped."""
    manager = Manager(tmp_path)
    env = {**manager.env, "WATCHDOG_USEC": "100000"}
    with (manager.sock, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender,
          Daemon(config(backend=backend), env=env) as daemon):
        sender.setblocking(False)
        assert next_state(manager)["READY"] == "1"
        stuff(sender, manager.address)
        clients = [daemon.connect() for _ in range(3)]
        serve(daemon, 1.5)
        daemon.reload("services = 1;\n", "; keeping the old configuration$")
        echo(clients[0])
        # The reload ended long ago, so only its end is sent.
        wait_for_ready(manager, "3 connections, 1 service; the last reload failed")
        while "WATCHDOG" not in manager.next():
            pass
        for client in clients:
            client.close()
        manager.wait_for_status("0 connections, 1 service; the last reload failed")


def test_stop(full, backend):
    """SIGTERM stops the daemon. The manager gets the message when it reads."""
    with (Daemon(config(backend=backend), env=full.env) as daemon, daemon.connect() as client):
        echo(client)
        daemon.signal(SIGTERM)
        daemon.wait_for("^stopping: 1 connection left")
        echo(client)
        assert next_state(full)["READY"] == "1"
        stopping = next_state(full)
        assert stopping["STOPPING"] == "1"
        assert int(stopping["EXTEND_TIMEOUT_USEC"]) > 30_000_000
        full.wait_for_status("stopping: 1 connection, 1 service")
        client.close()
        assert daemon.wait() == 0


def test_stop_unheard(full, backend):
    """A manager that never reads does not keep the daemon from exiting."""
    with Daemon(config(backend=backend), env=full.env) as daemon:
        began = time.monotonic()
        assert daemon.stop() == 0
        assert time.monotonic() - began < DEADLINE / 2
