# SPDX-License-Identifier: MIT
"""The article's server and selectd with conf/article.conf have the same conversations.

Each conversation is a function of a server, whose clients connect in a fixed order. Afterwards both
servers must have returned the same bytes and reported the same events for each client. Where the
conversation allows only one order, because it waits for the queue to be empty, the events must have that
order. Where several messages are under way at once, events are compared for each kind, because the model
reports "sending" before its pause, and selectd after it.
"""
import pathlib
import re
import socket
import threading
import time

import pytest

import harness
from model import ArticleServer

DELAY = 0.2
ARTICLE_CONF = pathlib.Path(__file__).parents[2] / "conf" / "article.conf"
EVENT = re.compile(r"^echo: (\S+) (connected|received|sending|queue empty|exception condition|closed)"
                   r"(?: (\d+) bytes (\".*\"…?))?")


def shown(data):
    """Bytes as the log shows them: escaped, the first 64."""
    special = {10: r"\n", 13: r"\r", 9: r"\t", 34: r"\"", 92: r"\\"}
    text = "".join(special.get(b) or (chr(b) if 32 <= b < 127 else r"\x%02x" % b) for b in data[:64])
    return '"%s"' % text + ("…" if len(data) > 64 else "")


class Server:
    """The common part of both: clients, and a wait for the nth event of a kind."""

    def __init__(self):
        self.clients = []

    def connect(self):
        self.clients.append(harness.connect(self.address))
        return self.clients[-1]

    def ask(self, client, message):
        """Sends a message, and waits for the answer and for the server to finish."""
        empty = self.count("queue empty") + 1
        client.sendall(message)
        answer = harness.recv_exactly(client, len(message))
        self.wait("queue empty", empty)
        return answer

    def by_client(self):
        """The events of each client. Clients are in the order of their first event."""
        clients = {}
        for kind, client, *rest in self.events:
            clients.setdefault(client, []).append((kind, *rest))
        return list(clients.values())

    def count(self, kind):
        return sum(event[0] == kind for event in self.events)


class Model(Server):
    def __init__(self):
        super().__init__()
        self.events = []
        self.news = threading.Condition()
        self.server = ArticleServer(DELAY, self._on_event)
        self.address = self.server.address

    def _on_event(self, kind, client, data):
        with self.news:
            self.events.append((kind, client, len(data), shown(data)) if data
                               else (kind, client, None, None))
            self.news.notify_all()

    def __enter__(self):
        self.server.__enter__()
        return self

    def __exit__(self, *args):
        self.server.__exit__(*args)

    def wait(self, kind, n):
        with self.news:
            assert self.news.wait_for(lambda: self.count(kind) >= n, harness.DEADLINE), self.events


class Selectd(Server):
    def __init__(self):
        super().__init__()
        text = ARTICLE_CONF.read_text()
        assert 'send_delay = "5s"' in text and '"127.0.0.1:8008"' in text
        text = text.replace('"5s"', f'"{int(DELAY * 1000)}ms"').replace(":8008", ":0")
        self.daemon = harness.Daemon(text)

    def __enter__(self):
        self.daemon.__enter__()
        [self.address] = self.daemon.addresses()
        assert self.daemon.lines("^ready: 1 service, select, ")
        return self

    def __exit__(self, *args):
        self.daemon.__exit__(*args)

    def wait(self, kind, n):
        self.daemon.wait_for(rf"^echo: \S+ {kind}", n)

    @property
    def events(self):
        found = [EVENT.match(line) for line in self.daemon.log]
        return [(m[2].removesuffix(" condition"), m[1], m[3] and int(m[3]), m[4])
                for m in found if m]


def converse(server_class, conversation):
    """Returns what each client received, and its events."""
    with server_class() as server:
        got = conversation(server)
        for client in server.clients:
            client.close()
        server.wait("closed", len(server.clients))
        return got, server.by_client()


def of_kind(events, kind):
    return [e for e in events if e[0] == kind]


# Conversations


def lockstep(server):
    client = server.connect()
    return [server.ask(client, m)
            for m in (b"a", b"hello\n", bytes(range(256)), b"\x00" * 64, b"x" * 65)]


def two_clients_in_turn(server):
    clients = server.connect(), server.connect()
    return [server.ask(client, m) for m in (b"first", b"second") for client in clients]


def full_message(server):
    return server.ask(server.connect(), harness.pattern(1024))


def leaves_without_a_word(server):
    server.connect()
    server.wait("connected", 1)


def urgent_data(server):
    client = server.connect()
    answer = server.ask(client, b"before")
    client.send(b"!", socket.MSG_OOB)
    server.wait("closed", 1)
    return answer


def reset_after_answer(server):
    client = server.connect()
    answer = server.ask(client, b"before")
    harness.reset(client)
    return answer


@pytest.mark.parametrize("conversation", [
    lockstep, two_clients_in_turn, full_message, leaves_without_a_word, urgent_data,
    reset_after_answer], ids=lambda c: c.__name__)
def test_same_bytes_and_events_in_the_same_order(conversation):
    assert converse(Selectd, conversation) == converse(Model, conversation)


def large(server):
    """More bytes than a message has. They are cut at 1,024 bytes."""
    client = server.connect()
    client.sendall(harness.pattern(3000))
    return harness.recv_exactly(client, 3000)


def three_at_once(server):
    """Messages leave a pause apart, each one whole."""
    client = server.connect()
    began = time.monotonic()
    client.sendall(harness.pattern(3 * 1024))
    got = []
    for n in 1, 2, 3:
        got.append(harness.recv_exactly(client, 1024))
        assert time.monotonic() - began >= n * DELAY - 0.001
    return got


def two_clients_at_once(server):
    clients = [server.connect(), server.connect()]
    for i, client in enumerate(clients):
        client.sendall(b"client %d" % i)
    return [harness.recv_exactly(client, 8) for client in clients]


@pytest.mark.parametrize("conversation", [large, three_at_once, two_clients_at_once],
                         ids=lambda c: c.__name__)
def test_same_bytes_and_events_of_each_kind(conversation):
    got, clients = converse(Selectd, conversation)
    model_got, model_clients = converse(Model, conversation)
    assert got == model_got
    assert len(clients) == len(model_clients)
    for events, model_events in zip(clients, model_clients):
        assert events[0][0] == model_events[0][0] == "connected"
        assert events[-1][0] == model_events[-1][0] == "closed"
        for kind in "received", "sending":
            assert of_kind(events, kind) == of_kind(model_events, kind)
