# SPDX-License-Identifier: MIT
"""Conditions that throw bytes away on purpose: discard, discard_idle and reset_after_data."""
import contextlib
import socket
import threading
import time

import pytest

from harness import (DEADLINE, EARLY, Daemon, config, echo, hub, recv_exactly, recv_until_eof, relay,
                     service)

DEBUG = {"log_level": "debug"}


class Relayed:
    """A relay with one client and its upstream, whose conditions a test changes."""

    def __init__(self, daemon, upstream, backend, client, server):
        self.daemon, self.upstream, self.backend = daemon, upstream, backend
        self.client, self.server = client, server

    def set(self, **conditions):
        listen = f"127.0.0.1:{self.daemon.port('relay')}"
        self.daemon.reload(config(relay(self.upstream, listen=listen, **conditions), **DEBUG,
                                  backend=self.backend))

    def arrive(self, sender, data):
        """Sends bytes, and waits until the daemon has them."""
        sender.sendall(data)
        self.daemon.wait_for(f" received {len(data)} bytes")


@contextlib.contextmanager
def relayed(backend, **conditions):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(DEADLINE)
        upstream = "127.0.0.1:%d" % listener.getsockname()[1]
        text = config(relay(upstream, **conditions), **DEBUG, backend=backend)
        with Daemon(text) as daemon, daemon.connect("relay") as client:
            server, _ = listener.accept()
            with server:
                server.settimeout(DEADLINE)
                yield Relayed(daemon, upstream, backend, client, server)


def was_reset(sock):
    with pytest.raises(ConnectionResetError):
        sock.recv(1)
    return True


def test_discard(backend):
    """Bytes are discarded in one direction only. Both ends of stream pass."""
    with relayed(backend, to_upstream={"discard": True}) as line:
        line.arrive(line.client, b"not for you")
        line.server.sendall(b"for you")
        assert recv_exactly(line.client, 7) == b"for you"
        line.client.shutdown(socket.SHUT_WR)
        assert line.server.recv(1) == b""
        line.server.close()
        assert line.client.recv(1) == b""
        line.daemon.wait_for(" closed: end of stream, 11 B in, 7 B out, .* s; .* to_upstream: discard$")


def test_discard_idle(backend):
    """Both sides see an end of stream after that time without a chunk. Each chunk restarts the time."""
    with relayed(backend, to_client={"discard": True, "discard_idle": "300ms"}) as line:
        for i in range(4):
            said = time.monotonic()
            line.server.sendall(b"talk")
            line.daemon.wait_for(" received 4 bytes", i + 1)
            assert not line.daemon.lines(" closed: ") or time.monotonic() - said >= 0.3
            time.sleep(0.1)
        assert line.client.recv(1) == b""
        assert line.server.recv(1) == b""
        assert time.monotonic() - said >= 0.3 - EARLY
        line.daemon.wait_for(" closed: discard_idle 300 ms, 0 B in, 0 B out, .* s; .* to_client: discard$")


def test_discard_idle_without_a_chunk(backend):
    began = time.monotonic()
    with relayed(backend, to_client={"discard": True, "discard_idle": "300ms"}) as line:
        assert line.client.recv(1) == b""
        assert time.monotonic() - began >= 0.3 - EARLY
        assert line.server.recv(1) == b""


@pytest.mark.parametrize("after", [{}, {"to_client": {"discard": False}}, {"to_client": {"latency": 1}}],
                         ids=["removed", "off", "changed"])
def test_discard_ended(backend, after):
    """A stream with missing bytes is ended, even while one side still sends."""
    with relayed(backend, to_client={"discard": True}) as line:
        line.arrive(line.server, b"lost on purpose")
        line.set(**after)
        with contextlib.suppress(ConnectionError):
            line.server.sendall(b"too late")
        assert line.client.recv(1) == b""
        line.daemon.wait_for(" closed: discard ended, 0 B in, 0 B out, .* s; .* to_client: discard$")


