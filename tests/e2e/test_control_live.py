# SPDX-License-Identifier: MIT
"""Proxies that are enabled, disabled, moved and removed while they have connections."""
import contextlib
import json
import time
from signal import SIGHUP

import pytest
from harness import DEADLINE, Daemon, Upstream, answer, config, echo, free_port, is_served, local, recv_exactly, relay
from harness.control import Control, controlled, refused


@pytest.fixture
def upstream():
    with Upstream(answer) as upstream:
        yield upstream


@pytest.fixture
def control(backend, upstream):
    with controlled(backend) as daemon:
        control = Control(daemon)
        control.daemon = daemon
        yield control


def has_ended(sock):
    """Whether the connection has ended, in order or by a reset."""
    try:
        return sock.recv(1) == b""
    except ConnectionResetError:
        return True


def test_disabled_and_enabled(control, upstream):
    made = control.create(upstream=upstream.address)
    control.add("latency", latency=1)
    with control.dial() as client:
        echo(client)
        off = control.update(enabled=False)
        assert off == {**control.expect(200, "GET", "/proxies/p"), "enabled": False}
        assert off["listen"] == made["listen"] and len(off["toxics"]) == 1
        assert has_ended(client) and refused(made["listen"])
        for _, thread in upstream.clients:
            thread.join(DEADLINE)
            assert not thread.is_alive()
    on = control.update(enabled=True)
    assert on == {**off, "enabled": True}
    with control.dial() as client:
        echo(client)


def test_disabled_drops_what_is_held(control, upstream):
    control.create(upstream=upstream.address)
    control.add("latency", latency=60_000)
    with control.dial() as client:
        client.sendall(b"held on its way back")
        began = time.monotonic()
        control.update(enabled=False)
        assert has_ended(client) and time.monotonic() - began < 3


def test_another_upstream(control, upstream):
    def greet(sock, n):
        sock.sendall(b"other")

    made = control.create(upstream=upstream.address)
    with Upstream(greet) as other, control.dial() as client:
        echo(client)
        moved = control.update(upstream=other.address)
        assert moved == {**made, "upstream": other.address}
        assert has_ended(client)
        with control.dial() as client:
            assert recv_exactly(client, 5) == b"other"


def test_another_address(control, upstream):
    made = control.create(upstream=upstream.address)
    with control.dial() as client:
        echo(client)
        same = control.update(listen=made["listen"].replace("127.0.0.1", "localhost"))
        assert same == made
        echo(client)
        port = free_port()
        assert control.update(listen=local(port))["listen"] == local(port)
        assert has_ended(client) and refused(made["listen"])
    with control.dial() as client:
        echo(client)


def test_an_address_that_cannot_be_bound(control, upstream):
    made = control.create(upstream=upstream.address)
    other = control.create("other", upstream=upstream.address)
    got = control.ask("POST", "/proxies/p", {"listen": other["listen"]})
    assert got.status == 500 and other["listen"] in got.value["error"], got
    assert control.expect(200, "GET", "/proxies/p")["enabled"] is False
    assert refused(made["listen"])
    control.update(listen=made["listen"], enabled=True)
    with control.dial() as client:
        echo(client)


def test_removed(control, upstream):
    made = control.create(upstream=upstream.address)
    with control.dial() as client:
        echo(client)
        assert control.ask("DELETE", "/proxies/p").status == 204
        assert has_ended(client) and refused(made["listen"])
    again = control.create(upstream=upstream.address, listen=made["listen"])
    assert again == made


@pytest.mark.parametrize("greeting", [b"", b"hello"])
def test_an_upstream_that_refuses(control, greeting):
    """The client gets an end of stream, and no reset."""
    control.create(upstream=local(free_port()))
    for _ in range(10):
        with control.dial() as client:
            client.sendall(greeting)
            assert client.recv(1) == b""
            client.sendall(greeting)
            assert client.recv(1) == b""
    control.daemon.wait_for(r"^p: .* closed: upstream .*: Connection refused", 10)


def test_in_force_for_every_connection_when_the_answer_comes(control, upstream):
    control.create(upstream=upstream.address)
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(control.dial()) for _ in range(20)]
        for client in clients:
            echo(client)
        control.add("latency", latency=100)
        for client in clients:
            client.sendall(b"x")
        began = time.monotonic()
        control.remove("latency_downstream")
        for client in clients:
            assert recv_exactly(client, 1) == b"x"
        for client in clients:
            began = time.monotonic()
            control.add("latency", latency=30)
            echo(client)
            assert time.monotonic() - began >= 0.03
            control.remove("latency_downstream")


def test_a_reload_keeps_what_was_made_here(backend, upstream):
    port = free_port()
    text = config(relay(upstream.address, name="db", listen=local(port)), backend=backend, control="127.0.0.1:0")
    with Daemon(text) as daemon:
        control = Control(daemon)
        db = control.expect(200, "GET", "/proxies/db")
        assert db == {"name": "db", "listen": local(port), "upstream": upstream.address, "enabled": True,
                      "toxics": []}
        made = control.create(upstream=upstream.address)
        control.add("latency", latency=5)
        control.add("latency", "db", latency=5)
        control.update("db", enabled=False)
        with control.dial() as client:
            echo(client)
            daemon.reload(text)
            echo(client)
            assert control.expect(200, "GET", "/proxies/db") == db
            kept = control.expect(200, "GET", "/proxies/p")
            assert {**kept, "toxics": []} == made and len(kept["toxics"]) == 1
            with control.dial("db") as other:
                echo(other)
        assert control.ask("DELETE", "/proxies/db").status == 204
        daemon.signal(SIGHUP)
        daemon.wait_for("^reloaded ", 2)
        assert control.expect(200, "GET", "/proxies/db") == db


def test_conditions_of_the_file_are_toxics(backend, upstream):
    text = config(relay(upstream.address, name="db", to_client=[{"name": "slow", "latency": "80ms"},
                                                               {"latency": "1ms", "rate": 500000}]),
                  backend=backend, control="127.0.0.1:0")
    with Daemon(text) as daemon:
        control = Control(daemon)
        assert control.expect(200, "GET", "/proxies/db/toxics") == [
            {"attributes": {"latency": 80, "jitter": 0}, "name": "slow", "type": "latency",
             "stream": "downstream", "toxicity": 1}]
        with control.dial("db") as client:
            began = time.monotonic()
            echo(client)
            assert time.monotonic() - began >= 0.081 - 0.001
            control.remove("slow", "db")
            began = time.monotonic()
            echo(client)
            assert time.monotonic() - began >= 0.001 - 0.001


def test_many_changes_at_once(control, upstream):
    """Requests of many clients are carried out one after the other."""
    control.create(upstream=upstream.address)
    connections = [control.raw() for _ in range(30)]
    body = json.dumps({"type": "noop"}).encode()
    for i, sock in enumerate(connections):
        sock.sendall(b"POST /proxies/p%s HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % (
            (b"/toxics", len(body)) if i % 2 else (b"", 17)) + (body if i % 2 else b'{"enabled": true}'))
    got = [int(sock.recv(4096).split()[1]) for sock in connections]
    assert got.count(409) == 14 and got.count(200) == 16
    for sock in connections:
        sock.close()
    with control.dial() as client:
        assert is_served(client)
