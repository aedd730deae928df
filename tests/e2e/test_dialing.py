# SPDX-License-Identifier: MIT
"""How an upstream is reached: each attempt is logged at debug, and a full backlog is waited for."""
import socket

import pytest

from harness import DEADLINE, Daemon, Upstream, answer, config, echo, expect_reset, free_port, relay


def test_every_try_is_seen_at_debug(backend):
    with Upstream(answer) as good:
        dead = [f"127.0.0.1:{free_port()}", "unix:/nonexistent/socket"]
        with Daemon(config(relay([*dead, good.address]), backend=backend, log_level="debug")) as daemon:
            with daemon.connect("relay") as client:
                echo(client)
            daemon.wait_for(" closed: ")
            said = [line.split(" ", 2)[2] for line in daemon.lines("upstream")]
            assert said == [f"cannot reach upstream {dead[0]}: Connection refused",
                            f"cannot reach upstream {dead[1]}: No such file or directory",
                            f"reached upstream {good.address}"]


def test_no_upstream_is_a_warning(backend):
    dead = [f"127.0.0.1:{free_port()}", f"127.0.0.1:{free_port()}"]
    with Daemon(config(relay(dead), backend=backend)) as daemon:
        expect_reset(daemon)
        daemon.wait_for(" closed: ")
        said = [line.split(" ", 2)[2] for line in daemon.lines("upstream")]
        assert said[0] == ("no upstream can be reached, the last one tried: "
                           f"{dead[1]}: Connection refused")
        assert said[1].startswith(f"closed: upstream {dead[1]}: Connection refused, ")


@pytest.mark.parametrize("in_time", [True, False])
def test_full_backlog_of_a_unix_socket(backend, tmp_path, in_time):
    """The daemon waits for room in the backlog for connect_timeout, as the kernel does for TCP."""
    path = str(tmp_path / "socket")
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as first:
        listener.bind(path)
        listener.listen(0)
        first.connect(path)
        timeout = "1h" if in_time else "300ms"
        with Daemon(config(relay(f"unix:{path}", connect_timeout=timeout), backend=backend)) as daemon:
            if not in_time:
                expect_reset(daemon)
                took = daemon.wait_for(r" closed: upstream .*: timed out, 0 B in, 0 B out, (.+) s$")
                assert float(took[1]) >= 0.299
                return
            with daemon.connect("relay") as client:
                daemon.wait_for(" connected$")
                client.sendall(b"hello")
                listener.settimeout(DEADLINE)
                listener.accept()[0].close()
                server, _ = listener.accept()
                with server:
                    assert server.recv(5) == b"hello"
