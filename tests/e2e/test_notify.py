# SPDX-License-Identifier: MIT
"""The datagrams that the service manager receives through NOTIFY_SOCKET (sd_notify(3))."""
import signal
import socket
import time

import pytest

from harness import Daemon, Manager, config, connect, echo, in_time, service


def test_a_life(backend, manager, tmp_path):
    address = f"unix:{tmp_path}/echo.sock"
    text = config(service(listen=address), backend=backend)
    with Daemon(text, wait=None, env=manager.env) as daemon:
        assert manager.next() == {"READY": "1", "STATUS": "0 connections, 1 service"}
        client = connect(address)  # the daemon listens when it says that it is ready
        echo(client)
        manager.wait_for_status("1 connection, 1 service")

        before = time.monotonic_ns() // 1000
        daemon.reload(text)
        reloading, ready = manager.next(), manager.next()
        assert reloading["RELOADING"] == "1"
        assert before <= int(reloading["MONOTONIC_USEC"]) <= time.monotonic_ns() // 1000
        assert ready == {"READY": "1", "STATUS": "1 connection, 1 service"}

        daemon.reload("services = 1;\n", "; keeping the old configuration$")
        assert manager.next()["RELOADING"] == "1"
        failed = manager.next()
        assert failed["READY"] == "1" and "failed" in failed["STATUS"]

        daemon.signal(signal.SIGTERM)
        stopping = manager.next()
        assert stopping["STOPPING"] == "1"
        # The manager's own stop timeout must not cut short the drain or what follows it.
        assert int(stopping["EXTEND_TIMEOUT_USEC"]) > 30_000_000
        client.close()
        assert daemon.wait() == 0
        assert not [m for m in manager.left() if "READY" in m or "WATCHDOG" in m]


def test_status_is_kept_current(backend, manager):
    with Daemon(config(service(), service("b"), backend=backend), env=manager.env) as daemon:
        for n in (1, 2, 0):
            clients = [daemon.connect() for _ in range(n)]
            manager.wait_for_status(f"{n} connection{'' if n == 1 else 's'}, 2 services")
            for client in clients:
                client.close()


def test_never_ready(manager):
    """A daemon that does not start never sends READY."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        text = config(service(listen=["127.0.0.1:0", "127.0.0.1:%d" % taken.getsockname()[1]]))
        with Daemon(text, wait=None, env=manager.env) as daemon:
            assert daemon.wait() == 71
    assert not [m for m in manager.left() if "READY" in m]


def test_idle_exit_says_so(manager):
    with Daemon(config(exit_on_idle=0.1), env=manager.env) as daemon:
        assert daemon.wait() == 0
        assert [m for m in manager.left() if "STOPPING=1" in m]


def test_watchdog(backend, manager):
    """WATCHDOG=1 comes at least twice in each period while the loop runs."""
    period = 0.4

    def measure():
        at = []
        for _ in range(2):
            assert manager.next() == {"WATCHDOG": "1"}
            at.append(time.monotonic())
        return at[1] - at[0]

    env = {**manager.env, "WATCHDOG_USEC": str(int(period * 1e6))}
    with Daemon(config(backend=backend), env=env) as daemon, daemon.connect() as client:
        assert manager.next()["READY"] == "1"
        in_time(measure, period / 2)
        echo(client)
        daemon.signal(signal.SIGTERM)  # the watchdog covers a drain as well
        while "STOPPING" not in manager.next():
            pass
        assert manager.next() == {"WATCHDOG": "1"}
        client.close()
        assert daemon.wait() == 0


def test_nobody_watches(manager):
    env = {**manager.env, "WATCHDOG_USEC": "100000", "WATCHDOG_PID": "1"}  # WATCHDOG_PID is another process
    with Daemon(config(exit_on_idle=0.5), env=env) as daemon:
        assert daemon.wait() == 0
    assert not [m for m in manager.left() if "WATCHDOG" in m]


def test_manager_gone(manager):
    """The daemon logs the failure at the start and after a reload, and continues to serve."""
    env = {"NOTIFY_SOCKET": manager.address + ".gone"}
    with Daemon(config(), env=env) as daemon, daemon.connect() as client:
        daemon.reload(config())
        daemon.wait_for("^cannot notify the service manager: .*; it may ", 2)
        echo(client)
        assert len(daemon.lines("^cannot notify")) == 2


def test_abstract_name(tmp_path):
    manager = Manager(tmp_path, abstract=True)
    with manager.sock, Daemon(config(), wait=None, env=manager.env):
        assert manager.next() == {"READY": "1", "STATUS": "0 connections, 1 service"}


@pytest.mark.parametrize("address", ["relative", "@" + "x" * 200, "/" + "x" * 200, "vsock:2:1", ""])
def test_address_of_no_use(address):
    with Daemon(config(), env={"NOTIFY_SOCKET": address}) as daemon, daemon.connect() as client:
        daemon.wait_for("^cannot notify the service manager: .*; it may ")
        echo(client)
