# SPDX-License-Identifier: MIT
"""SIGHUP puts a changed file into force as a whole or not at all, and existing connections go on."""
import signal
import socket
import threading
import time

import pytest

from harness import (DEADLINE, EARLY, Daemon, Steady, backlog_of, config, connect, echo, free_port,
                     name_of, recv_exactly, recv_until_eof, service, until)

KEPT = "; keeping the old configuration$"


def assert_refused(address):
    with pytest.raises((ConnectionRefusedError, FileNotFoundError)):
        connect(address)


def test_live_connections_survive(backend):
    text = config(service("echo"), service("slow", send_delay=0.4), backend=backend)
    with Daemon(text) as daemon, Steady(daemon.connect()), daemon.connect("slow") as slow:
        addresses = daemon.addresses()
        slow.sendall(b"under way")
        for _ in range(5):
            daemon.reload(text)
        assert recv_exactly(slow, 9) == b"under way"
        assert daemon.addresses() == addresses  # the socket is not opened again
        assert not daemon.lines("no longer listening")


def test_new_values_hold_for_live_connections(backend):
    with Daemon(config(backend=backend)) as daemon, daemon.connect() as client:
        echo(client)
        daemon.reload(config(service(send_delay=0.3), backend=backend, log_level="debug"))
        assert not daemon.lines(" received ")
        began = time.monotonic()
        echo(client)
        assert time.monotonic() - began >= 0.3 - EARLY
        daemon.wait_for(" received 5 bytes$")

        daemon.reload(config(backend=backend, log_level="debug", log_payload=True))
        echo(client, b"shown")
        daemon.wait_for(' received 5 bytes "shown"$')

        daemon.reload(config(service(idle_timeout=0.3), backend=backend, log_level="notice"))
        assert recv_until_eof(client) == b""
    assert not daemon.lines(" closed: ")  # at level notice


def test_idle_timeout_of_live_connections(backend):
    """A reload shortens the timeout, and another one removes it."""
    with Daemon(config(service(idle_timeout="1h"), backend=backend)) as daemon:
        with daemon.connect() as goes:
            echo(goes)
            daemon.reload(config(service(idle_timeout=0.2), backend=backend))
            assert recv_until_eof(goes) == b""
            daemon.wait_for(" closed: idle timeout, ")
        daemon.reload(config(service(idle_timeout=1.5), backend=backend))
        with daemon.connect() as stays:
            echo(stays)
            daemon.reload(config(service(idle_timeout=0), backend=backend))
            stays.settimeout(2)
            with pytest.raises(TimeoutError):
                stays.recv(1)
            stays.settimeout(DEADLINE)
            echo(stays)


def test_a_service_of_another_mode():
    """Existing connections go on as they began, and nothing of the new service affects them."""
    with Daemon(config()) as daemon, daemon.connect() as client:
        echo(client)
        daemon.reload(config(service(mode="hub", send_delay="1h")))
        echo(client)


def test_backlog():
    """A new backlog applies to the existing socket."""
    with Daemon(config(service(backlog=100))) as daemon:
        for backlog in 100, 7:
            daemon.reload(config(service(backlog=backlog)))
            with daemon.sockets() as socks:
                assert [*map(backlog_of, socks)] == [backlog]
        assert len(daemon.lines("listening on")) == 1


def test_listeners_come_and_go(backend, tmp_path):
    path = f"unix:{tmp_path}/echo.sock"
    before = config(service(), service("old", listen=path), backend=backend)
    after = config(service(listen=["127.0.0.1:0", f"[::1]:{free_port()}"]), service("new"),
                   backend=backend)
    with Daemon(before) as daemon, daemon.connect() as client, daemon.connect("old") as orphan:
        echo(orphan)
        daemon.reload(after, "^reloaded .*: 2 services$")
        assert daemon.lines(rf"^old: no longer listening on {path}$")
        assert_refused(path)
        for name, i in (("echo", 0), ("echo", 1), ("new", 0)):
            with daemon.connect(name, i) as other:
                echo(other)
        echo(client)
        echo(orphan)  # its service is gone, but the connection is not

        addresses = daemon.addresses("echo")
        daemon.reload(before)
        assert_refused(addresses[1])
        with connect(addresses[0]) as again, connect(path) as back:
            echo(again)
            echo(back)
        orphan.shutdown(socket.SHUT_WR)
        assert recv_until_eof(orphan) == b""
        daemon.wait_for(r"^old: .* closed: end of stream, 10 B in, 10 B out, ")


def test_port_of_the_system_stays_with_its_service(backend):
    """Services keep their sockets with port 0, in whatever order the file lists them."""
    a, b = service("a"), service("b")
    with Daemon(config(a, b, backend=backend)) as daemon:
        daemon.reload(config(b, a, backend=backend))
        for name in ("a", "b"):
            with daemon.connect(name) as client:
                echo(client)
                daemon.wait_for(f"^{name}: {name_of(client)} connected$")
        assert len(daemon.lines("listening on")) == 2


def test_unix_file_that_is_gone(tmp_path):
    """A reload opens a new socket if the file of the old one is gone."""
    path = tmp_path / "echo.sock"
    text = config(service(listen=f"unix:{path}"))
    with Daemon(text) as daemon, daemon.connect() as client:
        path.unlink()
        daemon.reload(text)
        with daemon.connect() as other:
            echo(other)
        echo(client)


