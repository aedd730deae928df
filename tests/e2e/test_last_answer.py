# SPDX-License-Identifier: MIT
"""The bytes that a peer sent before its socket failed are delivered before the reset, whichever call
fails first.

An upstream that answers and closes with unread data resets the connection. The daemon may notice the
reset when it sends, splices, shuts down, receives, or asks for errors. The answer has arrived by then.
"""
import contextlib
import signal
import socket
import threading
import time

import pytest

from harness import (DEADLINE, FILLS_ANY_LINE, Daemon, config, listening, pattern, push, recv_exactly,
                     relay, relayed, service, unacknowledged, until)

ROUNDS = 60
SENT = pattern(1 << 20)
WORDS = pattern(50_000)
MUCH = pattern(FILLS_ANY_LINE)
UNREAD = b"nobody reads this"
SPLICED = {}
COPIED = {"log_payload": True}  # log_payload prevents splicing


def close_when_arrived(sock):
    """Closes when the peer's system has acknowledged everything, so that a reset discards none of it."""
    until(lambda: unacknowledged(sock) == 0, "the arrival")
    sock.close()


def answer_once(listener, answer):
    """Reads a little, answers, and closes with unread data."""
    sock, _ = listener.accept()
    sock.settimeout(DEADLINE)
    recv_exactly(sock, 1000)
    sock.sendall(answer)
    close_when_arrived(sock)


def recv_until_end(sock):
    data = bytearray()
    with contextlib.suppress(ConnectionError):
        while got := sock.recv(1 << 20):
            data += got
    return bytes(data)


def send_until_failure(sock):
    with contextlib.suppress(ConnectionError):
        while True:
            sock.sendall(SENT)


@pytest.mark.parametrize("top", [SPLICED, COPIED], ids=["spliced", "copied"])
@pytest.mark.parametrize("size", [6, 50_000])
def test_while_the_client_sends(backend, top, size):
    """The client reads only when it can send no more, as many clients do."""
    answer = pattern(size)
    with listening(backlog=ROUNDS) as (listener, address):
        text = config(relay(address), backend=backend, **top)
        with Daemon(text) as daemon:
            for _ in range(ROUNDS):
                server = threading.Thread(target=answer_once, args=(listener, answer))
                server.start()
                with daemon.connect("relay") as client:
                    send_until_failure(client)
                    got = recv_until_end(client)
                    assert got == answer, f"{len(got)} bytes; {daemon.text_of_log()}"
                server.join()
            daemon.wait_for(rf" closed: upstream \S+: reset by peer, \d+ B in, {size} B out, ", ROUNDS)


def fill_and_reset(sender, receiver):
    """Sends all that the way to a receiver that does not read holds, and closes with unread data.

    Returns the bytes that the peer's system has acknowledged. They must arrive.
    """
    receiver.sendall(UNREAD)
    assert sender.recv(1, socket.MSG_PEEK)
    taken, = push([sender], MUCH, quiet=0.3)
    arrived = taken - unacknowledged(sender)
    sender.close()
    return MUCH[:arrived]


def assert_arrives(data, receiver):
    """Receives the data, and then the reset."""
    assert recv_exactly(receiver, len(data)) == data
    with pytest.raises(ConnectionResetError):
        receiver.recv(1)


def test_to_a_client_that_reads_late(backend):
    """The client has received little when the upstream resets. It has time to read the rest."""
    with relayed(backend, client_buffer=4096) as (daemon, client, server):
        data = fill_and_reset(server, client)
        assert_arrives(data, client)
        daemon.wait_for(rf" closed: upstream \S+: reset by peer, {len(UNREAD)} B in, {len(data)} B out, "
                        r"[\d.]+ s$")


def test_to_a_client_that_sends_all_before_it_reads(backend):
    """The client can send everything. If it were stopped, it would never read the answer."""
    with relayed(backend) as (daemon, client, server):
        data = fill_and_reset(server, client)
        client.sendall(MUCH[:20 << 20])
        assert_arrives(data, client)


def test_of_the_client(backend):
    """The bytes that the client sent before its reset reach the upstream, which reads late."""
    with relayed(backend, server_buffer=4096) as (daemon, client, server):
        data = fill_and_reset(client, server)
        assert_arrives(data, server)
        daemon.wait_for(rf" closed: reset by peer, {len(data)} B in, {len(UNREAD)} B out, ")


def test_of_a_member(backend):
    """The other members of a hub get everything, although the member does not read what it is sent."""
    with Daemon(config(service("hub", mode="hub", quota="1G"), backend=backend)) as daemon:
        with daemon.connect("hub") as other:
            for n in range(ROUNDS):
                leaver = daemon.connect("hub")
                daemon.wait_for(" connected$", n + 2)
                other.sendall(b"question")
                assert leaver.recv(1, socket.MSG_PEEK)
                daemon.halt()
                leaver.sendall(WORDS)
                close_when_arrived(leaver)
                other.sendall(b"to one who is gone")
                daemon.signal(signal.SIGCONT)
                assert recv_exactly(other, len(WORDS)) == WORDS
            daemon.wait_for(rf" closed: reset by peer, {len(WORDS)} B in, ", ROUNDS)


def test_delayed_by_conditions(backend):
    """The reset comes after the delayed answer."""
    with listening(backlog=ROUNDS) as (listener, address):
        text = config(relay(address, to_client=dict(latency="300ms")), backend=backend)
        with Daemon(text) as daemon, daemon.connect("relay") as client:
            client.sendall(pattern(2000))
            began = time.monotonic()
            answer_once(listener, b"answer")
            assert recv_exactly(client, 6) == b"answer"
            with pytest.raises(ConnectionResetError):
                client.recv(1)
            assert time.monotonic() - began >= 0.3
            daemon.wait_for(r" closed: upstream \S+: reset by peer, 2000 B in, 6 B out, .*"
                            "; affected by to_client: latency$")


def test_not_waited_for_without_end(backend):
    """When no byte moves for 5 s, the rest is lost."""
    with listening(backlog=ROUNDS) as (listener, address):
        text = config(relay(address, to_client=dict(latency="1h")), backend=backend)
        with Daemon(text) as daemon, daemon.connect("relay") as client:
            client.sendall(pattern(2000))
            answer_once(listener, b"answer")
            with pytest.raises(ConnectionResetError):
                client.recv(1)
            took = daemon.wait_for(r" closed: upstream \S+: reset by peer, 2000 B in, 0 B out, ([\d.]+) s"
                                   r"; lost: 6 B to client")
            assert 5 <= float(took[1]) < DEADLINE
