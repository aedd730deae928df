# SPDX-License-Identifier: MIT
"""An echo closes a connection at urgent data, as the article's server does, even while it does not read."""
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
    """Reading past urgent data hides it. That is a race, so the test sends many urgent bytes in a row."""
    with Daemon(config(backend=backend)) as daemon, contextlib.ExitStack() as stack:
        clients = [stack.enter_context(daemon.connect()) for _ in range(100)]
        for client in clients:
            with contextlib.suppress(ConnectionError):  # the daemon may have closed it
                client.sendall(pattern(1000))
                client.send(b"!", socket.MSG_OOB)
                client.sendall(pattern(1000))
        daemon.wait_for(" closed: exception condition, ", len(clients))
        for client in clients:
            assert_closed(daemon, client)


def test_urgent_while_not_reading(backend):
    """The daemon holds the maximum and does not read, but must still notice urgent data."""
    text = config(service(send_delay="1h", message_size="64K"), backend=backend, log_level="debug")

    with Daemon(text) as daemon, daemon.connect() as client:
        client.sendall(pattern(300_000))
        received, n = 0, 0
        while received < 256 * 1024 - 4096:  # the most that it holds, without book-keeping
            n += 1
            received += int(daemon.wait_for(r" received (\d+) bytes$", n)[1])
        client.send(b"!", socket.MSG_OOB)
        daemon.wait_for(" closed: exception condition, ")
        assert_closed(daemon, client)
