# SPDX-License-Identifier: MIT
"""selectd relays between Debian's servers and their own clients, which notice nothing.

A server starts once for the module, on a free loopback port, and is relayed under each backend in turn.
Its clients must get through the relay what they would get without it: every program exits with status 0
and counts no errors, and every byte is right.
"""
import contextlib
import http.client
import os
import pathlib
import pwd
import re
import tempfile

import pytest

from harness import (DEADLINE, Daemon, cannot_run, config, free_port, local, pattern, recv_exactly, relay,
                     until)
from harness.programs import run, serving, start, tool

# Debian's directories of servers, PostgreSQL's newest first. Not all of them are in PATH.
LINES = b"".join(b"line %06d\n" % (i * 7919 % 100_003) for i in range(100_003))
SORTED = b"".join(sorted(LINES.splitlines(keepends=True)))


# Programs


def sockets(daemon):
    """The number of sockets of a daemon."""
    n = 0
    for fd in daemon.descriptors():
        with contextlib.suppress(FileNotFoundError):  # closed in the meantime
            n += os.readlink(f"/proc/{daemon.pid}/fd/{fd}").startswith("socket:")
    return n


@contextlib.contextmanager
def relayed(upstream, backend, **pairs):
    """A relay to upstream, as (daemon, port). At the end, it must have no sockets of clients left."""
    with Daemon(config(relay(upstream, **pairs), backend=backend)) as daemon:
        before = sockets(daemon)
        yield daemon, daemon.port("relay")
        until(lambda: sockets(daemon) == before, "the end of all connections")


@pytest.fixture(scope="module")
def directory():
    """A directory for servers. Other users cannot enter pytest's own, and PostgreSQL does not run as root."""
    with tempfile.TemporaryDirectory(prefix="served-") as path:
        yield pathlib.Path(path)


# Redis


@pytest.fixture(scope="module")
def redis(directory):
    port = free_port()
    with serving(local(port), "redis-server", "--bind", "127.0.0.1", "--port", port,
                 "--save", "", "--dir", directory) as address:
        yield address


def command(*words):
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(w), w) for w in words)


def test_redis_commands(backend, redis):
    with relayed(redis, backend) as (_, port):
        assert run("redis-cli", "-p", port, "PING") == b"PONG\n"
        value = pattern(1 << 20)
        assert run("redis-cli", "-p", port, "-x", "SET", "big", data=value) == b"OK\n"
        assert run("redis-cli", "-p", port, "--raw", "GET", "big") == value + b"\n"


def test_redis_pipelines(backend, redis):
    """A raw pipeline, whose answers come in order, and redis-cli's, which counts them."""
    n = 5000
    with relayed(redis, backend) as (daemon, port):
        with daemon.connect("relay") as client:
            client.sendall(command(b"DEL", b"n") + command(b"INCR", b"n") * n)
            expected = b"".join(b":%d\r\n" % i for i in range(1, n + 1))
            assert re.match(rb":[01]\r\n", recv_exactly(client, 4))
            assert recv_exactly(client, len(expected)) == expected
        out = run("redis-cli", "-p", port, "--pipe", data=command(b"INCR", b"n") * n)
        assert b"errors: 0, replies: %d\n" % n in out
        assert run("redis-cli", "-p", port, "GET", "n") == b"%d\n" % (2 * n)


@pytest.mark.parametrize("pipelined, n", [(1, 5000), (16, 50_000)])
def test_redis_benchmark(backend, redis, pipelined, n):
    with relayed(redis, backend) as (_, port):
        out = run("redis-benchmark", "-p", port, "-n", n, "-c", 50, "-P", pipelined, "-q", "-e",
                  "-t", "set,get")
        assert out.count(b"requests per second") == 2 and b"rror" not in out, out


# PostgreSQL


