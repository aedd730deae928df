# SPDX-License-Identifier: MIT
"""Clients of a hub.

A hub runs on one thread. So when two of its members have exchanged messages, everything that was sent
before has been passed on to every member.
"""
import contextlib
import socket

from .clients import recv_exactly, recv_until_eof
from .configuration import config
from .systemd import activated

SMALL_SEND_BUFFER = 16384  # SO_SNDBUF of the daemon's sockets; other bytes wait in the daemon
SMALL_RECEIVE_BUFFER = 4096  # SO_RCVBUF of a client that does not read


def members(daemon, n, name="hub", **options):
    """Connects n clients, and waits until the hub has all of them as members."""
    connected = rf"^{name}: \S+ connected$"
    before = len(daemon.lines(connected))
    socks = [daemon.connect(name, **options) for _ in range(n)]
    daemon.wait_for(connected, before + n)
    return socks


@contextlib.contextmanager
def small_send_buffers(*services, env=None, **settings):
    """A daemon whose sockets have a small send buffer, inherited from a passed listening socket."""
    with socket.create_server(("127.0.0.1", 0), backlog=4096) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SMALL_SEND_BUFFER)
        with activated(config(*services, **settings), [listener], env=env) as daemon:
            listener.close()
            yield daemon


def tell(sender, listeners, data):
    """Sends data, which must be the next bytes that each of the listeners receives."""
    sender.sendall(data)
    for sock in listeners:
        assert recv_exactly(sock, len(data)) == data


def exchange(a, b, data=b"hello"):
    """Sends one message from a to b and one back. Returns how many bytes each other member was sent."""
    tell(a, [b], data)
    tell(b, [a], b"!")
    return len(data) + 1


def leave_hub(sock):
    """Half-closes. Nothing but the end of the stream may come back."""
    sock.shutdown(socket.SHUT_WR)
    assert recv_until_eof(sock) == b""
