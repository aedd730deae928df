# SPDX-License-Identifier: MIT
"""Several hosts: HAProxy spreads clients over two selectd, and either of them may die or be stopped.

Each host is a network namespace. HAProxy's has a link to each of the others, which have none between
them. Each namespace exists only as an open descriptor of this process, so it ends with the test. The
test is the client: its thread is in the client's namespace.
"""
import contextlib
import csv
import ctypes
import os
import re
import subprocess
import tempfile
import time
from collections import Counter
from signal import SIGCONT, SIGSTOP, SIGTERM

import pytest

from harness import (DRAINING, Daemon, Steady, Visitor, cannot_run, config, connect, echo, more_visits,
                     name_of, recv_until_eof, service, until)
from harness.programs import start, tool

# The lines that README adds to Debian's /etc/haproxy/haproxy.cfg.
HAPROXY = """\
listen selectd
    bind :8008
    mode tcp
    option tcplog
    timeout connect 1s
    timeout client 1h
    timeout server 1h
    balance leastconn
    retries 3
    option redispatch 1
    option tcp-check
    tcp-check connect default linger
    tcp-check send check
    tcp-check expect string check
    default-server send-proxy-v2 check inter 1s fastinter 200ms fall 3 rise 2
    server a 10.0.0.2:8008
    server b 10.0.0.3:8008
"""
GLOBAL = """\
global
    log stdout format raw daemon
    stats socket {directory}/admin.sock
defaults
    log global
    option dontlog-normal
"""
FRONT = "192.0.2.1:8008"
LINKS = {  # HAProxy's address and the other host's
    "a": ("10.0.0.1", "10.0.0.2"),
    "b": ("10.0.0.1", "10.0.0.3"),
    "client": ("192.0.2.1", "192.0.2.2"),
}
RISE = 2  # the number of checks that must succeed
# The log lines of selectd about clients, and about checks, whose client is HAProxy itself.
CLIENT = r"^echo: 192\.0\.2\.2:\d+ connected by way of 10\.0\.0\.1:\d+$"
CLIENT_LEFT = r"^echo: 192\.0\.2\.2:\d+ closed: end of stream, 5 B in, 5 B out, "
CHECK = r"^echo: (10\.0\.0\.1:\d+) connected by way of \1$"
CHECKED = r"^echo: 10\.0\.0\.1:\d+ closed: end of stream, 5 B in, 5 B out, "

# Namespaces

CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)


def _namespace_call(name, argument, *more):
    if getattr(_libc, name)(argument, *more) < 0:
        error = ctypes.get_errno()
        raise OSError(error, f"{name}: {os.strerror(error)}")


def enter(namespace):
    """Moves this thread into a namespace. Threads and processes that it starts begin there too."""
    _namespace_call("setns", namespace, CLONE_NEWNET)


def current_namespace():
    return os.open("/proc/thread-self/ns/net", os.O_RDONLY)


def inside(namespace):
    """A command that executes another command in a namespace."""
    return [tool("nsenter"), f"--net={path_of(namespace)}"]


def path_of(namespace):
    return f"/proc/{os.getpid()}/fd/{namespace}"


def ip(namespace, *commands):
    done = subprocess.run([*inside(namespace), tool("ip"), "-batch", "-"], capture_output=True,
                          input="\n".join(commands).encode())
    assert done.returncode == 0, done.stderr


def link(proxy, namespace, name, near, far):
    ip(proxy, f"link add name {name} type veth peer name eth0 netns {path_of(namespace)}",
       f"address add {near} peer {far} dev {name}", f"link set dev {name} up")
    ip(namespace, f"address add {far} peer {near} dev eth0", "link set dev eth0 up")


