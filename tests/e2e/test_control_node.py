# SPDX-License-Identifier: MIT
"""The control interface, driven by toxiproxy's Node client from the npm registry."""
import fcntl
import os
import pathlib
import shutil
import subprocess

import pytest
from harness import DEADLINE, Upstream, answer, cannot_run
from harness.control import Control, controlled

SOURCE = pathlib.Path(__file__).parents[1] / "node"
INSTALLED = pathlib.Path(os.environ["BUILD_DIR"], "tests-node")


@pytest.fixture(scope="module")
def client():
    """The script, beside the client of the lock file, which is installed once for each build tree."""
    for program in ("node", "npm"):
        if not shutil.which(program):
            cannot_run(f"{program} is not installed")
    INSTALLED.mkdir(exist_ok=True)
    with open(INSTALLED / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for path in SOURCE.iterdir():
            shutil.copy(path, INSTALLED)
        if not (INSTALLED / "node_modules").exists():
            done = subprocess.run(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"], cwd=INSTALLED,
                                  stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=200)
            if done.returncode != 0:
                cannot_run(f"npm cannot install the client: {done.stderr}")
    return INSTALLED / "client.js"


def test_the_node_client(backend, client):
    with Upstream(answer) as upstream, controlled(backend) as daemon:
        url = "http://" + Control(daemon).address
        done = subprocess.run(["node", client, url, upstream.address], stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, timeout=3 * DEADLINE)
        assert (done.returncode, done.stdout) == (0, "all passed\n"), done.stderr
