# SPDX-License-Identifier: MIT
"""A selectd under test, and the clients that talk to it.

A test writes a configuration with config(), starts a Daemon on it and waits for what the daemon
says or sends: nothing here sleeps. Every wait ends after DEADLINE seconds at the latest, and every
daemon ends with the test that started it, its standard error searched for sanitizer reports.
"""
import contextlib
import ctypes
import errno
import os
import pathlib
import random
import re
import resource
import select
import selectors
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
from signal import SIGHUP, SIGKILL, SIGSTOP, SIGTERM

import pytest

SELECTD = os.environ["SELECTD"]
SELECTC = os.environ["SELECTC"]
DEADLINE = 20
LOOP_KBYTES = 2 * 64  # of a loop's own buffers, which cost nothing before they are first used
DEFAULTS = {}  # what every configuration of this test has, unless it says otherwise
# What a byte costs: ThreadSanitizer keeps four about each, AddressSanitizer one about eight, and rounds
# what is asked for up by as much as a quarter.
SANITIZE = os.environ.get("SANITIZE")
SHADOWED = {"thread": 5, "address,undefined": 1.125 * 1.25}.get(SANITIZE, 1)
SANITIZER = re.compile(r"(Address|Leak|Thread|UndefinedBehavior)Sanitizer|runtime error:")
# What would tell a daemon that systemd started it, when systemd started the tests.
FOREIGN = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "JOURNAL_STREAM",
           "LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES")

_libc = ctypes.CDLL(None, use_errno=True)
_prctl = _libc.prctl  # looked up here: after a fork beside other threads is too late
PIDFD_GETFD = 438  # for syscall(2)


def die_with_parent():
    """For preexec_fn: even a killed test leaves nothing behind."""
    _prctl(1, SIGKILL)  # PR_SET_PDEATHSIG