@contextlib.contextmanager
def network():
    """The four namespaces by name. This thread is in the client's namespace meanwhile."""
    if os.geteuid() != 0:
        cannot_run("network namespaces take root")
    with contextlib.ExitStack() as stack:
        home, namespaces = current_namespace(), {}
        stack.callback(os.close, home)
        stack.callback(enter, home)
        for name in "proxy", *LINKS:
            try:
                _namespace_call("unshare", CLONE_NEWNET)
            except PermissionError as error:
                cannot_run(f"no new network namespaces: {error}")
            namespaces[name] = current_namespace()
            stack.callback(os.close, namespaces[name])
        for name, (near, far) in LINKS.items():
            link(namespaces["proxy"], namespaces[name], name, near, far)
        enter(namespaces["client"])
        yield namespaces


# Hosts


class Hosts:
    """Two hosts with one selectd each, and HAProxy."""

    def __init__(self, **pairs):
        self.text = config(service(listen="*:8008", proxy_protocol="accept",
                                   proxy_from=["10.0.0.1"]), drain_timeout="1h", **pairs)
        self.stack = contextlib.ExitStack()

    def __enter__(self):
        with self.stack:
            self.namespaces = self.stack.enter_context(network())
            self.daemons = {}
            for name in "ab":
                self.start(name)
            self.stack.enter_context(self._haproxy())
            self.stack = self.stack.pop_all()
        return self

    def __exit__(self, *exception):
        return self.stack.__exit__(*exception)

    def start(self, name):
        """Starts the daemon of a host, for the first time or again."""
        daemon = Daemon(self.text, wrapper=inside(self.namespaces[name]))
        self.daemons[name] = self.stack.enter_context(daemon)
        return daemon

    @contextlib.contextmanager
    def _haproxy(self):
        with tempfile.TemporaryDirectory(prefix="haproxy-") as directory:
            self.control = f"{directory}/admin.sock"
            path = f"{directory}/haproxy.cfg"
            with open(path, "w") as file:
                file.write(GLOBAL.format(directory=directory) + HAPROXY)
            with start(*inside(self.namespaces["proxy"]), tool("haproxy"), "-db", "-f", path,
                       stdin=subprocess.DEVNULL) as process:
                try:
                    until(lambda: process.poll() is not None or self._answers(), "HAProxy")
                    assert process.poll() is None
                    yield
                finally:
                    process.kill()

    def _answers(self):
        try:
            return self.stat()
        except OSError:
            return None

    def stat(self):
        """HAProxy's counters of each host, by HAProxy's names."""
        with connect(f"unix:{self.control}") as sock:
            sock.sendall(b"show stat\n")
            rows = csv.DictReader(recv_until_eof(sock).decode().lstrip("# ").splitlines())
            return {row["svname"]: row for row in rows}

    def wait_for(self, name, field, value):
        until(lambda: self.stat()[name][field] == str(value), f"{value} as the {field} of {name}")

    def connect(self, n):
        """Connects clients one after the other. Yields each as (its socket, its host)."""
        clients = []
        for _ in range(n):
            sock = connect(FRONT)
            echo(sock)
            clients.append((sock, self.host_of(sock)))
        return clients

    def host_of(self, sock):
        """The host of a client. It has the client's own address in its log."""
        line = rf"^echo: {re.escape(name_of(sock))} connected by way of 10\.0\.0\.1:\d+$"
        found = [name for name, daemon in self.daemons.items() if daemon.lines(line)]
        assert len(found) == 1, f"{name_of(sock)} is known to {found}"
        return found[0]

    @contextlib.contextmanager
    def visitors(self, n=4):
        """Clients that come again and again. They pause, because a port can be used only once a minute."""
        some = [Visitor(FRONT, pause=0.005) for _ in range(n)]
        for visitor in some:
            visitor.start()
        try:
            yield some
        finally:
            for visitor in some:
                visitor.enough.set()
            for visitor in some:
                visitor.join()
        assert not any(visitor.refused for visitor in some)


