# SPDX-License-Identifier: MIT
"""A service moves to an address that covers the old one, or to another address, while clients connect."""
import socket
import struct
import threading

import pytest

from harness import (DEADLINE, Daemon, config, connect, echo, free_port, name_of, service, until)

CLIENTS, RELOADS = 3, 40


def retransmitted(sock):
    """The number of retransmitted packets: tcpi_total_retrans of struct tcp_info."""
    return struct.unpack_from("I", sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104), 100)[0]


class Visitor(threading.Thread):
    """Connects, echoes and leaves, again and again. Nothing may be lost, not even its first packet, which
    Linux sends again after a second.
    """

    def __init__(self, port):
        super().__init__(daemon=True)
        self.address, self.enough = f"127.0.0.1:{port}", threading.Event()
        self.visits, self.lost = 0, []

    def run(self):
        while not self.enough.is_set() and not self.lost:
            try:
                with connect(self.address) as sock:
                    echo(sock)
                    if retransmitted(sock):
                        self.lost.append("waited for its first packet to be sent again")
                self.visits += 1
            except (OSError, AssertionError) as error:
                self.lost.append(repr(error))


def test_nobody_notices(backend):
    port = free_port()
    texts = [config(service(listen=f"{host}:{port}"), backend=backend, log_level="notice")
             for host in ("127.0.0.1", "*", "127.0.0.1", "0.0.0.0")]
    with Daemon(texts[0]) as daemon:
        visitors = [Visitor(port) for _ in range(CLIENTS)]
        for visitor in visitors:
            visitor.start()
        for i in range(1, RELOADS + 1):
            seen = sum(visitor.visits for visitor in visitors)
            daemon.reload(texts[i % len(texts)], "^reloaded |; keeping")
            until(lambda: sum(visitor.visits for visitor in visitors) > seen + CLIENTS
                  or any(visitor.lost for visitor in visitors), "a few visits")
        for visitor in visitors:
            visitor.enough.set()
        for visitor in visitors:
            visitor.join()
        assert not any(visitor.lost for visitor in visitors), [v.lost for v in visitors]
        assert not daemon.lines("keeping")


def half_open(port):
    """A client that delays the last packet of its handshake until it has data to send with it."""
    client = socket.socket()
    client.settimeout(DEADLINE)
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 0)
    client.connect(("127.0.0.1", port))
    return client


@pytest.mark.parametrize("host", ["*", "127.0.0.2"])
def test_who_is_in_the_middle_of_connecting(backend, host):
    """Clients in the middle of a handshake are served, not reset."""
    port = free_port()
    with Daemon(config(service(listen=f"127.0.0.1:{port}"), backend=backend)) as daemon:
        with half_open(port) as client:
            daemon.reload(config(service(listen=f"{host}:{port}"), backend=backend))
            echo(client)
            daemon.wait_for(f"^echo: {name_of(client)} connected$")


def test_service_that_is_gone(backend):
    """If the service was removed, its last configuration applies to such clients."""
    port = free_port()
    text = config(service("other", send_delay="1h"), backend=backend)
    with Daemon(config(service(listen=f"127.0.0.1:{port}"), backend=backend)) as daemon:
        with half_open(port) as client:
            daemon.reload(text)
            daemon.reload(text)
            echo(client)
            daemon.wait_for(f"^echo: {name_of(client)} connected$")


def test_old_address_is_refused_at_once(backend):
    """New clients are refused at once, although the old socket is still open for those in a handshake."""
    port = free_port()
    with Daemon(config(service(listen=f"127.0.0.1:{port}"), backend=backend)) as daemon:
        before = daemon.descriptors()
        daemon.reload(config(service(), backend=backend))
        with pytest.raises(ConnectionRefusedError):
            connect(f"127.0.0.1:{port}")
        until(lambda: len(daemon.descriptors()) == len(before), "the old socket's end")


def test_address_that_another_service_includes(backend):
    """The address moves to the other service, and back."""
    port = free_port()
    one = config(service(listen=f"127.0.0.1:{port}"), backend=backend)
    other = config(service("other", listen=f"*:{port}"), backend=backend)
    with Daemon(one) as daemon:
        for text, name in ((other, "other"), (one, "echo"), (other, "other")):
            daemon.reload(text)
            with connect(f"127.0.0.1:{port}") as client:
                echo(client)
                daemon.wait_for(f"^{name}: {name_of(client)} connected$")
        daemon.reload(config(service(), backend=backend))
        with pytest.raises(ConnectionRefusedError):
            connect(f"127.0.0.1:{port}")
