# SPDX-License-Identifier: MIT
"""The PROXY protocol: a client's address, accepted from a proxy.

The test builds headers from HAProxy's specification, not with the tested code. The daemon takes a header
off the front of a stream however it is cut into packets, and not a byte of the data behind it.
"""
import contextlib
import re
import select
import socket
import struct
from signal import SIGCONT, SIGTERM

import pytest

from harness import (DEADLINE, DRAINING, Daemon, Steady, accepting, config, connect, echo, free_port,
                     is_served, listening, name_of, pattern, recv_exactly, recv_until_eof, reset, service,
                     until)
from harness.proxy_headers import (BOTH_VERSIONS, FOUR, GOOD_HEADER, PAYLOAD, SIX, TLVS, accept_header,
                                   ends_of, header, packed, tlv, v1, v2)

TIMEOUT = 5  # seconds for a whole header
LONGEST = 4096

# Headers


def shown(end):
    """The address as the log shows it, where a mapped IPv4 address is IPv4."""
    host = end[0].removeprefix("::ffff:")
    return f"[{host}]:{end[1]}" if ":" in host else f"{host}:{end[1]}"


FULL = (":".join(["ffff"] * 8), 65535), (":".join(["fffe"] * 8), 65535)
MIXED = ("::ffff:192.0.2.5", 1), ("2001:db8::2", 0)

# A header, and its source and destination. None: it has none, so the proxy itself is the client.
HEADERS = {
    "v1 TCP4": (header(1, FOUR), FOUR),
    "v1 TCP6": (header(1, SIX), SIX),
    "v1 TCP6 in full": (header(1, FULL), FULL),
    "v1 TCP6, mapped": (v1("TCP6", [(f"::ffff:{ip}", port) for ip, port in FOUR]), FOUR),
    "v1 TCP6, one mapped": (header(1, MIXED), MIXED),
    "v1 UNKNOWN": (v1("UNKNOWN"), None),
    "v1 UNKNOWN in full": (v1("UNKNOWN", FULL), None),
    "v2 TCP4": (header(2, FOUR), FOUR),
    "v2 TCP6": (header(2, SIX), SIX),
    "v2 TCP4, TLVs": (v2(packed(FOUR) + TLVS, 0x11), FOUR),
    "v2 TCP6, TLVs": (GOOD_HEADER, SIX),
    "v2 longest": (v2(packed(FOUR) + tlv(0xE1, pattern(LONGEST - 16 - 12 - 3)), 0x11), FOUR),
    "v2 LOCAL": (v2(command=0x20), None),
    "v2 LOCAL, TLVs": (v2(packed(FOUR) + TLVS, 0x11, command=0x20), None),
    "v2 unix": (v2(pattern(216), 0x31), None),
    "v2 UDP4": (v2(packed(FOUR), 0x12), None),
    "v2 unspec": (v2(), None),
    "v2 unspec, bytes": (v2(pattern(77)), None),
}
REAL = shown(SIX[0])

# Bytes that are not a header, and why the connection ends.
MALFORMED, TOO_LONG, END, LATE = ("malformed PROXY header", "PROXY header too long",
                                  "end of stream before the PROXY header", "no PROXY header in time")
