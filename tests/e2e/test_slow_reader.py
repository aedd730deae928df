# SPDX-License-Identifier: MIT
"""Clients that send all they can and never read take a bounded amount of memory, and delay no other
client.
"""
import pytest

from harness import (FILLS_ANY_LINE, LOOP_KBYTES, WITHOUT_QUARANTINE, Daemon, config, echo, pattern, push,
                     reset, service, workers)

CLIENTS = 50
BOUND_BYTES = 400_000  # for each client, without the kernel's buffers
DATA = pattern(FILLS_ANY_LINE)


@pytest.mark.parametrize("settings", [
    {},
    {"send_delay": "1h", "message_size": "64K", "hold": "256K"},
    {"send_delay": "1h", "message_size": 1, "hold": "256K"},
], ids=["no delay", "delay", "delay of single bytes"])
def test_memory_is_bounded(backend, settings):
    text = config(service("slow", **settings), service("echo"), backend=backend)
    with Daemon(text, env=WITHOUT_QUARANTINE) as daemon, daemon.connect() as other:
        clients = [daemon.connect("slow", receive_buffer=16384) for _ in range(CLIENTS)]
        daemon.wait_for("^slow: .* connected$", CLIENTS)
        echo(other)
        before = daemon.memory_bytes()
        taken = push(clients, DATA)
        assert max(taken) < len(DATA), "selectd went on reading"
        echo(other, pattern(1000))
        assert daemon.memory_bytes() - before \
            <= CLIENTS * BOUND_BYTES + workers()[0] * LOOP_KBYTES * 1024
        for client in clients:
            reset(client)
        daemon.wait_for(r"^slow: .* closed: reset by peer, ", CLIENTS)
        echo(other)
