# SPDX-License-Identifier: MIT
"""The metrics of a running daemon: they grow while connections are open, and promtool finds nothing wrong."""
import contextlib
import json
import signal
import socket

import pytest
from harness import (FILLS_ANY_LINE, Daemon, Upstream, activated, answer, config, echo, expect_reset, free_port,
                     hub, local, push, recv_exactly, recv_until_eof, relay, service, until)
from harness.control import Control, controlled
from harness.programs import run


def row(name, service=None, **labels):
    """A row of the text. Its labels are in alphabetical order."""
    if service is not None:
        labels["service"] = service
    values = ",".join(f"{key}={json.dumps(value)}" for key, value in sorted(labels.items()))
    return f"{name}{{{values}}}" if labels else name


def expect(control, number, *args, **labels):
    """Waits for the number of a row. A client may see a byte before it is counted."""
    wanted = row(*args, **labels)
    until(lambda: control.metrics()[wanted] == number, f"{wanted} {number}")


@pytest.fixture
def upstream():
    with Upstream(answer) as upstream:
        yield upstream


def test_a_relay_counts_while_it_is_open(backend, upstream):
    text = config(relay(upstream.address, name="db"), service(), backend=backend, control="127.0.0.1:0")
    with Daemon(text) as daemon:
        control = Control(daemon)
        expect(control, 0, "selectd_connections_open", "db")
        proxy = {"listener": daemon.addresses("db")[0], "proxy": "db", "upstream": upstream.address}
        with daemon.connect("db") as first, daemon.connect("db") as second:
            for i, client in enumerate([first, second, first]):
                client.sendall(b"0123456789")
                assert recv_exactly(client, 10) == b"0123456789"
                sent = 10 * (i + 1)
                for direction in "from_client", "from_upstream":
                    expect(control, sent, "selectd_received_bytes_total", "db", direction=direction)
                for direction in "to_client", "to_upstream":
                    expect(control, sent, "selectd_sent_bytes_total", "db", direction=direction)
                for stream in "upstream", "downstream":
                    expect(control, sent, "toxiproxy_proxy_received_bytes_total", direction=stream, **proxy)
                    expect(control, sent, "toxiproxy_proxy_sent_bytes_total", direction=stream, **proxy)
            expect(control, 2, "selectd_connections_open", "db")
            expect(control, 2, "selectd_connections_accepted_total", "db")
        expect(control, 0, "selectd_connections_open", "db")
        expect(control, 2, "selectd_connections_closed_total", "db", reason="end_of_stream")
        found = control.metrics()
        assert found[row("selectd_connections_accepted_total", "db")] == 2
        assert found[row("selectd_connections_accepted_total", "echo")] == 0
        version = control.expect(200, "GET", "/version")["selectd"]
        assert found[row("selectd_build_info", version=version)] == 1
        assert not [one for one in found if 'proxy="echo"' in one]


def test_each_direction_counts_by_itself(backend):
    """The upstream answers each byte with three bytes."""
    def triple(sock, n):
        with contextlib.suppress(ConnectionError):
            while data := sock.recv(4096):
                sock.sendall(3 * data)

    with Upstream(triple) as upstream, controlled(backend) as daemon:
        control = Control(daemon)
        made = control.create("p", upstream=upstream.address)
        proxy = {"listener": made["listen"], "proxy": "p", "upstream": upstream.address}
        with control.dial() as client:
            client.sendall(b"hello")
            assert recv_exactly(client, 15) == 3 * b"hello"
            for stream, number in ("upstream", 5), ("downstream", 15):
                expect(control, number, "toxiproxy_proxy_received_bytes_total", direction=stream, **proxy)
                expect(control, number, "toxiproxy_proxy_sent_bytes_total", direction=stream, **proxy)
            expect(control, 5, "selectd_received_bytes_total", "p", direction="from_client")
            expect(control, 15, "selectd_received_bytes_total", "p", direction="from_upstream")
            expect(control, 15, "selectd_sent_bytes_total", "p", direction="to_client")
            expect(control, 5, "selectd_sent_bytes_total", "p", direction="to_upstream")


