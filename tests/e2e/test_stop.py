# SPDX-License-Identifier: MIT
"""SIGTERM and SIGINT refuse new clients and serve existing ones until they finish. A second signal ends
at once.
"""
import signal
import socket
import time

import pytest

from harness import (DEADLINE, DRAINING, Daemon, Visitor, config, connect, echo, free_port, more_visits,
                     pattern, recv_exactly, recv_until_eof, service)

BOTH = pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])


@BOTH
def test_nobody_there(backend, number):
    with Daemon(config(backend=backend)) as daemon:
        assert daemon.stop(number) == 0
        assert daemon.log[-1] == "stopped"


@BOTH
def test_drains(backend, number):
    text = config(service(listen=f"127.0.0.1:{free_port()}"),
                  service("slow", listen=f"127.0.0.1:{free_port()}", send_delay=0.3), backend=backend)
    with Daemon(text) as daemon:
        client, slow = daemon.connect(), daemon.connect("slow")
        slow.sendall(b"under way")
        echo(client)
        daemon.signal(number)
        assert daemon.wait_for(DRAINING + "30 s$")[1] == "2"
        for name in ("echo", "slow"):
            with pytest.raises(ConnectionRefusedError):
                daemon.connect(name)
        echo(client, pattern(30_000))
        daemon.signal(signal.SIGHUP)  # the reload comes too late
        slow.shutdown(socket.SHUT_WR)
        assert recv_until_eof(slow) == b"under way"
        echo(client)
        client.close()
        assert daemon.wait() == 0
        assert daemon.log[-1] == "stopped"
        assert not daemon.lines("reload")


def test_drain_timeout(backend):
    timeout = 0.5
    with Daemon(config(drain_timeout=timeout, backend=backend)) as daemon:
        with daemon.connect() as client:
            echo(client)
            began = time.monotonic()
            daemon.signal(signal.SIGTERM)
            assert recv_until_eof(client) == b""
            assert daemon.wait() == 0
            assert time.monotonic() - began >= timeout - 0.001
        assert daemon.lines(DRAINING + "500 ms$")
        assert daemon.lines(" closed: stopping, 5 B in, 5 B out, ")


def test_drain_timeout_of_nothing(backend):
    with Daemon(config(drain_timeout=0, backend=backend)) as daemon, daemon.connect() as client:
        echo(client)
        assert daemon.stop() == 0
        assert daemon.lines(" closed: stopping, ")


@BOTH
def test_second_one_ends_at_once(backend, number):
    with Daemon(config(drain_timeout="1h", backend=backend)) as daemon:
        with daemon.connect() as client:
            echo(client)
            daemon.signal(number)
            daemon.wait_for(DRAINING)
            daemon.signal(signal.SIGTERM)
            assert recv_until_eof(client) == b""
        daemon.wait_for(" closed: stopping, 5 B in, 5 B out, ")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_signals_to_the_very_end(number):
    """Further signals and late reloads do not turn a clean end into a death by signal."""
    for _ in range(10):
        with Daemon(config(drain_timeout=0)) as daemon, daemon.connect() as client:
            echo(client)
            daemon.signal(signal.SIGTERM)
            deadline = time.monotonic() + DEADLINE
            while daemon.process.poll() is None and time.monotonic() < deadline:
                daemon.signal(number)
            assert daemon.wait() == 0


def test_backlog_is_served(backend):
    """A client that connected before the stop is served, accepted or not, and not reset."""
    clients = 200  # more than one turn of the loop accepts
    with Daemon(config(backend=backend)) as daemon:
        daemon.halt()
        socks = [daemon.connect() for _ in range(clients)]
        for i, sock in enumerate(socks):
            sock.sendall(b"%04d" % i)
        daemon.signal(signal.SIGTERM)
        daemon.signal(signal.SIGCONT)
        assert int(daemon.wait_for(DRAINING)[1]) == clients
        for i, sock in enumerate(socks):
            assert recv_exactly(sock, 4) == b"%04d" % i
            sock.shutdown(socket.SHUT_WR)
            assert recv_until_eof(sock) == b""
        assert daemon.wait() == 0
        assert len(daemon.lines(" closed: end of stream, 4 B in, 4 B out, ")) == clients


def test_nobody_is_lost(backend):
    """A client that connects during the stop is served or refused, but never accepted and then dropped.

    This is a race, so the test runs several times, with so many sockets that closing them takes a while.
    Clients that come too late are refused; the next run does not wait for that.
    """
    all_of_them, others = [], ["127.0.0.1:0"] * 50
    for _ in range(10):
        first, middle, last = (f"127.0.0.1:{free_port()}" for _ in range(3))
        text = config(service(listen=[first, *others, middle, *others, last]), backend=backend)
        with Daemon(text) as daemon:
            some = [Visitor(address) for address in (first, middle, last)]
            all_of_them += some
            for visitor in some:
                visitor.start()
            more_visits(some, 5)
            assert daemon.stop() == 0
    for visitor in all_of_them:
        visitor.join(DEADLINE)
        assert visitor.refused and not visitor.lost, visitor.lost


def test_handshake_is_finished(backend):
    """A client in the middle of its handshake is served too.

    This client has TCP_QUICKACK off, as HAProxy does, and delays the last packet of its handshake to send
    data with it. Linux does so for 200 ms.
    """
    with Daemon(config(backend=backend)) as daemon:
        with daemon.connect() as other, socket.socket() as client:
            echo(other)
            client.settimeout(DEADLINE)
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 0)
            client.connect(("127.0.0.1", daemon.port()))
            daemon.signal(signal.SIGTERM)
            daemon.wait_for(DRAINING)
            daemon.wait_for(" connected$", 2)
            echo(client)
        assert daemon.wait() == 0
        assert len(daemon.lines(" closed: end of stream, 5 B in, 5 B out, ")) == 2


def test_exit_on_idle_does_not_cut_a_drain(backend):
    with Daemon(config(backend=backend)) as daemon:
        with daemon.connect() as client:
            daemon.wait_for(" connected$")
            daemon.reload(config(exit_on_idle=0.2, backend=backend))
            daemon.signal(signal.SIGTERM)
            daemon.wait_for(DRAINING)
            echo(client)
        assert daemon.wait() == 0
        assert not daemon.lines("^idle")


def test_unix_file_of_another_stays(tmp_path):
    """A process that has replaced the socket's file keeps its own."""
    path = tmp_path / "echo.sock"
    text = config(service(listen=f"unix:{path}"))
    with Daemon(text) as daemon:
        path.unlink()
        with Daemon(text) as other:
            assert daemon.stop() == 0
            with other.connect() as client:
                echo(client)


def test_unix_file_goes(tmp_path):
    path = tmp_path / "echo.sock"
    with Daemon(config(service(listen=f"unix:{path}"))) as daemon:
        with connect(f"unix:{path}") as client:
            daemon.signal(signal.SIGTERM)
            daemon.wait_for(DRAINING)
            assert not path.exists()
            echo(client)
        assert daemon.wait() == 0
