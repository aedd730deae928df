# SPDX-License-Identifier: MIT
"""A reload of thousands of services: what it costs the thread that serves clients grows no faster
than their number. Processor time is compared, which other programs do not change."""
import os
import pathlib

import pytest

from harness import Daemon, cannot_run, config, service

FEW, MANY = 500, 2000
REPETITIONS = 4
NETWORK = f"127.{os.getpid() % 254 + 1}"  # of this run, so that its fixed ports meet no other run's


def services(n, host=1):
    return [service(f"s{i}", listen=f"{NETWORK}.{host}.1:{10000 + i}") for i in range(n)]


def main_thread_seconds(daemon):
    file = pathlib.Path(f"/proc/{daemon.pid}/task/{daemon.pid}/schedstat")
    if not file.exists():
        cannot_run("the kernel does not tell the processor time of a thread")
    return int(file.read_text().split()[0]) / 1e9


def cost(n, hosts):
    """The least that a reload of n services costs; the hosts take turns."""
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
