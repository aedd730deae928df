# SPDX-License-Identifier: MIT
"""A relay and a hub pass on an urgent byte at its place in the stream, both ways, and lose none.

A peer that reads urgent data inline (SO_OOBINLINE, as telnetd and FTP servers do) sees the byte at its
place, with the mark in front of it unless something delayed the byte.
"""
import contextlib
import fcntl
import select
import signal
import socket
import struct
import threading

import pytest

from harness import (DEADLINE, FILLS_ANY_LINE, Daemon, config, pattern, push, recv_exactly,
                     recv_until_eof, sending, service)

SIOCATMARK = 0x8905


def inline(sock):
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_OOBINLINE, 1)
    return sock


def is_at_mark(sock):
    return struct.unpack("i", fcntl.ioctl(sock, SIOCATMARK, b"\0" * 4))[0] == 1


def await_urgent(sock):
    """Waits until urgent data is pending in the peer's system."""
    poll = select.poll()
    poll.register(sock, select.POLLPRI)
    assert poll.poll(DEADLINE * 1000), "no urgent data"


@contextlib.contextmanager
def ends(backend, kind, top=(), **pairs):
    """Two ends of a relay or two members of a hub: yields (daemon, the sender, the receiver)."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        listener.settimeout(DEADLINE)
        if kind == "hub":
            pairs["quota"] = "1G"
        else:
            pairs["upstream"] = "127.0.0.1:%d" % listener.getsockname()[1]
        text = config(service("it", mode="hub" if kind == "hub" else "relay", **pairs), backend=backend,
                      **dict(top))
        daemon = stack.enter_context(Daemon(text))
        client = stack.enter_context(daemon.connect("it"))
        if kind == "hub":
            other = stack.enter_context(daemon.connect("it"))
            daemon.wait_for(" connected$", 2)
        else:
            other = stack.enter_context(listener.accept()[0])
            other.settimeout(DEADLINE)
        sender, receiver = (other, client) if kind == "to client" else (client, other)
        yield daemon, sender, inline(receiver)


def expect_rest(kind, receiver, data):
    """Expects these bytes and then the end. A hub does not pass an end on to other members."""
    if kind == "hub":
        assert recv_exactly(receiver, len(data)) == data
    else:
        assert recv_until_eof(receiver) == data


KINDS = pytest.mark.parametrize("kind", ["to upstream", "to client", "hub"])


@KINDS
@pytest.mark.parametrize("payload", [False, True], ids=["", "log_payload"])
def test_in_its_place(backend, kind, payload):
    with ends(backend, kind, {"log_payload": payload}) as (daemon, sender, receiver):
        sender.sendall(b"before")
        sender.send(b"!", socket.MSG_OOB)
        await_urgent(receiver)
        sender.sendall(b"after")
        assert recv_exactly(receiver, 6) == b"before"
        assert is_at_mark(receiver)
        assert recv_exactly(receiver, 6) == b"!after"
        sender.close()
        expect_rest(kind, receiver, b"")
        assert not daemon.lines("exception")


@KINDS
def test_first_of_all(backend, kind):
    with ends(backend, kind) as (_, sender, receiver):
        sender.send(b"!", socket.MSG_OOB)
        await_urgent(receiver)
        assert is_at_mark(receiver)
        assert recv_exactly(receiver, 1) == b"!"


@KINDS
def test_last_before_the_end(backend, kind):
    """Also as the last byte of spliced bulk, where the mark looks like the end of the stream."""
    data = pattern(3 << 20)
    with ends(backend, kind) as (_, sender, receiver):
        with sending(sender, data):
            assert recv_exactly(receiver, len(data)) == data
        sender.send(b"!", socket.MSG_OOB)
        sender.shutdown(socket.SHUT_WR)
        expect_rest(kind, receiver, b"!")


@KINDS
def test_a_peer_that_does_not_read_inline(backend, kind):
    """The peer gets the byte with MSG_OOB, and the rest of the stream without it, as without selectd."""
    with ends(backend, kind) as (_, sender, receiver):
        receiver.setsockopt(socket.SOL_SOCKET, socket.SO_OOBINLINE, 0)
        sender.send(b"before!", socket.MSG_OOB)
        await_urgent(receiver)
        assert receiver.recv(1, socket.MSG_OOB) == b"!"
        sender.sendall(b"after")
        assert recv_exactly(receiver, 11) == b"beforeafter"


@KINDS
def test_several_in_a_row(backend, kind):
    """The kernel knows one urgent byte at a time. All bytes arrive."""
    with ends(backend, kind) as (_, sender, receiver):
        for i in range(200):
            sender.send(bytes([i]), socket.MSG_OOB)
        sender.shutdown(socket.SHUT_WR)
        expect_rest(kind, receiver, bytes(range(200)))


@KINDS
def test_amid_bulk(backend, kind):
    """Both copying and splicing stop at a mark, and the loop does not spin there."""
    pieces = [pattern(300_000)] * 20
    with ends(backend, kind) as (daemon, sender, receiver):
        def send():
            for piece in pieces:
                sender.sendall(piece)
                sender.send(b"!", socket.MSG_OOB)
            sender.shutdown(socket.SHUT_WR)

        thread = threading.Thread(target=send)
        thread.start()
        expect_rest(kind, receiver, b"!".join([*pieces, b""]))
        thread.join()


@pytest.mark.parametrize("kind", ["to upstream", "to client"])
def test_behind_a_standstill(backend, kind):
    """The way is full of unread data. The byte follows at its place."""
    data = pattern(FILLS_ANY_LINE)
    with ends(backend, kind) as (_, sender, receiver):
        taken, = push([sender], data, quiet=0.3)

        def send():
            sender.send(b"!", socket.MSG_OOB)
            sender.sendall(b"after")

        thread = threading.Thread(target=send)
        thread.start()
        assert recv_exactly(receiver, taken + 6) == data[:taken] + b"!after"
        thread.join()


@pytest.mark.parametrize("where", ["client", "upstream"])
def test_unix(backend, where, tmp_path):
    """Between a unix socket and a TCP socket. Linux supports urgent data on both."""
    path = f"{tmp_path}/sock"
    family = socket.AF_UNIX if where == "upstream" else socket.AF_INET
    with socket.create_server(path if where == "upstream" else ("127.0.0.1", 0), family=family) as listener:
        listener.settimeout(DEADLINE)
        upstream = f"unix:{path}" if where == "upstream" else "127.0.0.1:%d" % listener.getsockname()[1]
        listen = f"unix:{path}" if where == "client" else "127.0.0.1:0"
        text = config(service("it", listen, mode="relay", upstream=upstream), backend=backend)
        with Daemon(text) as daemon, daemon.connect("it") as client, listener.accept()[0] as server:
            server.settimeout(DEADLINE)
            inline(client)
            inline(server)
            for sender, receiver in (client, server), (server, client):
                sender.sendall(b"before")
                try:
                    sender.send(b"!", socket.MSG_OOB)
                except OSError:  # this kernel has no urgent data on unix sockets
                    sender.sendall(b"!")
                sender.sendall(b"after")
                assert recv_exactly(receiver, 12) == b"before!after"


@pytest.mark.parametrize("kind, way", [("to upstream", "to_upstream"), ("to client", "to_client"),
                                       ("hub", "to_client")])
def test_through_conditions(backend, kind, way):
    """The byte is delayed like any other, and arrives as an ordinary byte at its place."""
    with ends(backend, kind, **{way: dict(latency="100ms", slice_size=3)}) as (_, sender, receiver):
        sender.sendall(b"before")
        sender.send(b"!", socket.MSG_OOB)
        sender.sendall(b"after")
        sender.shutdown(socket.SHUT_WR)
        expect_rest(kind, receiver, b"before!after")


@KINDS
def test_idle_after_the_mark(backend, kind):
    """A mark that was read does not wake the loop again."""
    with ends(backend, kind) as (daemon, sender, receiver):
        for _ in range(3):
            sender.send(b"!", socket.MSG_OOB)
            assert recv_exactly(receiver, 1) == b"!"
        before = daemon.cpu_seconds()
        select.select([receiver], [], [], 0.5)
        assert daemon.cpu_seconds() - before < 0.2


def test_mode_changed_by_reload(backend):
    """The listening socket gets the options of its new service."""
    with Daemon(config(service("it"), backend=backend)) as daemon:
        listen = f"127.0.0.1:{daemon.port('it')}"
        daemon.reload(config(service("it", listen=listen, mode="hub"), backend=backend))
        with daemon.connect("it") as one, daemon.connect("it") as other:
            daemon.wait_for(" connected$", 2)
            inline(other)
            for i in range(100):
                one.send(bytes([i]), socket.MSG_OOB)
            assert recv_exactly(other, 100) == bytes(range(100))
        daemon.reload(config(service("it", listen=listen), backend=backend))
        with daemon.connect("it") as client:
            client.send(b"!", socket.MSG_OOB)
            daemon.wait_for(" closed: exception condition, ")


def test_before_it_is_accepted(backend):
    """Two urgent bytes arrive before the daemon accepts the connection. None is lost."""
    with Daemon(config(service("it", mode="hub"), backend=backend)) as daemon:
        other = inline(daemon.connect("it"))
        daemon.wait_for(" connected$")
        daemon.halt()
        with daemon.connect("it") as early:
            for i in range(5):
                early.send(bytes([i]), socket.MSG_OOB)
            daemon.signal(signal.SIGCONT)
            assert recv_exactly(other, 5) == bytes(range(5))
        other.close()
