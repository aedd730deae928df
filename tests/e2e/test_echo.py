# SPDX-License-Identifier: MIT
"""An echo returns all values, sizes and numbers of messages, on every kind of socket."""
import os
import re
import socket
import stat

import pytest

from harness import (Daemon, cannot_run, config, connect, echo, free_port, name_of, pattern,
                     recv_exactly, sending, service, workers)

SIZES = [1, 2, 255, 256, 1023, 1024, 1025, 4096, 65535, 65536, 65537, 1 << 20]


def exchange(sock, data):
    """Sends and receives at the same time, because no buffers hold a megabyte."""
    with sending(sock, data):
        return recv_exactly(sock, len(data))


def test_sizes(backend):
    with Daemon(config(backend=backend)) as daemon, daemon.connect() as client:
        for size in SIZES:
            assert exchange(client, pattern(size)) == pattern(size), size


def test_many_connections(backend):
    with Daemon(config(backend=backend)) as daemon:
        clients = [daemon.connect() for _ in range(300)]
        for i, client in enumerate(clients):
            client.sendall(b"%d " % i * 100)
        for i, client in enumerate(clients):
            expected = b"%d " % i * 100
            assert recv_exactly(client, len(expected)) == expected
            client.close()
        daemon.wait_for(r" closed: end of stream, ", 300)


def has_ipv6():
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
        return True
    except OSError:
        return False


@pytest.mark.parametrize("listen, clients", [
    ("127.0.0.1:0", ["127.0.0.1"]),
    ("[::1]:0", ["[::1]"]),
    ("*:0", ["127.0.0.1", "[::1]"]),
    ("[::]:0", ["[::1]"]),
    ("0.0.0.0:0", ["127.0.0.1"]),
])
def test_addresses(listen, clients):
    if "[::1]" in clients and not has_ipv6():
        cannot_run("no IPv6 here")
    with Daemon(config(service(listen=listen))) as daemon:
        port = daemon.port()
        assert port != 0
        assert daemon.addresses() == [listen.removesuffix("0") + str(port)]
        for host in clients:
            with connect(f"{host}:{port}") as client:
                echo(client)
                # An IPv4 client has its IPv4 address in the log, even on an IPv6 socket.
                daemon.wait_for(rf"^echo: {re.escape(name_of(client))} connected$")


def test_all_of_ipv6_is_not_ipv4():
    if not has_ipv6():
        cannot_run("no IPv6 here")
    port = free_port()
    with Daemon(config(service(listen=f"[::]:{port}"))):
        with connect(f"[::1]:{port}") as client:
            echo(client)
        with pytest.raises(ConnectionRefusedError):
            connect(f"127.0.0.1:{port}")


def test_list_and_unix(backend, tmp_path):
    path = tmp_path / "echo.sock"
    listen = ["127.0.0.1:0", f"unix:{path}", "127.0.0.1:0"]
    with Daemon(config(service(listen=listen), service("second"), backend=backend)) as daemon:
        assert len(daemon.addresses()) == 3
        assert daemon.addresses()[1] == f"unix:{path}"
        assert stat.S_ISSOCK(path.stat().st_mode)
        daemon.wait_for(rf"^ready: 2 services, {backend}, {workers()[1]}; ")
        for i in range(3):
            with daemon.connect(i=i) as client:
                assert exchange(client, pattern(200000)) == pattern(200000)
        with daemon.connect("second") as client:
            echo(client)
            daemon.wait_for(rf"^second: {name_of(client)} connected$")
        daemon.wait_for(rf"^echo: unix:pid={os.getpid()},uid={os.getuid()} connected$")
        assert daemon.stop() == 0
    assert not path.exists()


def test_unix_file_is_for_everyone(tmp_path):
    """The umask does not limit who may connect. The directory does."""
    path = tmp_path / "echo.sock"
    umask = ["sh", "-c", 'umask 077 && exec "$0" "$@"']
    with Daemon(config(service(listen=f"unix:{path}")), wrapper=umask):
        assert stat.S_IMODE(path.stat().st_mode) == 0o666


def test_unix_file_left_behind(tmp_path):
    """A socket file on which nobody listens, as after a kill, is replaced. One in use is not."""
    path = tmp_path / "echo.sock"
    text = config(service(listen=f"unix:{path}"))
    with Daemon(text, check=False) as daemon:
        daemon.process.kill()
        daemon.wait()
    assert path.exists()
    with Daemon(text) as daemon:
        with Daemon(text, wait=None) as second:
            assert second.wait() == 71
            assert second.lines(rf"unix:{path}")
        with daemon.connect() as client:
            echo(client)


def test_ready_names_the_backend():
    with Daemon(config()) as daemon:
        assert daemon.lines(r"^ready: 1 service, epoll, 1 worker; ")
