# SPDX-License-Identifier: MIT
"""A long list of mistakes is written completely, however late it is read. A signal still ends selectd."""
import fcntl
import os
import re
import signal
import struct
import subprocess
import termios

import pytest

from harness import DEADLINE, SELECTD, config_in, die_with_parent, environment, until

N = 1000  # the most that are reported
LIST = "".join(f"bogus{i}{'x' * 300} = 1;\n" for i in range(N))  # more than the log's queue holds
PIPE_BYTES = 1 << 16  # the capacity of a pipe (pipe(7))


@pytest.fixture(params=[["--check"], []])
def listing(request, tmp_path):
    """A selectd whose list of mistakes is not read yet and fills its pipe."""
    path = config_in(tmp_path, LIST)
    with subprocess.Popen([SELECTD, *request.param, "-c", path], stderr=subprocess.PIPE,
                          env=environment(), preexec_fn=die_with_parent) as process:
        until(lambda: held_bytes(process.stderr) > PIPE_BYTES - 4096, "a full pipe")
        yield process
        process.kill()


def held_bytes(pipe):
    return struct.unpack("i", fcntl.ioctl(pipe, termios.FIONREAD, b"    "))[0]


def test_read_late(listing):
    _, text = listing.communicate(timeout=DEADLINE)
    lines = text.decode().splitlines()
    numbers = [int(re.search(r":(\d+): ", line)[1]) for line in lines if "bogus" in line]
    assert numbers == [*range(1, N + 1)]
    assert listing.returncode == 78


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_never_read(listing, number):
    """The signals end selectd, although a daemon blocks them until it serves."""
    listing.send_signal(number)
    assert listing.wait(DEADLINE) == -number


def test_does_not_change_the_description(listing):
    """The shell shares the open file: O_NONBLOCK on it would break other programs."""
    flags = open(f"/proc/{listing.pid}/fdinfo/2").read()
    assert not int(re.search(r"flags:\s+(\d+)", flags)[1], 8) & os.O_NONBLOCK
