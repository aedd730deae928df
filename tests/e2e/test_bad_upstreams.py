"""Upstreams that misbehave, and names that lead nowhere: one client suffers, the others are served.

(One that refuses, one that can't be reached and one that reads nothing are in test_relay.py.) Names
are looked up with a name server of the test's own: the daemon gets an /etc of its own, in which
resolv.conf names that server.
"""
import contextlib
import re
import socket
import struct
import threading

import pytest

from harness import (DEADLINE, LOOP_KBYTES, Daemon, Steady, config, echo, name_of, own_mounts,
                     pattern, push, recv_exactly, recv_until_eof, reset, service, until, workers)
from test_relay import expect_reset, relay
from test_slow_reader import ENV

DATA = pattern(1 << 20)
MUCH = pattern(64 << 20)


class Upstream(threading.Thread):
    """A server on a free port, as a context manager: serve(sock, n) is what its nth client gets.

    Clients count from 0. Each has a thread of its own, which the client's going may end.
    """

    def __init__(self, serve, host="127.0.0.1"):
        super().__init__(daemon=True)
        self.serve, self.clients = serve, []
        self.listener = socket.create_server((host, 0))
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


def first(serve):
    """The first client gets this, those after it an answer."""
    return lambda sock, n: (answer if n else serve)(sock, n)


# What is connected, and misbehaves


def test_silence(backend):
    """It hears what the client says and nothing comes of it, until idle_timeout."""
    def hear(sock, n):
        while sock.recv(1 << 16):
            pass

    with Upstream(hear) as upstream, Upstream(answer) as good:
        with Daemon(config(relay(upstream.address, "silent", idle_timeout="500ms"),
                           relay(good.address), backend=backend)) as daemon:
            with Steady(daemon.connect("relay")), daemon.connect("silent") as client:
                client.sendall(b"anyone?")
                assert client.recv(1) == b""
                took = daemon.wait_for(r" closed: idle timeout, 7 B in, 0 B out, (.+) s$")
                assert float(took[1]) >= 0.499


def test_reset_mid_stream(backend):
    """All that came before the reset is there, then the reset; the next client is served."""
    def cut_off(sock, n):
        sock.sendall(DATA)
        sock.recv(1)
        reset(sock)

    with Upstream(first(cut_off)) as upstream:
        with Daemon(config(relay(upstream.address), backend=backend)) as daemon:
            with daemon.connect("relay") as client:
                assert recv_exactly(client, len(DATA)) == DATA
                client.sendall(b"!")
                with pytest.raises(ConnectionResetError):
                    client.recv(1)
            daemon.wait_for(rf" closed: upstream \S+: reset by peer, 1 B in, {len(DATA)} B out")
            with daemon.connect("relay") as client:
                echo(client)


@pytest.mark.parametrize("size", [0, 1, len(DATA)])
def test_reset_close_behind(backend, size):
    """It overtakes data, so some may be lost, but never does it look as if that were the end."""
    def cut_off(sock, n):
        sock.sendall(DATA[:size])
        reset(sock)

    with Upstream(first(cut_off)) as upstream:
        with Daemon(config(relay(upstream.address), backend=backend)) as daemon:
            got = bytearray()
            with pytest.raises(ConnectionResetError), daemon.connect("relay") as client:
                while data := client.recv(1 << 16):
                    got += data
            assert DATA[:size].startswith(got)
            daemon.wait_for(r" closed: (upstream \S+: )?reset by peer, 0 B in, \d+ B out")
            with daemon.connect("relay") as client:
                echo(client)


@pytest.mark.parametrize("both", [False, True], ids=["one-way", "both-ways"])
def test_reset_in_a_standstill(backend, both):
    """It, or both, have sent until the relay took no more: it is not read, but its end is seen."""
    cue, taken = threading.Event(), []

    def cut_off(sock, n):
        taken.extend(push([sock], MUCH))
        cue.wait(DEADLINE)
        reset(sock)

    with Upstream(first(cut_off)) as upstream:
        with Daemon(config(relay(upstream.address), backend=backend)) as daemon:
            with daemon.connect("relay") as client:
                if both:
                    push([client], MUCH)
                until(lambda: taken, "the standstill")
                cue.set()
                daemon.wait_for(r" closed: upstream \S+: reset by peer, ")
                with pytest.raises(ConnectionResetError):
                    recv_until_eof(client)
            with daemon.connect("relay") as client:
                echo(client)


