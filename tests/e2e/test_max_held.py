# SPDX-License-Identifier: MIT
"""max_held bounds what all connections hold together: connections that would hold more are not read, and
no byte is lost.
"""
import re
import threading

from harness import (Daemon, Steady, config, pattern, push, recv_exactly, reset, sending, service)

CLIENTS = 20
READ = 65536  # the most bytes of one read
HELD = 1 << 20
DELAYED = {"send_delay": "1h", "message_size": "64K", "hold": "1M"}


def reads(daemon):
    """The sizes of the reads of the service "slow" so far. The log level is debug."""
    return [int(n) for n in re.findall(r"^slow: .* received (\d+) bytes", "\n".join(daemon.log), re.M)]


def taken(backend, **top):
    """Clients whose bytes are delayed by an hour. Returns how many of their bytes selectd took."""
    text = config(service("slow", **DELAYED), service("echo"), backend=backend, log_level="debug", **top)
    with Daemon(text) as daemon:
        clients = [daemon.connect("slow") for _ in range(CLIENTS)]
        with Steady(daemon.connect("echo")):
            push(clients, pattern(4 << 20))
        bytes_taken = sum(reads(daemon))
        for client in clients:
            reset(client)
        return bytes_taken


def test_bound(backend):
    """All connections hold at most max_held and one read each. A client that holds nothing is served."""
    bytes_held = taken(backend, max_held=HELD)
    assert HELD <= bytes_held <= HELD + CLIENTS * READ


def test_no_bound(backend):
    assert taken(backend, max_held=0) >= CLIENTS * (1 << 20)


def test_all_gets_through(backend):
    """With a small max_held, everything still arrives in order, and no connection waits forever."""
    data = pattern(1 << 20)
    slow = '  slow = { listen = "127.0.0.1:0"; to_client = { latency = "20ms"; jitter = "10ms"; }; };\n'
    with Daemon(config(slow, backend=backend, max_held="128K")) as daemon:
        clients = [daemon.connect("slow") for _ in range(CLIENTS)]
        got = {}

        def exchange(client):
            with sending(client, data):
                got[client] = recv_exactly(client, len(data))

        threads = [threading.Thread(target=exchange, args=(client,)) for client in clients]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert all(got[client] == data for client in clients)
        for client in clients:
            client.close()


def test_room_is_noticed(backend):
    """A client that was not read because others held everything is read again when these have left."""
    text = config(service("slow", **DELAYED), backend=backend, log_level="debug", max_held="256K")
    with Daemon(text) as daemon, daemon.connect("slow") as patient:
        greedy = daemon.connect("slow")
        push([greedy], pattern(4 << 20))
        patient.sendall(b"first")
        daemon.wait_for("^slow: .* received 5 bytes")
        patient.sendall(b"second")
        reset(greedy)
        daemon.wait_for("^slow: .* received 6 bytes")


def test_reload(backend):
    """A reload raises the limit for connections that wait."""
    def text(**top):
        return config(service("slow", **DELAYED), backend=backend, log_level="debug", **top)

    with Daemon(text(max_held="256K")) as daemon, daemon.connect("slow") as client:
        push([client], pattern(4 << 20))
        sizes = reads(daemon)
        assert sum(sizes) <= (256 << 10) + READ
        daemon.reload(text(max_held=0))
        daemon.wait_for(r" received \d+ bytes", len(sizes) + 1)