def test_an_echo_and_a_hub(backend):
    text = config(service(), hub(), backend=backend, control="127.0.0.1:0")
    with Daemon(text) as daemon:
        control = Control(daemon)
        with daemon.connect() as client:
            echo(client)
            with daemon.connect("hub") as one, daemon.connect("hub") as other, daemon.connect("hub") as third:
                expect(control, 3, "selectd_connections_open", "hub")
                one.sendall(b"12345678")
                for member in other, third:
                    assert recv_exactly(member, 8) == b"12345678"
                expect(control, 8, "selectd_received_bytes_total", "hub", direction="from_client")
                expect(control, 16, "selectd_sent_bytes_total", "hub", direction="to_client")
            found = control.metrics()
            received = found[row("selectd_received_bytes_total", "echo", direction="from_client")]
            assert received > 0
            expect(control, received, "selectd_sent_bytes_total", "echo", direction="to_client")
            assert found[row("selectd_sent_bytes_total", "echo", direction="to_upstream")] == 0


def test_held_bytes_and_faults(backend, upstream):
    with controlled(backend) as daemon:
        control = Control(daemon)
        control.create(upstream=upstream.address)
        control.add("bandwidth", name="cut", stream="downstream", rate=0)
        control.add("latency", stream="upstream", latency=1)
        held = row("selectd_held_bytes", "p", direction="to_client")
        with control.dial() as client:
            client.sendall(bytes(5000))
            until(lambda: control.metrics()[held] >= 5000, "held bytes")
            expect(control, 0, "selectd_held_bytes", "p", direction="to_upstream")
            for kind, number in ("rate", 1), ("latency", 1), ("limit", 0):
                expect(control, number, "selectd_faults_total", "p", kind=kind)
            expect(control, 5000, "selectd_received_bytes_total", "p", direction="from_upstream")
            expect(control, 0, "selectd_sent_bytes_total", "p", direction="to_client")
            control.remove("cut")
            assert recv_exactly(client, 5000) == bytes(5000)
            expect(control, 0, "selectd_held_bytes", "p", direction="to_client")
            client.sendall(b"again")
            control.update(enabled=False)
        expect(control, 0, "selectd_held_bytes", "p", direction="to_client")
        expect(control, 1, "selectd_connections_closed_total", "p", reason="disabled")
        expect(control, 0, "selectd_connections_open", "p")


def test_a_client_that_does_not_read(backend):
    """Bytes that a socket does not take are held, without any condition."""
    with controlled(backend) as daemon:
        control = Control(daemon)
        held = row("selectd_held_bytes", "echo", direction="to_client")
        with daemon.connect(receive_buffer=4096) as client:
            push([client], bytes(FILLS_ANY_LINE))
            until(lambda: control.metrics()[held] > 0, "held bytes")
        expect(control, 0, "selectd_held_bytes", "echo", direction="to_client")


def test_failed_dials_and_the_end_of_a_proxy(backend):
    with controlled(backend) as daemon:
        control = Control(daemon)
        control.create(upstream=local(free_port()))
        with control.dial() as client:
            assert client.recv(1) == b""
        expect(control, 1, "selectd_upstream_dials_failed_total", "p")
        expect(control, 1, "selectd_connections_closed_total", "p", reason="upstream_unreached")
        assert control.ask("DELETE", "/proxies/p").status == 204
        until(lambda: not [one for one in control.metrics() if '"p"' in one], "the end of the rows of p")


def test_clients_that_are_turned_away(backend):
    with controlled(backend, max_connections=1) as daemon:
        control = Control(daemon)
        with daemon.connect() as client:
            echo(client)
            for _ in range(3):
                with daemon.connect() as more:
                    recv_until_eof(more)
            expect(control, 3, "selectd_connections_turned_away_total", "echo", reason="limit")
            expect(control, 0, "selectd_connections_turned_away_total", "echo", reason="disabled")
            expect(control, 1, "selectd_connections_accepted_total", "echo")


