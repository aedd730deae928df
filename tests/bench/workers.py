# SPDX-License-Identifier: MIT
"""The gain of a second worker.

    python3 tests/bench/workers.py BUILD_DIR [--runs 11]

Measures the CPU time of a message with one worker and with two, each server on all CPUs. Two workers
could serve 2 * (time with one) / (time with two) times as much if the CPUs had nothing else to do. See
measure.py for the method.
"""
import contextlib

import measure
from measure import MESSAGE_BYTES
from table import Table, Target

CONNECTIONS, MESSAGES = 50, 25_000  # a turn
TURNS = 8  # a run
LEAST_GAIN = 1.8
CONFIG = """
log_level = "warning";
workers = {workers};
services = {{ echo = {{ listen = "127.0.0.1:0"; }}; }};
"""


def run(bench):
    """How many times as much two workers could serve."""
    with contextlib.ExitStack() as stack:
        servers = [stack.enter_context(bench.start_selectd(CONFIG.format(workers=n), pinned=False))
                   for n in (1, 2)]
        one, two = measure.measure_cpu(bench, servers, TURNS, "ping", CONNECTIONS, MESSAGES,
                                       MESSAGE_BYTES)
    return 2 * one / two


def measure_all(bench, runs):
    """Yields the table."""
    yield Table("workers", f"{MESSAGE_BYTES}-byte messages with two workers", "× one worker", 2,
                {"selectd": [run(bench) for _ in range(runs)]}, higher=True,
                target=Target(LEAST_GAIN, ratio=False))


if __name__ == "__main__":
    measure.run(__doc__, measure_all)
