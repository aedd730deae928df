# SPDX-License-Identifier: MIT
"""The ready line has the addresses of each service, even at log_level = "notice"."""
import re
import socket

from harness import Daemon, config, connect, echo, service


def told(daemon):
    """The service and address of each socket in the line, in order, and how many are left out."""
    where, _, more = daemon.lines("^ready: ")[0].partition("; ")[2].partition(", and ")
    return [tuple(part.split(" on ")) for part in where.split(", ")], int(more.split()[0]) if more else 0


def test_ports_at_notice(backend, tmp_path):
    """Ports that the system chose are logged nowhere else."""
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
    """The line has the real address of a passed socket."""
    with socket.create_server(("127.0.0.1", 0)) as passed:
        wrapper = ["bash", "-c", f'exec 3<&{passed.fileno()}; LISTEN_PID=$$ LISTEN_FDS=1 exec "$@"',
                   "bash"]
        with Daemon(config(), wrapper=wrapper, pass_fds=[passed.fileno()]) as daemon:
            assert told(daemon) == ([("echo", "127.0.0.1:%d" % passed.getsockname()[1])], 0)


def test_many_services():
    """The line has as many addresses as fit, and the number of the others."""
    names = [f"service-{i}" for i in range(300)]
    with Daemon(config(*map(service, names))) as daemon:
        addresses, more = told(daemon)
        assert [name for name, _ in addresses] == names[:len(addresses)]
        assert len(addresses) + more == len(names) and len(addresses) > 20
        line = daemon.lines("^ready: ")[0]
        assert 1000 < len(line) < 1100 and re.search(r", and \d+ more$", line)
