# SPDX-License-Identifier: MIT
"""Sockets passed by systemd (sd_listen_fds(3)) belong to the services of their names, in place of
"listen".
"""
import signal
import socket

import pytest

from harness import Daemon, activated, backlog_of, config, connect, echo, free_port, service, workers


@pytest.fixture
def socks():
    """Listening sockets. The test process closes its copies when the daemon has them."""
    made = [socket.create_server(("127.0.0.1", 0)) for _ in range(3)]
    yield made
    for sock in made:
        sock.close()


def address(sock):
    return "127.0.0.1:%d" % sock.getsockname()[1]


def assert_serves(where):
    with connect(where) as client:
        echo(client)


def assert_refused(where):
    with pytest.raises(ConnectionRefusedError):
        connect(where)


def test_named(backend, socks):
    """Each socket belongs to the service of its name, in any order. A service with a socket does not bind
    "listen".
    """
    a, b, unused = socks
    own = free_port()
    text = config(service("echo", listen=f"127.0.0.1:{own}"), service("second"), service("third"),
                  backend=backend)
    with activated(text, [b, a], ["second", "echo"]) as daemon:
        for sock in socks:
            sock.close()
        assert daemon.lines(rf"^ready: 3 services, {backend}, {workers()[1]}; ")
        listening = sorted(daemon.lines("listening on"))
        assert len(listening) == 3
        assert listening[0] == f"echo: listening on {daemon.addresses()[0]} passed by systemd"
        assert listening[1] == f"second: listening on {daemon.addresses('second')[0]} passed by systemd"
        assert not listening[2].endswith("systemd")
        for name in ("echo", "second", "third"):
            with daemon.connect(name) as client:
                echo(client)
            daemon.wait_for(f"^{name}: .* connected$")
        assert_refused(f"127.0.0.1:{own}")


@pytest.mark.parametrize("names", [None, [""], ["unknown"], ["selectd.socket"]])
def test_one_without_a_name(names, socks):
    with activated(config(), socks[:1], names) as daemon:
        where = address(socks[0])
        assert daemon.lines("listening on") == [f"echo: listening on {where} passed by systemd"]
        socks[0].close()
        assert_serves(where)


@pytest.mark.parametrize("services, names", [
    (["echo"], ["ohce"]),             # a name that no service has
    (["echo"], [None, None]),         # two sockets without a name
    (["echo", "second"], [None]),     # one socket without a name, and two services
    (["echo", "second"], ["echo", "third"]),
])
def test_unmatched(services, names, socks):
    text = config(*map(service, services))
    passed = None if None in names else names
    with activated(text, socks[:len(names)], passed, wait=None) as daemon:
        assert daemon.wait() == 78
        line, = daemon.log
        unmatched = names[-1] or "unknown"
        assert f'"{unmatched}"' in line and ", ".join(services) in line


@pytest.mark.parametrize("names", [None, ["selectd.socket", "selectd.socket"]])
def test_matched_by_address(backend, socks, names):
    """A socket without a name belongs to the service with its address."""
    text = config(service("b", listen=address(socks[1])), service("a", listen=address(socks[0])),
                  backend=backend)
    with activated(text, socks[:2], names) as daemon:
        assert sorted(daemon.lines("listening on")) == [
            f"a: listening on {address(socks[0])} passed by systemd",
            f"b: listening on {address(socks[1])} passed by systemd"]
        assert not daemon.lines("systemd passed")
        for sock in socks:
            sock.close()
        assert_serves(daemon.addresses("a")[0])


def test_one_name_for_two_services(socks):
    """A unit has two ListenStream= and one name. One of its addresses is another service's."""
    first, second = map(address, socks[:2])
    text = config(service("echo", listen=first), service("db", listen=second))
    with activated(text, socks[:2], ["echo", "echo"], wait=None) as daemon:
        assert daemon.wait() == 78
        assert daemon.log == [
            f'db: cannot listen on {second}: systemd passed {second} as "echo"; give the service a '
            "socket unit of its own, with FileDescriptorName=db"]


def test_part_of_what_another_service_wants(socks):
    """A passed address is not equal to another service's, but covers it. A reload finds that out."""
    where = address(socks[0])
    port = where.rpartition(":")[2]
    with activated(config(), socks[:1], ["echo"]) as daemon:
        daemon.reload(config(service("echo"), service("db", listen=f"*:{port}")),
                      rf'db: cannot listen on \*:{port}: systemd passed {where} as "echo"; .*'
                      "keeping the old configuration$")
        socks[0].close()
        assert_serves(where)


