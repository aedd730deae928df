# SPDX-License-Identifier: MIT
"""Servers and clients of other projects, as Debian packages them."""
import contextlib
import glob
import os
import shutil
import subprocess
import tempfile
from signal import SIGINT

from .clients import connect
from .processes import cannot_run, die_with_parent, environment
from .waiting import DEADLINE, until

# Debian's directories of servers, PostgreSQL's newest first. Some of them are not in PATH.
PATH = ":".join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin",
                 *sorted(glob.glob("/usr/lib/postgresql/*/bin"), reverse=True)])


def tool(name):
    """The path of a program."""
    return shutil.which(name, path=PATH) or cannot_run(f"{name} is not installed")


def start(name, *args, **options):
    """Starts a program that dies with the test, whatever its user."""
    return subprocess.Popen([tool(name), *map(str, args)], env=environment({"LC_ALL": "C"}),
                            preexec_fn=die_with_parent, **options)


def run(name, *args, data=b"", **options):
    """Runs a client, which must exit with status 0. Returns its output."""
    with start(name, *args, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
               **options) as process:
        try:
            out, err = process.communicate(data, timeout=2 * DEADLINE)
        finally:
            process.kill()
    assert process.returncode == 0, (name, process.returncode, out[-2000:], err[-2000:])
    return out


def answers(address):
    try:
        connect(address).close()
        return True
    except OSError:
        return False


@contextlib.contextmanager
def serving(address, name, *args, ready=None, **options):
    """Runs a server. Waits until its log has the text ready, or without that until it answers at address."""
    with tempfile.TemporaryFile() as log:
        def log_text():
            return os.pread(log.fileno(), 1 << 20, 0).decode(errors="backslashreplace")

        with start(name, *args, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                   **options) as process:
            try:
                until(lambda: process.poll() is not None
                      or (ready in log_text() if ready else answers(address)), name)
                assert process.poll() is None, log_text()
                yield address
            finally:
                process.send_signal(SIGINT)  # stops each of these servers cleanly
                try:
                    process.wait(DEADLINE)
                finally:
                    process.kill()
