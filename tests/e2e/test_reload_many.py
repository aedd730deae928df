# SPDX-License-Identifier: MIT
"""The cost of a reload to the thread that serves clients grows no faster than the number of services.

The test compares processor time, which other programs do not change.
"""
import os
import pathlib

import pytest

from harness import Daemon, cannot_run, config, service

FEW, MANY = 500, 2000
REPETITIONS = 4
NETWORK = f"127.{os.getpid() % 254 + 1}"  # fixed ports need a network of their own


def services(n, host=1):
    return [service(f"s{i}", listen=f"{NETWORK}.{host}.1:{10000 + i}") for i in range(n)]


def main_thread_seconds(daemon):
    file = pathlib.Path(f"/proc/{daemon.pid}/task/{daemon.pid}/schedstat")
    if not file.exists():
        cannot_run("the kernel does not tell the processor time of a thread")
    return int(file.read_text().split()[0]) / 1e9


def cost(n, hosts):
    """The lowest cost of a reload of n services. The hosts take turns."""
    with Daemon(config(*services(n), log_level="notice")) as daemon:
        costs = []
        for i in range(REPETITIONS):
            text = config(*services(n, hosts[i % len(hosts)]), log_level="notice")
            before = main_thread_seconds(daemon)
            daemon.reload(text)
            costs.append(main_thread_seconds(daemon) - before)
        return min(costs)


@pytest.mark.parametrize("hosts", [[1], [2, 1]], ids=["same", "moved"])
def test_cost_grows_with_their_number(hosts):
    few, many = cost(FEW, hosts), cost(MANY, hosts)
    assert many / few < 2 * MANY / FEW, f"{FEW} services {few:.4f} s, {MANY} {many:.4f} s"
