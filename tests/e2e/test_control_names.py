# SPDX-License-Identifier: MIT
"""Proxies that are to listen at a name."""
import json
import re

import pytest
from harness import Daemon, NameServer, Upstream, answer, config, echo, free_port, until
from harness.control import Control


@pytest.fixture
def upstream():
    with Upstream(answer) as upstream:
        yield upstream


def daemon(backend, wrapper):
    return Daemon(config(backend=backend, control="127.0.0.1:0"), wrapper=wrapper)


def test_names_are_looked_up(backend, asking, upstream):
    with NameServer({"one.test": ["127.0.0.5"], "two.test": ["127.0.0.6"]}) as server, \
            daemon(backend, asking(server)) as selectd:
        control = Control(selectd)
        port = free_port()
        made = control.create(upstream=upstream.address, listen=f"one.test:{port}")
        assert made["listen"] == f"127.0.0.5:{port}"
        with control.dial() as client:
            echo(client)
            assert control.update(listen=f"one.test:{port}") == made
            echo(client)  # the same address, so the connection goes on
        assert control.update(listen=f"two.test:{port}")["listen"] == f"127.0.0.6:{port}"
        items = [{"name": name, "listen": f"{name}.test:{port}", "upstream": upstream.address}
                 for name in ("one", "x", "two")]
        items[1]["listen"] = "127.0.0.1:0"
        got = control.ask("POST", "/populate", items)
        assert got.status == 500 and "127.0.0.6" in got.value["error"]  # p listens there
        assert [re.match("[^:]*", p["listen"])[0] for p in got.value["proxies"]] == ["127.0.0.5", "127.0.0.1"]


def test_a_name_without_an_address(backend, asking):
    with NameServer() as server, daemon(backend, asking(server)) as selectd:
        control = Control(selectd)
        got = control.ask("POST", "/proxies", {"name": "p", "listen": "no.test:1", "upstream": "127.0.0.1:1"})
        assert got.status == 500 and got.value["error"] == 'cannot listen on "no.test:1": the name has no address'
        assert control.expect(200, "GET", "/proxies") == {}


def test_a_slow_look_up_holds_up_nobody(backend, asking, upstream):
    body = json.dumps({"name": "slow", "listen": "slow.test:0", "upstream": upstream.address}).encode()
    with NameServer({"slow.test": ["127.0.0.5"]}, lambda query, answer: None) as server, \
            daemon(backend, asking(server, timeout=20)) as selectd:
        control = Control(selectd)
        with control.raw() as sock, control.raw() as other:
            for one in (sock, other):
                one.sendall(b"POST /proxies HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
            until(lambda: len(server.withheld) == 2, "both questions, for IPv4 and IPv6")
            control.create(upstream=upstream.address)
            with control.dial() as client:
                echo(client)
            server.send_withheld()
            got = sorted(int(one.recv(4096).split()[1]) for one in (sock, other))
            assert got == [201, 409]


def test_stopped_during_a_look_up(backend, asking):
    body = json.dumps({"name": "slow", "listen": "slow.test:0", "upstream": "127.0.0.1:1"}).encode()
    with NameServer({}, lambda query, answer: None) as server, \
            daemon(backend, asking(server, timeout=20)) as selectd:
        with Control(selectd).raw() as sock:
            sock.sendall(b"POST /proxies HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
            assert server.asked.wait(20)
