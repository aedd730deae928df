# SPDX-License-Identifier: MIT
"""The control interface: HTTP from clients of all kinds, and refused requests."""
import json
import re
import socket

import pytest
from harness import Daemon, config, echo, recv_until_eof
from harness.control import Control, controlled

CREATE = json.dumps({"name": "p", "listen": "127.0.0.1:0", "upstream": "127.0.0.1:1"}).encode()


@pytest.fixture
def daemon(backend):
    with controlled(backend) as daemon:
        yield daemon


@pytest.fixture
def control(daemon):
    return Control(daemon)


def exchange(control, data):
    """Sends bytes and the end of the stream. Returns everything that comes back."""
    with control.raw() as sock:
        sock.sendall(data)
        sock.shutdown(socket.SHUT_WR)
        return recv_until_eof(sock)


def statuses(data):
    return [int(status) for status in re.findall(rb"HTTP/1\.[01] (\d+) ", data)]


def test_requests_of_many_shapes(control):
    post = b"POST /reset HTTP/1.1\r\nHost: localhost\r\n"
    chunked = (b"POST /proxies HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n" + CREATE[:5] +
               b"\r\n%x\r\n" % len(CREATE[5:]) + CREATE[5:] + b"\r\n0\r\n\r\n")
    assert statuses(exchange(control, post + b"\r\n")) == [204]
    assert statuses(exchange(control, post + b"Content-Length: 0\r\n\r\n")) == [204]
    assert statuses(exchange(control, b"POST /reset HTTP/1.0\r\n\r\n")) == [204]
    assert statuses(exchange(control, chunked)) == [201]
    assert statuses(exchange(control, b"GET http://localhost/version HTTP/1.1\r\n\r\n")) == [200]
    pipelined = b"GET /version HTTP/1.1\r\n\r\nGET /x HTTP/1.1\r\n\r\nDELETE /proxies/p HTTP/1.1\r\n\r\n"
    assert statuses(exchange(control, pipelined * 2)) == [200, 404, 204, 200, 404, 404]


def test_expect_continue(control):
    with control.raw() as sock:
        sock.sendall(b"POST /proxies HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: %d\r\n\r\n" % len(CREATE))
        assert sock.recv(1000) == b"HTTP/1.1 100 Continue\r\n\r\n"
        sock.sendall(CREATE)
        assert statuses(sock.recv(1000)) == [201]


def test_keep_alive_and_close(control):
    with control.raw() as sock:
        for _ in range(3):
            sock.sendall(b"GET /version HTTP/1.1\r\n\r\n")
            assert statuses(sock.recv(1000)) == [200]
        sock.sendall(b"GET /version HTTP/1.1\r\nConnection: close\r\n\r\n")
        assert statuses(recv_until_eof(sock)) == [200]


def test_long_bodies(daemon, control):
    body = b'{"name": "' + b"x" * (1 << 20)
    assert control.ask("POST", "/proxies", body).status == 413
    assert control.ask("POST", "/proxies", body[:1 << 20]).status == 400
    head = b"POST /proxies HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert statuses(exchange(control, head + b"%x\r\n" % len(body) + body)) == [413]
    assert statuses(exchange(control, b"GET /" + b"x" * 100_000 + b" HTTP/1.1\r\n\r\n")) == [400]
    with daemon.connect() as client:
        echo(client)


def test_browsers_are_kept_out(control):
    browser = control.ask("GET", "/proxies", User_Agent="Mozilla/5.0 (Linux; Android 4.4.2)")
    assert (browser.status, browser.body) == (403, b"User agent not allowed\n")
    for host, status in (("127.0.0.1:8474", 200), ("[::1]:8474", 200), ("localhost", 200),
                         ("example.com", 403), ("localhost.example.com:8474", 403)):
        assert control.ask("GET", "/version", Host=host).status == status, host
        assert control.ask("GET", "/nowhere", Host=host).status == (404 if status == 200 else 403)
        for origin, allowed in ((f"http://{host}", status), ("http://example.org", 403), ("null", 403)):
            assert control.ask("POST", "/reset", Host=host, Origin=origin).status == (
                204 if allowed == 200 else 403)


def test_bytes_that_are_no_request(daemon, control):
    for data in (b"\0" * 1000, b"\r\n\r\n", b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03", b"GET\r\n\r\n",
                 b"GET / HTTP/9.9\r\n\r\n", b"POST /reset HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
                 b"POST /reset HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n\r\n",
                 b"POST /reset HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", b":\r\n" * 10_000,
                 b"GET / HTTP/1.1\r\n" + b":\r\n" * 50_000 + b"\r\n", b"GET /%00%ff%zz HTTP/1.1\r\n\r\n",
                 b'POST /proxies HTTP/1.1\r\nContent-Length: 100000\r\n\r\n' + b"[" * 100_000):
        got = exchange(control, data)
        assert all(status in (400, 404, 413) for status in statuses(got)), (data[:50], got)
    with daemon.connect() as client:
        echo(client)
    assert control.ask("GET", "/version").status == 200


def test_many_clients(daemon, control):
    """64 clients at a time: a new one takes the place of the one that has been idle longest."""
    socks = [control.raw() for _ in range(100)]
    for sock in socks[-20:]:
        sock.sendall(b"GET /version HTTP/1.1\r\n\r\n")
        assert statuses(sock.recv(1000)) == [200]
    ended = 0
    for sock in socks[:80]:
        sock.setblocking(False)
        try:
            ended += sock.recv(1) == b""
        except BlockingIOError:
            pass
    assert ended >= 36
    for sock in socks:
        sock.close()


def test_clients_that_stop_in_the_middle_hold_up_nobody(daemon, control):
    socks = [control.raw() for _ in range(60)]
    for i, sock in enumerate(socks):
        sock.sendall(b"POST /proxies HTTP/1.1\r\nContent-Length: 10\r\n\r\n123456789"[:i])
    with daemon.connect() as client:
        echo(client)
        assert control.ask("GET", "/version").status == 200
    for sock in socks:
        sock.close()


def test_a_unix_socket(backend, tmp_path):
    path = tmp_path / "control.sock"
    text = config(backend=backend, control=["127.0.0.1:0", f"unix:{path}"])
    with Daemon(text) as daemon:
        assert path.stat().st_mode & 0o777 == 0o660
        control = Control(daemon, 1)
        assert control.address == f"unix:{path}"
        control.create()
        assert control.ask("GET", "/proxies/p", Host="any").status == 200
        assert [*Control(daemon).expect(200, "GET", "/proxies")] == ["p"]
        assert not daemon.lines("without a password")
    assert not path.exists()