def cannot_run(why):
    """Skips a test for want of something, aloud; where all must run (CI=true) it fails instead."""
    (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(why)


def own_mounts():
    """A command that gives the one behind it mounts of its own, to change as it likes."""
    command = ["unshare", "-m" if os.geteuid() == 0 else "-rm"]
    if subprocess.run([*command, "true"], stderr=subprocess.DEVNULL).returncode != 0:
        cannot_run("no mount namespaces here")
    return command


def preloaded(directory, source):
    """An environment in which a program runs with this C code in the place of library functions."""
    path = pathlib.Path(directory, "shim.so")
    subprocess.run(["cc", "-shared", "-fPIC", "-D_GNU_SOURCE", "-x", "c", "-o", path, "-"],
                   input=source.encode(), check=True)
    options = os.environ.get("ASAN_OPTIONS", "") + ":verify_asan_link_order=0"
    return {"LD_PRELOAD": str(path), "ASAN_OPTIONS": options}


# Configurations


def value(v):
    """A Python value as libconfig writes it."""
    if isinstance(v, bool):
        return "true" if v else "false"
    if isinstance(v, str):
        return '"%s"' % v
    if isinstance(v, (list, tuple)):
        return "( %s )" % ", ".join(map(value, v))
    if isinstance(v, dict):
        return "{ %s }" % " ".join(f"{name} = {value(one)};" for name, one in v.items())
    return str(v)


def settings(pairs, indent=""):
    return "".join(f"{indent}{k} = {value(v)};\n" for k, v in pairs.items())


def service(name="echo", listen="127.0.0.1:0", **pairs):
    """One entry of "services"; listen=None leaves that out."""
    if listen is not None:
        pairs = {"listen": listen, **pairs}
    return f"  {name} = {{\n{settings(pairs, '    ')}  }};\n"


def config(*services, **pairs):
    """A configuration of these services, or of one echo on a free port."""
    rest = {k: v for k, v in DEFAULTS.items() if k not in pairs}
    return (settings(pairs) + "services = {\n" + "".join(services or (service(),)) + "};\n"
            + settings(rest))  # behind, so that no line moves


def workers():
    """How many config() asks for, and in the words of the log."""
    n = DEFAULTS.get("workers", 1)
    return n, f"{n} worker{'' if n == 1 else 's'}"


def config_in(directory, text):
    """Puts the configuration there at one stroke: a reload under way sees the old or the new one."""
    path, new = pathlib.Path(directory, "selectd.conf"), pathlib.Path(directory, "new")
    new.write_bytes(text if isinstance(text, bytes) else text.encode())
    return new.replace(path)


# The daemon


def environment(env=None):
    clean = {k: v for k, v in os.environ.items() if k not in FOREIGN}
    return {**clean, **(env or {})}


def run_selectd(*args, timeout=DEADLINE):
    """Runs selectd to its end. Returns its status, standard output and error."""
    done = subprocess.run([SELECTD, *map(str, args)], capture_output=True, timeout=timeout,
                          stdin=subprocess.DEVNULL, env=environment(), preexec_fn=die_with_parent)
    err = done.stderr.decode()
    assert not SANITIZER.search(err), err
    return done.returncode, done.stdout.decode(), err


class Daemon:
    """A running selectd, as a context manager.

    wait:     the line that says it has started; None: do not wait
    env:      added to its environment
    wrapper:  a command that executes the daemon, put before it
    pass_fds: descriptors it inherits under the same numbers
    check:    at the end, stop it as its operator would and expect status 0 and no sanitizer report;
              if it has ended before, not by a signal

    log and lines() hold all it has written up to the moment they are asked for. So what it logs
    before it acts is there once the act is seen; what it logs after has to be waited for.
    """

    def __init__(self, text, *, wait=r"^ready: ", env=None, wrapper=(), pass_fds=(), check=True):
        self.text, self.ready, self.env = text, wait, env
        self.wrapper, self.pass_fds, self.check = list(wrapper), pass_fds, check
        self.seen, self.partial = [], b""  # whole lines of its standard error, and the rest
        self.closed = False  # its standard error
        self.news = threading.Condition()  # holds the lock of these three

    def __enter__(self):
        self.directory = tempfile.TemporaryDirectory(prefix="selectd-")
        self.path = config_in(self.directory.name, self.text)
        self.process = subprocess.Popen(
            [*self.wrapper, SELECTD, "-c", str(self.path)], stdin=subprocess.DEVNULL,
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
        """Takes what it has written by now; the lock is held."""
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
        """Takes what it writes even when nobody asks, so that it is never held up."""
        poll = select.poll()
        poll.register(self.process.stderr, select.POLLIN)
        while not self.closed:
            poll.poll()
            with self.news:
                self._take()

    @property
    def log(self):
        """All its lines up to now."""
        with self.news:
            self._take()
            return self.seen[:]

    def _await(self, condition, what):
        with self.news:
            if not self.news.wait_for(condition, DEADLINE):
                raise AssertionError(f"no {what} in {DEADLINE} s; the log:\n{self.text_of_log()}")

    def text_of_log(self):
        """Its last lines, and all of a sanitizer's report."""
        first = [i for i, line in enumerate(self.seen) if SANITIZER.search(line)][:1]
        return "\n".join(self.seen[min([max(len(self.seen) - 30, 0), *first]):])

    def lines(self, regex):
        """Its lines up to now in which regex is found."""
        return [line for line in self.log if re.search(regex, line)]

    def wait_for(self, regex, n=1):
        """Waits until n log lines hold regex, counted from the start. Returns the nth match."""
        found = []  # matches in the lines looked at, so that a long log is searched once
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
        """Where a service listens, as the log says it, in order."""
        return [re.search(r"listening on (\S+)", line)[1]
                for line in self.lines(rf"^{name}: listening on ")]

    def port(self, name="echo", i=0):
        return int(self.addresses(name)[i].rpartition(":")[2])

    def connect(self, name="echo", i=0, **options):
        return connect(self.addresses(name)[i], **options)

    def signal(self, number):
        self.process.send_signal(number)

    def halt(self):
        """Stops it in its tracks, until SIGCONT."""
        self.signal(SIGSTOP)
        until(lambda: self._stat()[0] == "T", "the halt")

    def wait(self):
        """Waits for its end, and for all it has written. Returns its exit status."""
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
        """Stops it without waiting for connections or handshakes. Returns 0."""
        deadline = time.monotonic() + DEADLINE
        with self.news:
            while self.process.poll() is None and time.monotonic() < deadline:
                self.signal(SIGTERM)  # the second one does it, but two at a time are one
                self.news.wait(0.02)
        status = self.wait()
        assert status == 0, f"exit status {status} on SIGTERM\n{self.text_of_log()}"
        return status

    def reload(self, text, expect=r"^reloaded "):
        """Replaces the configuration, reloads, and waits for the line that says how it went."""
        before = len(self.lines(expect))
        config_in(self.directory.name, text)
        self.signal(SIGHUP)
        return self.wait_for(expect, before + 1)

    def descriptors(self):
        return sorted(int(fd) for fd in os.listdir(f"/proc/{self.pid}/fd"))

    @contextlib.contextmanager
    def sockets(self):
        """Its TCP sockets, the very ones, to ask for their options (pidfd_getfd(2))."""
        with contextlib.ExitStack() as stack:
            pidfd = os.pidfd_open(self.pid)
            stack.callback(os.close, pidfd)
            found = []
            for number in self.descriptors():
                with contextlib.suppress(FileNotFoundError):  # closed meanwhile
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
        """/proc/PID/stat from the third field on, the state."""
        return pathlib.Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()

    def cpu_seconds(self):
        fields = self._stat()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def memory_bytes(self):
        """Memory that it has written to itself; what a sanitizer adds is left out.

        Pages of files are not: clean ones, too, become private when the last other process that maps
        them ends.
        """
        rollup = pathlib.Path(f"/proc/{self.pid}/smaps_rollup").read_text()
        kbytes = re.search(r"^Private_Dirty:\s+(\d+) kB", rollup, re.M)[1]
        return int(1024 * int(kbytes) / SHADOWED)


# What systemd provides


class Manager:
    """A service manager, as far as NOTIFY_SOCKET goes (sd_notify(3))."""

    def __init__(self, directory, abstract=False):
        self.address = f"@{directory}/notify" if abstract else f"{directory}/notify"
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.sock.bind(self.address.replace("@", "\0"))
        self.sock.settimeout(DEADLINE)
        self.env = {"NOTIFY_SOCKET": self.address}

    def next(self, status_only=False):
        """The next message as a dictionary; those that only bring the status up to date if asked."""
        while True:
            message = dict(line.split("=", 1) for line in self.sock.recv(4096).decode().splitlines())
            if status_only == (list(message) == ["STATUS"]):
                return message

    def wait_for_status(self, status):
        """Several changes may share one message, but the last one always shows."""
        while self.next(status_only=True)["STATUS"] != status:
            pass

    def left(self):
        """All messages that are there already."""
        self.sock.setblocking(False)
        messages = []
        try:
            while True:
                messages.append(self.sock.recv(4096).decode())
        except BlockingIOError:
            return messages


class Journal:
    """A socket in the place of the journal's, for a daemon that wrapper executes."""

    def __init__(self, directory):
        self.path = pathlib.Path(directory, "socket")
        self.open()
        self.wrapper = [*own_mounts(), "sh", "-c", """
            mount -t tmpfs tmpfs /run && mkdir -p /run/systemd/journal &&
            mount --bind "$0" /run/systemd/journal &&
            JOURNAL_STREAM=$(stat -Lc %d:%i /dev/fd/2) exec "$@" """, str(directory)]

    def open(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.sock.bind(str(self.path))
        self.sock.settimeout(DEADLINE)

    def close(self):
        """As when the journal has stopped, and its socket with it."""
        self.sock.close()
        self.path.unlink()

    def next(self):
        """The fields of the next record."""
        return dict(line.split("=", 1) for line in self.sock.recv(1 << 16).decode().splitlines())

    def wait_for(self, text):
        """The fields of the next record whose message has that in it."""
        while True:
            record = self.next()
            if text in record["MESSAGE"]:
                return record


# Threads of a daemon, of which one alone is halted with ptrace(2)


def threads(daemon):
    """The ids of its workers' threads."""
    return [int(task.name) for task in pathlib.Path(f"/proc/{daemon.pid}/task").iterdir()
            if (task / "comm").read_text() == "selectd-worker\n"]


ptrace = ctypes.CDLL(None, use_errno=True).ptrace
ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
ptrace.restype = ctypes.c_long
SEIZE, INTERRUPT, DETACH, WALL = 0x4206, 0x4207, 17, 0x40000000


@contextlib.contextmanager
def halted(thread):
    """Stops one thread of another process, and no other, while the block runs.

    At the end of the block the thread goes on. If its process has ended, the thread is reaped: the
    process cannot be waited for while a thread of it is traced.
    """
    if ptrace(SEIZE, thread, None, None) < 0:
        cannot_run(f"ptrace: {os.strerror(ctypes.get_errno())}")
    assert ptrace(INTERRUPT, thread, None, None) == 0
    os.waitpid(thread, WALL)
    try:
        yield
    finally:
        if ptrace(DETACH, thread, None, None) < 0:
            os.waitpid(thread, WALL)


# Stands in for systemd: puts the descriptors at 3 and up, and executes the daemon as the very
# process that LISTEN_PID names. Moved out of the way first, so that none lands on another.
AS_SYSTEMD = """
import fcntl, os, sys
passed = [int(fd) for fd in sys.argv[1].split(",")]
high = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 100) for fd in passed]
for fd in passed:
    os.close(fd)
for place, fd in enumerate(high, 3):
    os.dup2(fd, place)
os.environ["LISTEN_FDS"] = str(len(high))
os.environ.setdefault("LISTEN_PID", str(os.getpid()))
os.execv(sys.argv[2], sys.argv[2:])
"""


def activated(text, socks, names=None, env=None, **options):
    """A daemon that systemd seems to have started, and passed these sockets to."""
    fds = [sock.fileno() for sock in socks]
    env = {**(env or {}), **({} if names is None else {"LISTEN_FDNAMES": ":".join(names)})}
    return Daemon(text, wrapper=[sys.executable, "-c", AS_SYSTEMD, ",".join(map(str, fds))],
                  pass_fds=fds, env=env, **options)


# Clients

# More than all buffers on the way to one who doesn't read, as Linux sizes them: at most 32 MB where
# the daemon receives, 4 MB where it and the sender send.
FILLS_ANY_LINE = 64 << 20


def connect(address, timeout=DEADLINE, receive_buffer=None):
    """Connects to HOST:PORT, [IPV6]:PORT, *:PORT or unix:/PATH."""
    host, _, port = address.rpartition(":")
    family = {"u": socket.AF_UNIX, "[": socket.AF_INET6}.get(address[0], socket.AF_INET)
    sock = socket.socket(family)
    sock.settimeout(timeout)
    if receive_buffer:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    try:
        if family == socket.AF_UNIX:
            sock.connect(address.removeprefix("unix:"))
        else:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.connect(("127.0.0.1" if host == "*" else host.strip("[]"), int(port)))
    except OSError:
        sock.close()
        raise
    return sock


def recv_exactly(sock, n):
    """n bytes; fewer only if the stream ends first."""
    data = bytearray()
    while len(data) < n:
        got = sock.recv(min(n - len(data), 1 << 20))
        if not got:
            break
        data += got
    return bytes(data)


@contextlib.contextmanager
def sending(sock, data):
    """Sends data all the while a with block runs, which receives what no buffers hold."""
    sender = threading.Thread(target=sock.sendall, args=(data,))
    sender.start()
    try:
        yield
    finally:
        sender.join()


def recv_until_eof(sock):
    data = bytearray()
    while got := sock.recv(1 << 20):
        data += got
    return bytes(data)


def echo(sock, data=b"hello"):
    """Sends a little and expects it back."""
    sock.sendall(data)
    assert recv_exactly(sock, len(data)) == data


def reset(sock):
    """Closes with a reset instead of an end of stream."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def push(socks, data, quiet=0.5):
    """Sends data on each, as far as they take it: until none has taken any for a while.

    Returns how much each took. Timeouts of the sockets are as before.
    """
    sent = {sock: 0 for sock in socks}
    data = memoryview(data)
    timeouts = [sock.gettimeout() for sock in socks]
    with selectors.DefaultSelector() as selector:
        for sock in socks:
            sock.setblocking(False)
            selector.register(sock, selectors.EVENT_WRITE)
        while selector.get_map() and (ready := selector.select(quiet)):
            for key, _ in ready:
                sock = key.fileobj
                sent[sock] += sock.send(data[sent[sock]:])
                if sent[sock] == len(data):
                    selector.unregister(sock)
    for sock, timeout in zip(socks, timeouts):
        sock.settimeout(timeout)
    return list(sent.values())


class Steady(threading.Thread):
    """A well-behaved client that exchanges data all the while a with block runs.

    At the block's end it must have lost nothing, and have had an answer to all of it.
    """

    def __init__(self, sock):
        super().__init__(daemon=True)
        self.sock, self.enough, self.error, self.rounds = sock, threading.Event(), None, 0

    def run(self):
        data = pattern(5000)
        try:
            while not (self.rounds and self.enough.is_set()):  # at least once
                echo(self.sock, data)
                self.rounds += 1
        except (OSError, AssertionError) as error:
            self.error = error

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, kind, *_):
        self.enough.set()
        self.join()
        if kind is None:
            assert self.error is None and self.rounds, f"after {self.rounds} rounds: {self.error!r}"
        self.sock.close()


def backlog_of(sock):
    """What a socket listens with, which Linux tells as tcpi_sacked of struct tcp_info."""
    return struct.unpack_from("I", sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 64), 28)[0]


def name_of(sock):
    """The client as the daemon's log names it."""
    host, port = sock.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


class Upstream(threading.Thread):
    """A server on a free port, as a context manager: serve(sock, n) is what its nth client gets.

    Clients count from 0. Each has a thread of its own, which the client's going may end.
    """

    def __init__(self, serve, host="127.0.0.1", port=0):
        super().__init__(daemon=True)
        self.serve, self.clients = serve, []
        self.listener = socket.create_server((host, port))
        self.port = self.listener.getsockname()[1]
        self.address = f"{host}:{self.port}"

    def run(self):
        with contextlib.suppress(OSError):  # accept() ends with the listener
            while True:
                sock, _ = self.listener.accept()
                sock.settimeout(DEADLINE)
                thread = threading.Thread(target=self._serve, args=(sock, len(self.clients)))
                self.clients.append((sock, thread))
                thread.start()

    def _serve(self, sock, n):
        with contextlib.suppress(OSError), sock:
            self.serve(sock, n)

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.join()
        self.listener.close()
        for sock, thread in self.clients:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            thread.join()


def answer(sock, n=None):
    while data := sock.recv(1 << 16):
        sock.sendall(data)


class NameServer(threading.Thread):
    """A name server on port 53 of a loopback address of its own, by UDP and TCP, as a context manager.

    It answers questions for IPv4 addresses from a dict. reply(query, answer) may say otherwise: given
    both, it returns what to send by UDP; with None the answer is withheld, until send_withheld().
    asked is set with each question, questions lists the names, one for each question of an IPv4 address.
    ports holds those that questions came from. delay: how many seconds each answer waits, or a function
    of the query.
    """

    def __init__(self, names=(), reply=None, delay=0):
        super().__init__(daemon=True)
        self.names, self.reply, self.delay = dict(names), reply, delay
        self.asked, self.withheld, self.questions, self.ports = threading.Event(), [], [], set()
        self.ended, self.waiting = threading.Event(), []
        for _ in range(100):
            self.address = "127.%d.%d.%d" % tuple(random.randrange(1, 255) for _ in range(3))
            try:
                self.tcp = socket.create_server((self.address, 53))
            except PermissionError:
                cannot_run("a name server takes root")
            except OSError:
                continue
            break
        self.sock = socket.socket(type=socket.SOCK_DGRAM)
        self.sock.bind((self.address, 53))

    def run(self):
        with selectors.DefaultSelector() as selector:
            selector.register(self.sock, selectors.EVENT_READ, self._by_udp)
            selector.register(self.tcp, selectors.EVENT_READ, self._by_tcp)
            while not self.ended.is_set():
                for key, _ in selector.select(self._send_due()):
                    key.data()

    def _send_due(self):
        """Sends what has waited long enough. Returns how long the next one waits; None: there is none."""
        now = time.monotonic()
        while self.waiting and self.waiting[0][0] <= now:
            self.sock.sendto(*self.waiting.pop(0)[1:])
        return self.waiting[0][0] - now if self.waiting else None

    def _by_udp(self):
        query, client = self.sock.recvfrom(512)
        if not query:
            return  # see __exit__
        answer = self.answer(query)
        self.ports.add(client[1])
        reply = self.reply(query, answer) if self.reply else answer
        if reply:
            delay = self.delay(query) if callable(self.delay) else self.delay
            self.waiting.append((time.monotonic() + delay, reply, client))
            self.waiting.sort(key=lambda entry: entry[0])
        else:
            self.withheld.append((answer, client))
        self.asked.set()

    def _by_tcp(self):
        with self.tcp.accept()[0] as sock:
            sock.settimeout(DEADLINE)
            while head := recv_exactly(sock, 2):  # of each question of the client, one after the other
                answer = self.answer(recv_exactly(sock, struct.unpack(">H", head)[0]))
                sock.sendall(struct.pack(">H", len(answer)) + answer)

    def send_withheld(self):
        for answer, client in self.withheld:
            self.sock.sendto(answer, client)

    def answer(self, query):
        end = query.index(b"\0", 12) + 5  # of the question: a name, its type and its class
        name = b".".join(self._labels(query)).decode().lower()
        of_ipv4 = query[end - 4:end] == b"\0\1\0\1"
        if of_ipv4:
            self.questions.append(name)
        found = self.names.get(name, []) if of_ipv4 else []
        status = 0x8180 + (0 if name in self.names else 3)  # an answer, recursively; NXDOMAIN
        return (query[:2] + struct.pack(">5H", status, 1, len(found), 0, 0) + query[12:end]
                + b"".join(struct.pack(">3HIH", 0xC00C, 1, 1, 0, 4) + socket.inet_aton(address)
                           for address in found))

    @staticmethod
    def _labels(query):
        i = 12
        while query[i]:
            yield query[i + 1:i + 1 + query[i]]
            i += 1 + query[i]

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.ended.set()
        self.sock.sendto(b"", self.sock.getsockname())
        self.join()
        self.sock.close()
        self.tcp.close()


_held = []


def free_port():
    """A port nobody listens on, and nobody else gets until the tests of this file have ended.

    A socket is bound to it that doesn't listen. Linux lets others listen there that ask for it by
    its number, with SO_REUSEADDR as servers set it, but gives it to nobody who asks for any port. It
    is held on every address: a client that goes out from one of them keeps "*" from being had.
    """
    sock = socket.socket(socket.AF_INET6)
    _held.append(sock)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    sock.bind(("::", 0))
    return sock.getsockname()[1]


def pattern(n):
    """n bytes of all values, in which a shift, a loss or a repetition shows."""
    block = b"".join(struct.pack(">I", i * 2654435761 & 0xFFFFFFFF) for i in range(64))
    head = bytes(range(256))
    return (head + b"".join(block + struct.pack(">I", i) for i in range(n // 260 + 1)))[:n]


def raise_descriptor_limit(n):
    """Lets this process hold n descriptors."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert hard == resource.RLIM_INFINITY or hard >= n, f"needs {n} descriptors, may have {hard}"
    if soft < n:
        resource.setrlimit(resource.RLIMIT_NOFILE, (n, hard))


def in_time(measure, limit, tries=5):
    """Measures again and again, till it took less than limit: a busy machine can make any one late."""
    took = []
    while not took or took[-1] >= limit:
        assert len(took) < tries, f"took {took}, and never less than {limit}"
        took.append(measure())


def until(condition, what="the condition"):
    """Looks again and again, for what no log line or byte announces. Returns what it saw."""
    deadline = time.monotonic() + DEADLINE
    while time.monotonic() < deadline:
        seen = condition()
        if seen:
            return seen
        time.sleep(0.01)
    raise AssertionError(f"{what} did not come about in {DEADLINE} s")


# selectc


def selectc(*args, stdin=b"", timeout=DEADLINE, wrapper=(), env=None):
    """Runs selectc to its end. Returns its status, standard output and error.

    stdin:   bytes, or an open file
    wrapper: a command that executes selectc, put before it
    """
    source = {"input": stdin} if isinstance(stdin, bytes) else {"stdin": stdin}
    done = subprocess.run([*wrapper, SELECTC, *map(str, args)], capture_output=True, timeout=timeout,
                          env=environment(env), preexec_fn=die_with_parent, **source)
    err = done.stderr.decode()
    assert not SANITIZER.search(err), err
    return done.returncode, done.stdout.decode(errors="backslashreplace"), err


@contextlib.contextmanager
def running_selectc(*args, **options):
    """A selectc to talk to. It is killed after DEADLINE, so that a wait for its output ends.

    options: of subprocess.Popen; by default its standard streams are pipes
    """
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    with subprocess.Popen([SELECTC, *map(str, args)], bufsize=0, preexec_fn=die_with_parent,
                          **{"env": environment(), **pipes, **options}) as process:
        patience = threading.Timer(DEADLINE, process.kill)
        patience.start()
        try:
            yield process
        finally:
            patience.cancel()
            process.kill()


class Server:
    """A server that a test plays itself: on a port of 127.0.0.1, or on a unix socket at path."""

    def __init__(self, path=None):
        self.path = path

    def __enter__(self):
        if self.path:
            self.listener = socket.socket(socket.AF_UNIX)
            self.listener.bind(self.path)
            self.listener.listen()
            self.address = f"unix:{self.path}"
        else:
            self.listener = socket.create_server(("127.0.0.1", 0))
            self.address = "127.0.0.1:%d" % self.listener.getsockname()[1]
        self.listener.settimeout(DEADLINE)
        return self

    def __exit__(self, *_):
        self.listener.close()

    def accept(self):
        sock, _ = self.listener.accept()
        sock.settimeout(DEADLINE)
        return sock
