# SPDX-License-Identifier: MIT
"""Socket options of a service: keepalive, user_timeout, receive_buffer and send_buffer.

A peer vanishes when a filter on its socket drops every packet that arrives (socket(7)). From then on its
host neither acknowledges nor resets, as after a power failure.
"""
import contextlib
import ctypes
import socket
import struct
import time

import pytest

from harness import (Daemon, activated, config, echo, in_time, listening, pattern, recv_exactly, relayed,
                     sending, service, until)

SO_ATTACH_FILTER = 26
SO_BUF_LOCK = 72
TCP_NOTSENT_LOWAT = 25
OPTIONS = {  # of the daemon's sockets, by the names that the tests use
    "keepalive": (socket.SOL_SOCKET, socket.SO_KEEPALIVE),
    "idle": (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE),
    "interval": (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL),
    "probes": (socket.IPPROTO_TCP, socket.TCP_KEEPCNT),
    "user_timeout": (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT),
    "unsent": (socket.IPPROTO_TCP, TCP_NOTSENT_LOWAT),
    "no_delay": (socket.IPPROTO_TCP, socket.TCP_NODELAY),
}
KEYS = {"keepalive": "1min", "user_timeout": "90s", "receive_buffer": "64K", "send_buffer": "32K"}
SET = {"keepalive": 1, "idle": 60, "interval": 12, "probes": 5, "user_timeout": 90_000, "unsent": 32768,
       "no_delay": 1}
SETTLES = pattern(5000)  # after so many bytes both sockets of a relay have all their options
DEFAULT = {"keepalive": 1, "idle": 120, "interval": 24, "probes": 5, "user_timeout": 0,
           "unsent": 524288, "no_delay": 1}


def options(sock):
    return {name: sock.getsockopt(*option) for name, option in OPTIONS.items()}


def is_sized(sock):
    """Whether selectd, and not the system, sets the size of the receive buffer."""
    return bool(sock.getsockopt(socket.SOL_SOCKET, SO_BUF_LOCK) & 2)


@contextlib.contextmanager
def settled(backend="epoll", **keys):
    """A relayed pair, as relayed() yields it, that has moved bytes."""
    with relayed(backend, **keys) as (daemon, client, server):
        client.sendall(SETTLES)
        assert recv_exactly(server, len(SETTLES)) == SETTLES
        yield daemon, client, server


def vanish(sock):
    """From now on, every packet to this socket is lost."""
    program = ctypes.create_string_buffer(struct.pack("HBBI", 6, 0, 0, 0))  # return 0: keep nothing
    sock.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER,
                    struct.pack("HxxxxxxP", 1, ctypes.addressof(program)))


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]"])
def test_both_sides(backend, host):
    """Listening sockets, clients and upstreams have the options of their service."""
    with listening(host=host.strip("[]")) as (listener, address):
        relay = service("relay", listen=f"{host}:0", mode="relay", upstream=address, **KEYS)
        with Daemon(config(relay, backend=backend)) as daemon, daemon.connect("relay") as client:
            with listener.accept()[0] as server, daemon.sockets() as socks:
                client.sendall(SETTLES)
                assert recv_exactly(server, len(SETTLES)) == SETTLES
                assert len(socks) == 3
                assert [options(sock) for sock in socks] == [SET] * 3
                assert [is_sized(sock) for sock in socks].count(True) == 2  # the listening socket is not


def test_defaults(backend):
    with settled(backend) as (daemon, _, _), daemon.sockets() as socks:
        assert [options(sock) for sock in socks] == [DEFAULT] * 3
        assert [is_sized(sock) for sock in socks].count(True) == 2


def test_little_is_sent(backend):
    """A socket gets all its options in a while even if little or nothing is sent."""
    with listening() as (listener, address):
        text = config(service("relay", mode="relay", upstream=address, **KEYS), backend=backend)
        with Daemon(text) as daemon, daemon.connect("relay"), listener.accept()[0]:
            with daemon.sockets() as socks:
                until(lambda: [options(sock) for sock in socks] == [SET] * 3, "the options")
                until(lambda: [is_sized(sock) for sock in socks].count(True) == 2, "the bounds")


