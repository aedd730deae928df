# SPDX-License-Identifier: MIT
"""Upstreams by name: the system's resolver looks them up, and no client waits for another one's name.

The tests play the name servers themselves; see asking in conftest.py.
"""
import contextlib
import os
import re
import socket
import time

import pytest

from harness import (DEADLINE, Daemon, NameServer, Steady, Upstream, answer, config, echo, expect_reset,
                     name_of, pattern, raise_descriptor_limit, recv_exactly, relay, reset, service, until,
                     workers)

DATA = pattern(1000)
SANITIZERS_OWN = 1  # thread of ThreadSanitizer
FAILED_SHARED = 0.25  # seconds until a failed look-up is repeated


def served_soon(daemon, name="relay"):
    """Clients are reset until the old answer has expired. Then one is served."""
    def served():
        with contextlib.suppress(ConnectionError), daemon.connect(name) as client:
            echo(client)
            return True

    until(served, "a client that is served")


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
    """The client is reset, and the log says why. Soon after the name gets an address, a client is served."""
    with Upstream(answer) as upstream, NameServer(names, reply) as server:
        with Daemon(config(relay(f"db.test:{upstream.port}"), backend=backend),
                    wrapper=asking(server)) as daemon:
            expect_reset(daemon)
            why = daemon.wait_for(r" closed: upstream db\.test:\d+: (.+), 0 B in, 0 B out")
            assert re.search(r"\bname\b", why[1]), why[1]
            server.names["db.test"], server.reply = ["127.0.0.1"], None
            served_soon(daemon)


def test_name_that_comes_to_be(backend, asking):
    """During connect_wait, an unknown name is looked up again."""
    with Upstream(answer) as upstream, NameServer() as server:
        with Daemon(config(relay(f"db.test:{upstream.port}", connect_wait=DEADLINE),
                           backend=backend), wrapper=asking(server)) as daemon:
            with daemon.connect("relay") as client:
                assert server.asked.wait(DEADLINE)
                server.names["db.test"] = ["127.0.0.1"]
                echo(client)


def test_ten_addresses_of_which_one_works(backend, asking):
    """The first address does not answer, eight refuse, and the last one works."""
    addresses = [f"127.0.0.{i}" for i in range(2, 12)]
    with Upstream(answer, addresses[-1]) as upstream, contextlib.ExitStack() as stack:
        mute = stack.enter_context(socket.create_server((addresses[0], upstream.port), backlog=0))
        for _ in range(4):  # with a full backlog, Linux drops new connections
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
    """After connect_timeout the client is reset. No other client waits. Soon after the server answers, one is
    served.
    """
    with Upstream(answer) as upstream, NameServer({"db.test": ["127.0.0.1"]}, reply) as server:
        with Daemon(config(relay(f"db.test:{upstream.port}", connect_timeout="300ms"),
                           relay(upstream.address, "good"), service(), backend=backend),
                    wrapper=asking(server)) as daemon:
            with Steady(daemon.connect("good")), Steady(daemon.connect()):
                expect_reset(daemon)
            took = daemon.wait_for(r" closed: upstream \S+: timed out, 0 B in, 0 B out, (.+) s$")
            assert float(took[1]) >= 0.299
            server.reply = None
            served_soon(daemon)


