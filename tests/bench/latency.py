# SPDX-License-Identifier: MIT
"""How exactly a latency is kept, and what it costs.

    python3 tests/bench/latency.py BUILD_DIR [--runs 11]

A run starts a new server with a latency of 100 ms, for 1,000 connections and for 5,000. Each connection
sends a message of 64 bytes every 100 ms, on a schedule (paced.c), so that the lateness of a message
includes the load's own delay. See measure.py for the rest of the method.
"""
import collections

import measure
from measure import MESSAGE_BYTES
from table import Table, Target

LATENCY_USEC = 100_000
MESSAGES = 20  # of each connection, a round
ROUNDS = 3     # rounds that count, after one to warm up
CONFIG = """
log_level = "warning";
services = { echo = { listen = "127.0.0.1:0"; to_client = { latency = "100ms"; }; }; };
"""
P99_LIMITS_MSEC = {1_000: 2, 5_000: 10}
CPU_LIMIT_USEC, MEMORY_LIMIT_MBYTES = 15, 60

Result = collections.namedtuple("Result", "p50 p99 p999 worst earliest cpu mbytes")


def run(bench, connections):
    with bench.start_selectd(CONFIG) as server:
        with bench.load(server, "idle", 10):
            pass
        with measure.paced(bench, server, connections, MESSAGES, LATENCY_USEC, LATENCY_USEC) as load:
            load.round()
            before = measure.cpu_seconds(server.pid)
            rounds = [load.round() for _ in range(ROUNDS)]
            mbytes = measure.private_bytes(server.pid) / 1e6
            used = bench.count(before, measure.cpu_seconds(server.pid))
    p50, p99, p999, worst, earliest = zip(*rounds)
    return Result(sorted(p50)[ROUNDS // 2], max(p99), max(p999), max(worst), min(earliest),
                  used * 1e6 / (ROUNDS * MESSAGES * connections), mbytes)


def measure_all(bench, runs):
    """Yields the tables."""
    for connections, limit_msec in P99_LIMITS_MSEC.items():
        results = Result(*zip(*(run(bench, connections) for _ in range(runs))))
        rows = [("CPU per message", "µs", 2, results.cpu, Target(CPU_LIMIT_USEC, ratio=False)),
                ("late, 50 of 100", "ms", 3, results.p50, None),
                ("late, 99 of 100", "ms", 3, results.p99, Target(limit_msec, ratio=False)),
                ("late, 999 of 1,000", "ms", 3, results.p999, None),
                ("late, the last", "ms", 3, results.worst, None),
                ("late, the first", "ms", 3, results.earliest, None),
                ("private memory in all", "MB", 1, results.mbytes,
                 Target(MEMORY_LIMIT_MBYTES, ratio=False))]
        for name, unit, digits, values, target in rows:
            yield Table("latency", f"{connections:,} connections, {MESSAGE_BYTES} bytes each 100 ms: {name}",
                        unit, digits, {"selectd": list(values)}, target=target)


if __name__ == "__main__":
    measure.run(__doc__, measure_all)
