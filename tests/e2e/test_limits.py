"""More clients than there are places: the excess is turned away and counted in one line."""

import pytest

from harness import Daemon, config, echo, raise_descriptor_limit, recv_exactly

MANY = 1500


def is_served(sock):
    """Whether the daemon answers this client; it has turned it away if not."""
    try:
        sock.sendall(b"?")
        return recv_exactly(sock, 1) == b"?"
    except (ConnectionResetError, BrokenPipeError):
        return False


def served(socks):
    return [sock for sock in socks if is_served(sock)]


def test_max_connections(backend):
    with Daemon(config(max_connections=3, backend=backend)) as daemon:
        inside = [daemon.connect() for _ in range(3)]
        for sock in inside:
            echo(sock)
        assert not served([daemon.connect() for _ in range(4)])
        for sock in inside:
            echo(sock)
        inside.pop().close()
        daemon.wait_for(" closed: end of stream, ")
        again = daemon.connect()
        echo(again)
        for sock in [again, *inside]:
            sock.close()
        assert daemon.stop() == 0
        assert [line for line in daemon.log if "turned away" in line] == \
            ["turned away 4 connections: the limit is 3, set by max_connections"]


def test_limit_changed_by_reload():
    with Daemon(config(max_connections=1)) as daemon:
        first = daemon.connect()
        echo(first)
        assert not is_served(daemon.connect())
        daemon.reload(config(max_connections=2))
        second = daemon.connect()
        echo(second)
        daemon.reload(config(max_connections=1))
        assert not is_served(daemon.connect())
        echo(first)  # who is in stays
        echo(second)


@pytest.fixture
def crowd():
    """Connects many clients to a daemon, and parts from them at the end."""
    raise_descriptor_limit(MANY + 200)
    socks = []

    def connect(daemon, n):
        socks.extend(daemon.connect() for _ in range(n))
        return socks[-n:]

    yield connect
    for sock in socks:
        sock.close()


def test_too_many_for_select(crowd):
    """libevent's select aborts the process on descriptor 1024: it must never get that far."""
    with Daemon(config(backend="select")) as daemon:
        admitted = served(crowd(daemon, MANY))
        assert 900 < len(admitted) < 1024
        assert max(daemon.descriptors()) < 1024

        # The line comes by itself, once, a while after the first was turned away.
        line = daemon.wait_for(r"^turned away (\d+) connections: the limit is (\d+), ")
        assert int(line[1]) == MANY - len(admitted)
        assert int(line[2]) == len(admitted)

        for sock in admitted[:100]:
            sock.close()
        daemon.wait_for(" closed: end of stream, ", 100)
        assert len(served(crowd(daemon, 100))) == 100
        assert len(served(admitted[100:])) == len(admitted) - 100
        assert max(daemon.descriptors()) < 1024
        assert len(daemon.lines("turned away")) == 1


@pytest.mark.parametrize("other", ["epoll", "poll"])
def test_not_too_many_for(other, crowd):
    with Daemon(config(backend=other)) as daemon:
        assert len(served(crowd(daemon, MANY))) == MANY
        assert not daemon.lines("turned away")


def test_as_many_as_descriptors_hold(backend):
    """With no max_connections, the descriptor limit is the limit, and enough are kept back."""
    with Daemon(config(backend=backend), wrapper=["prlimit", "--nofile=100:100"]) as daemon:
        socks = [daemon.connect() for _ in range(150)]
        admitted = served(socks)
        assert 50 <= len(admitted) < 100
        # A reload, which opens a file and a socket, still works with every place taken.
        daemon.reload(config(backend=backend, log_level="notice"))
        assert len(served(admitted)) == len(admitted)
        assert daemon.stop_now() == 0
        line, = daemon.lines("turned away")
        assert line == (f"turned away {150 - len(admitted)} connections: the limit is "
                        f"{len(admitted)}, set by the descriptor limit (LimitNOFILE=)")
        assert not daemon.lines("cannot accept")
