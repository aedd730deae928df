# SPDX-License-Identifier: MIT
"""A relay tells its upstream who the client is, in a PROXY header.

Conditions do not apply to the header, and no counter includes it.
"""
import contextlib
import socket
import threading

import pytest

from harness import (DEADLINE, Daemon, accepting, config, connect, expect_reset, free_port, listening,
                     name_of, pattern, recv_exactly, recv_until_eof, relay)
from harness.proxy_headers import BOTH_VERSIONS, PAYLOAD, accept_header, ends_of, header


@BOTH_VERSIONS
def test_send(backend, version, tmp_path):
    """The header comes first, then the data both ways, to the end. The header does not count as data."""
    listen = ["127.0.0.1:0", "[::1]:0", f"unix:{tmp_path}/relay.sock", f"*:{free_port()}"]
    with listening() as (listener, address):
        with Daemon(config(relay(address, listen=listen, send_proxy=version),
                           backend=backend)) as daemon:
            for where in daemon.addresses("relay"):
                with connect(where) as client:
                    client.sendall(PAYLOAD)
                    with accept_header(listener, header(version, ends_of(client))) as server:
                        assert recv_exactly(server, len(PAYLOAD)) == PAYLOAD
                        server.sendall(PAYLOAD)
                        assert recv_exactly(client, len(PAYLOAD)) == PAYLOAD
            daemon.wait_for(" closed: end of stream, 3000 B in, 3000 B out, ", len(listen))


@BOTH_VERSIONS
@pytest.mark.parametrize("data", [b"", PAYLOAD, pattern(8 << 20)], ids=len)
def test_send_and_half_close(backend, version, data):
    """The header, the data and the end arrive together. The answer comes later."""
    with listening() as (listener, address):
        with Daemon(config(relay(address, send_proxy=version), backend=backend)) as daemon:
            with daemon.connect("relay") as client:
                sender = threading.Thread(target=lambda: (client.sendall(data),
                                                          client.shutdown(socket.SHUT_WR)))
                sender.start()
                with accept_header(listener, header(version, ends_of(client))) as server:
                    assert recv_until_eof(server) == data
                    sender.join()
                    server.sendall(PAYLOAD)
                    server.shutdown(socket.SHUT_WR)
                    assert recv_until_eof(client) == PAYLOAD


@BOTH_VERSIONS
def test_send_once_there_is_somebody(backend, version):
    """Upstreams that refuse get no header. The one that accepts gets one, however often others are tried."""
    port = free_port()
    with Daemon(config(relay(f"127.0.0.1:{port}", "refused", send_proxy=version),
                       relay([f"127.0.0.1:{free_port()}", f"127.0.0.1:{port}"], send_proxy=version,
                             connect_wait=DEADLINE), backend=backend)) as daemon:
        expect_reset(daemon, "refused")
        daemon.wait_for(r"^refused: \S+ closed: upstream \S+: Connection refused, 0 B in, 0 B out, ")
        with daemon.connect("relay") as client:
            client.sendall(PAYLOAD)
            daemon.wait_for("^relay: .* connected$")
            with socket.create_server(("127.0.0.1", port)) as listener:
                listener.settimeout(DEADLINE)
                with accept_header(listener, header(version, ends_of(client))) as server:
                    assert recv_exactly(server, len(PAYLOAD)) == PAYLOAD


@BOTH_VERSIONS
def test_two_daemons_in_a_row(backend, version):
    """The second daemon knows the client of the first one, and so does its upstream."""
    with listening() as (listener, address), contextlib.ExitStack() as stack:
        behind = stack.enter_context(Daemon(config(
            accepting("behind", mode="relay", upstream=address, send_proxy=3 - version),
            backend=backend)))
        front = stack.enter_context(Daemon(config(
            relay(behind.addresses("behind")[0], "front", send_proxy=version), backend=backend)))
        with front.connect("front") as client:
            client.sendall(PAYLOAD)
            with accept_header(listener, header(3 - version, ends_of(client))) as server:
                assert recv_exactly(server, len(PAYLOAD)) == PAYLOAD
            who = name_of(client)
        behind.wait_for(rf"^behind: {who} connected by way of 127\.0\.0\.1:\d+$")
        behind.wait_for(rf"^behind: {who} closed: end of stream, 3000 B in, 0 B out, ")


@pytest.mark.parametrize("conditions, arrives", [
    ({"limit": 5}, 5),
    ({"latency": "1h"}, 0),
    ({"rate": 1, "burst": 1}, None),
    ({"slice_size": 1, "slice_delay": "1h"}, 1),
    ({"stall_after": 5, "stall_for": "forever"}, 5),
], ids=["limit", "latency", "rate", "slices", "stall"])
def test_conditions(backend, conditions, arrives):
    """The whole header comes at once. Of the client's bytes, those come that the conditions let pass."""
    with listening() as (listener, address):
        text = config(relay(address, send_proxy=1, to_upstream=conditions), backend=backend)
        with Daemon(text) as daemon, daemon.connect("relay") as client:
            client.sendall(pattern(100))
            with accept_header(listener, header(1, ends_of(client))) as server:
                if arrives:
                    assert recv_exactly(server, arrives) == pattern(100)[:arrives]
                if "limit" in conditions:
                    assert recv_until_eof(server) == b""
                    daemon.wait_for(r" closed: limit 5 B, 100 B in, 0 B out, [\d.]+ s; affected by ")


def test_lost(backend):
    """A header that is not delivered does not count as a loss."""
    with listening() as (listener, address):
        text = config(relay(address, send_proxy=2, to_upstream=dict(latency="1h")), backend=backend,
                      log_level="debug", drain_timeout=0)
        with Daemon(text) as daemon, daemon.connect("relay") as client:
            client.sendall(pattern(100))
            daemon.wait_for(" received 100 bytes$")
            daemon.wait_for(r" sending 28 bytes to ")
            daemon.stop()
            daemon.wait_for(r" closed: stopping, 100 B in, 0 B out, [\d.]+ s; lost: 100 B to upstream; ")
