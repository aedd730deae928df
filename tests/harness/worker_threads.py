# SPDX-License-Identifier: MIT
"""The worker threads of a daemon. A test can stop one of them alone, with ptrace(2)."""
import contextlib
import ctypes
import os
import pathlib

from .processes import cannot_run

ptrace = ctypes.CDLL(None, use_errno=True).ptrace
ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
ptrace.restype = ctypes.c_long
SEIZE, INTERRUPT, DETACH, WALL = 0x4206, 0x4207, 17, 0x40000000


def threads(daemon):
    """The thread ids of a daemon's workers."""
    return [int(task.name) for task in pathlib.Path(f"/proc/{daemon.pid}/task").iterdir()
            if (task / "comm").read_text() == "selectd-worker\n"]


@contextlib.contextmanager
def halted(thread):
    """Stops one thread of another process while the block runs.

    At the end of the block, the thread continues. If its process has ended, the thread is reaped: nobody can
    wait for the process while one of its threads is traced.
    """
    if ptrace(SEIZE, thread, None, None) < 0:
        cannot_run(f"ptrace: {os.strerror(ctypes.get_errno())}")
    assert ptrace(INTERRUPT, thread, None, None) == 0
    os.waitpid(thread, WALL)
    try:
        yield
    finally:
        if ptrace(DETACH, thread, None, None) < 0:
            os.waitpid(thread, WALL)
