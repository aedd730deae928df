# SPDX-License-Identifier: MIT
"""The article's question: what do many idle connections cost, and how long does a pause delay others?

    python3 tests/bench/question.py BUILD_DIR [--runs 11]

50 connections exchange messages, while others are open and idle. selectd on each backend is compared
with the article's alternatives, a thread for each connection (threads.c) and a loop that polls every
socket all the time (busy.c), and with a model of its select server (article.c). Then 100 clients send at
the same moment to a server that pauses before each send: how long does the last one wait? See measure.py
for the method.
"""
import contextlib
import select
import socket
import time

import measure
from measure import MESSAGE_BYTES
from table import Table

ACTIVE = 50
IDLE = 10, 100, 1_000, 10_000, 18_000
SELECT_MAX = 1024 - 64  # descriptors of select(2), without those that are not clients
MESSAGES = 5_000  # a turn
TURNS = 3  # a run
CONFIG = """
log_level = "warning";
backend = "{backend}";
services = {{ echo = {{ listen = "127.0.0.1:0"; send_delay = "{delay}"; }}; }};
"""
CLIENTS, DELAY_SECONDS = 100, 5
SERVERS = {
    "selectd, epoll": ("selectd", "epoll"),
    "selectd, poll": ("selectd", "poll"),
    "selectd, select": ("selectd", "select"),
    "a thread a connection": ("program", "threads"),
    "a busy loop": ("program", "busy"),
    "the article's select": ("program", "article"),
}


def start(bench, kind, what, delay=0):
    if kind == "selectd":
        return bench.start_selectd(CONFIG.format(backend=what, delay=f"{delay}s"))
    return bench.start_program(what, *([delay] if what == "article" else []))


def can_hold(server, idle):
    return "select" not in server.rpartition(", ")[2].split() and "article" not in server \
        or idle + ACTIVE <= SELECT_MAX


def message_usec(bench, server, idle):
    """CPU time per message, beside that many idle connections."""
    with contextlib.ExitStack() as stack:
        started = stack.enter_context(start(bench, *SERVERS[server]))
        stack.enter_context(bench.load(started, "idle", idle))
        seconds, = measure.measure_cpu(bench, [started], TURNS, "ping", ACTIVE, MESSAGES, MESSAGE_BYTES)
    return seconds * 1e6 / MESSAGES


def last_wait_seconds(bench, kind, what):
    """How long the last of CLIENTS that send at once waits."""
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(start(bench, kind, what, DELAY_SECONDS))
        socks = []
        for _ in range(CLIENTS):  # one after the other, because the article's backlog is 10
            socks.append(stack.enter_context(socket.create_connection(("127.0.0.1", server.port))))
            time.sleep(0.002)
        began = time.monotonic()
        for sock in socks:
            sock.sendall(b"!")
        waiting = set(socks)
        deadline = began + CLIENTS * DELAY_SECONDS + 60
        while waiting and time.monotonic() < deadline:
            for sock in select.select(list(waiting), [], [], 1)[0]:
                if sock.recv(1) != b"!":
                    raise RuntimeError("not what was sent")
                waiting.remove(sock)
        if waiting:
            raise RuntimeError(f"{len(waiting)} clients had no answer")
        return time.monotonic() - began


def measure_idle(bench, runs, idle_counts=IDLE):
    """Yields a table for each number of idle connections."""
    for idle in idle_counts:
        servers = [server for server in SERVERS if can_hold(server, idle)]
        values = {server: [] for server in servers}
        for _ in range(runs):
            for server in servers:
                values[server].append(message_usec(bench, server, idle))
        yield Table("question", f"CPU per message, {ACTIVE} active and {idle:,} idle connections", "µs", 2,
                    values)


def measure_pause(bench):
    """Yields the table of the last client's wait: measured once, because it is long and nearly exact."""
    values = {name: [last_wait_seconds(bench, kind, what)]
              for name, kind, what in (("selectd", "selectd", "auto"),
                                       ("the article's select", "program", "article"))}
    yield Table("question", f"the last of {CLIENTS} that send at once, a pause of {DELAY_SECONDS} s", "s",
                1, values)


def measure_all(bench, runs):
    yield from measure_idle(bench, min(runs, 3))
    yield from measure_pause(bench)


if __name__ == "__main__":
    measure.run(__doc__, measure_all)
