# SPDX-License-Identifier: MIT
"""The PROXY protocol with HAProxy and nginx, in front of selectd and behind it.

In front, they send a header, and selectd's log must have the client of the header. Behind, they receive
selectd's header, and pass it on or answer with its client.
"""
import contextlib
import csv
import io
import re
import socket
import threading
from pathlib import Path

from harness import (Daemon, accepting, cannot_run, config, connect, echo, free_port, listening, local,
                     name_of, pattern, recv_exactly, recv_until_eof, relay, until)
from harness.programs import serving
from harness.proxy_headers import BOTH_VERSIONS, PAYLOAD, accept_header, ends_of, header

FAMILIES = "127.0.0.1", "[::1]"
CHECKS = 5  # the health checks of each kind that were seen


@contextlib.contextmanager
def haproxy(tmp_path, *sections):
    """HAProxy with these sections. Each has a name, the addresses to bind, and the servers."""
    text = f"""
        global
            stats socket {tmp_path}/stats
        defaults
            mode tcp
            timeout connect 20s
            timeout client 20s
            timeout server 20s
            timeout check 20s
            unique-id-format %ci:%cp
        """ + "\n".join(sections)
    (tmp_path / "conf").write_text(text + "\n")
    with serving(f"unix:{tmp_path}/stats", "haproxy", "-db", "-f", tmp_path / "conf"):
        yield


def listen(name, port, bind, server, *more):
    """A section that leads from a port of both families to a server."""
    binds = [f"bind {host.strip('[]')}:{port} {bind}" for host in FAMILIES]
    return "\n            ".join([f"listen {name}", *binds, *more, f"server s {server}"])


def status(tmp_path, name):
    """HAProxy's state of the server of a section: whether it is up, and by which check."""
    with connect(f"unix:{tmp_path}/stats") as sock:
        sock.sendall(b"show stat\n")
        table = recv_until_eof(sock).decode().removeprefix("# ")
    row, = (row for row in csv.DictReader(io.StringIO(table))
            if (row["pxname"], row["svname"]) == (name, "s"))
    return row["status"], row["check_status"]


def exchange(sock, data):
    """Sends everything and half-closes. Everything must come back, and then the end."""
    sender = threading.Thread(target=lambda: (sock.sendall(data), sock.shutdown(socket.SHUT_WR)))
    sender.start()
    assert recv_until_eof(sock) == data
    sender.join()


def test_haproxy_in_front(backend, tmp_path):
    """Both versions, bare and with all other information that HAProxy can send, for clients of both families.
    """
    kinds = ["send-proxy", "send-proxy-v2",
             "send-proxy-v2 proxy-v2-options unique-id,crc32c,ssl,cert-cn,authority"]
    ports = [free_port() for _ in kinds]
    with Daemon(config(accepting(), backend=backend)) as daemon:
        address = daemon.addresses()[0]
        with haproxy(tmp_path, *(listen(f"l{port}", port, "", f"{address} {kind}")
                                 for port, kind in zip(ports, kinds))):
            for port in ports:
                for host in FAMILIES:
                    with connect(f"{host}:{port}") as client:
                        who = re.escape(name_of(client))
                        exchange(client, pattern(2 << 20))
                    daemon.wait_for(rf"^echo: {who} connected by way of 127\.0\.0\.1:\d+$")
                    daemon.wait_for(rf"^echo: {who} closed: end of stream, 2097152 B in, 2097152 B out")


def test_haproxys_health_checks(backend, tmp_path):
    """Health checks come with a header of the proxy itself, some without any data after it."""
    ports = [free_port() for _ in range(3)]
    talk = ["option tcp-check", "tcp-check connect send-proxy", "tcp-check send ping",
            "tcp-check expect string ping"]
    with Daemon(config(accepting(), backend=backend)) as daemon:
        server = f"{daemon.addresses()[0]} check inter 200ms"
        with haproxy(tmp_path, listen("bare1", ports[0], "", f"{server} send-proxy"),
                     listen("bare2", ports[1], "", f"{server} send-proxy-v2"),
                     listen("talk", ports[2], "", f"{server} send-proxy-v2", *talk)):
            daemon.wait_for(r"^echo: (\S+) connected by way of \1$", 3 * CHECKS)
            daemon.wait_for(" closed: .*, 4 B in, 4 B out, ", CHECKS)
            for name, check in ("talk", "L7OK"), ("bare1", "L4OK"), ("bare2", "L4OK"):
                until(lambda: status(tmp_path, name) == ("UP", check), f"the health of {name}")
        assert not daemon.lines("malformed|too long|in time|not in")


@BOTH_VERSIONS
def test_haproxy_behind(backend, version, tmp_path):
    """HAProxy passes on the client of selectd's header."""
    port = free_port()
    with listening() as (listener, address), contextlib.ExitStack() as stack:
        stack.enter_context(haproxy(tmp_path, listen("l", port, "accept-proxy",
                                                     f"{address} send-proxy-v2")))
        daemon = stack.enter_context(Daemon(config(
            relay(local(port), listen=[f"{host}:0" for host in FAMILIES], send_proxy=version),
            backend=backend)))
        for where in daemon.addresses("relay"):
            with connect(where) as client:
                client.sendall(PAYLOAD)
                with accept_header(listener, header(2, ends_of(client))) as server:
                    assert recv_exactly(server, len(PAYLOAD)) == PAYLOAD
                    server.sendall(PAYLOAD)
                    assert recv_exactly(client, len(PAYLOAD)) == PAYLOAD


# nginx

STREAM = Path("/usr/lib/nginx/modules/ngx_stream_module.so")
NGINX = """
load_module {module};
daemon off;
master_process off;
pid {directory}/pid;
error_log stderr;
events {{ worker_connections 512; }}
stream {{
    server {{
        listen 127.0.0.1:{port} {listen};
        listen [::1]:{port} {listen};
        {action}
    }}
}}
"""


@contextlib.contextmanager
def nginx(tmp_path, listen, action):
    """nginx with one server on a port of both families. Yields the port."""
    if not STREAM.exists():
        cannot_run("nginx has no stream module")
    port = free_port()
    (tmp_path / "conf").write_text(NGINX.format(module=STREAM, directory=tmp_path, port=port,
                                                listen=listen, action=action))
    with serving(local(port), "nginx", "-c", tmp_path / "conf", "-e", "stderr"):
        yield port


def test_nginx_in_front(backend, tmp_path):
    with Daemon(config(accepting(), backend=backend)) as daemon:
        with nginx(tmp_path, "", f"proxy_pass {daemon.addresses()[0]}; proxy_protocol on;") as port:
            for host in FAMILIES:
                with connect(f"{host}:{port}") as client:
                    echo(client, pattern(100_000))
                    daemon.wait_for(rf"^echo: {re.escape(name_of(client))} connected by way of "
                                    r"127\.0\.0\.1:\d+$")


@BOTH_VERSIONS
def test_nginx_behind(backend, version, tmp_path):
    """nginx answers with the client of selectd's header."""
    fields = "addr", "port", "server_addr", "server_port"
    told = " ".join(f"$proxy_protocol_{field}" for field in fields)
    with nginx(tmp_path, "proxy_protocol", f'return "{told}";') as port:
        with Daemon(config(relay(local(port), listen=[f"{host}:0" for host in FAMILIES],
                                 send_proxy=version), backend=backend)) as daemon:
            for where in daemon.addresses("relay"):
                with connect(where) as client:
                    ends = [str(field) for end in ends_of(client) for field in end]
                    assert recv_until_eof(client).decode().split() == ends
