"""How exactly a latency is kept, and what it costs: one message under way on each of many connections.

    python3 tests/bench/latency.py BUILD_DIR [--runs 5]

A run starts a fresh server with a latency of 100 ms both for 1,000 connections and for 5,000. Each
sends a message of 64 bytes, the next one when that is back (late.c). How late a message is counts the
load's own delay in. How it is measured otherwise: see measure.py.
"""

import collections
import contextlib
import subprocess
import sys

import measure
from measure import MESSAGE_BYTES, spread

LATENCY_USEC = 100_000
MESSAGES = 20  # of each connection, a round
ROUNDS = 3     # that count, after one to warm up
CONFIG = """
log_level = "warning";
services = { echo = { listen = "127.0.0.1:0"; to_client = { latency = "100ms"; }; }; };
"""

Scene = collections.namedtuple("Scene", "connections p99_msec")
SCENES = [Scene(1_000, 2), Scene(5_000, 10)]
CPU_USEC, TOTAL_MBYTES = 15, 60
Result = collections.namedtuple("Result", "p50 p99 worst earliest cpu each_bytes total_mbytes")


@contextlib.contextmanager
def start_load(bench, server, connections):
    program = bench.load_program.removesuffix("load") + "late"
    command = [program, *map(str, (server.port, connections, MESSAGES, LATENCY_USEC))]
    with subprocess.Popen(command, preexec_fn=measure.die_with_parent, text=True,
                          stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        try:
            if process.stdout.readline() != "ready\n":
                raise RuntimeError("the load failed")
            yield process
        finally:
            process.kill()


def do_round(load):
    """Returns in ms how late the median was, the 99th of a hundred, the last and the first."""
    load.stdin.write("\n")
    load.stdin.flush()
    return [int(usec) / 1000 for usec in load.stdout.readline().split()]


def run(bench, connections):
    with bench.start_selectd(CONFIG) as server:
        with bench.load(server, "idle", 10):
            pass
        before = measure.private_bytes(server.pid)
        with start_load(bench, server, connections) as load:
            do_round(load)
            cpu, waited = measure.cpu_seconds(server.pid)
            rounds = [do_round(load) for _ in range(ROUNDS)]
            total = measure.private_bytes(server.pid)
            used, waited_now = (after - then for after, then
                                in zip(measure.cpu_seconds(server.pid), (cpu, waited)))
    bench.used += used
    bench.waited += waited_now
    p50, p99, worst, earliest = zip(*rounds)
    return Result(sorted(p50)[ROUNDS // 2], max(p99), max(worst), min(earliest),
                  used * 1e6 / (ROUNDS * MESSAGES * connections), (total - before) / connections,
                  total / 1e6)


def report(scene, results):
    """Prints a table. Returns whether all targets are met."""
    limits = {"p99": scene.p99_msec, "cpu": CPU_USEC, "total_mbytes": TOTAL_MBYTES}
    rows = [("p50", "ms late, median", 3), ("p99", "ms late, 99 of 100", 3),
            ("worst", "ms late, the last", 3), ("earliest", "ms late, the first", 3),
            ("cpu", "CPU µs per message", 2), ("each_bytes", "bytes per connection", 0),
            ("total_mbytes", "MB in all", 1)]
    met = True
    print(f"\n{scene.connections:,} connections")
    for field, name, digits in rows:
        values = [getattr(result, field) for result in results]
        limit, verdict = limits.get(field), ""
        if limit is not None:
            fine = sorted(values)[len(values) // 2] <= limit
            met, verdict = met and fine, f"<= {limit}: {'met' if fine else 'MISSED'}"
        print(f"  {name:24}{spread(values, digits):28}{verdict}", flush=True)
    return met


def main():
    bench, runs = measure.start("Measure how exactly selectd keeps a latency.")
    print(f"{runs} runs of {ROUNDS} rounds of {MESSAGES} messages of {MESSAGE_BYTES} bytes on each "
          "connection; median, min–max of runs, the worst round of each for the 99th and the last")
    met = [report(scene, [run(bench, scene.connections) for _ in range(runs)]) for scene in SCENES]
    measure.report_busy(bench)
    return 0 if all(met) else 1


if __name__ == "__main__":
    sys.exit(main())