def test_end_of_those_who_wait_for_a_name(backend, asking):
    """One client gives up before its answer arrives. Another one still waits when the daemon stops."""
    with Upstream(answer) as upstream, NameServer({"db.test": ["127.0.0.1"]}, silence) as server:
        with Daemon(config(relay(f"db.test:{upstream.port}", connect_timeout=10 * DEADLINE),
                           relay(f"late.test:{upstream.port}", "late", connect_timeout=10 * DEADLINE),
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
            with daemon.connect("late"):
                assert server.asked.wait(DEADLINE)
                began = time.monotonic()
                daemon.stop_now()
                assert time.monotonic() - began < 2  # the look-up takes as long


def test_hosts_file_alone(backend, asking, tmp_path):
    """No name server is configured, and none is needed."""
    with Upstream(answer) as upstream, NameServer() as server:
        wrapper = asking(server)
        (tmp_path / "resolv.conf").unlink()
        with Daemon(config(relay(f"localhost:{upstream.port}"), backend=backend),
                    wrapper=wrapper) as daemon, daemon.connect("relay") as client:
            echo(client)


def test_files_that_change(backend, asking, tmp_path):
    """Changes of these files take effect soon."""
    with Upstream(answer) as upstream, NameServer() as no, NameServer({"db.test": ["127.0.0.1"]}) as yes:
        wrapper = asking(no)
        with Daemon(config(relay(f"db.test:{upstream.port}"), backend=backend),
                    wrapper=wrapper) as daemon:
            expect_reset(daemon)
            daemon.wait_for(" its name cannot be looked up")
            asking(yes)
            served_soon(daemon)
            asking(no)
            until(lambda: not connects(daemon), "a client that is reset")
            (tmp_path / "hosts").write_text("127.0.0.1 db.test\n")
            served_soon(daemon)


def connects(daemon):
    with contextlib.suppress(ConnectionError), daemon.connect("relay") as client:
        echo(client)
        return True


# What the system's resolver provides


def first_is(reply):
    """Only the first question gets this answer."""
    asked = []

    def answer_or_not(query, answer):
        asked.append(query)
        return reply(query, answer) if len(asked) == 1 else answer

    return answer_or_not


def test_first_name_server_is_silent(backend, asking):
    """The second server is asked, and every client is served."""
    with Upstream(answer) as upstream, NameServer(reply=silence) as silent, \
            NameServer({"db.test": ["127.0.0.1"]}) as good:
        with Daemon(config(relay(f"db.test:{upstream.port}"), backend=backend),
                    wrapper=asking(silent, good)) as daemon:
            with contextlib.ExitStack() as stack:
                for client in [stack.enter_context(daemon.connect("relay")) for _ in range(10)]:
                    echo(client)
            assert silent.questions and len(good.questions) == 1


def test_first_name_server_is_not_there(backend, asking):
    with Upstream(answer) as upstream, NameServer({"db.test": ["127.0.0.1"]}) as good:
        with NameServer() as gone:
            pass
        with Daemon(config(relay(f"db.test:{upstream.port}"), backend=backend),
                    wrapper=asking(gone, good)) as daemon, daemon.connect("relay") as client:
            echo(client)


def test_one_family_answers_later_than_the_other(backend, asking):
    """The answer that there is no IPv6 address comes at once, and the IPv4 address 0.4 s later."""
    with Upstream(answer) as upstream, NameServer({"db.test": ["127.0.0.1"]}) as server:
        server.delay = lambda query: 0.4 if b"\0\1\0\1" in query[12:] else 0
        with Daemon(config(relay(f"db.test:{upstream.port}"), backend=backend),
                    wrapper=asking(server)) as daemon, daemon.connect("relay") as client:
            echo(client)


def test_datagram_that_is_lost(backend, asking):
    with Upstream(answer) as upstream, NameServer({"db.test": ["127.0.0.1"]}) as server:
        server.reply = first_is(silence)
        with Daemon(config(relay(f"db.test:{upstream.port}"), backend=backend),
                    wrapper=asking(server)) as daemon, daemon.connect("relay") as client:
            echo(client)


def truncated(query, answer):
    return answer[:2] + bytes([answer[2] | 2]) + answer[3:6] + b"\0\0" + answer[8:12] + query[12:]


def test_more_addresses_than_a_datagram_holds(backend, asking):
    """The resolver asks again by TCP."""
    addresses = [f"127.0.2.{i}" for i in range(1, 60)] + ["127.0.0.1"]
    with Upstream(answer, addresses[-1]) as upstream, NameServer({"db.test": addresses}, truncated) as server:
        with Daemon(config(relay(f"db.test:{upstream.port}"), backend=backend),
                    wrapper=asking(server)) as daemon, daemon.connect("relay") as client:
            echo(client)


def test_dot_at_the_end_of_a_name(backend, asking):
    """The name is absolute, whatever suffixes resolv.conf has."""
    names = {"db.test": ["127.0.0.1"], "db.test.wild.corp": ["127.0.0.2"]}
    with Upstream(answer) as upstream, NameServer(names) as server:
        with Daemon(config(relay(f"db.test.:{upstream.port}"), backend=backend),
                    wrapper=asking(server, more="search wild.corp\noptions ndots:5\n")) as daemon:
            with daemon.connect("relay") as client:
                echo(client)
        assert set(server.questions) == {"db.test"}


def test_search_list(backend, asking):
    with Upstream(answer) as upstream, NameServer({"db.wild.corp": ["127.0.0.1"]}) as server:
        with Daemon(config(relay(f"db:{upstream.port}"), backend=backend),
                    wrapper=asking(server, more="search wild.corp\n")) as daemon:
            with daemon.connect("relay") as client:
                echo(client)


def test_hosts_of_another_system(backend, asking, tmp_path):
    """The lines of the hosts file end in CR LF."""
    with Upstream(answer) as upstream, NameServer() as server:
        wrapper = asking(server)
        (tmp_path / "hosts").write_bytes(b"127.0.0.1 localhost\r\n127.0.0.1 db.test\r\n")
        with Daemon(config(relay(f"db.test:{upstream.port}"), backend=backend),
                    wrapper=wrapper) as daemon, daemon.connect("relay") as client:
            echo(client)


def test_each_question_has_a_port_of_its_own(asking):
    """A forged answer would have to guess the port of each question."""
    names = [f"n{i}.test" for i in range(5)]
    with Upstream(answer) as upstream, NameServer({name: ["127.0.0.1"] for name in names}) as server:
        relays = [relay(f"{name}:{upstream.port}", f"r{i}") for i, name in enumerate(names)]
        with Daemon(config(*relays), wrapper=asking(server)) as daemon:
            for i in range(len(names)):
                with daemon.connect(f"r{i}") as client:
                    echo(client)
        assert len(server.ports) == len(names)


# No client waits for another name, and no more is asked than necessary


def test_dead_names_hold_up_no_other_name(backend, asking):
    """100 clients use a dead name, and 20 more dead names have one each. Clients of another service are
    served at once.
    """
    with Upstream(answer) as upstream, NameServer({"db.test": ["127.0.0.1"]}) as server:
        server.reply = lambda query, answer: None if b"dead" in query else answer
        dead = [relay(f"dead{i}.test:1", f"dead{i}", connect_timeout="1h") for i in range(21)]
        with Daemon(config(*dead, relay(f"db.test:{upstream.port}"), backend=backend),
                    wrapper=asking(server, timeout=30)) as daemon, contextlib.ExitStack() as stack:
            for name in ["dead0"] * 100 + [f"dead{i}" for i in range(1, len(dead))]:
                stack.enter_context(daemon.connect(name))
            daemon.wait_for(r"^dead\d+: \S+ connected$", 100 + 20)
            until(lambda: len(set(server.questions)) == len(dead), "a question for each dead name")
            began = time.monotonic()
            with daemon.connect("relay") as client:
                echo(client)
            assert time.monotonic() - began < 4.7  # with one queue for all names
            assert len(os.listdir(f"/proc/{daemon.pid}/task")) <= 32 + 1 + workers()[0] + SANITIZERS_OWN


def test_many_clients_at_once(backend, asking):
    """No client is reset because the name server takes a quarter of a second to answer."""
    n = 200 if backend == "select" else 1000
    raise_descriptor_limit(2 * n)
    with Upstream(answer) as upstream, NameServer({"db.test": ["127.0.0.1"]}, delay=0.25) as server:
        with Daemon(config(relay(f"db.test:{upstream.port}"), backend=backend), wrapper=asking(server)) as daemon:
            with contextlib.ExitStack() as stack:
                clients = [stack.enter_context(daemon.connect("relay")) for _ in range(n)]
                for client in clients:
                    client.sendall(b"hello")
                for client in clients:
                    assert recv_exactly(client, 5) == b"hello"
            assert not daemon.lines(" cannot be looked up")
        assert len(server.questions) < 20


def test_clients_in_connect_wait_ask_together(backend, asking):
    """Many clients ask for an unknown name no more often than one client."""
    with NameServer() as server:
        with Daemon(config(relay("db.test:1", connect_wait="1h"), backend=backend),
                    wrapper=asking(server)) as daemon, contextlib.ExitStack() as stack:
            for _ in range(300):
                stack.enter_context(daemon.connect("relay"))
            daemon.wait_for(" connected$", 300)
            began, asked, more = time.monotonic(), len(server.questions), 4
            until(lambda: len(server.questions) >= asked + more, "more questions")
            assert time.monotonic() - began >= (more - 1) * FAILED_SHARED
