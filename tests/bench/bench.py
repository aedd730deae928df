"""What selectd costs, measured beside a hand-written epoll loop (floor.c).

    python3 tests/bench/bench.py BUILD_DIR [--runs 5]

Machines differ and drift, so the two are compared, never timed alone: a run starts a fresh server
of each kind on a CPU of their own, where there are two, and lets them take short turns, each first
every other time. The run's figures make one ratio. CPU time is what the kernel charged to the
server's threads while the load did its round: neither start-up nor connecting is in it. Memory is
the growth of the server's private pages.
"""

import argparse
import collections
import contextlib
import glob
import os
import resource
import select
import socket
import statistics
import subprocess
import sys
import tempfile

CONNECTIONS, MESSAGES, MESSAGE_BYTES = 50, 50_000, 64  # a turn
BULK_BYTES = 300_000_000  # a turn
TURNS = 8  # a run
IDLE_CONNECTIONS, SPARE_DESCRIPTORS = 10_000, 64
BUSY = 0.05  # more than this, and others' work shows in the figures
TIMEOUT = 60  # seconds; a step takes about one
CONFIG = """
log_level = "warning";
services = { echo = { listen = "127.0.0.1:0"; mode = "echo"; }; };
"""

Server = collections.namedtuple("Server", "pid port")
Figure = collections.namedtuple("Figure", "name digits target of_ratio measure")


