"""What selectd costs, measured beside a hand-written epoll loop (floor.c).

    python3 tests/bench/bench.py BUILD_DIR [--runs 5]

How it is measured: see measure.py.
"""

import collections
import statistics
import sys

import measure
from measure import MESSAGE_BYTES, spread

CONNECTIONS, MESSAGES = 50, 50_000  # a turn
BULK_BYTES = 300_000_000  # a turn
TURNS = 8  # a run
IDLE_CONNECTIONS = 10_000
CONFIG = """
log_level = "warning";
services = { echo = { listen = "127.0.0.1:0"; mode = "echo"; }; };
"""

Figure = collections.namedtuple("Figure", "name digits target of_ratio measure")


def per_unit(bench, servers, units, *load):
    return [seconds / units for seconds in measure.measure_cpu(bench, servers, TURNS, *load)]


def message_usec(bench, servers):
    return per_unit(bench, servers, MESSAGES / 1e6, "ping", CONNECTIONS, MESSAGES, MESSAGE_BYTES)


def bulk_seconds(bench, servers):
    return per_unit(bench, servers, BULK_BYTES / 1e9, "bulk", BULK_BYTES)


def idle_bytes(bench, servers):
    return measure.idle_bytes(bench, servers, measure.idle_count(IDLE_CONNECTIONS))


def measure_pairs(bench, figure, runs):
    """Returns a pair of selectd's and the floor's figure for each run."""
    pairs = []
    for _ in range(runs):
        with bench.start_floor() as floor, bench.start_selectd(CONFIG) as selectd:
            pairs.append(figure.measure(bench, (selectd, floor)))
    return pairs


def report(figure, pairs):
    """Prints one row. Returns whether the target is met."""
    selectd, floor = zip(*pairs)
    ratios = [s / f for s, f in pairs]
    reached = statistics.median(ratios if figure.of_ratio else selectd)
    met = reached <= figure.target
    print(f"{figure.name:32}{spread(floor, figure.digits):24}{spread(selectd, figure.digits):24}"
          f"{spread(ratios, 3) if figure.of_ratio else '':24}"
          f"{'ratio' if figure.of_ratio else ''} <= {figure.target}: {'met' if met else 'MISSED'}",
          flush=True)
    return met


def main():
    bench, runs = measure.start("Measure selectd against a plain epoll loop.")
    figures = [
        Figure(f"CPU µs per {MESSAGE_BYTES}-byte message", 2, 1.05, True, message_usec),
        Figure("CPU s per bulk gigabyte", 3, 1.05, True, bulk_seconds),
        Figure("bytes per idle connection", 0, 1536, False, idle_bytes),
    ]
    print(f"{runs} runs of {TURNS * MESSAGES:,} messages over {CONNECTIONS} connections, "
          f"{TURNS * BULK_BYTES / 1e9:g} GB over one, "
          f"{measure.idle_count(IDLE_CONNECTIONS):,} idle connections\n")
    print(f"{'median, min–max':35}{'floor':24}{'selectd':24}{'selectd / floor':22}target")
    met = [report(figure, measure_pairs(bench, figure, runs)) for figure in figures]
    measure.report_busy(bench)
    return 0 if all(met) else 1


if __name__ == "__main__":
    sys.exit(main())