def test_clients_of_a_disabled_service(backend, upstream):
    """systemd keeps the socket of the service open."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        text = config(relay(upstream.address, name="db"), backend=backend, control="127.0.0.1:0")
        with activated(text, [sock], ["db"]) as daemon:
            control = Control(daemon)
            control.update("db", enabled=False)
            expect_reset(daemon, "db")
            expect(control, 1, "selectd_connections_turned_away_total", "db", reason="disabled")


def test_reloads(backend):
    text = config(backend=backend, control="127.0.0.1:0")
    with Daemon(text) as daemon:
        control = Control(daemon)
        expect(control, 0, "selectd_reloads_total", result="success")
        daemon.reload(text)
        daemon.reload(config(service(), service("more"), backend=backend, control="127.0.0.1:0"))
        daemon.reload("nonsense", expect=r"^cannot reload ")
        expect(control, 2, "selectd_reloads_total", result="success")
        expect(control, 1, "selectd_reloads_total", result="failure")
        expect(control, 0, "selectd_connections_open", "more")
        expect(control, 0, "selectd_log_records_lost_total")


def test_a_service_that_a_reload_removes(backend):
    """It has rows until its last connection has ended."""
    top = {"backend": backend, "control": "127.0.0.1:0"}
    with Daemon(config(service(), service("gone"), **top)) as daemon:
        control = Control(daemon)
        with daemon.connect("gone") as client:
            echo(client)
            daemon.reload(config(service(), **top))
            echo(client)
            expect(control, 1, "selectd_connections_open", "gone")
        until(lambda: not [one for one in control.metrics() if '"gone"' in one], "the end of the rows")
        expect(control, 0, "selectd_connections_open", "echo")


def test_reloads_without_a_file():
    with Daemon(None, args=["--control", "127.0.0.1:0"]) as daemon:
        daemon.signal(signal.SIGHUP)
        daemon.wait_for("there is no configuration file to reload")
        expect(Control(daemon), 1, "selectd_reloads_total", result="failure")


def lint(control):
    """promtool exits with 1 if the text is malformed, and with 3 if it breaks a convention."""
    text = control.ask("GET", "/metrics").body
    assert run("promtool", "check", "metrics", data=text) == b""
    return text


@pytest.mark.parametrize("name", ['plain', 'quote" and \\ and {x="y"}', 'line\nbreak', 'é∞', "# HELP x"])
def test_promtool_finds_nothing(backend, upstream, name):
    with controlled(backend) as daemon:
        control = Control(daemon)
        lint(control)
        made = control.create(name, upstream=upstream.address)
        escaped = name.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
        wanted = (f'toxiproxy_proxy_sent_bytes_total{{direction="upstream",listener="{made["listen"]}",'
                  f'proxy="{escaped}",upstream="{upstream.address}"}} 0\n')
        assert f"\n{wanted}" in lint(control).decode()


def test_with_many_connections(backend, upstream, crowd):
    text = config(service(), relay(upstream.address, name="db"), backend=backend, control="127.0.0.1:0")
    with Daemon(text) as daemon:
        control = Control(daemon)
        quiet = len(lint(control).splitlines())
        clients = crowd(daemon, 400)
        expect(control, 400, "selectd_connections_open", "echo")
        for client in clients:
            client.sendall(b"x")
        for client in clients:
            assert recv_exactly(client, 1) == b"x"
        assert len(lint(control).splitlines()) == quiet
        expect(control, 400, "selectd_sent_bytes_total", "echo", direction="to_client")


def test_other_methods(backend):
    with controlled(backend) as daemon:
        control = Control(daemon)
        for method in "POST", "DELETE":
            assert control.ask(method, "/metrics").status == 405
        assert control.ask("GET", "/metrics/").status == 404
