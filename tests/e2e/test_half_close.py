# SPDX-License-Identifier: MIT
"""A client that sends, half-closes and reads gets every byte, and then the end of the stream."""
import socket
import time

import pytest

from harness import FILLS_ANY_LINE, Daemon, config, pattern, push, recv_until_eof, service


def converse(sock, data):
    sock.sendall(data)
    sock.shutdown(socket.SHUT_WR)
    return recv_until_eof(sock)


@pytest.mark.parametrize("size", [0, 1, 100, 100_000])
def test_half_close(backend, size):
    with Daemon(config(backend=backend)) as daemon, daemon.connect() as client:
        assert converse(client, pattern(size)) == pattern(size)
        daemon.wait_for(rf" closed: end of stream, {size} B in, {size} B out, \d+\.\d{{3}} s$")


def test_unix(backend, tmp_path):
    text = config(service(listen=f"unix:{tmp_path}/echo.sock"), backend=backend)
    with Daemon(text) as daemon, daemon.connect() as client:
        assert converse(client, pattern(50_000)) == pattern(50_000)


def test_with_send_delay(backend):
    """The end of the stream waits behind its data."""
    delay = 0.1
    text = config(service(send_delay=delay, message_size=10), backend=backend)
    with Daemon(text) as daemon, daemon.connect() as client:
        began = time.monotonic()
        assert converse(client, pattern(25)) == pattern(25)
        assert time.monotonic() - began >= 3 * delay - 0.001
        daemon.wait_for(r" closed: end of stream, 25 B in, 25 B out, ")


@pytest.mark.parametrize("delay", [0, 0.001])
def test_while_output_is_blocked(backend, delay):
    """The client sends until the buffers are full, half-closes, and only then reads."""
    data = pattern(FILLS_ANY_LINE)
    text = config(service(send_delay=delay, message_size="64K"), backend=backend)
    with Daemon(text) as daemon, daemon.connect(receive_buffer=16384) as client:
        taken, = push([client], data)
        assert taken < len(data), "the line never filled up"
        client.shutdown(socket.SHUT_WR)
        assert recv_until_eof(client) == data[:taken]
        daemon.wait_for(rf" closed: end of stream, {taken} B in, {taken} B out, ")
