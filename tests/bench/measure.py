# SPDX-License-Identifier: MIT
"""What the benchmarks share: servers and loads on their CPUs, and what a server used meanwhile.

Machines differ and drift, so servers are compared, never timed alone: a run starts a fresh one of
each kind on a CPU of their own, where there are two, and lets them take short turns, each first in
its turn. CPU time is what the kernel charged to the server's processes: neither start-up nor, but
where that is measured, connecting is in it. Memory is the growth of their private pages.
"""

import argparse
import collections
import contextlib
import ctypes
import glob
import os
import resource
import select
import signal
import socket
import statistics
import subprocess
import sys
import tempfile

import table

MESSAGE_BYTES = 64
SPARE_DESCRIPTORS = 64
BUSY = 0.05  # more than this, and others' work shows in the figures
TIMEOUT = 300  # seconds; a step takes about one, on a machine with nothing else to do
CLOCK_TICK = 1 / os.sysconf("SC_CLK_TCK")
AS_SYSTEMD = 'LISTEN_FDS=1 LISTEN_PID=$$ exec "$@" 3<&0 </dev/null'
PR_SET_PDEATHSIG = 1

# listener: where it finds its upstream, if that is the load; else None
Server = collections.namedtuple("Server", "pid port listener", defaults=[None])

_libc = ctypes.CDLL(None)


class Load:
    """Open connections to a server, ready for rounds of work."""

    def __init__(self, program, server, *arguments):
        inherited = [server.listener.fileno()] if server.listener else []
        self.process = subprocess.Popen(
            [program, *map(str, (server.port, *arguments, *inherited))], pass_fds=inherited,
            preexec_fn=die_with_parent, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.name = " ".join(map(str, arguments))
        self.wait()

    def wait(self):
        answered = select.select([self.process.stdout], [], [], TIMEOUT)[0]
        if not answered or self.process.stdout.readline() != "ready\n":
            raise RuntimeError(f"the load failed: {self.name}")

    def round(self):
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        self.wait()

    def close(self):
        self.process.kill()
        self.process.communicate(timeout=TIMEOUT)


class Paced(Load):
    """A load on a schedule; see paced.c. A round returns in ms how late messages were."""

    def round(self):
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"the load failed: {self.name}")
        return [int(usec) / 1000 for usec in line.split()]


class Bench:
    """The programs, and the CPUs they run on."""

    def __init__(self, build_dir, selectd=None):
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        self.selectd = selectd or os.path.join(build_dir, "selectd")
        self.build_dir = build_dir
        self.used = self.waited = 0  # seconds, by selectd: others' processes wait for each other
        cpus = sorted(os.sched_getaffinity(0))
        self.server_cpu = cpus[-1]
        os.sched_setaffinity(0, {cpus[0]})  # this process and the load

    @contextlib.contextmanager
    def start(self, command, pinned=True, **options):
        """Starts a server; with all it has forked, it is killed at the end."""
        def prepare():
            die_with_parent()
            os.setpgid(0, 0)
            if pinned:
                os.sched_setaffinity(0, {self.server_cpu})
        process = subprocess.Popen(command, preexec_fn=prepare, **options)
        try:
            yield process
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate(timeout=TIMEOUT)

    def program(self, name):
        """The path of tests/bench/NAME.c, built."""
        return os.path.join(self.build_dir, "tests", f"bench-{name}")

    @contextlib.contextmanager
    def start_program(self, name, *arguments, pinned=True):
        """Starts a server of tests/bench, which prints its port."""
        with self.start([self.program(name), *map(str, arguments)], pinned, stdout=subprocess.PIPE,
                        text=True) as process:
            yield Server(process.pid, int(process.stdout.readline()))

    def start_floor(self, pinned=True):
        return self.start_program("floor", pinned=pinned)

    @contextlib.contextmanager
    def start_passed(self, command, listener, before=None, **options):
        """Passes the socket as systemd does, so that nobody waits for a server to listen.

        before: called with the port, before the server is started
        """
        port = listener.getsockname()[1]
        listener.setblocking(False)
        if before:
            before(port)
        with self.start(["sh", "-c", AS_SYSTEMD, "sh", *command], stdin=listener,
                        **options) as process:
            listener.close()  # if the server ends, clients are not to wait for it
            yield Server(process.pid, port)

    @contextlib.contextmanager
    def start_selectd(self, config, **options):
        with tempfile.NamedTemporaryFile("w", suffix=".conf") as file:
            file.write(config)
            file.flush()
            with self.start_passed([self.selectd, "-c", file.name], listen(), **options) as server:
                yield server

    def load(self, server, *arguments):
        return contextlib.closing(Load(self.program("load"), server, *arguments))


    def count(self, before, after):
        """Takes in what selectd used and waited between two readings. Returns what it used."""
        used, waited = (now - then for now, then in zip(after, before))
        self.used += used
        self.waited += waited
        return used


