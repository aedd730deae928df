# SPDX-License-Identifier: MIT
"""The daemon sends a PROXY header of its own: conditions do not apply to it, and no counter includes it."""
import socket

import pytest

from harness import DEADLINE, Daemon, config, pattern, recv_exactly, recv_until_eof, service


@pytest.mark.parametrize("conditions, arrives", [
    ({"limit": 5}, 5),
    ({"latency": "1h"}, 0),
    ({"rate": 1, "burst": 1}, None),
    ({"slice_size": 1, "slice_delay": "1h"}, 1),
    ({"stall_after": 5, "stall_for": "forever"}, 5),
], ids=["limit", "latency", "rate", "slices", "stall"])
def test_conditions(backend, conditions, arrives):
    """The whole header comes at once. Of the client's bytes, those come that the conditions let pass."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(DEADLINE)
        upstream = "127.0.0.1:%d" % listener.getsockname()[1]
        text = config(service("relay", mode="relay", upstream=upstream, send_proxy=1,
                              to_upstream=conditions), backend=backend)
        with Daemon(text) as daemon, daemon.connect("relay") as client:
            client.sendall(pattern(100))
            header = "PROXY TCP4 127.0.0.1 127.0.0.1 %d %d\r\n" % (client.getsockname()[1],
                                                                   client.getpeername()[1])
            server, _ = listener.accept()
            server.settimeout(DEADLINE)
            with server:
                assert recv_exactly(server, len(header)) == header.encode()
                if arrives:
                    assert recv_exactly(server, arrives) == pattern(100)[:arrives]
                if "limit" in conditions:
                    assert recv_until_eof(server) == b""
                    daemon.wait_for(r" closed: limit 5 B, 100 B in, 0 B out, [\d.]+ s; affected by ")


def test_lost(backend):
    """A header that is not delivered does not count as a loss."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(DEADLINE)
        upstream = "127.0.0.1:%d" % listener.getsockname()[1]
        text = config(service("relay", mode="relay", upstream=upstream, send_proxy=2,
                              to_upstream=dict(latency="1h")), backend=backend, log_level="debug",
                      drain_timeout=0)
        with Daemon(text) as daemon, daemon.connect("relay") as client:
            client.sendall(pattern(100))
            daemon.wait_for(" received 100 bytes$")
            daemon.wait_for(r" sending 28 bytes to ")
            daemon.stop()
            daemon.wait_for(r" closed: stopping, 100 B in, 0 B out, [\d.]+ s; lost: 100 B to upstream; ")
