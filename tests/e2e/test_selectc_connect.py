# SPDX-License-Identifier: MIT
"""selectc connects to the first address of a name that answers, in bounded time."""
import contextlib
import re
import socket
import sys
import time

import pytest

from harness import DEADLINE, Daemon, config, free_port, own_mounts, selectc, service


@contextlib.contextmanager
def mute(host, port):
    """An address that does not answer: Linux drops connection requests when the backlog is full."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket(family))
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(0)
        for _ in range(4):
            filling = stack.enter_context(socket.socket(family))
            filling.setblocking(False)
            filling.connect_ex(listener.getsockname())
        yield


def files(tmp_path, **contents):
    """A command that executes another command with these files in /etc."""
    mounts = ""
    for name, content in contents.items():
        (tmp_path / name).write_text(content)
        mounts += f"mount --bind {tmp_path}/{name} /etc/{name.replace('_', '.')} && "
    return [*own_mounts(), "sh", "-c", mounts + 'exec "$@"', "sh"]


def test_address_of_a_name_is_shown(tmp_path):
    with Daemon(config()) as daemon:
        port = daemon.port()
        status, out, _ = selectc("-c", 1, f"db.example:{port}",
                                 wrapper=files(tmp_path, hosts="127.0.0.1 db.example\n"))
    assert status == 0
    shown = rf"db\.example \(127\.0\.0\.1:{port}\)"
    assert re.match(rf"PING {shown} 64 bytes of data\.\n64 bytes from {shown}: seq=1 time=[\d.]+ ms\n"
                    rf"\n--- db\.example:{port} ping statistics ---\n", out)


@pytest.mark.parametrize("args", [["-c", 1], []])
def test_first_address_is_mute(tmp_path, args):
    """selectc uses the next address instead of waiting for minutes, and ping shows that address."""
    hosts, port = "::1 db.example\n127.0.0.1 db.example\n", free_port()
    with mute("::1", port), Daemon(config(service(listen=f"127.0.0.1:{port}"))):
        status, out, err = selectc(*args, f"db.example:{port}", stdin=b"x\n",
                                   wrapper=files(tmp_path, hosts=hosts))
    assert (status, err) == (0, "")
    assert out.startswith(f"PING db.example (127.0.0.1:{port}) " if args else "RECEIVE: x\n")


def test_timeout():
    port = free_port()
    with mute("127.0.0.1", port):
        began = time.monotonic()
        assert selectc("--timeout", "300ms", f"127.0.0.1:{port}") == (
            1, "", f"selectc: cannot connect to 127.0.0.1:{port}: Connection timed out\n")
        assert time.monotonic() - began >= 0.3


# Executes a command in a network of its own, with a name server that does not answer.
SILENT_NAME_SERVER = """
import fcntl, socket, struct, subprocess, sys
server = socket.socket(type=socket.SOCK_DGRAM)
fcntl.ioctl(server, 0x8914, struct.pack("16sh14x", b"lo", 1))  # SIOCSIFFLAGS, IFF_UP
server.bind(("127.0.0.1", 53))
sys.exit(subprocess.run(sys.argv[1:]).returncode)
"""


def test_timeout_of_a_look_up(tmp_path):
    """The look-up is part of connecting."""
    wrapper = files(tmp_path, hosts="", resolv_conf="nameserver 127.0.0.1\n",
                    nsswitch_conf="hosts: files dns\n")
    network = ["unshare", "-n", sys.executable, "-c", SILENT_NAME_SERVER]
    began = time.monotonic()
    assert selectc("-t", "300ms", "db.example:7", wrapper=[*wrapper, *network]) == (
        1, "", "selectc: cannot connect to db.example:7: looking the host up timed out\n")
    assert 0.3 <= time.monotonic() - began < DEADLINE


def test_no_such_host(tmp_path):
    wrapper = files(tmp_path, hosts="", nsswitch_conf="hosts: files\n")
    assert selectc("db.example:7", wrapper=wrapper) == (
        1, "", "selectc: cannot connect to db.example:7: no such host\n")