def test_flood(backend):
    """Who sends without end to clients that read nothing is held up: at little cost, at no loss."""
    n_clients, taken = 4, {}

    def flood(sock, n):
        [taken[n]] = push([sock], MUCH)
        sock.shutdown(socket.SHUT_WR)
        sock.recv(1)

    with Upstream(flood) as upstream, Upstream(answer) as good:
        with Daemon(config(relay(upstream.address, "flooded"), relay(good.address),
                           backend=backend), env=ENV) as daemon:
            before = daemon.memory_bytes()
            with contextlib.ExitStack() as stack, Steady(daemon.connect("relay")):
                clients = []
                for n in range(n_clients):  # in turn, so that the nth here is the nth there
                    clients.append(stack.enter_context(daemon.connect("flooded")))
                    until(lambda: len(upstream.clients) > n, "its connection")
                until(lambda: len(taken) == n_clients, "the standstill")
                assert (daemon.memory_bytes() - before
                        < (n_clients * 400 + workers()[0] * LOOP_KBYTES) * 1024)
                for n, client in enumerate(clients):
                    assert taken[n] < len(MUCH)
                    assert recv_until_eof(client) == MUCH[:taken[n]]


# Names


class NameServer(threading.Thread):
    """Answers questions for IPv4 addresses from a dict, on UDP, as a context manager.

    reply(query, answer) may say otherwise: given both, it returns what to send; with None the
    answer is withheld, until send_withheld().
    """

    def __init__(self, names=(), reply=None):
        super().__init__(daemon=True)
        self.names, self.reply = dict(names), reply
        self.asked, self.withheld = threading.Event(), []
        self.sock = socket.socket(type=socket.SOCK_DGRAM)
        self.sock.bind(("127.0.0.1", 0))

    def run(self):
        while True:
            query, client = self.sock.recvfrom(512)
            if not query:
                return  # see __exit__
            answer = self.answer(query)
            reply = self.reply(query, answer) if self.reply else answer
            if reply:
                self.sock.sendto(reply, client)
            else:
                self.withheld.append((answer, client))
            self.asked.set()

    def send_withheld(self):
        for answer, client in self.withheld:
            self.sock.sendto(answer, client)

    def answer(self, query):
        end = query.index(b"\0", 12) + 5  # of the question: a name, its type and its class
        name = b".".join(self._labels(query)).decode().lower()
        of_ipv4 = query[end - 4:end] == b"\0\1\0\1"
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
        self.sock.sendto(b"", self.sock.getsockname())
        self.join()
        self.sock.close()


@pytest.fixture
def asking(tmp_path):
    """A wrapper that has a daemon ask this name server. (libevent lets resolv.conf say a port.)"""
    command = own_mounts()

    def wrapper(name_server):
        (tmp_path / "resolv.conf").write_text("nameserver %s:%d\n"
                                              % name_server.sock.getsockname())
        (tmp_path / "hosts").write_text("127.0.0.1 localhost\n")
        return [*command, "sh", "-c", 'mount --bind "$0" /etc && exec "$@"', str(tmp_path)]

    return wrapper


def silence(query, answer):
    return None


def of_another_question(query, answer):
    return bytes([answer[0] ^ 1]) + answer[1:]


def failure(query, answer):
    return answer[:3] + b"\x82" + answer[4:]  # SERVFAIL


def nonsense(query, answer):
    return answer[:12] + DATA[:200]


@pytest.mark.parametrize("names, reply", [({}, None), ({"db.test": []}, None), ({}, failure),
                                          ({}, nonsense)],
                         ids=["unknown", "without-address", "failure", "nonsense"])
