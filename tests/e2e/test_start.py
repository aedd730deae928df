# SPDX-License-Identifier: MIT
"""Unusual starts: with closed standard descriptors, and with a reload or a stop right away."""
import os
import pathlib
import re
import signal
import socket
import subprocess
import threading

import pytest

from harness import (DEADLINE, SELECTD, Daemon, config, config_in, die_with_parent, echo,
                     environment, free_port, pattern, preloaded, recv_exactly, service, until)


SELECTC = os.environ["SELECTC"]


def try_connect(port):
    try:
        return socket.create_connection(("127.0.0.1", port), DEADLINE)
    except ConnectionRefusedError:
        return None


@pytest.mark.parametrize("closed", ["0<&- 1>&- 2>&-", "1>&- 2>&-", "2>&-", "0<&-"])
def test_standard_descriptors_closed(closed, backend, tmp_path):
    """No log line gets into a client's bytes. 8 MB also pass through the loop's pipe."""
    port, data = free_port(), pattern(8 << 20)
    path = config_in(tmp_path, config(service(listen=f"127.0.0.1:{port}"), backend=backend))
    with subprocess.Popen(["sh", "-c", f'exec "$0" -c "$1" {closed}', SELECTD, path],
                          env=environment(), stderr=subprocess.DEVNULL,
                          preexec_fn=die_with_parent) as process:
        try:
            with until(lambda: try_connect(port), "the start") as client:
                sender = threading.Thread(target=client.sendall, args=(data,))
                sender.start()
                with socket.create_connection(("127.0.0.1", port), DEADLINE):
                    pass  # the reload is logged
                assert recv_exactly(client, len(data)) == data
                sender.join()
            process.send_signal(signal.SIGTERM)
            assert process.wait(DEADLINE) == 0
        finally:
            process.kill()


def test_selectc_without_standard_input():
    """selectc has no input, and does not read from its socket instead."""
    with Daemon(config()) as daemon:
        done = subprocess.run(["sh", "-c", '"$0" "$1" 0<&-', SELECTC, daemon.addresses()[0]],
                              capture_output=True, timeout=DEADLINE)
        assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def held_signals(pid):
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"^SigBlk:\s+(\S+)", status, re.M)[1], 16)


# main() blocks signals, and then opens /dev/null in place of closed standard descriptors.
STOP_ON_OPEN = """
#include <dlfcn.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

static int stop_on(const char *name, const char *path, int flags)
{
        static int stopped;
        int (*next)(const char *, int, ...) = (int (*)(const char *, int, ...))dlsym(RTLD_NEXT, name);

        if (strcmp(path, "/dev/null") == 0 && !stopped++)
                kill(getpid(), SIGTERM);
        return next(path, flags, 0600);
}

int open(const char *path, int flags, ...) { return stop_on("open", path, flags); }
int open64(const char *path, int flags, ...) { return stop_on("open64", path, flags); }
"""


def test_stop_before_anything_else(tmp_path, backend):
    """SIGTERM arrives in the first instructions: the daemon starts, reads the signal and stops in order."""
    env = preloaded(tmp_path, STOP_ON_OPEN)
    with Daemon(config(backend=backend), wait=None, env=env) as daemon:
        assert daemon.wait() == 0
        assert daemon.log[-1] == "stopped"


@pytest.mark.parametrize("number", [signal.SIGUSR1, signal.SIGUSR2, signal.SIGPIPE, signal.SIGTTOU,
                                    signal.SIGXFSZ])
def test_ignored_signal(number, backend):
    with Daemon(config(backend=backend)) as daemon, daemon.connect() as client:
        daemon.signal(number)
        echo(client)
        daemon.reload(config(backend=backend))
        echo(client)


def test_relative_path_at_the_root():
    """The error has the path without a double slash."""
    done = subprocess.run([SELECTD, "-t", "-c", "nosuch.conf"], cwd="/", capture_output=True,
                          timeout=DEADLINE, env=environment())
    assert done.returncode == 78
    assert done.stderr == b"/nosuch.conf:1: cannot read the file: No such file or directory\n"


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGTERM])
def test_signal_while_it_reads_its_file(number):
    """The signal waits until the daemon can handle it: signals are blocked before the long, wrong file is
    read.
    """
    text = "# comment\n" * 390_000 + "services = { };\n"
    with Daemon(text, wait=None) as daemon:
        while not held_signals(daemon.pid) & 1 << (number - 1):
            assert daemon.process.poll() is None, "ended before it held any"
        daemon.signal(number)
        assert daemon.wait() == 78


def test_nobody_hears_of_the_mistakes(tmp_path):
    """The exit status still reports the mistakes."""
    path = config_in(tmp_path, "junk")
    for args in (["-t", "-c", path], ["-c", path]):
        with subprocess.Popen([SELECTD, *args], stderr=subprocess.PIPE, env=environment(),
                              preexec_fn=die_with_parent) as process:
            process.stderr.close()
            assert process.wait(DEADLINE) == 78
