"""Sockets passed by systemd (sd_listen_fds(3)): matched to services by name, in place of "listen"."""
import signal
import socket

import pytest

from harness import Daemon, activated, backlog_of, config, connect, echo, free_port, service, workers


@pytest.fixture
def socks():
    """Listening sockets, closed here as soon as the daemon has them."""
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
    """Each to the service of its name, whatever the order; own addresses are not bound then."""
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
    (["echo"], ["ohce"]),             # a name of its own that nobody has
    (["echo"], [None, None]),         # two without a name
    (["echo", "second"], [None]),     # one without, but which service?
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


def test_two_of_one_name(backend, socks, tmp_path):
    """Of different kinds: TCP and unix, whose file is systemd's and stays."""
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
    """Passed once for the whole life: a new "listen" does not matter, losing its service is an error."""
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
    """That is for systemd to say (Backlog=)."""
    with socket.create_server(("127.0.0.1", 0), backlog=50) as sock:
        with activated(config(service(backlog=7)), [sock], ["echo"]) as daemon:
            assert backlog_of(sock) == 50
            daemon.reload(config(service(backlog=9)))
            assert backlog_of(sock) == 50


def test_clients_that_came_before(socks):
    """systemd holds the socket while no daemon runs: who connected meanwhile is served."""
    with connect(address(socks[0])) as client:
        client.sendall(b"early")
        with activated(config(), socks[:1], ["echo"]) as daemon:
            assert client.recv(5) == b"early"
            daemon.signal(signal.SIGTERM)
            daemon.wait_for("^stopping: 1 connection left")
