# SPDX-License-Identifier: MIT
"""A look-up finds no address of a name that this host could use.

The host has a global IPv4 address and no IPv6 address but ::1, and /etc/hosts has the usual line for
IPv6. An answer without an address is a failure, not a connected descriptor 0.
"""
import os
import subprocess

import pytest

from harness import Daemon, cannot_run, config, echo, relay, service

CLIENTS = 5
PREPARE = """
ip link set lo up
ip addr add 192.0.2.1/24 dev lo
ip route add default dev lo src 192.0.2.1
mount --bind "$0" /etc
exec "$@"
"""


@pytest.fixture
def ipv4_host(tmp_path):
    """A wrapper that runs a daemon on such a host. Clients use unix sockets."""
    own = ["unshare", "-nm"]
    if os.geteuid() != 0 or subprocess.run([*own, "true"], stderr=subprocess.DEVNULL).returncode != 0:
        cannot_run("a network of its own takes root and unshare")
    (tmp_path / "nsswitch.conf").write_text("hosts: files\n")
    (tmp_path / "hosts").write_text("127.0.0.1 localhost\n::1 localhost ip6-localhost\n")
    return [*own, "sh", "-ec", PREPARE, str(tmp_path)]


def test_no_socket_of_another_client_is_closed(backend, ipv4_host, tmp_path):
    services = [service(listen=f"unix:{tmp_path}/echo"),
                relay("ip6-localhost:9", listen=f"unix:{tmp_path}/relay")]
    with Daemon(config(*services, backend=backend), wrapper=ipv4_host) as daemon:
        before = daemon.descriptors()
        with daemon.connect() as other:
            echo(other)
            for _ in range(CLIENTS):
                with daemon.connect("relay") as client:
                    assert client.recv(1) == b""
            daemon.wait_for(r"^relay: \S+ closed: upstream ip6-localhost:9: .*, 0 B in, 0 B out", CLIENTS)
            echo(other)
        assert set(before) <= set(daemon.descriptors())