def test_spread():
    """Each host has half of the clients, knows their addresses, and logs no failed checks."""
    with Hosts() as hosts:
        clients = hosts.connect(10)
        assert Counter(name for _, name in clients) == {"a": 5, "b": 5}
        for sock, _ in clients:
            sock.close()
        known = "|".join([CLIENT, CLIENT_LEFT, CHECK, CHECKED, r"^echo: listening on \*:8008$"])
        for daemon in hosts.daemons.values():
            daemon.wait_for(CLIENT_LEFT, 5)
            daemon.wait_for(CHECKED, 2)
            assert not [line for line in daemon.lines("^echo: ") if not re.search(known, line)]


def test_least_connections():
    with Hosts() as hosts:
        clients = hosts.connect(6)
        for fewer in "a", "b":
            leaving = [client for client in clients if client[1] == fewer]
            clients = [client for client in clients if client[1] != fewer]
            for sock, _ in leaving:
                sock.close()
            hosts.wait_for(fewer, "scur", 0)
            new = hosts.connect(3)
            assert [name for _, name in new] == [fewer] * 3
            clients += new
        for sock, _ in clients:
            sock.close()


def only_b(hosts, visitors):
    """Waits until HAProxy considers a down. After that, all clients are at b."""
    hosts.wait_for("a", "status", "DOWN")
    more_visits(visitors, 1)  # clients that began before
    before = hosts.stat()["a"]["stot"]
    more_visits(visitors, 20)
    assert hosts.stat()["a"]["stot"] == before


def test_killed():
    """No client is lost except those of the killed daemon. It gets new clients when it passes the checks
    again.
    """
    with Hosts() as hosts, contextlib.ExitStack() as stack:
        for sock, name in hosts.connect(6):
            stack.enter_context(Steady(sock) if name == "b" else sock)
        with hosts.visitors() as visitors:
            a, b = hosts.daemons.values()
            a.check = False
            for daemon in a, b:
                daemon.wait_for(CLIENT, 20)
            a.process.kill()
            a.wait()
            dead = time.monotonic()
            only_b(hosts, visitors)
            a = hosts.start("a")
            a.wait_for(CLIENT, 20)
            first = next(i for i, line in enumerate(a.log) if re.search(CLIENT, line))
            assert len([line for line in a.log[:first] if re.search(CHECKED, line)]) >= RISE
        for visitor in visitors:
            assert len(visitor.lost) <= 1 and all(began < dead for began, _ in visitor.lost)


def test_hung():
    """A daemon that hangs still accepts connections, so the checks wait for their echo."""
    with Hosts() as hosts, contextlib.ExitStack() as stack:
        a = hosts.daemons["a"]
        for number, status, name in (SIGSTOP, "DOWN", "b"), (SIGCONT, "UP", "a"):
            a.signal(number)
            hosts.wait_for("a", "status", status)
            clients = hosts.connect(4)
            for sock, _ in clients:
                stack.enter_context(sock)
            assert {where for _, where in clients} == {name}


@pytest.mark.parametrize("workers", [1, 4])
def test_stopped(workers):
    """The stopped daemon serves its clients until they finish. New ones go to the other host, and none is
    lost.
    """
    with Hosts(workers=workers) as hosts, hosts.visitors() as visitors:
        a = hosts.daemons["a"]
        with contextlib.ExitStack() as stack:
            clients = hosts.connect(6)
            assert {name for _, name in clients} == set(hosts.daemons)
            steady = [stack.enter_context(Steady(sock)) for sock, _ in clients]
            a.signal(SIGTERM)
            a.wait_for(DRAINING + "1 h$")
            only_b(hosts, visitors)
            rounds = [client.rounds for client in steady]
            until(lambda: all(client.rounds > n or client.error
                              for client, n in zip(steady, rounds)), "answers to all who stay")
            assert a.process.poll() is None
        assert a.wait() == 0
        more_visits(visitors, 20)
        assert not any(visitor.lost for visitor in visitors)
        assert not a.lines(" closed: (?!end of stream, )")
