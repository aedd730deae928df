# SPDX-License-Identifier: MIT
"""Clients of a daemon: sockets, sending and receiving on them, and clients that connect again and again."""
import contextlib
import fcntl
import selectors
import socket
import struct
import termios
import threading
import time

import pytest

from .waiting import DEADLINE, until

# Bytes. More than all socket buffers on the way to a peer that does not read. Linux makes them at most
# 32 MB where the daemon receives, and 4 MB each where the daemon and the sender send.
FILLS_ANY_LINE = 64 << 20
# Clients. select(2) cannot watch a descriptor above 1023.
MORE_THAN_SELECT_HOLDS = 1500


def pattern(n):
    """n bytes of all values, in which a shift, a loss or a repetition shows."""
    block = b"".join(struct.pack(">I", i * 2654435761 & 0xFFFFFFFF) for i in range(64))
    head = bytes(range(256))
    return (head + b"".join(block + struct.pack(">I", i) for i in range(n // 260 + 1)))[:n]


def connect(address, timeout=DEADLINE, receive_buffer=None):
    """Connects to HOST:PORT, [IPV6]:PORT, *:PORT or unix:/PATH."""
    host, _, port = address.rpartition(":")
    family = {"u": socket.AF_UNIX, "[": socket.AF_INET6}.get(address[0], socket.AF_INET)
    sock = socket.socket(family)
    sock.settimeout(timeout)
    if receive_buffer:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    try:
        if family == socket.AF_UNIX:
            sock.connect(address.removeprefix("unix:"))
        else:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.connect(("127.0.0.1" if host == "*" else host.strip("[]"), int(port)))
    except OSError:
        sock.close()
        raise
    return sock


def name_of(sock):
    """The name of a client in the daemon's log."""
    host, port = sock.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def recv_exactly(sock, n):
    """Receives n bytes, or fewer if the stream ends first."""
    data = bytearray()
    while len(data) < n:
        got = sock.recv(min(n - len(data), 1 << 20))
        if not got:
            break
        data += got
    return bytes(data)


def recv_until_eof(sock):
    data = bytearray()
    while got := sock.recv(1 << 20):
        data += got
    return bytes(data)


def echo(sock, data=b"hello"):
    """Sends a few bytes and expects them back."""
    sock.sendall(data)
    assert recv_exactly(sock, len(data)) == data


def visit(address, n=1):
    """Connects n clients, one after the other. Each has one echo, and ends its stream."""
    for _ in range(n):
        with connect(address) as client:
            echo(client)
            client.shutdown(socket.SHUT_WR)
            assert recv_until_eof(client) == b""


def is_served(sock):
    """Whether the daemon echoes what this client sends. If not, the daemon has turned it away."""
    try:
        sock.sendall(b"?")
        return recv_exactly(sock, 1) == b"?"
    except (ConnectionResetError, BrokenPipeError):
        return False


def served(socks):
    return [sock for sock in socks if is_served(sock)]


@contextlib.contextmanager
def sending(sock, data):
    """Sends data in a thread while the with block runs. The block must receive what the buffers do not hold.
    """
    sender = threading.Thread(target=sock.sendall, args=(data,))
    sender.start()
    try:
        yield
    finally:
        sender.join()


def push(socks, data, quiet=0.5):
    """Sends data on each socket until none of them has taken a byte for a while.

    Returns how many bytes each took. The timeouts of the sockets are restored.
    """
    sent = {sock: 0 for sock in socks}
    data = memoryview(data)
    timeouts = [sock.gettimeout() for sock in socks]
    with selectors.DefaultSelector() as selector:
        for sock in socks:
            sock.setblocking(False)
            selector.register(sock, selectors.EVENT_WRITE)
        while selector.get_map() and (ready := selector.select(quiet)):
            for key, _ in ready:
                sock = key.fileobj
                sent[sock] += sock.send(data[sent[sock]:])
                if sent[sock] == len(data):
                    selector.unregister(sock)
    for sock, timeout in zip(socks, timeouts):
        sock.settimeout(timeout)
    return list(sent.values())


def reset(sock):
    """Closes a socket with a reset instead of an end of stream."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def expect_reset(daemon, name="relay"):
    """Connects a client that the daemon must reset, at once or when the client reads."""
    with pytest.raises(ConnectionResetError):
        with daemon.connect(name) as client:
            client.recv(1)


def unacknowledged(sock):
    """How many bytes the peer's system has not acknowledged. The end of the stream counts as a byte."""
    return struct.unpack("i", fcntl.ioctl(sock, termios.TIOCOUTQ, b"\0" * 4))[0]


class Steady(threading.Thread):
    """A well-behaved client that exchanges data while a with block runs.

    At the end of the block, it must have received an answer to everything, and lost no byte.
    """

    def __init__(self, sock):
        super().__init__(daemon=True)
        self.sock, self.enough, self.error, self.rounds = sock, threading.Event(), None, 0

    def run(self):
        data = pattern(5000)
        try:
            while not (self.rounds and self.enough.is_set()):  # at least once
                echo(self.sock, data)
                self.rounds += 1
        except (OSError, AssertionError) as error:
            self.error = error

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, kind, *_):
        self.enough.set()
        self.join()
        if kind is None:
            assert self.error is None and self.rounds, f"after {self.rounds} rounds: {self.error!r}"
        self.sock.close()


class Visitor(threading.Thread):
    """A client that connects, has one echo and leaves, again and again until it is refused.

    pause: seconds between two visits
    lost: the visits that failed in another way: when each began, and its error
    """

    def __init__(self, address, pause=0):
        super().__init__(daemon=True)
        self.address, self.pause, self.enough = address, pause, threading.Event()
        self.visits, self.lost, self.refused = 0, [], False

    def visit(self):
        with connect(self.address) as sock:
            echo(sock)
        self.visits += 1

    def run(self):
        while not self.refused and not self.enough.wait(self.pause):
            began = time.monotonic()
            try:
                self.visit()
            except ConnectionRefusedError:
                self.refused = True
            except (OSError, AssertionError) as error:
                self.lost.append((began, repr(error)))


def more_visits(some, n):
    """Waits until each visitor has come n more times or was refused. The test has to check for refusals."""
    goals = [visitor.visits + n for visitor in some]
    until(lambda: all(visitor.visits >= goal or visitor.refused
                      for visitor, goal in zip(some, goals)), f"{n} visits of each")