@pytest.fixture(scope="module")
def postgres(directory):
    """A server with both kinds of sockets, as {kind: address}."""
    tool("postgres")
    data, options = directory / "postgres", {"cwd": "/"}
    data.mkdir()
    if os.geteuid() == 0:
        try:
            user = pwd.getpwnam("postgres")
        except KeyError:
            cannot_run("PostgreSQL does not run as root, and there is no user postgres")
        options |= {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
        os.chown(data, user.pw_uid, user.pw_gid)
        directory.chmod(0o711)
    run("initdb", "-D", data / "db", "-U", "postgres", "-A", "trust", "-N", "-E", "UTF8", **options)
    port = free_port()
    with serving(local(port), "postgres", "-D", data / "db", "-h", "127.0.0.1", "-p", port,
                 "-k", data, "-F", ready="ready to accept connections", **options):
        yield {"tcp": local(port), "unix": f"unix:{data}/.s.PGSQL.{port}"}


@pytest.mark.parametrize("kind", ["tcp", "unix"])
def test_postgresql(backend, postgres, kind):
    clients = 4
    with relayed(postgres[kind], backend) as (daemon, port):
        where = ["-h", "127.0.0.1", "-p", port, "-U", "postgres", "postgres"]
        run("pgbench", "-i", "-q", *where)
        out = run("pgbench", "-c", clients, "-t", 50, *where)
        assert b"number of transactions actually processed: 200/200\n" in out, out
        assert b"number of failed transactions: 0 " in out, out
        # The connections that filled and read the tables, and the clients.
        daemon.wait_for(" closed: end of stream, ", 2 + clients)


# nginx

NGINX = """
daemon off;
master_process off;
pid {directory}/pid;
error_log stderr;
events {{ worker_connections 512; }}
http {{
    access_log off;
    client_body_temp_path {directory}/t1; proxy_temp_path {directory}/t2;
    fastcgi_temp_path {directory}/t3; uwsgi_temp_path {directory}/t4; scgi_temp_path {directory}/t5;
    server {{ listen 127.0.0.1:{port}; root {directory}; }}
}}
"""
BIG, SMALL = pattern(8 << 20), b"hello\n"


@pytest.fixture(scope="module")
def nginx(directory):
    port, root = free_port(), directory / "nginx"
    root.mkdir()
    (root / "small").write_bytes(SMALL)
    (root / "big").write_bytes(BIG)
    (root / "conf").write_text(NGINX.format(directory=root, port=port))
    with serving(local(port), "nginx", "-c", root / "conf", "-e", "stderr") as address:
        yield address


def test_nginx(backend, nginx):
    with relayed(nginx, backend) as (_, port):
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, DEADLINE)) as client:
            for name, content in ("big", BIG), ("small", SMALL), ("big", BIG):
                client.request("GET", f"/{name}")
                assert client.getresponse().read() == content
        # wrk prints "Socket errors: …" and "Non-2xx …" only if there are errors.
        out = run("wrk", "-t1", "-c50", "-d1s", f"http://127.0.0.1:{port}/small")
        assert re.search(rb"[1-9]\d* requests in", out), out
        assert not re.search(rb"errors|Non-2xx", out), out


# sshd


@pytest.fixture(scope="module")
def ssh(directory):
    """A server with a host key of its own, as (address, options for the client)."""
    keys = directory / "ssh"
    keys.mkdir()
    for key in "host", "user":
        run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", keys / key)
    (keys / "known").write_text("relayed " + (keys / "host.pub").read_text())
    if os.geteuid() == 0:
        # Its unit creates this directory, which must be empty. Root's sshd needs it.
        os.makedirs("/run/sshd", mode=0o755, exist_ok=True)
    port = free_port()
    with serving(local(port), "sshd", "-D", "-e", "-f", "/dev/null", "-h", keys / "host",
                 "-p", port, "-o", "ListenAddress=127.0.0.1", "-o", "PidFile=none",
                 "-o", "StrictModes=no", "-o", "UsePAM=no",
                 "-o", f"AuthorizedKeysFile={keys}/user.pub") as address:
        yield address, ["-F", "none", "-i", keys / "user", "-o", "IdentitiesOnly=yes", "-o",
                        "BatchMode=yes", "-o", f"UserKnownHostsFile={keys}/known", "-o",
                        "StrictHostKeyChecking=yes", "-o", "HostKeyAlias=relayed"]


def test_ssh(backend, ssh):
    """The host key is right, and ten megabytes come back unchanged, both ways at once."""
    address, options = ssh
    data = pattern(10 << 20)
    with relayed(address, backend) as (_, port):
        assert run("ssh", *options, "-p", port, "127.0.0.1", "cat", data=data) == data


# Half-close
#
# Who asks, sends all it has and half-closes; who answers, sort(1), has nothing to say before that
# end has come through. socat can be either, given time (-t) after the first end, or it gives up
# 0.5 s later. ncat can ask: it half-closes when its standard input ends (unless told --no-shutdown,
# which is to behave like a netcat that doesn't). It can't answer: with --exec, and when it listens,
# it takes an end of stream for the end of all, with or without a relay.

PATIENT = ("-t", DEADLINE)


@pytest.fixture(scope="module")
def sorter():
    port = free_port()
    with serving(local(port), "socat", *PATIENT, f"TCP-LISTEN:{port},bind=127.0.0.1,fork,reuseaddr",
                 f"EXEC:{tool('sort')}") as address:
        yield address


@pytest.mark.parametrize("client", ["socat", "ncat"])
def test_client_asks(backend, sorter, client):
    with relayed(sorter, backend) as (daemon, port):
        args = {"socat": [*PATIENT, "-", f"TCP:127.0.0.1:{port}"], "ncat": ["127.0.0.1", port]}
        assert run(client, *args[client], data=LINES) == SORTED
    daemon.wait_for(rf" closed: end of stream, {len(LINES)} B in, {len(LINES)} B out")


@pytest.mark.parametrize("server", ["socat", "ncat"])
def test_upstream_asks(backend, server):
    """The server accepts one connection, the relay's. connect_wait finds out when it is ready, not a trial
    connection.
    """
    port = free_port()
    args = {"socat": [*PATIENT, "-", f"TCP-LISTEN:{port},bind=127.0.0.1,reuseaddr"],
            "ncat": ["-l", "127.0.0.1", port]}
    with contextlib.ExitStack() as stack:
        daemon, entry = stack.enter_context(relayed(local(port), backend, connect_wait=DEADLINE))
        client = stack.enter_context(start("socat", *PATIENT, f"TCP:127.0.0.1:{entry}",
                                           f"EXEC:{tool('sort')}"))
        stack.callback(client.kill)
        assert run(server, *args[server], data=LINES) == SORTED
        assert client.wait(DEADLINE) == 0
    daemon.wait_for(rf" closed: end of stream, {len(LINES)} B in, {len(LINES)} B out")
