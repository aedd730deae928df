# SPDX-License-Identifier: MIT
"""The programs that tests start, and the environment of these programs."""
import ctypes
import os
import pathlib
import re
import resource
import subprocess
from signal import SIGKILL

import pytest

SELECTD = os.environ["SELECTD"]
SELECTC = os.environ["SELECTC"]
SANITIZE = os.environ.get("SANITIZE")
SANITIZER = re.compile(r"(Address|Leak|Thread|UndefinedBehavior)Sanitizer|runtime error:")
# A daemon would take these for its own if systemd started the tests.
FOREIGN = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "JOURNAL_STREAM",
           "LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES")
# AddressSanitizer keeps freed memory. In this environment it does not, so that a test measures the
# memory that is in use.
WITHOUT_QUARANTINE = {
    "ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "") + ":quarantine_size_mb=0"}

# Looked up here, because that is not safe after a fork with other threads.
_prctl = ctypes.CDLL(None, use_errno=True).prctl


def die_with_parent():
    """For preexec_fn: the process dies even if the test is killed."""
    _prctl(1, SIGKILL)  # PR_SET_PDEATHSIG


def cannot_run(why):
    """Skips a test and says why. Where every test must run (CI=true), fails it instead."""
    (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(why)


def environment(env=None):
    clean = {k: v for k, v in os.environ.items() if k not in FOREIGN}
    return {**clean, **(env or {})}


def own_mounts():
    """A command that runs another command with mounts of its own, which that command may change."""
    command = ["unshare", "-m" if os.geteuid() == 0 else "-rm"]
    if subprocess.run([*command, "true"], stderr=subprocess.DEVNULL).returncode != 0:
        cannot_run("no mount namespaces here")
    return command


def preloaded(directory, source):
    """An environment in which this C code replaces library functions of a program."""
    path = pathlib.Path(directory, "shim.so")
    subprocess.run(["cc", "-shared", "-fPIC", "-D_GNU_SOURCE", "-x", "c", "-o", path, "-"],
                   input=source.encode(), check=True)
    options = os.environ.get("ASAN_OPTIONS", "") + ":verify_asan_link_order=0"
    return {"LD_PRELOAD": str(path), "ASAN_OPTIONS": options}


def raise_descriptor_limit(n):
    """Raises the limit of this process to n descriptors."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert hard == resource.RLIM_INFINITY or hard >= n, f"needs {n} descriptors, may have {hard}"
    if soft < n:
        resource.setrlimit(resource.RLIMIT_NOFILE, (n, hard))
