# SPDX-License-Identifier: MIT
"""Servers that the test itself plays, and their addresses."""
import contextlib
import socket
import struct
import threading

from .waiting import DEADLINE

_held = []


def free_port():
    """A port nobody listens on, and nobody else gets until the tests of this file have ended.

    A socket is bound to it that doesn't listen. Linux lets others listen there that ask for it by
    its number, with SO_REUSEADDR as servers set it, but gives it to nobody who asks for any port. It
    is held on every address: a client that goes out from one of them keeps "*" from being had.
    """
    sock = socket.socket(socket.AF_INET6)
    _held.append(sock)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    sock.bind(("::", 0))
    return sock.getsockname()[1]


def local(port):
    """The address of a port of loopback."""
    return f"127.0.0.1:{port}"


def backlog_of(sock):
    """What a socket listens with, which Linux tells as tcpi_sacked of struct tcp_info."""
    return struct.unpack_from("I", sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 64), 28)[0]


@contextlib.contextmanager
def listening(backlog=16):
    """A socket that listens, and its address. The test itself accepts its clients."""
    with socket.create_server(("127.0.0.1", 0), backlog=backlog) as listener:
        listener.settimeout(DEADLINE)
        yield listener, "127.0.0.1:%d" % listener.getsockname()[1]


class Upstream(threading.Thread):
    """A server on a free port, as a context manager: serve(sock, n) is what its nth client gets.

    Clients count from 0. Each has a thread of its own, which the client's going may end.
    """

    def __init__(self, serve, host="127.0.0.1", port=0):
        super().__init__(daemon=True)
        self.serve, self.clients = serve, []
        self.listener = socket.create_server((host, port))
        self.port = self.listener.getsockname()[1]
        self.address = f"{host}:{self.port}"

    def run(self):
        with contextlib.suppress(OSError):  # accept() ends with the listener
            while True:
                sock, _ = self.listener.accept()
                sock.settimeout(DEADLINE)
                thread = threading.Thread(target=self._serve, args=(sock, len(self.clients)))
                self.clients.append((sock, thread))
                thread.start()

    def _serve(self, sock, n):
        with contextlib.suppress(OSError), sock:
            self.serve(sock, n)

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.join()
        self.listener.close()
        for sock, thread in self.clients:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            thread.join()


def answer(sock, n=None):
    while data := sock.recv(1 << 16):
        sock.sendall(data)


class Server:
    """A server that a test plays itself: on a port of 127.0.0.1, or on a unix socket at path."""

    def __init__(self, path=None):
        self.path = path

    def __enter__(self):
        if self.path:
            self.listener = socket.socket(socket.AF_UNIX)
            self.listener.bind(self.path)
            self.listener.listen()
            self.address = f"unix:{self.path}"
        else:
            self.listener = socket.create_server(("127.0.0.1", 0))
            self.address = "127.0.0.1:%d" % self.listener.getsockname()[1]
        self.listener.settimeout(DEADLINE)
        return self

    def __exit__(self, *_):
        self.listener.close()

    def accept(self):
        sock, _ = self.listener.accept()
        sock.settimeout(DEADLINE)
        return sock
