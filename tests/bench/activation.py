# SPDX-License-Identifier: MIT
"""How long the first client waits when it starts the relay: from its connect to the first byte back.

    python3 tests/bench/activation.py BUILD_DIR [--runs 11]

A client connects to a listening socket, and the relay is started with this socket, as systemd does. The
upstream runs already. The relays take turns, and each run is the median of several starts.
"""
import contextlib
import socket
import statistics
import tempfile
import time

import measure
import relay
from table import Table, Target

STARTS = 5  # starts in a run
NAMES = "selectd", "systemd-socket-proxyd"


def start_seconds(bench, one, upstream):
    with contextlib.ExitStack() as stack:
        directory = stack.enter_context(tempfile.TemporaryDirectory())
        client = stack.enter_context(socket.socket())
        client.settimeout(measure.TIMEOUT)
        began = 0

        def connect(port):
            nonlocal began
            began = time.monotonic()
            client.connect(("127.0.0.1", port))
            client.sendall(b"!")

        stack.enter_context(one.start(bench, one, upstream, directory, False, before=connect))
        if client.recv(1) != b"!":
            raise RuntimeError(f"{one.name} did not answer")
        return time.monotonic() - began


def measure_all(bench, runs):
    """Yields the table."""
    relays = [one for one in relay.find_relays() if one.name in NAMES]
    values = {one.name: [] for one in relays}
    with bench.start_floor(pinned=False) as upstream:
        for _ in range(runs):
            for one in relays:
                values[one.name].append(1000 * statistics.median(
                    start_seconds(bench, one, upstream.port) for _ in range(STARTS)))
    yield Table("activation", "connect to first byte, the relay started by it", "ms", 2, values,
                target=Target(1, strict=True))


if __name__ == "__main__":
    measure.run(__doc__, measure_all)