BAD = {
    "one byte": (b"G", MALFORMED),
    "another protocol": (b"GET / HTTP/1.1\r\n\r\n", MALFORMED),
    "small letters": (b"proxy TCP4 192.0.2.1 192.0.2.2 1 2\r\n", MALFORMED),
    "v1 protocol": (b"PROXY TCP5", MALFORMED),
    "v1 port": (b"PROXY TCP4 192.0.2.1 192.0.2.2 65536 2\r\n", MALFORMED),
    "v1 address": (b"PROXY TCP4 192.0.2.256 192.0.2.2 1 2\r\n", MALFORMED),
    "v1 family": (b"PROXY TCP4 2001:db8::1 2001:db8::2 1 2\r\n", MALFORMED),
    "v1 no destination": (b"PROXY TCP4 192.0.2.1 4242\r\n", MALFORMED),
    "v1 one field more": (b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2 3\r\n", MALFORMED),
    "v1 bare LF": (b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\n", MALFORMED),
    "v1 without end": (b"PROXY UNKNOWN " + b"x" * 200, MALFORMED),
    "v1 without end, much": (b"PROXY TCP4 " + b"1" * 100_000, MALFORMED),
    "v2 signature": (v2(packed(FOUR), 0x11).replace(b"QUIT", b"QUIZ"), MALFORMED),
    "v2 version": (v2(packed(FOUR), 0x11, command=0x31), MALFORMED),
    "v2 command": (v2(packed(FOUR), 0x11, command=0x22), MALFORMED),
    "v2 family": (v2(packed(FOUR), 0x41), MALFORMED),
    "v2 protocol": (v2(packed(FOUR), 0x13), MALFORMED),
    "v2 no room for ends": (v2(packed(FOUR)[:-1], 0x11), MALFORMED),
    "v2 no room for a TLV": (v2(packed(FOUR) + tlv(1, b"h2")[:-1], 0x11), MALFORMED),
    "v2 too long": (v2(packed(FOUR), 0x11, length=LONGEST - 16 + 1), TOO_LONG),
    "v2 far too long": (v2(kind=0x11, length=65535) + pattern(65535), TOO_LONG),
}

# Daemons and their clients


def greeted(sock, head=GOOD_HEADER):
    """Connects as a proxy and sends a header, and then the client's bytes."""
    sock.sendall(head)
    return sock


def tcp_sockets():
    """For each IPv4 socket that has not ended: its port, its peer's port, its unread bytes (if it listens,
    its unaccepted clients), and its unacknowledged bytes.

    It uses sock_diag(7), because /proc/net/tcp is slow when other programs have left thousands of sockets in
    TIME_WAIT.
    """
    by_family, dump, done, header, message = 20, 0x301, 3, 16, 72
    living = 0xfff & ~(1 << 6 | 1 << 7)  # neither TIME_WAIT nor CLOSE
    request = struct.pack("=BBBxI", socket.AF_INET, socket.IPPROTO_TCP, 0, living) + bytes(48)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 4) as netlink:
        netlink.settimeout(DEADLINE)
        netlink.send(struct.pack("=IHHII", header + len(request), by_family, dump, 1, 0) + request)
        while data := netlink.recv(1 << 17):
            while data:
                length, kind = struct.unpack_from("=IH", data)
                if kind == done:
                    return
                assert kind == by_family and length >= header + message
                yield (*struct.unpack_from(">4xHH", data, header),
                       *struct.unpack_from("=56xII", data, header))
                data = data[length + -length % 4:]


def all_is_read(daemon, name="echo"):
    """Waits until the daemon has read everything that clients have sent over IPv4, and the clients too."""
    port = daemon.port(name)
    until(lambda: not any((peer == port and unacknowledged) or (own == port and unread)
                          for own, peer, unread, unacknowledged in tcp_sockets()),
          "the end of what is under way")


def assert_reset(sock, data=None):
    """The reset comes after the data or in the middle of it."""
    with pytest.raises(ConnectionError):
        if data:
            sock.sendall(data)
        sock.recv(1)


def closed(who, why, moved="0 B in, 0 B out"):
    return rf"^echo: {re.escape(who)} closed: {why}, {moved}, "


# Accepting headers


def test_headers(backend):
    """Each kind of header, with data in the same segment. The log has the client of the header."""
    with Daemon(config(accepting(), backend=backend)) as daemon:
        for n, (name, (head, ends)) in enumerate(HEADERS.items(), 1):
            with daemon.connect() as client:
                proxy = name_of(client)
                real = shown(ends[0]) if ends else proxy
                greeted(client, head + PAYLOAD)
                assert recv_exactly(client, len(PAYLOAD)) == PAYLOAD, name
                echo(client)
            daemon.wait_for(" closed: ", n)
            assert daemon.lines(" connected by way of ")[-1] == (
                f"echo: {real} connected by way of {proxy}"), name
            assert re.match(closed(real, "end of stream", "3005 B in, 3005 B out"),
                            daemon.lines(" closed: ")[-1]), name


@pytest.mark.parametrize("name", ["v1 TCP4", "v1 UNKNOWN", "v2 TCP6", "v2 LOCAL", "v2 TCP4, TLVs"])
def test_cut_in_two(backend, name):
    """A header is cut at every byte, on as many connections at once."""
    head = HEADERS[name][0]
    with Daemon(config(accepting(), backend=backend)) as daemon, contextlib.ExitStack() as stack:
        clients = [stack.enter_context(daemon.connect()) for _ in range(len(head) + 1)]
        for cut, client in enumerate(clients):
            client.sendall(head[:cut])
        all_is_read(daemon)
        for cut, client in enumerate(clients):
            client.sendall(head[cut:] + PAYLOAD)
            client.shutdown(socket.SHUT_WR)
        for cut, client in enumerate(clients):
            assert recv_until_eof(client) == PAYLOAD, f"cut at {cut}"


def test_byte_by_byte(backend):
    """The last eight bytes come one by one, the very last one with data behind it."""
    n = 8
    with Daemon(config(accepting(), backend=backend)) as daemon, contextlib.ExitStack() as stack:
        clients = [(stack.enter_context(daemon.connect()), head) for head, _ in HEADERS.values()]
        for client, head in clients:
            client.sendall(head[:-n])
        for i in range(-n, 0):
            all_is_read(daemon)
            for client, head in clients:
                client.sendall(head[i:][:1] + PAYLOAD * (i == -1))
        for client, _ in clients:
            assert recv_exactly(client, len(PAYLOAD)) == PAYLOAD
            echo(client)


def test_nothing_but_the_header(backend):
    """The session begins without data. Either data follows later, or the end."""
    with Daemon(config(accepting(), backend=backend)) as daemon:
        with daemon.connect() as client, daemon.connect() as quiet:
            greeted(client)
            greeted(quiet).shutdown(socket.SHUT_WR)
            daemon.wait_for(" connected by way of ", 2)
            assert recv_until_eof(quiet) == b""
            daemon.wait_for(closed(REAL, "end of stream"))
            echo(client, PAYLOAD)


def test_two_headers(backend):
    """There is one header. The second one is data."""
    with Daemon(config(accepting(), backend=backend)) as daemon, daemon.connect() as client:
        echo(greeted(client), GOOD_HEADER)


@pytest.mark.parametrize("off", [{}, {"proxy_protocol": "off"}])
def test_never_guessed(backend, off):
    with Daemon(config(service(**off), backend=backend)) as daemon:
        for head, _ in HEADERS.values():
            with daemon.connect() as client:
                echo(client, head)
        daemon.wait_for(" closed: ", len(HEADERS))
        assert not daemon.lines("by way of")


def test_bad_headers(backend):
    """The connection is refused at the first wrong byte, without waiting for more."""
    with Daemon(config(accepting(), backend=backend)) as daemon, Steady(greeted(daemon.connect())):
        for name, (head, why) in BAD.items():
            with daemon.connect() as client:
                assert_reset(client, head)
                daemon.wait_for(closed(name_of(client), why))
        assert len(daemon.lines(" connected")) == 1  # of the well-behaved client


def test_end_before_the_header(backend):
    with Daemon(config(accepting(), backend=backend)) as daemon:
        for head in b"", b"\r", b"PROXY ", HEADERS["v1 TCP4"][0][:-1], GOOD_HEADER[:-1]:
            with daemon.connect() as client:
                client.sendall(head)
                client.shutdown(socket.SHUT_WR)
                daemon.wait_for(closed(name_of(client), END))
                assert_reset(client)


@pytest.mark.parametrize("head", [b"", GOOD_HEADER[:1], GOOD_HEADER[:-1]], ids=len)
def test_reset_or_urgent_data_amid_the_header(backend, head):
    with Daemon(config(accepting(), backend=backend)) as daemon:
        with Steady(greeted(daemon.connect())), daemon.connect() as urgent:
            gone = greeted(daemon.connect(), head)
            who = name_of(gone)
            greeted(urgent, head)
            all_is_read(daemon)
            reset(gone)
            urgent.send(b"!", socket.MSG_OOB)
            daemon.wait_for(closed(who, "reset by peer"))
            daemon.wait_for(closed(name_of(urgent), "exception condition"))


def test_slow_headers():
    """A connection has a limited time for its header, silent or not. Slow ones cost little and delay no
    other.

    A client whose header arrived in time is not refused because the daemon was late.
    """
    stalled, each_bytes, quiet = 400, 16 << 10, 1
    text = config(accepting())
    with Daemon(text) as daemon, Daemon(text) as held_up, contextlib.ExitStack() as stack:
        def client(data, of=daemon):
            return greeted(stack.enter_context(of.connect()), data)

        punctual = client(GOOD_HEADER[:-1], held_up)
        all_is_read(held_up)
        held_up.halt()
        punctual.sendall(GOOD_HEADER[-1:] + PAYLOAD)

        before = daemon.memory_bytes()
        all_of_them = [client(HEADERS["v2 longest"][0][:-1]) for _ in range(stalled)]
        all_of_them += [client(b""), client(b"PROXY "), client(GOOD_HEADER[:13])]
        dribbler, sent = client(b""), 0
        all_is_read(daemon)
        assert daemon.memory_bytes() - before < stalled * each_bytes
        before = daemon.cpu_seconds()
        assert not select.select(all_of_them, [], [], quiet)[0]
        assert daemon.cpu_seconds() - before < quiet / 2

        with Steady(greeted(daemon.connect())), contextlib.suppress(ConnectionError):
            # A byte a second. No byte restarts the time.
            while not select.select([dribbler], [], [], 1)[0] and sent < 2 * TIMEOUT:
                dribbler.sendall(GOOD_HEADER[sent:sent + 1])
                sent += 1
        assert 1 <= sent < 2 * TIMEOUT
        for sock in all_of_them:
            assert_reset(sock)
        n = len(all_of_them) + 1
        late = rf" closed: {LATE}, 0 B in, 0 B out, (\S+) s$"
        daemon.wait_for(late, n)
        assert min(float(daemon.wait_for(late, i + 1)[1]) for i in range(n)) >= TIMEOUT - 0.001

        held_up.signal(SIGCONT)
        assert recv_exactly(punctual, len(PAYLOAD)) == PAYLOAD


# Whose headers are accepted


def is_let_in(address):
    """Whether a client with a header from there is served. If not, its connection may already fail."""
    try:
        with connect(address) as sock:
            return is_served(greeted(sock))
    except ConnectionError:
        return False


@pytest.mark.parametrize("proxy_from, allowed", [
    ("127.0.0.0/8", [0, 3]), (["10.0.0.0/8", "192.0.2.1", "127.0.0.1"], [0, 3]), ("::1", [1]),
    (["::/0", "10.0.0.0/8"], [1]), ("unix:", [2]), (["unix:", "::1", "0.0.0.0/0"], [0, 1, 2, 3]),
    ("192.0.2.0/24", []),
])
def test_proxy_from(proxy_from, allowed, tmp_path):
    """All others are reset, with or without a header. An IPv4 client of an IPv6 socket counts as IPv4."""
    path = f"unix:{tmp_path}/echo.sock"
    listen = ["127.0.0.1:0", "[::1]:0", path, f"*:{free_port()}"]
    with Daemon(config(accepting(listen=listen, proxy_from=proxy_from))) as daemon:
        assert [i for i, where in enumerate(daemon.addresses()) if is_let_in(where)] == allowed
        daemon.wait_for(r"^echo: \S+ closed: ", len(listen))
        refused = daemon.lines(r"^echo: \S+ closed: not in proxy_from, 0 B in, 0 B out, ")
        assert len(refused) == len(listen) - len(allowed)
        assert len(daemon.lines(" connected")) == len(allowed)


def test_unix_socket(backend, tmp_path):
    """The log has the client of the header, and the process that connected."""
    path = f"unix:{tmp_path}/echo.sock"
    with Daemon(config(accepting(listen=path, proxy_from="unix:"), backend=backend)) as daemon:
        with connect(path) as client:
            echo(greeted(client))
            daemon.wait_for(rf"^echo: {re.escape(REAL)} connected by way of unix:pid=\d+,uid=\d+$")


# Reloads, stops and limits


def test_reload(backend):
    """The new value applies to new connections. A client that has to send a header still has to, and others
    still do not.
    """
    listen = f"127.0.0.1:{free_port()}"
    off = config(service(listen=listen), backend=backend)
    on = config(accepting(listen=listen), backend=backend)
    with Daemon(off) as daemon, daemon.connect() as before:
        echo(before)
        daemon.reload(on)
        with daemon.connect() as waits, daemon.connect() as greets:
            echo(greeted(greets))
            waits.sendall(GOOD_HEADER[:-1])
            all_is_read(daemon)
            daemon.reload(off)
            waits.sendall(GOOD_HEADER[-1:])
            for client in waits, greets, before:
                echo(client, GOOD_HEADER)
            with daemon.connect() as after:
                echo(after, GOOD_HEADER)
        daemon.wait_for(" connected by way of ", 2)


def test_drain(backend):
    """A stop waits for a client whose header is incomplete as for any other client."""
    with Daemon(config(accepting(), backend=backend)) as daemon, daemon.connect() as client:
        client.sendall(GOOD_HEADER[:-1])
        all_is_read(daemon)
        daemon.signal(SIGTERM)
        assert daemon.wait_for(DRAINING)[1] == "1"
        client.sendall(GOOD_HEADER[-1:])
        echo(client)
        client.close()
        assert daemon.wait() == 0


def test_stop_amid_the_header(backend):
    with Daemon(config(accepting(), drain_timeout=0.3, backend=backend)) as daemon:
        with daemon.connect() as client:
            client.sendall(GOOD_HEADER[:-1])
            all_is_read(daemon)
            assert daemon.stop() == 0
            assert daemon.lines(closed(name_of(client), "stopping"))
            assert recv_until_eof(client) == b""


def test_descriptors_come_back(backend):
    with Daemon(config(accepting(), accepting("nobody", "192.0.2.1"), backend=backend)) as daemon:
        before = daemon.descriptors()
        for _ in range(20):
            for name, head in ("echo", b"x"), ("echo", GOOD_HEADER[:-1]), ("nobody", GOOD_HEADER):
                with contextlib.suppress(ConnectionError), daemon.connect(name) as client:
                    greeted(client, head)
            with daemon.connect() as client:
                echo(greeted(client))
        daemon.wait_for(" closed: ", 80)
        until(lambda: daemon.descriptors() == before, "the return of all descriptors")


def test_max_connections_counts_who_waits(backend):
    with Daemon(config(accepting(), max_connections=2, backend=backend)) as daemon:
        with daemon.connect() as first, daemon.connect() as second:
            first.sendall(GOOD_HEADER[:-1])
            all_is_read(daemon)
            assert not is_served(daemon.connect())
            reset(first)
            daemon.wait_for(" closed: reset by peer, ")
            # A worker logs the end of a connection a moment before the main thread learns of it.
            until(lambda: is_let_in(daemon.addresses()[0]))
            echo(greeted(second))


# Other modes


def test_hub(backend):
    """A client is not a member before its header is complete."""
    with Daemon(config(accepting("hub", mode="hub"), backend=backend)) as daemon:
        with daemon.connect("hub") as one, daemon.connect("hub") as two, daemon.connect("hub") as late:
            greeted(one)
            greeted(two)
            daemon.wait_for(" connected by way of ", 2)
            late.sendall(GOOD_HEADER[:-1])
            all_is_read(daemon, "hub")
            one.sendall(b"first")
            assert recv_exactly(two, 5) == b"first"
            late.sendall(GOOD_HEADER[-1:])
            daemon.wait_for(" connected by way of ", 3)
            one.sendall(b"second")
            assert recv_exactly(two, 6) == recv_exactly(late, 6) == b"second"


def test_no_upstream_without_a_header(backend):
    with listening() as (listener, address):
        with Daemon(config(accepting("relay", mode="relay", upstream=address),
                           backend=backend)) as daemon:
            with daemon.connect("relay") as bad, daemon.connect("relay") as client:
                assert_reset(bad, b"no header")
                greeted(client, GOOD_HEADER + b"hello")
                server, _ = listener.accept()
                with server:
                    assert recv_exactly(server, 5) == b"hello"
                    assert not select.select([listener], [], [], 0)[0]


# A header in, a header out


@BOTH_VERSIONS
def test_pass_on(backend, version):
    """The upstream gets the header's client, or the proxy itself if the header has no client."""
    with listening() as (listener, address):
        with Daemon(config(accepting("relay", mode="relay", upstream=address, send_proxy=version),
                           backend=backend)) as daemon:
            for head, ends in HEADERS.values():
                with daemon.connect("relay") as client:
                    greeted(client, head + PAYLOAD)
                    with accept_header(listener, header(version, ends or ends_of(client))) as server:
                        assert recv_exactly(server, len(PAYLOAD)) == PAYLOAD
