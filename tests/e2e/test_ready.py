# SPDX-License-Identifier: MIT
"""The line that says the daemon is ready tells where each service listens, at log_level = "notice" too."""
import re
import socket

from harness import Daemon, config, connect, echo, service


def told(daemon):
    """Service and address of each socket in the line, in order, and how many are not named."""
    where, _, more = daemon.lines("^ready: ")[0].partition("; ")[2].partition(", and ")
    return [tuple(part.split(" on ")) for part in where.split(", ")], int(more.split()[0]) if more else 0


def test_ports_at_notice(backend, tmp_path):
    """Chosen by the system, they stand nowhere else."""
    unix = f"unix:{tmp_path}/echo.sock"
    text = config(service(listen=["127.0.0.1:0", unix]), service("b", "[::1]:0"),
                  service("c", "*:0"), backend=backend, log_level="notice")
    with Daemon(text) as daemon:
        assert len(daemon.log) == 1
        addresses, more = told(daemon)
        assert [name for name, _ in addresses] == ["echo", "echo", "b", "c"] and not more
        for _, address in addresses:
            with connect(address) as client:
                echo(client)


def test_passed_socket(tmp_path):
    """With the address that it really has."""
    with socket.create_server(("127.0.0.1", 0)) as passed:
        wrapper = ["bash", "-c", f'exec 3<&{passed.fileno()}; LISTEN_PID=$$ LISTEN_FDS=1 exec "$@"',
                   "bash"]
        with Daemon(config(), wrapper=wrapper, pass_fds=[passed.fileno()]) as daemon:
            assert told(daemon) == ([("echo", "127.0.0.1:%d" % passed.getsockname()[1])], 0)


def test_many_services():
    """As many as fit, and how many more there are."""
    names = [f"service-{i}" for i in range(300)]
    with Daemon(config(*map(service, names))) as daemon:
        addresses, more = told(daemon)
        assert [name for name, _ in addresses] == names[:len(addresses)]
        assert len(addresses) + more == len(names) and len(addresses) > 20
        line = daemon.lines("^ready: ")[0]
        assert 1000 < len(line) < 1100 and re.search(r", and \d+ more$", line)
