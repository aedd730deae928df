# SPDX-License-Identifier: MIT
"""Urgent data closes the connection, as in the article: also one that is not being read."""
import contextlib
import socket

from harness import Daemon, config, echo, name_of, pattern, recv_until_eof, service


def assert_closed(daemon, sock):
    with contextlib.suppress(ConnectionResetError):
        recv_until_eof(sock)
    events = [line.split(" ", 2)[2] for line in daemon.lines(f"{name_of(sock)} .*exception condition")]
    assert len(events) == 2
    assert events[0] == "exception condition"
    assert events[1].startswith("closed: exception condition, ")


def test_urgent(backend):
    with Daemon(config(backend=backend)) as daemon:
        with daemon.connect() as client, daemon.connect() as other:
            echo(client)
            client.send(b"!", socket.MSG_OOB)
            daemon.wait_for(r"^echo: \S+ closed: exception condition, 5 B in, 5 B out, ")
            assert_closed(daemon, client)
            echo(other)


def test_urgent_amid_data(backend):
    """To read past urgent data is to lose that it was there: a race, so with many in a row."""
    with Daemon(config(backend=backend)) as daemon, contextlib.ExitStack() as stack:
        clients = [stack.enter_context(daemon.connect()) for _ in range(100)]
        for client in clients:
            with contextlib.suppress(ConnectionError):  # it may be closed by now
                client.sendall(pattern(1000))
                client.send(b"!", socket.MSG_OOB)
                client.sendall(pattern(1000))
        daemon.wait_for(" closed: exception condition, ", len(clients))
        for client in clients:
            assert_closed(daemon, client)


def test_urgent_while_not_reading(backend):
    """With as much held back as it holds, the daemon reads no further, and must see it all the same."""
    text = config(service(send_delay="1h", message_size="64K"), backend=backend, log_level="debug")

    with Daemon(text) as daemon, daemon.connect() as client:
        client.sendall(pattern(300_000))
        received, n = 0, 0
        while received < 256 * 1024 - 4096:  # what it holds at most, less its book-keeping
            n += 1
            received += int(daemon.wait_for(r" received (\d+) bytes$", n)[1])
        client.send(b"!", socket.MSG_OOB)
        daemon.wait_for(" closed: exception condition, ")
        assert_closed(daemon, client)