def paced(bench, server, *arguments):
    """A load on a schedule: CONNECTIONS MESSAGES INTERVAL_USEC LATENCY_USEC."""
    return contextlib.closing(Paced(bench.program("paced"), server, *arguments))


def die_with_parent():
    """For preexec_fn. Not SIGKILL: servers that have forked end their children too."""
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def listen():
    """A listening socket; those it accepts are TCP_NODELAY like itself."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=4096)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


def processes(pid):
    """A process and its descendants."""
    found = [pid]
    for parent in found:
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            with open(f"/proc/{parent}/task/{parent}/children", encoding="ascii") as file:
                found += map(int, file.read().split())
    return found


def stat_seconds(pid):
    """Seconds of user, system, children's user and children's system time."""
    with open(f"/proc/{pid}/stat", encoding="ascii") as file:
        return [int(ticks) * CLOCK_TICK for ticks in file.read().rpartition(")")[2].split()[11:15]]


def thread_seconds(pid):
    """CPU time of all threads of a process, and how long they waited for the CPU."""
    used = waited = 0
    paths = glob.glob(f"/proc/{pid}/task/*/schedstat")
    if not paths:  # a kernel without it
        return sum(stat_seconds(pid)[:2]), 0
    for path in paths:
        with open(path, encoding="ascii") as file:
            fields = file.read().split()
        used, waited = used + int(fields[0]), waited + int(fields[1])
    return used / 1e9, waited / 1e9


def cpu_seconds(pid):
    """CPU time of a process and its descendants, dead or alive, and how long these waited for it.

    The dead are in their parent's account in whole clock ticks, once it has reaped them. It is read
    first: who ends meanwhile is missed, not counted twice, and found by the next reading.
    """
    used, waited = sum(stat_seconds(pid)[2:]), 0
    for process in processes(pid):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            one = thread_seconds(process)
            used, waited = used + one[0], waited + one[1]
    return used, waited


def private_bytes(pid):
    """Memory that only this process has, and each of its descendants."""
    total = 0
    for process in processes(pid):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            with open(f"/proc/{process}/smaps_rollup", encoding="ascii") as file:
                sizes = dict(line.split(":") for line in file if line.startswith("Private_"))
            total += sum(int(sizes[key].split()[0]) for key in ("Private_Clean", "Private_Dirty"))
    return 1024 * total


def measure_cpu(bench, servers, turns, *load):
    """CPU seconds a turn of each server: the median's, after one to warm up. selectd is the first.

    Read only when each has had its turn: what a server has left to do when its round is over, such
    as closing connections, it does in the turns of the others.
    """
    with contextlib.ExitStack() as stack:
        loads = [stack.enter_context(bench.load(server, *load)) for server in servers]
        readings = []
        for turn in range(turns + 1):
            first = turn % len(loads)
            for one in loads[first:] + loads[:first]:
                one.round()
            readings.append([cpu_seconds(server.pid) for server in servers])
    bench.count(readings[0][0], readings[-1][0])
    return [statistics.median(after[0] - before[0] for before, after in zip(one, one[1:]))
            for one in zip(*readings)]


def idle_count(wanted):
    """How many connections there can be."""
    return min(wanted, resource.getrlimit(resource.RLIMIT_NOFILE)[0] - SPARE_DESCRIPTORS)


def idle_bytes(bench, servers, count):
    """Private memory of an idle connection, for each server."""
    growth = []
    for server in servers:
        with bench.load(server, "idle", 10):
            pass
        before = private_bytes(server.pid)
        with bench.load(server, "idle", count):
            growth.append((private_bytes(server.pid) - before) / count)
    return growth


def parse(description):
    """Reads the command line and lifts the limit on descriptors. Returns both Bench and runs."""
    parser = argparse.ArgumentParser(description=description.partition("\n")[0])
    parser.add_argument("build_dir")
    parser.add_argument("--runs", type=int, default=11)
    parser.add_argument("--selectd", help="measure this binary, not BUILD_DIR's")
    arguments = parser.parse_args()
    return Bench(arguments.build_dir, arguments.selectd), arguments.runs


def run(description, measure_all):
    """Measures and prints all tables of one file. Exits with 1 if a target is missed."""
    bench, runs = parse(description)
    tables = [table.show(one) for one in measure_all(bench, runs)]
    report_busy(bench)
    sys.exit(any(one.met() is False for one in tables))


def report_busy(bench):
    busy = bench.waited / bench.used
    print(f"\nselectd waited for its CPU {busy:.1%} of the time it used it"
          f"{': the machine was busy, measure again' if busy > BUSY else ''}.")