class Load:
    """Open connections to a server, ready for rounds of work."""

    def __init__(self, program, server, *arguments):
        self.server = server
        self.used, self.waited = [], 0
        self.process = subprocess.Popen([program, str(server.port), *map(str, arguments)],
                                        text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.wait()

    def wait(self):
        answered = select.select([self.process.stdout], [], [], TIMEOUT)[0]
        if not answered or self.process.stdout.readline() != "ready\n":
            raise RuntimeError("the load failed")

    def round(self):
        """Adds to @used the CPU seconds it took the server, to @waited those it had to wait."""
        used, waited = cpu_seconds(self.server.pid)
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        self.wait()
        after = cpu_seconds(self.server.pid)
        self.used.append(after[0] - used)
        self.waited += after[1] - waited

    def close(self):
        self.process.kill()
        self.process.communicate(timeout=TIMEOUT)


class Bench:
    """The programs, and the CPUs they run on."""

    def __init__(self, build_dir, selectd, config):
        self.selectd = selectd or os.path.join(build_dir, "selectd")
        self.floor = os.path.join(build_dir, "tests", "bench-floor")
        self.load_program = os.path.join(build_dir, "tests", "bench-load")
        self.config = config
        self.used = self.waited = 0  # seconds, by all servers
        cpus = sorted(os.sched_getaffinity(0))
        self.server_cpu = cpus[-1]
        os.sched_setaffinity(0, {cpus[0]})  # this process and the load

    @contextlib.contextmanager
    def start(self, command, **options):
        process = subprocess.Popen(
            command, preexec_fn=lambda: os.sched_setaffinity(0, {self.server_cpu}), **options)
        try:
            yield process
        finally:
            process.kill()
            process.communicate(timeout=TIMEOUT)

    @contextlib.contextmanager
    def start_floor(self):
        with self.start([self.floor], stdout=subprocess.PIPE, text=True) as process:
            yield Server(process.pid, int(process.stdout.readline()))

    @contextlib.contextmanager
    def start_selectd(self):
        """The socket is passed as systemd does it, so that the port is known without a log."""
        script = 'LISTEN_FDS=1 LISTEN_PID=$$ exec "$0" -c "$1" 3<&0 </dev/null'
        listener = socket.create_server(("127.0.0.1", 0), backlog=4096)
        port = listener.getsockname()[1]
        with self.start(["sh", "-c", script, self.selectd, self.config], stdin=listener) as process:
            listener.close()  # if selectd ends, clients are not to wait for it
            yield Server(process.pid, port)

    def load(self, server, *arguments):
        return contextlib.closing(Load(self.load_program, server, *arguments))


def cpu_seconds(pid):
    """CPU time of all threads of a process, and how long they waited for the CPU."""
    used = waited = 0
    try:
        for path in glob.glob(f"/proc/{pid}/task/*/schedstat"):
            with open(path, encoding="ascii") as file:
                fields = file.read().split()
            used, waited = used + int(fields[0]), waited + int(fields[1])
        return used / 1e9, waited / 1e9
    except (OSError, IndexError):  # a kernel without it: clock ticks
        with open(f"/proc/{pid}/stat", encoding="ascii") as file:
            user, system = file.read().rpartition(")")[2].split()[11:13]
        return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK"), 0


def private_bytes(pid):
    """Memory that only this process has."""
    with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as file:
        sizes = dict(line.split(":") for line in file if line.startswith("Private_"))
    return 1024 * sum(int(sizes[key].split()[0]) for key in ("Private_Clean", "Private_Dirty"))


def measure_cpu(bench, servers, turn_units, *load):
    """CPU seconds a unit of work: the median turn's, after one to warm up. Returns a pair."""
    with bench.load(servers[0], *load) as floor, bench.load(servers[1], *load) as selectd:
        for turn in range(TURNS + 1):
            for one in (floor, selectd) if turn % 2 else (selectd, floor):
                one.round()
    for one in (floor, selectd):
        bench.used += sum(one.used)
        bench.waited += one.waited
    return [statistics.median(one.used[1:]) / turn_units for one in (floor, selectd)]


def message_usec(bench, servers):
    units = MESSAGES / 1e6
    return measure_cpu(bench, servers, units, "ping", CONNECTIONS, MESSAGES, MESSAGE_BYTES)


def bulk_seconds(bench, servers):
    return measure_cpu(bench, servers, BULK_BYTES / 1e9, "bulk", BULK_BYTES)


def idle_count():
    return min(IDLE_CONNECTIONS, resource.getrlimit(resource.RLIMIT_NOFILE)[0] - SPARE_DESCRIPTORS)


def idle_bytes(bench, servers):
    growth = []
    for server in servers:
        with bench.load(server, "idle", 10):
            pass
        before = private_bytes(server.pid)
        with bench.load(server, "idle", idle_count()):
            growth.append((private_bytes(server.pid) - before) / idle_count())
    return growth


def measure(bench, figure, runs):
    """Returns a pair of the floor's and selectd's figure for each run."""
    pairs = []
    for _ in range(runs):
        with bench.start_floor() as floor, bench.start_selectd() as selectd:
            pairs.append(figure.measure(bench, (floor, selectd)))
    return pairs


def spread(values, digits):
    low, middle, high = (f"{f(values):.{digits}f}" for f in (min, statistics.median, max))
    return f"{middle:>8}  {low}–{high}"


def report(figure, pairs):
    """Prints one row. Returns whether the target is met."""
    floor, selectd = zip(*pairs)
    ratios = [s / f for f, s in pairs]
    reached = statistics.median(ratios if figure.of_ratio else selectd)
    met = reached <= figure.target
    print(f"{figure.name:32}{spread(floor, figure.digits):24}{spread(selectd, figure.digits):24}"
          f"{spread(ratios, 3) if figure.of_ratio else '':24}"
          f"{'ratio' if figure.of_ratio else ''} <= {figure.target}: {'met' if met else 'MISSED'}",
          flush=True)
    return met


def main():
    parser = argparse.ArgumentParser(description="Measure selectd against a plain epoll loop.")
    parser.add_argument("build_dir")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--selectd", help="measure this binary, not BUILD_DIR's")
    arguments = parser.parse_args()

    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    figures = [
        Figure(f"CPU µs per {MESSAGE_BYTES}-byte message", 2, 1.05, True, message_usec),
        Figure("CPU s per bulk gigabyte", 3, 1.05, True, bulk_seconds),
        Figure("bytes per idle connection", 0, 1536, False, idle_bytes),
    ]
    print(f"{arguments.runs} runs of {TURNS * MESSAGES:,} messages over {CONNECTIONS} connections, "
          f"{TURNS * BULK_BYTES / 1e9:g} GB over one, {idle_count():,} idle connections\n")
    print(f"{'median, min–max':35}{'floor':24}{'selectd':24}{'selectd / floor':22}target")
    with tempfile.NamedTemporaryFile("w", suffix=".conf") as config:
        config.write(CONFIG)
        config.flush()
        bench = Bench(arguments.build_dir, arguments.selectd, config.name)
        met = [report(figure, measure(bench, figure, arguments.runs)) for figure in figures]
    busy = bench.waited / bench.used
    print(f"\nServers waited for their CPU {busy:.1%} of the time they used it"
          f"{': the machine was busy, measure again' if busy > BUSY else ''}.")
    return 0 if all(met) else 1


if __name__ == "__main__":
    sys.exit(main())