def test_name_of_nothing(backend, asking, names, reply):
    """The client is reset and the log says why; once there is an address the next one is served."""
    with Upstream(answer) as upstream, NameServer(names, reply) as server:
        with Daemon(config(relay(f"db.test:{upstream.port}"), backend=backend),
                    wrapper=asking(server)) as daemon:
            expect_reset(daemon)
            why = daemon.wait_for(r" closed: upstream db\.test:\d+: (.+), 0 B in, 0 B out")
            assert re.search(r"\bname\b", why[1]), why[1]
            server.names["db.test"], server.reply = ["127.0.0.1"], None
            with daemon.connect("relay") as client:
                echo(client)


def test_name_that_comes_to_be(backend, asking):
    """Within connect_wait an unknown name is looked up again."""
    with Upstream(answer) as upstream, NameServer() as server:
        with Daemon(config(relay(f"db.test:{upstream.port}", connect_wait=DEADLINE),
                           backend=backend), wrapper=asking(server)) as daemon:
            with daemon.connect("relay") as client:
                assert server.asked.wait(DEADLINE)
                server.names["db.test"] = ["127.0.0.1"]
                echo(client)


def test_ten_addresses_of_which_one_works(backend, asking):
    """The first does not answer, eight refuse, the last is it."""
    addresses = [f"127.0.0.{i}" for i in range(2, 12)]
    with Upstream(answer, addresses[-1]) as upstream, contextlib.ExitStack() as stack:
        mute = stack.enter_context(socket.create_server((addresses[0], upstream.port), backlog=0))
        for _ in range(4):  # with its backlog full, Linux drops whoever comes
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(mute.getsockname())
        server = stack.enter_context(NameServer({"db.test": addresses}))
        daemon = stack.enter_context(Daemon(
            config(relay(f"db.test:{upstream.port}", connect_timeout="300ms"), backend=backend),
            wrapper=asking(server)))
        with daemon.connect("relay") as client:
            echo(client)
        took = daemon.wait_for(r" closed: end of stream, \d+ B in, \d+ B out, ([\d.]+) s")
        assert float(took[1]) >= 0.299


@pytest.mark.parametrize("reply", [silence, of_another_question])
def test_name_server_of_no_use(backend, asking, reply):
    """After connect_timeout the client is reset; nobody else waits, and the next try is fresh."""
    with Upstream(answer) as upstream, NameServer({"db.test": ["127.0.0.1"]}, reply) as server:
        with Daemon(config(relay(f"db.test:{upstream.port}", connect_timeout="300ms"),
                           relay(upstream.address, "good"), service(), backend=backend),
                    wrapper=asking(server)) as daemon:
            with Steady(daemon.connect("good")), Steady(daemon.connect()):
                expect_reset(daemon)
            took = daemon.wait_for(r" closed: upstream \S+: timed out, 0 B in, 0 B out, (.+) s$")
            assert float(took[1]) >= 0.299
            server.reply = None
            with daemon.connect("relay") as client:
                echo(client)


def test_end_of_those_who_wait_for_a_name(backend, asking):
    """One gives up and the answer comes too late for it; one still waits when the daemon stops."""
    with Upstream(answer) as upstream, NameServer({"db.test": ["127.0.0.1"]}, silence) as server:
        with Daemon(config(relay(f"db.test:{upstream.port}", connect_timeout=10 * DEADLINE),
                           relay(upstream.address, "other"), backend=backend),
                    wrapper=asking(server)) as daemon:
            leaves = daemon.connect("relay")
            assert server.asked.wait(DEADLINE)
            with daemon.connect("other") as client:
                echo(client)
            gone = name_of(leaves)
            reset(leaves)
            daemon.wait_for(rf"{gone} closed: reset by peer, 0 B in, 0 B out")
            server.reply = None
            server.send_withheld()
            with daemon.connect("relay") as client:
                echo(client)
            server.reply = silence
            server.asked.clear()
            with daemon.connect("relay"):
                assert server.asked.wait(DEADLINE)
                daemon.stop_now()
