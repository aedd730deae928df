# SPDX-License-Identifier: MIT
"""Runs selectc, either to its end or as a process that the test talks to."""
import contextlib
import subprocess
import threading

from .processes import SANITIZER, SELECTC, die_with_parent, environment
from .waiting import DEADLINE


def selectc(*args, stdin=b"", timeout=DEADLINE, wrapper=(), env=None):
    """Runs selectc to its end. Returns its status, standard output and standard error.

    stdin: bytes, or an open file
    wrapper: a command that executes selectc, put before it
    """
    source = {"input": stdin} if isinstance(stdin, bytes) else {"stdin": stdin}
    done = subprocess.run([*wrapper, SELECTC, *map(str, args)], capture_output=True, timeout=timeout,
                          env=environment(env), preexec_fn=die_with_parent, **source)
    err = done.stderr.decode()
    assert not SANITIZER.search(err), err
    return done.returncode, done.stdout.decode(errors="backslashreplace"), err


@contextlib.contextmanager
def running_selectc(*args, **options):
    """A selectc to talk to. It is killed after DEADLINE, so that a wait for its output ends.

    options: of subprocess.Popen; by default its standard streams are pipes
    """
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    with subprocess.Popen([SELECTC, *map(str, args)], bufsize=0, preexec_fn=die_with_parent,
                          **{"env": environment(), **pipes, **options}) as process:
        patience = threading.Timer(DEADLINE, process.kill)
        patience.start()
        try:
            yield process
        finally:
            patience.cancel()
            process.kill()