def test_receive_buffer(backend):
    """The buffer grows with the bytes received, to at most twice the key, as Linux counts."""
    data = pattern(8 << 20)
    with settled(backend, receive_buffer="256K") as (daemon, client, server):
        with sending(client, data):
            assert recv_exactly(server, len(data)) == data
        with daemon.sockets() as socks:
            sizes = [sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) for sock in socks]
        assert 256 << 10 <= max(sizes) <= 512 << 10


@pytest.mark.parametrize("span, idle, interval, probes", [
    ("1ms", 1, 1, 1), (1, 1, 1, 1), ("1500ms", 2, 1, 2), (7, 7, 1, 5), ("32767s", 32767, 6553, 5)])
def test_probes_follow_from_the_idle_time(span, idle, interval, probes):
    """Probe times are whole seconds. The last probe comes at twice the idle time or earlier."""
    with settled(keepalive=span) as (daemon, _, _), daemon.sockets() as socks:
        for sock in socks:
            assert options(sock) == {**DEFAULT, "idle": idle, "interval": interval, "probes": probes}
    assert idle + interval * probes <= 2 * idle


def test_off(backend):
    keys = {"keepalive": 0, "user_timeout": 0, "send_buffer": 0}
    with settled(backend, receive_buffer=0, **keys) as (daemon, _, _), daemon.sockets() as socks:
        for sock in socks:
            assert not is_sized(sock)
            assert not options(sock)["keepalive"] and not options(sock)["unsent"]


def test_reload(backend):
    """A reload changes the options of later connections only."""
    def every_socket(daemon):
        with daemon.sockets() as socks:
            return [options(sock) for sock in socks]

    with listening() as (listener, address):
        def text(**keys):
            return config(service("relay", mode="relay", upstream=address, **keys), backend=backend)

        with Daemon(text()) as daemon, contextlib.ExitStack() as stack:
            def one_more():
                client = stack.enter_context(daemon.connect("relay"))
                server = stack.enter_context(listener.accept()[0])
                client.sendall(SETTLES)
                assert recv_exactly(server, len(SETTLES)) == SETTLES

            one_more()
            daemon.reload(text(**KEYS))
            one_more()
            assert sorted(every_socket(daemon), key=str) == sorted([DEFAULT] * 2 + [SET] * 3, key=str)
            daemon.reload(text())
            one_more()
            assert every_socket(daemon).count(DEFAULT) == 2 + 3


def test_passed_socket(backend):
    """A passed socket gets the options, and so do clients that connected before the start."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        early = socket.create_connection(listener.getsockname(), timeout=20)
        with activated(config(service(**KEYS), backend=backend), [listener]) as daemon, early:
            echo(early)
            with daemon.connect() as late:
                echo(late)
                with daemon.sockets() as socks:
                    assert [options(sock) for sock in socks] == [SET] * 3


@pytest.mark.parametrize("side", ["client", "upstream"])
def test_vanished_idle_peer(backend, side):
    """The peer is noticed within twice the keepalive time, and the other side is reset."""
    def seconds():
        with settled(backend, keepalive="1s") as (daemon, client, server):
            gone, other = (client, server) if side == "client" else (server, client)
            vanish(gone)
            began = time.monotonic()
            with pytest.raises(ConnectionResetError):
                other.recv(1)
            took = time.monotonic() - began
            daemon.wait_for(r"^relay: .* closed: (upstream \S+: )?timed out, ")
            assert took > 0.9
            return took

    in_time(seconds, 2.5)


@pytest.mark.parametrize("side", ["client", "upstream"])
def test_vanished_peer_with_bytes_under_way(backend, side):
    """The peer is noticed at the first retransmission after user_timeout."""
    with settled(backend, user_timeout="1s", keepalive=0) as (daemon, client, server):
        gone, other = (client, server) if side == "client" else (server, client)
        vanish(gone)
        other.sendall(b"is anybody there?")
        with pytest.raises(ConnectionResetError):
            other.recv(1)
        daemon.wait_for(r"^relay: .* closed: (upstream \S+: )?timed out, ")


def test_user_timeout_counts_while_the_peer_does_not_read():
    """A peer that acknowledges but reads nothing for this time is reset too, as the page says."""
    with settled(user_timeout="1s") as (daemon, _, server):
        server.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while True:
                server.send(pattern(1 << 20))
        daemon.wait_for(r"^relay: .* closed: timed out, ")
