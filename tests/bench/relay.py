# SPDX-License-Identifier: MIT
"""What relaying costs: selectd beside nginx, HAProxy, socat and systemd-socket-proxyd.

    python3 tests/bench/relay.py BUILD_DIR [--runs 11]

Each has one worker and the configuration that an expert would choose for the measured figure: no log, no
delay, no limit in the way, and for bulk data the settings that were measured to be cheapest, although
small messages then cost more. See measure.py for the method. The upstream runs on the load's CPU and is
always the same program, but each relay has its own: some relays leave thousands of connections in
TIME_WAIT, and the search for a free port among these must not be charged to others.
"""

import collections
import contextlib
import os
import shutil
import socket
import tempfile
import time

import measure
from measure import MESSAGE_BYTES
from table import Table, Target

CONNECTIONS, MESSAGES = 50, 5_000  # a turn
BULK_BYTES = 100_000_000  # a turn
NEW_CONNECTIONS = 500  # a turn
TURNS = 20  # a run
IDLE_PAIRS, IDLE_LIMIT_BYTES = 2_000, 2_458
DESCRIPTORS = 6  # descriptors of a relayed pair in the relay that needs most: two sockets and two pipes
SBIN = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin:/lib/systemd"

SELECTD = """
log_level = "warning";
services = {{ relay = {{
  listen = "127.0.0.1:0"; mode = "relay"; upstream = "127.0.0.1:{upstream}";
}}; }};
"""
NGINX_MODULE = "/usr/lib/nginx/modules/ngx_stream_module.so"
NGINX = """
load_module {module};
daemon off;
worker_processes 1;
pid {directory}/pid;
error_log {directory}/log crit;
events {{ worker_connections 16384; multi_accept on; }}
stream {{ server {{
    listen 127.0.0.1:{port};
    proxy_pass 127.0.0.1:{upstream};
    proxy_timeout 1d;
    {options}
}} }}
"""
NGINX_BULK = "proxy_buffer_size 64k;"
HAPROXY = """
global
    nbthread 1
    maxconn 5000
    tune.pipesize 524288
listen relay
    mode tcp
    {options}
    bind fd@3
    server upstream 127.0.0.1:{upstream}
    timeout connect 10s
    timeout client 1d
    timeout server 1d
"""
HAPROXY_BULK = """
    option splice-request
    option splice-response
"""  # splice-auto sometimes notices late
SOCAT_BUFFER_BYTES = 65536

# bulk: what counts is bytes; one_way: the load is the upstream too; higher: the better
Figure = collections.namedtuple("Figure", "name unit digits measure target bulk one_way higher",
                                defaults=[False, False, False])
# start: takes the bench, this, the upstream's port, a directory for files, and Figure.bulk
Relay = collections.namedtuple("Relay", "name program start")


# The relays


def write(directory, name, text):
    path = os.path.join(directory, name)
    with open(path, "w", encoding="ascii") as file:
        file.write(text)
    return path


def start_selectd(bench, _, upstream, *__, **options):
    return bench.start_selectd(SELECTD.format(upstream=upstream), **options)


def start_nginx(bench, relay, upstream, directory, bulk):
    """The new nginx inherits the socket as if from an earlier nginx."""
    listener = measure.listen()
    text = NGINX.format(module=NGINX_MODULE, directory=directory, upstream=upstream,
                        port=listener.getsockname()[1], options=NGINX_BULK if bulk else "")
    command = [relay.program, "-p", directory, "-e", f"{directory}/log", "-c",
               write(directory, "conf", text)]
    return bench.start_passed(command, listener, env={**os.environ, "NGINX": "3;"})


def start_haproxy(bench, relay, upstream, directory, bulk):
    text = HAPROXY.format(upstream=upstream, options=HAPROXY_BULK if bulk else "")
    path = write(directory, "conf", text)
    return bench.start_passed([relay.program, "-q", "-db", "-f", path], measure.listen())


def is_listening(port):
    with open("/proc/net/tcp", encoding="ascii") as file:
        return f" 0100007F:{port:04X} 00000000:0000 0A " in file.read()


