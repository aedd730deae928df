# SPDX-License-Identifier: MIT
"""Common parts of the benchmarks: servers and loads on their CPUs, and the resources that a server used.

Machines differ and drift, so servers are compared and never timed alone. A run starts a new server of
each kind, on a CPU of its own if there are two, and gives them short turns in rotation. CPU time is what
the kernel charged to the server's processes, without start-up, and without connecting unless that is
measured. Memory is the growth of their private pages.
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
BUSY = 0.05  # above this, the work of other programs shows in the figures
TIMEOUT = 300  # seconds; a step takes about one on an idle machine
CLOCK_TICK = 1 / os.sysconf("SC_CLK_TCK")
AS_SYSTEMD = 'LISTEN_FDS=1 LISTEN_PID=$$ exec "$@" 3<&0 </dev/null'
PR_SET_PDEATHSIG = 1

# listener: the socket on which it finds its upstream, if the load is the upstream; else None
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
    """A load on a schedule; see paced.c. A round returns how late messages were, in ms."""

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
        self.used = self.waited = 0  # seconds, for selectd: processes of the others wait for each other
        cpus = sorted(os.sched_getaffinity(0))
        self.server_cpu = cpus[-1]
        os.sched_setaffinity(0, {cpus[0]})  # this process and the load

    @contextlib.contextmanager
    def start(self, command, pinned=True, **options):
        """Starts a server. It is killed at the end, with all processes that it has forked."""
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
        """Passes the socket as systemd does, so that nobody has to wait until the server listens.

        before: called with the port before the server is started
        """
        port = listener.getsockname()[1]
        listener.setblocking(False)
        if before:
            before(port)
        with self.start(["sh", "-c", AS_SYSTEMD, "sh", *command], stdin=listener,
                        **options) as process:
            listener.close()  # if the server ends, clients must not wait for it
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
        """Adds up the CPU time that selectd used, and waited for, between two readings. Returns the time
        used.
        """
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
    """A listening socket. Accepted sockets inherit its TCP_NODELAY."""
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
    if not paths:  # this kernel does not have it
        return sum(stat_seconds(pid)[:2]), 0
    for path in paths:
        with open(path, encoding="ascii") as file:
            fields = file.read().split()
        used, waited = used + int(fields[0]), waited + int(fields[1])
    return used / 1e9, waited / 1e9


def cpu_seconds(pid):
    """CPU time of a process and its descendants, dead or alive, and how long these waited for it.

    Dead processes are in their parent's account in whole clock ticks when the parent has reaped them. The
    account is read first: a process that ends meanwhile is missed by this reading and found by the next one,
    and not counted twice.
    """
    used, waited = sum(stat_seconds(pid)[2:]), 0
    for process in processes(pid):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            one = thread_seconds(process)
            used, waited = used + one[0], waited + one[1]
    return used, waited


def private_bytes(pid):
    """Private memory of a process and its descendants."""
    total = 0
    for process in processes(pid):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            with open(f"/proc/{process}/smaps_rollup", encoding="ascii") as file:
                sizes = dict(line.split(":") for line in file if line.startswith("Private_"))
            total += sum(int(sizes[key].split()[0]) for key in ("Private_Clean", "Private_Dirty"))
    return 1024 * total


def measure_cpu(bench, servers, turns, *load):
    """CPU seconds per turn of each server, the first of which is selectd: the median of the turns after one
    to warm up.

    They are read only when each server has had its turn. The work that a server still has when its round is
    over, such as closing connections, is done during the turns of the others.
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
    """The possible number of connections."""
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
    """Reads the command line and raises the descriptor limit. Returns the Bench and the number of runs."""
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
