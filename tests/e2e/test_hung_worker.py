# SPDX-License-Identifier: MIT
"""A worker's thread that hangs does not keep the daemon from stopping."""
import signal
import time

import pytest

from harness import Daemon, config, echo, halted, recv_until_eof, threads

N = 3
PATIENCE = 5  # seconds beyond drain_timeout that the daemon asks the service manager for


@pytest.mark.parametrize("clients", [0, 2 * N])
def test_stop_with_a_hung_worker(clients):
    """The other workers end their connections in order. The exit status and the log report the hung one."""
    env = {"TSAN_OPTIONS": "report_thread_leaks=0"}  # the daemon exits although the thread hangs
    with Daemon(config(workers=N, drain_timeout=0.1), env=env) as daemon:
        socks = [daemon.connect() for _ in range(clients)]
        for sock in socks:
            echo(sock)
        with halted(threads(daemon)[0]):
            began = time.monotonic()
            daemon.signal(signal.SIGTERM)
            daemon.wait_for("^1 worker did not stop; exiting without it$")
            assert time.monotonic() - began < PATIENCE
            assert len(daemon.lines(" closed: stopping, ")) == clients * (N - 1) // N
        assert daemon.wait() == 71
        for sock in socks:  # the system has closed the connections of the hung worker
            assert recv_until_eof(sock) == b""
            sock.close()
