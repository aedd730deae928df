# SPDX-License-Identifier: MIT
"""The kernel's memory for relayed clients that never read stays within the bounds of the page.

The figures are those of the daemon's own sockets, from SO_MEMINFO (sock_diag(7)). The upstreams' sockets
are small, so that the test itself takes little of the memory that it measures.
"""
import contextlib
import socket
import struct

import pytest

from harness import (FILLS_ANY_LINE, Daemon, Steady, config, pattern, push, raise_descriptor_limit,
                     reset, service)

CLIENTS = 300
SO_MEMINFO = 55
RECEIVED, BUFFER, QUEUED = 0, 1, 5  # indices: SK_MEMINFO_RMEM_ALLOC, _RCVBUF, _WMEM_QUEUED
SEND_LIMIT = 1.25 * ((512 << 10) + (64 << 10))  # send_buffer, one more segment, and bookkeeping
RECEIVE_LIMIT = 1 << 20  # twice half of the bytes that were received
LITTLE = 16384


def memory(sock):
    data = sock.getsockopt(socket.SOL_SOCKET, SO_MEMINFO, 64)
    return struct.unpack(f"{len(data) // 4}I", data)


def ports(sock):
    """The ports of a socket and of its peer."""
    with contextlib.suppress(OSError):  # the socket has no peer
        return sock.getsockname()[1], sock.getpeername()[1]
    return (sock.getsockname()[1],)


@contextlib.contextmanager
def relay_that_nobody_reads(backend, n, **keys):
    """Yields the memory of each of the daemon's sockets, for n clients and their upstreams.

    By then the upstreams have sent everything that the way to the clients takes. Meanwhile another client has
    exchanged bytes, and lost none.
    """
    raise_descriptor_limit(8 * n)
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=n))
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, LITTLE)
        address = "127.0.0.1:%d" % listener.getsockname()[1]
        text = config(service("relay", mode="relay", upstream=address, **keys), service("echo"),
                      backend=backend)
        daemon = stack.enter_context(Daemon(text))
        upstreams = []
        for _ in range(n):
            stack.callback(reset, daemon.connect("relay", receive_buffer=LITTLE))
            upstreams.append(listener.accept()[0])
            stack.callback(upstreams[-1].close)
        with Steady(daemon.connect("echo")):
            sent = push(upstreams, pattern(FILLS_ANY_LINE))
        assert max(sent) < FILLS_ANY_LINE
        with daemon.sockets() as socks:
            both = {daemon.port("relay"), listener.getsockname()[1]}
            used = [memory(sock) for sock in socks if not both.isdisjoint(ports(sock))]
            assert len(used) == 2 * n + 1  # and the listening socket
            yield used


@pytest.mark.parametrize("keys, receive_limit", [
    ({}, RECEIVE_LIMIT), ({"receive_buffer": "64K"}, 2 * 65536)], ids=["default", "least"])
def test_bounded(backend, keys, receive_limit):
    clients = CLIENTS if backend != "select" else CLIENTS // 2  # select has 1024 descriptors
    with relay_that_nobody_reads(backend, clients, **keys) as used:
        assert max(one[QUEUED] for one in used) <= SEND_LIMIT
        assert max(one[BUFFER] for one in used) <= receive_limit


def test_unbounded(backend):
    """With 0, only the system's limits hold. This shows that the other test can fail."""
    with relay_that_nobody_reads(backend, 4, send_buffer=0) as used:
        assert max(one[QUEUED] for one in used) > SEND_LIMIT
