# SPDX-License-Identifier: MIT
"""A selectd under test."""
import contextlib
import ctypes
import errno
import os
import pathlib
import re
import select
import socket
import subprocess
import tempfile
import threading
import time
from signal import SIGHUP, SIGSTOP, SIGTERM

from .clients import connect
from .configuration import config_in
from .processes import SANITIZE, SANITIZER, SELECTD, cannot_run, die_with_parent, environment
from .waiting import DEADLINE, until

# The log line of a daemon that was told to stop and still has clients.
DRAINING = r"^stopping: (\d+) connections? left, waiting at most "
LOOP_KBYTES = 2 * 64  # a loop's own buffers, which take no memory before their first use
# Memory for each byte: ThreadSanitizer adds four. AddressSanitizer adds one for eight, and rounds
# allocations up by as much as a quarter.
SHADOWED = {"thread": 5, "address,undefined": 1.125 * 1.25}.get(SANITIZE, 1)

_libc = ctypes.CDLL(None, use_errno=True)
PIDFD_GETFD = 438  # for syscall(2)


def run_selectd(*args, timeout=DEADLINE):
    """Runs selectd to its end. Returns its status, standard output and standard error."""
    done = subprocess.run([SELECTD, *map(str, args)], capture_output=True, timeout=timeout,
                          stdin=subprocess.DEVNULL, env=environment(), preexec_fn=die_with_parent)
    err = done.stderr.decode()
    assert not SANITIZER.search(err), err
    return done.returncode, done.stdout.decode(), err