def test_discard_ended_while_more_comes(backend):
    """A server that sends without a pause sees an end of stream instead of a reset, and so does the client."""
    with relayed(backend, to_client={"discard": True}) as line:
        talk = threading.Thread(target=talk_on, args=(line.server,))
        talk.start()
        line.daemon.wait_for(" received ", 20)
        line.set()
        assert line.server.recv(1) == b""
        assert line.client.recv(1) == b""
        line.daemon.wait_for(" closed: discard ended, 0 B in, 0 B out, [0-9.]* s; affected by to_client: discard$")
        talk.join()


def talk_on(sock):
    with contextlib.suppress(OSError):
        while True:
            sock.sendall(bytes(4096))


def test_what_came_before_is_not_discarded(backend):
    """Bytes that were held before discard are lost at the end. So both sides see a reset."""
    with relayed(backend, to_client={"latency": "1h"}) as line:
        line.arrive(line.server, b"held")
        line.set(to_client={"latency": "1h", "discard": True, "discard_idle": "200ms"})
        assert was_reset(line.client)
        assert was_reset(line.server)
        line.daemon.wait_for(" closed: discard_idle 200 ms, 0 B in, 0 B out, .*; lost: 4 B to client; ")


def test_discard_of_an_echo(backend):
    with Daemon(config(service(to_client={"discard": True}), backend=backend)) as daemon, \
            daemon.connect() as client:
        client.sendall(b"nothing comes back")
        client.shutdown(socket.SHUT_WR)
        assert client.recv(1) == b""
        daemon.wait_for(" closed: end of stream, 18 B in, 0 B out, .* to_client: discard$")


def test_discard_of_a_hub(backend):
    """Each member counts the time since another one spoke, and sees an end."""
    text = config(hub(to_client={"discard": True, "discard_idle": "300ms"}), **DEBUG, backend=backend)
    with Daemon(text) as daemon:
        began = time.monotonic()
        with daemon.connect("hub") as one, daemon.connect("hub") as other:
            one.sendall(b"to nobody")
            assert other.recv(1) == b""
            assert one.recv(1) == b""
            assert time.monotonic() - began >= 0.3 - EARLY
        daemon.wait_for(" closed: discard_idle 300 ms, [09] B in, 0 B out, ", 2)


def test_reset_after_data(backend):
    """The first bytes are held, and start the time after which both sides are reset."""
    with relayed(backend, to_client={"reset_after_data": "300ms"}) as line:
        line.arrive(line.client, b"question")
        assert recv_exactly(line.server, 8) == b"question"
        time.sleep(0.4)  # longer than reset_after_data, which has not started yet
        assert not line.daemon.lines(" closed: ")
        began = time.monotonic()
        line.server.sendall(b"answer")
        assert was_reset(line.client)
        assert time.monotonic() - began >= 0.3 - EARLY
        assert was_reset(line.server)
        line.daemon.wait_for(" closed: reset_after_data 300 ms, 8 B in, 0 B out, .* to_client: reset_after_data$")


def test_reset_after_an_end(backend):
    """An end of stream starts the time too, and does not pass."""
    with relayed(backend, to_upstream={"reset_after_data": "300ms"}) as line:
        began = time.monotonic()
        line.client.shutdown(socket.SHUT_WR)
        assert was_reset(line.server)
        assert time.monotonic() - began >= 0.3 - EARLY
        assert was_reset(line.client)


def test_reset_after_data_removed(backend):
    """The connection goes on: the first bytes are missing, and the others pass at once, as does the end."""
    with relayed(backend, to_client={"reset_after_data": "1h"}) as line:
        line.arrive(line.server, b"first")
        line.arrive(line.server, b"second")
        line.server.shutdown(socket.SHUT_WR)
        line.set()
        assert recv_until_eof(line.client) == b"second"
        line.client.sendall(b"thanks")
        assert recv_exactly(line.server, 6) == b"thanks"


def test_probability_of_zero(backend):
    """No condition applies to any connection."""
    never = {"discard": True, "discard_idle": 0, "reset_after_data": 0, "reset_after": 0, "rate": 0, "limit": 0,
             "probability": 0}
    with Daemon(config(service(to_client=never), backend=backend)) as daemon, daemon.connect() as client:
        echo(client)
        daemon.reload(config(service(listen=f"127.0.0.1:{daemon.port()}"), backend=backend))
        echo(client)