def test_listener_changes_hands(backend):
    """One service gives up an address, and another one takes it."""
    address = f"127.0.0.1:{free_port()}"
    with Daemon(config(service("a", listen=address), backend=backend)) as daemon:
        with connect(address) as client:
            echo(client)
            daemon.reload(config(service("b", listen=address), backend=backend))
            echo(client)
        with connect(address) as client:
            echo(client)
        daemon.wait_for("^b: .* connected$")


def test_overlapping_address_without_a_gap(backend):
    """A reload moves from one address to the wildcard and back, while clients keep connecting. None is
    refused or reset.
    """
    port = free_port()
    texts = [config(service(listen=f"{host}:{port}"), backend=backend, log_level="notice")
             for host in ("127.0.0.1", "*", "0.0.0.0")]
    reloads, enough, errors, served = 30, threading.Event(), [], [0, 0]

    def clients(i):
        while not enough.is_set():
            try:
                with connect(f"127.0.0.1:{port}") as client:
                    echo(client)
                served[i] += 1
            except (OSError, AssertionError) as error:
                errors.append(error)
                return

    with Daemon(texts[0]) as daemon:
        threads = [threading.Thread(target=clients, args=(i,)) for i in range(len(served))]
        for thread in threads:
            thread.start()
        try:
            for i in range(1, reloads + 1):
                before = sum(served)
                daemon.reload(texts[i % 3], "^reloaded |keeping")
                until(lambda: errors or sum(served) > before + 2)
        finally:
            enough.set()
            for thread in threads:
                thread.join()
        assert not daemon.lines("keeping")
        assert not errors


def test_bad_file_changes_nothing(backend):
    good = config(service(), backend=backend)
    bad = config(service(send_delay="1h"), service("other", listen="nowhere"),
                 backend=backend, log_level="debug", max_connections=1)
    with Daemon(good) as daemon, Steady(daemon.connect()):
        daemon.reload(bad, KEPT)
        assert daemon.lines(rf"^{daemon.path}:10: services\.other\.listen: \"nowhere\" ")
        with daemon.connect() as client:
            echo(client)
        daemon.reload(bad, KEPT)
        daemon.reload(good)
        assert not daemon.lines(" received ")


def test_port_in_use_changes_nothing(backend):
    """The last of several new addresses is in use: no socket is opened or closed."""
    with Daemon(config(backend=backend)) as daemon, daemon.connect() as client:
        echo(client)
        open_before = daemon.descriptors()
        with socket.create_server(("127.0.0.1", 0)) as taken:
            free, port = free_port(), taken.getsockname()[1]
            daemon.reload(config(service(listen=[f"127.0.0.1:{free}", f"127.0.0.1:{port}"],
                                         send_delay="1h"), backend=backend), KEPT)
            assert daemon.lines(rf"echo: .*127\.0\.0\.1:{port}: Address already in use")
        assert_refused(f"127.0.0.1:{free}")
        assert daemon.descriptors() == open_before
        echo(client)
        with daemon.connect() as other:
            echo(other)


def test_a_second_daemon_cannot_take_the_port(backend):
    """Only sockets of the same daemon may overlap, during a reload."""
    port = free_port()
    texts = [config(service(listen=f"{host}:{port}"), backend=backend) for host in ("127.0.0.1", "*")]
    with Daemon(texts[0]) as daemon:
        for text in (texts[1], texts[0]):
            daemon.reload(text, "^reloaded |keeping")
            with Daemon(text, wait=None) as second:
                assert second.wait() == 71
        assert len(daemon.lines("^reloaded ")) == 2


def test_no_listener_stays_open_to_sharing():
    """SO_REUSEPORT is set only while addresses overlap. Otherwise other programs of the user could share the
    port.
    """
    port = free_port()
    with Daemon(config(service(listen=f"127.0.0.1:{port}"))) as daemon:
        def assert_alone():
            with daemon.sockets() as socks:
                assert not any(sock.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT) for sock in socks)

        assert_alone()
        daemon.reload(config(service(listen=[f"*:{port}", "127.0.0.1:0"])))
        assert_alone()
        with socket.create_server(("127.0.0.1", 0), reuse_port=True) as of_another:
            address = "127.0.0.1:%d" % of_another.getsockname()[1]
            daemon.reload(config(service(listen=address)), KEPT)  # the daemon does not join it either
        assert_alone()


def test_backend_needs_a_restart():
    with Daemon(config(backend="epoll")) as daemon, daemon.connect() as client:
        daemon.reload(config(backend="poll"))
        assert daemon.lines('^backend is "epoll" until selectd is restarted, then "poll"$')
        daemon.reload(config(backend="select"))
        assert daemon.lines('^backend is "epoll" until selectd is restarted, then "select"$')
        daemon.reload(config(backend="epoll"))
        assert len(daemon.lines("^backend is ")) == 2
        echo(client)


def test_many_at_once(backend):
    """Many signals arrive, and some of them merge. The last file is in force in the end."""
    with Daemon(config(backend=backend)) as daemon, Steady(daemon.connect()):
        for _ in range(50):
            daemon.signal(signal.SIGHUP)
        daemon.reload(config(service("last", listen="0.0.0.0:0"), backend=backend))
        daemon.wait_for("^last: listening on ")
        with daemon.connect("last") as client:
            echo(client)