def test_passed_is_not_what_the_file_says(backend, socks):
    """The passed socket is used, and the log says once that the addresses differ."""
    first, second, _ = map(address, socks)
    own = f"127.0.0.1:{free_port()}"
    passed = f"{first}, {second}"

    def warning(listen):
        return (f"echo: systemd passed {passed}, which is used, but listen is {listen}: let "
                "ListenStream= of the socket unit and listen say the same")

    def text(*listen):
        return config(service("echo", listen=listen), backend=backend)

    with activated(text(own), socks[:2], ["echo", "echo"]) as daemon:
        for sock in socks:
            sock.close()
        assert daemon.lines("systemd passed") == [warning(own)]
        daemon.reload(text(second, first))
        assert len(daemon.lines("systemd passed")) == 1
        daemon.reload(text(first, second, own))  # an address that no socket has
        assert daemon.lines("systemd passed")[1:] == [warning(f"{first}, {second}, {own}")]
        assert_serves(first)
        assert_refused(own)


def test_none_passed():
    """LISTEN_FDS=0 means that no socket was passed."""
    with Daemon(config(), env={"LISTEN_FDS": "0"},
                wrapper=["sh", "-c", 'LISTEN_PID=$$ exec "$@"', "sh"]) as daemon:
        assert_serves(daemon.addresses()[0])


def test_name_with_a_line_end(socks):
    """A name with a newline is escaped in the log."""
    with activated(config(), socks[:1], ["ec\nho\x1b"], wait=None) as daemon:
        assert daemon.wait() == 78
        line, = daemon.log
        assert r'"ec\nho\x1b"' in line


def test_two_of_one_name(backend, socks, tmp_path):
    """A service gets a TCP and a unix socket of its name. The file of the unix socket is systemd's, and
    stays.
    """
    path = tmp_path / "echo.sock"
    with socket.socket(socket.AF_UNIX) as unix:
        unix.bind(str(path))
        unix.listen()
        with activated(config(backend=backend), [socks[0], unix], ["echo", "echo"]) as daemon:
            assert daemon.addresses() == [address(socks[0]), f"unix:{path}"]
            for i in range(2):
                with daemon.connect(i=i) as client:
                    echo(client)
            assert daemon.stop() == 0
    assert path.exists()


def test_meant_for_another_process(socks):
    with activated(config(), socks[:1], ["echo"], {"LISTEN_PID": "1"}) as daemon:
        assert daemon.addresses() != [address(socks[0])]
        assert not daemon.lines("passed by systemd")
        assert_serves(daemon.addresses()[0])


def test_not_a_listening_socket():
    with socket.socket() as sock, activated(config(), [sock], ["echo"], wait=None) as daemon:
        assert daemon.wait() != 0
        assert daemon.lines('"echo".* not a listening stream socket')


def test_reload_keeps_it(backend, socks):
    """A socket is passed once for the life of the daemon. A new "listen" does not matter; losing its service
    is an error.
    """
    text = config(service("echo", listen=f"127.0.0.1:{free_port()}", backlog=7), backend=backend)
    where = address(socks[0])
    with activated(config(backend=backend), socks[:1], ["echo"]) as daemon:
        socks[0].close()
        daemon.reload(text)
        assert len(daemon.lines("listening on")) == 1
        assert_serves(where)
        daemon.reload(config(service("other"), backend=backend), "; keeping the old configuration$")
        assert daemon.lines('"echo".*other')
        assert_serves(where)
        daemon.reload(config(service("other"), service("echo"), backend=backend))
        assert_serves(where)
        assert_serves(daemon.addresses("other")[0])


def test_its_backlog_is_left_alone():
    """The backlog of a passed socket is systemd's to set (Backlog=)."""
    with socket.create_server(("127.0.0.1", 0), backlog=50) as sock:
        with activated(config(service(backlog=7)), [sock], ["echo"]) as daemon:
            assert backlog_of(sock) == 50
            daemon.reload(config(service(backlog=9)))
            assert backlog_of(sock) == 50


def test_clients_that_came_before(socks):
    """Clients that connected to the socket before the start of the daemon are served."""
    with connect(address(socks[0])) as client:
        client.sendall(b"early")
        with activated(config(), socks[:1], ["echo"]) as daemon:
            assert client.recv(5) == b"early"
            daemon.signal(signal.SIGTERM)
            daemon.wait_for("^stopping: 1 connection left")
