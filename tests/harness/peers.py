# SPDX-License-Identifier: MIT
"""Servers that the test plays itself, and their addresses."""
import contextlib
import socket
import struct
import threading

from .waiting import DEADLINE

_held = []


def free_port():
    """A port on which nobody listens, and which nobody else gets until the tests of this file have ended.

    A socket that does not listen is bound to it. Linux then gives the port to nobody who asks for any port. A
    server may still ask for the port by its number and listen there, with SO_REUSEADDR as servers set it. The
    socket is bound to the wildcard address: a client that leaves from one of the addresses would prevent
    listening on "*".
    """
    sock = socket.socket(socket.AF_INET6)
    _held.append(sock)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    sock.bind(("::", 0))
    return sock.getsockname()[1]


def local(port):
    """A loopback address with this port."""
    return f"127.0.0.1:{port}"


def backlog_of(sock):
    """The backlog of a listening socket, which Linux reports as tcpi_sacked of struct tcp_info."""
    return struct.unpack_from("I", sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 64), 28)[0]


@contextlib.contextmanager
def listening(backlog=16, host="127.0.0.1"):
    """A listening socket and its address. The test accepts the clients itself."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_server((host, 0), family=family, backlog=backlog) as listener:
        listener.settimeout(DEADLINE)
        host, port = listener.getsockname()[:2]
        yield listener, f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


class Upstream(threading.Thread):
    """A server on a free port, as a context manager. serve(sock, n) serves its nth client, from 0.

    Each client has a thread of its own, which may end with an error when the client leaves.
    """

    def __init__(self, serve, host="127.0.0.1", port=0):
        super().__init__(daemon=True)
        self.serve, self.clients = serve, []
        self.listener = socket.create_server((host, port))
        self.port = self.listener.getsockname()[1]
        self.address = f"{host}:{self.port}"

    def run(self):
        with contextlib.suppress(OSError):  # the listening socket was closed
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
    """A server that a test plays itself, on a port of 127.0.0.1 or on a unix socket at path."""

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