class Daemon:
    """A running selectd, as a context manager.

    text: of its configuration file; None: it has none
    args: further arguments
    wait: the line that says it has started; None: do not wait
    env: added to its environment
    wrapper: a command that executes the daemon, put before it
    pass_fds: descriptors that it inherits under the same numbers
    check: at the end, stop the daemon with a signal, and expect status 0 and no sanitizer report; if it has
        ended before, expect that no signal killed it

    log and lines() hold everything that it has written so far. A line that is logged before an action is
    there when the action is seen. A line that is logged after the action has to be waited for.
    """

    def __init__(self, text, *, wait=r"^ready: ", env=None, wrapper=(), pass_fds=(), check=True,
                 args=()):
        self.args = list(args)
        self.text, self.ready, self.env = text, wait, env
        self.wrapper, self.pass_fds, self.check = list(wrapper), pass_fds, check
        self.seen, self.partial = [], b""  # whole lines of its standard error, and the rest
        self.closed = False  # its standard error
        self.news = threading.Condition()  # holds the lock of these three

    def __enter__(self):
        self.directory = tempfile.TemporaryDirectory(prefix="selectd-")
        if self.text is not None:
            self.path = config_in(self.directory.name, self.text)
            self.args = ["-c", str(self.path), *self.args]
        self.process = subprocess.Popen(
            [*self.wrapper, SELECTD, *self.args], stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE, env=environment(self.env), pass_fds=self.pass_fds,
            preexec_fn=die_with_parent)
        self.pid = self.process.pid
        os.set_blocking(self.process.stderr.fileno(), False)
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()
        try:
            if self.ready:
                self.wait_for(self.ready)
        except BaseException:
            self._kill()
            raise
        return self

    def __exit__(self, kind, *_):
        try:
            if self.check and kind is None and self.process.poll() is None:
                self.stop_now()
        finally:
            self._kill()
        if self.check:
            assert not any(map(SANITIZER.search, self.log)), self.text_of_log()
            assert kind or self.process.returncode >= 0, self.text_of_log()

    def _kill(self):
        self.process.kill()
        self.process.wait()
        self.reader.join(DEADLINE)
        self.process.stderr.close()
        self.directory.cleanup()

    def _take(self):
        """Takes what the daemon has written so far. The caller holds the lock."""
        while not self.closed:
            try:
                data = os.read(self.process.stderr.fileno(), 1 << 16)
            except BlockingIOError:
                return
            if data:
                *lines, self.partial = (self.partial + data).split(b"\n")
            else:
                lines, self.closed = [self.partial] if self.partial else [], True
            self.seen += [line.decode(errors="backslashreplace") for line in lines]
            self.news.notify_all()

    def _read(self):
        """Reads standard error continuously, so that a full pipe never blocks the daemon."""
        poll = select.poll()
        poll.register(self.process.stderr, select.POLLIN)
        while not self.closed:
            poll.poll()
            with self.news:
                self._take()

    @property
    def log(self):
        """All lines so far."""
        with self.news:
            self._take()
            return self.seen[:]

    def _await(self, condition, what):
        with self.news:
            if not self.news.wait_for(condition, DEADLINE):
                raise AssertionError(f"no {what} in {DEADLINE} s; the log:\n{self.text_of_log()}")

    def text_of_log(self):
        """The last lines, and the whole sanitizer report if there is one."""
        first = [i for i, line in enumerate(self.seen) if SANITIZER.search(line)][:1]
        return "\n".join(self.seen[min([max(len(self.seen) - 30, 0), *first]):])

    def lines(self, regex):
        """The lines so far in which regex is found."""
        return [line for line in self.log if re.search(regex, line)]

    def wait_for(self, regex, n=1):
        """Waits until n log lines, counted from the start, match regex. Returns the nth match."""
        found = []  # matches in the lines searched so far, so that no line is searched twice
        seen = 0

        def condition():
            nonlocal seen
            for line in self.seen[seen:]:
                seen += 1
                match = re.search(regex, line)
                if match:
                    found.append(match)
            return len(found) >= n or self.closed

        self._await(condition, f"/{regex}/ x {n}")
        assert len(found) >= n, f"ended without /{regex}/ x {n}; the log:\n{self.text_of_log()}"
        return found[n - 1]

    def addresses(self, name="echo"):
        """The addresses of a service according to the log, in order."""
        return [re.search(r"listening on (\S+)", line)[1]
                for line in self.lines(rf"^{name}: listening on ")]

    def port(self, name="echo", i=0):
        return int(self.addresses(name)[i].rpartition(":")[2])

    def connect(self, name="echo", i=0, **options):
        return connect(self.addresses(name)[i], **options)

    def signal(self, number):
        self.process.send_signal(number)

    def halt(self):
        """Stops the process until SIGCONT."""
        self.signal(SIGSTOP)
        until(lambda: self._stat()[0] == "T", "the halt")

    def wait(self):
        """Waits for the end of the daemon and of its output. Returns its exit status."""
        try:
            status = self.process.wait(DEADLINE)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"still running after {DEADLINE} s:\n{self.text_of_log()}") from None
        self.reader.join(DEADLINE)
        return status

    def stop(self, number=SIGTERM):
        self.signal(number)
        return self.wait()

    def stop_now(self):
        """Stops the daemon without waiting for connections or handshakes. Returns 0."""
        deadline = time.monotonic() + DEADLINE
        with self.news:
            while self.process.poll() is None and time.monotonic() < deadline:
                self.signal(SIGTERM)  # two pending signals merge, so one may not be enough
                self.news.wait(0.02)
        status = self.wait()
        assert status == 0, f"exit status {status} on SIGTERM\n{self.text_of_log()}"
        return status

    def reload(self, text, expect=r"^reloaded "):
        """Replaces the configuration, reloads, and waits for the line that tells the result."""
        before = len(self.lines(expect))
        config_in(self.directory.name, text)
        self.signal(SIGHUP)
        return self.wait_for(expect, before + 1)

    def descriptors(self):
        return sorted(int(fd) for fd in os.listdir(f"/proc/{self.pid}/fd"))

    @contextlib.contextmanager
    def sockets(self):
        """Duplicates of its TCP sockets, for reading their options (pidfd_getfd(2))."""
        with contextlib.ExitStack() as stack:
            pidfd = os.pidfd_open(self.pid)
            stack.callback(os.close, pidfd)
            found = []
            for number in self.descriptors():
                with contextlib.suppress(FileNotFoundError):  # closed in the meantime
                    if not os.readlink(f"/proc/{self.pid}/fd/{number}").startswith("socket:"):
                        continue
                fd = _libc.syscall(PIDFD_GETFD, pidfd, number, 0)
                if fd < 0 and ctypes.get_errno() == errno.EBADF:
                    continue
                if fd < 0:
                    cannot_run(f"pidfd_getfd: {os.strerror(ctypes.get_errno())}")
                found.append(stack.enter_context(socket.socket(fileno=fd)))
            yield [sock for sock in found if sock.family in (socket.AF_INET, socket.AF_INET6)]

    def _stat(self):
        """The fields of /proc/PID/stat from the third one on, the state."""
        return pathlib.Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()

    def cpu_seconds(self):
        fields = self._stat()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def memory_bytes(self):
        """The private memory that the daemon has written to, without what a sanitizer adds.

        Pages of files are left out: even clean ones become private when the last other process that maps them
        ends.
        """
        rollup = pathlib.Path(f"/proc/{self.pid}/smaps_rollup").read_text()
        kbytes = re.search(r"^Private_Dirty:\s+(\d+) kB", rollup, re.M)[1]
        return int(1024 * int(kbytes) / SHADOWED)
