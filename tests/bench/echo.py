# SPDX-License-Identifier: MIT
"""What an echo costs, beside a hand-written epoll loop (floor.c).

    python3 tests/bench/echo.py BUILD_DIR [--runs 11] [--quick]

See measure.py for the method.
"""
import measure
from measure import MESSAGE_BYTES
from table import Table, Target

CONNECTIONS = 50, 4
MESSAGES = 50_000  # a turn
BULK_BYTES = 300_000_000  # a turn
TURNS = 8  # a run
IDLE_CONNECTIONS = 10_000
IDLE_LIMIT_BYTES = 1536
CONFIG = """
log_level = "warning";
services = { echo = { listen = "127.0.0.1:0"; mode = "echo"; }; };
"""


def message_usec(connections):
    def usec(bench, servers):
        messages = MESSAGES * connections // max(CONNECTIONS)
        return [seconds * 1e6 / messages for seconds in measure.measure_cpu(
            bench, servers, TURNS, "ping", connections, messages, MESSAGE_BYTES)]
    return usec


def bulk_seconds(bench, servers):
    return [seconds * 1e9 / BULK_BYTES
            for seconds in measure.measure_cpu(bench, servers, TURNS, "bulk", BULK_BYTES)]


def idle_bytes(bench, servers):
    return measure.idle_bytes(bench, servers, measure.idle_count(IDLE_CONNECTIONS))


FIGURES = [
    *((f"CPU per {MESSAGE_BYTES}-byte message, {n} connections", "µs", 2, Target(1.02), message_usec(n))
      for n in CONNECTIONS),
    ("CPU per bulk gigabyte", "s", 3, Target(1.05), bulk_seconds),
    ("private memory of an idle connection", "bytes", 0, Target(IDLE_LIMIT_BYTES, ratio=False), idle_bytes),
]


def measure_all(bench, runs):
    """Yields the tables."""
    for name, unit, digits, target, figure in FIGURES:
        values = {"selectd": [], "plain epoll loop": []}
        for _ in range(runs):
            with bench.start_floor() as floor, bench.start_selectd(CONFIG) as selectd:
                for all_of_one, value in zip(values.values(), figure(bench, (selectd, floor))):
                    all_of_one.append(value)
        yield Table("echo", name, unit, digits, values, target=target)


if __name__ == "__main__":
    measure.run(__doc__, measure_all)
