# SPDX-License-Identifier: MIT
"""Root can read every file, and the user of the service cannot. --check names the files that this user
cannot read.
"""
import os
import re
import subprocess
from pathlib import Path
from signal import SIGHUP

import pytest

from harness import (DEADLINE, SELECTD, Daemon, config, config_in, echo, environment, own_mounts, run_selectd,
                     service)

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can read what others can't")


def expect_told(err, *paths):
    lines = err.splitlines()
    assert len(lines) == len(paths), err
    for line, path in zip(lines, paths):
        assert re.fullmatch(rf"{path}:1: the user of the service can't read this file: its owner is \w+, its mode "
                            rf"0[0-7]+; run chmod o\+r {path}, or set User= in the unit", line), line


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o400, 0o660])
def test_a_private_file(tmp_path, mode):
    """The file may be a draft: --check names it, but reports no mistake."""
    path = config_in(tmp_path, config())
    path.chmod(mode)
    status, out, err = run_selectd("--check", "-c", path)
    assert (status, out) == (0, "")
    expect_told(err, path)
    assert f"mode {mode:04o};" in err
    path.chmod(mode | 0o004)
    assert run_selectd("--check", "-c", path) == (0, "", "")


def test_an_owner_without_a_name(tmp_path):
    path = config_in(tmp_path, config())
    os.chown(path, 54321, 54321)
    path.chmod(0o640)
    assert "its owner is 54321, its mode 0640;" in run_selectd("--check", "-c", path)[2]


def test_private_includes(tmp_path):
    """Every private file is named, and no other."""
    path = config_in(tmp_path, '@include "a"\n@include "b"\n' + config())
    for name, mode in ("a", 0o600), ("b", 0o644):
        (tmp_path / name).write_text("")
        (tmp_path / name).chmod(mode)
    status, out, err = run_selectd("--check", "-c", path)
    assert (status, out) == (0, "")
    expect_told(err, tmp_path / "a")
    path.chmod(0o600)
    expect_told(run_selectd("--check", "-c", path)[2], path, tmp_path / "a")


def test_mistakes_come_first(tmp_path):
    path = config_in(tmp_path, config(service(backlog=0)))
    path.chmod(0o600)
    status, _, err = run_selectd("--check", "-c", path)
    assert status == 78 and "backlog: 0 is not legal" in err


def installed(tmp_path, mode):
    """A configuration with this mode in the default place. Yields its path, and the command that runs selectd
    there.
    """
    path = Path(re.search(r"instead of (\S+)", run_selectd("--help")[1])[1])
    config_in(tmp_path, config())
    script = f'mount -t tmpfs none {path.parent} && install -m {mode:o} {tmp_path}/selectd.conf {path} && exec "$@"'
    return path, [*own_mounts(), "sh", "-c", script, "sh"]


def checked(wrapper, *args, **env):
    done = subprocess.run([*wrapper, SELECTD, "--check", *args], env=environment(env), capture_output=True,
                          stdin=subprocess.DEVNULL, timeout=DEADLINE, check=False, text=True)
    return done.returncode, done.stderr


def test_the_default_file(tmp_path):
    """The default file is no draft: if root's check passes, the service can read it."""
    path, wrapper = installed(tmp_path, 0o600)
    for args in [], ["-c", path]:
        status, err = checked(wrapper, *args)
        assert status == 78
        expect_told(err, path)
    assert checked(installed(tmp_path, 0o644)[1]) == (0, "")


def test_the_check_of_a_reload(tmp_path):
    """systemd runs the check as the user of the service. If that is root, private files are fine."""
    assert checked(installed(tmp_path, 0o600)[1], MAINPID="1") == (0, "")


def test_roots_own_daemon(tmp_path):
    """When root runs selectd itself, a private file is fine and is not named."""
    path = config_in(tmp_path, config())
    path.chmod(0o600)
    with Daemon(f'@include "{path}"\n') as daemon, daemon.connect() as client:
        daemon.path.chmod(0o600)
        echo(client)
        daemon.signal(SIGHUP)
        daemon.wait_for("^reloaded ")
        assert not daemon.lines("can't read this file")