@contextlib.contextmanager
def start_socat(bench, relay, upstream, *_):
    """socat cannot be passed a socket. It does not announce that it listens, but the kernel knows."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [relay.program, "-b", str(SOCAT_BUFFER_BYTES),
               f"TCP4-LISTEN:{port},bind=127.0.0.1,reuseaddr,fork,backlog=4096,nodelay",
               f"TCP4:127.0.0.1:{upstream},nodelay"]
    with bench.start(command) as process:
        deadline = time.monotonic() + measure.TIMEOUT
        while not is_listening(port):
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError("socat does not listen")
            time.sleep(0.01)
        yield measure.Server(process.pid, port)


def start_proxyd(bench, relay, upstream, *_, **options):
    command = [relay.program, "--connections-max=100000", f"127.0.0.1:{upstream}"]
    return bench.start_passed(command, measure.listen(), **options)


def find_relays():
    """selectd and the installed peers. Prints which ones are missing."""
    relays = [Relay("selectd", None, start_selectd)]
    for name, start in (("nginx", start_nginx), ("haproxy", start_haproxy), ("socat", start_socat),
                        ("systemd-socket-proxyd", start_proxyd)):
        program = shutil.which(name, path=SBIN)
        if program and (name != "nginx" or os.path.exists(NGINX_MODULE)):
            relays.append(Relay(name, program, start))
        else:
            print(f"{name}: NOT INSTALLED, left out")
    return relays


@contextlib.contextmanager
def serve(bench, relays, figure):
    """A new server of each kind, with an upstream."""
    with contextlib.ExitStack() as stack:
        servers = []
        for relay in relays:
            listener = stack.enter_context(measure.listen()) if figure.one_way else None
            upstream = (listener.getsockname()[1] if figure.one_way else
                        stack.enter_context(bench.start_floor(pinned=False)).port)
            directory = stack.enter_context(tempfile.TemporaryDirectory())
            server = stack.enter_context(
                relay.start(bench, relay, upstream, directory, figure.bulk))
            servers.append(server._replace(listener=listener))
        yield servers


# The figures: each function returns one for each server


def message_usec(bench, servers):
    seconds = measure.measure_cpu(bench, servers, TURNS, "ping", CONNECTIONS, MESSAGES,
                                  MESSAGE_BYTES)
    return [one * 1e6 / MESSAGES for one in seconds]


def bulk_seconds(mode):
    def seconds(bench, servers):
        return [one * 1e9 / BULK_BYTES
                for one in measure.measure_cpu(bench, servers, TURNS, mode, BULK_BYTES)]
    return seconds


def idle_count():
    return measure.idle_count(IDLE_PAIRS * DESCRIPTORS) // DESCRIPTORS


def idle_bytes(bench, servers):
    return measure.idle_bytes(bench, servers, idle_count())


def connections_per_second(bench, servers):
    return [NEW_CONNECTIONS / one for one in measure.measure_cpu(
        bench, servers, TURNS, "connect", CONNECTIONS, NEW_CONNECTIONS)]


AHEAD = Target(1, strict=True)
LEVEL = Target(1, medians=True)
FIGURES = [
    Figure(f"CPU per {MESSAGE_BYTES}-byte message", "µs", 2, message_usec, AHEAD),
    Figure("CPU per bulk gigabyte, both ways", "s", 3, bulk_seconds("bulk"), LEVEL, bulk=True),
    Figure("CPU per bulk gigabyte, upload", "s", 3, bulk_seconds("upload"), LEVEL, bulk=True,
           one_way=True),
    Figure("CPU per bulk gigabyte, download", "s", 3, bulk_seconds("download"), LEVEL, bulk=True,
           one_way=True),
    Figure("private memory of an idle pair", "bytes", 0, idle_bytes,
           Target(IDLE_LIMIT_BYTES, ratio=False)),
    Figure("new connections", "per CPU second", 0, connections_per_second, AHEAD, higher=True),
]


def measure_all(bench, runs):
    """Yields the tables."""
    relays = find_relays()
    for figure in FIGURES:
        values = {relay.name: [] for relay in relays}
        for _ in range(runs):
            with serve(bench, relays, figure) as servers:
                for all_of_one, value in zip(values.values(), figure.measure(bench, servers)):
                    all_of_one.append(value)
        yield Table("relay", figure.name, figure.unit, figure.digits, values, figure.higher,
                    figure.target)


if __name__ == "__main__":
    measure.run(__doc__, measure_all)
