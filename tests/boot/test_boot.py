# SPDX-License-Identifier: MIT
"""A real Debian, booted under systemd-nspawn, in which selectd is installed and used through systemctl.

mmdebstrap makes the root once, and it is kept in the build tree. Each boot uses it through an overlay
that is then discarded. The checks are in inside/checks.py. A unit runs them with pytest when the system
is up, leaves their report in a shared directory, and powers off.
"""

import os
import shutil
import subprocess
from pathlib import Path

import harness

HERE = Path(__file__).parent
BUILD = Path(os.environ["BUILD_DIR"])
PACKAGES = ("systemd,systemd-sysv,dbus,libevent-core-2.1-7,libevent-extra-2.1-7,libconfig9,"
            "libsystemd0,libjansson4,python3-pytest")

UNIT = """\
[Unit]
Description=Checks of selectd
After=multi-user.target
SuccessAction=poweroff-force
FailureAction=poweroff-force

[Service]
Type=oneshot
Environment=PYTHONDONTWRITEBYTECODE=1
ExecStart=/usr/bin/python3 -m pytest -v -p no:cacheprovider --junit-xml=/report/checks.xml /checks/checks.py
StandardOutput=file:/report/output
StandardError=inherit
TimeoutStartSec=240
"""


def run(*command, **options):
    return subprocess.run(command, check=True, stdin=subprocess.DEVNULL, **options)


def make_root():
    """The cached root of these packages. It is built elsewhere and then renamed, so that an incomplete root
    is never used.
    """
    root, made_of = BUILD / "boot-root", BUILD / "boot-root.packages"
    if not made_of.exists() or made_of.read_text() != PACKAGES:
        made_of.unlink(missing_ok=True)
        shutil.rmtree(root, ignore_errors=True)
        fresh = BUILD / "boot-root.new"
        shutil.rmtree(fresh, ignore_errors=True)
        run("mmdebstrap", "--quiet", "--variant=minbase", f"--include={PACKAGES}", "bookworm", fresh)
        fresh.rename(root)
        made_of.write_text(PACKAGES)
    return root


def install(root):
    (root / "etc/selectd.conf").unlink(missing_ok=True)
    run("cmake", "--install", BUILD, "--prefix", "/usr", env=os.environ | {"DESTDIR": str(root)},
        stdout=subprocess.DEVNULL)
    units = root / "etc/systemd/system"
    (units / "checks.service").write_text(UNIT)
    wants = units / "multi-user.target.wants"
    wants.mkdir(exist_ok=True)
    (wants / "checks.service").unlink(missing_ok=True)
    (wants / "checks.service").symlink_to("../checks.service")


def test_booted_debian(tmp_path):
    if os.geteuid() != 0:
        harness.cannot_run("booting needs root")
    mounts = Path("/proc/self/mountinfo").read_text().splitlines()
    if not any(line.split()[4] == "/" for line in mounts):
        harness.cannot_run("this is a chroot, and systemd-nspawn needs a root that is mounted")
    for tool in "mmdebstrap", "systemd-nspawn":
        if not shutil.which(tool):
            harness.cannot_run(f"{tool} is not installed")
    root = make_root()
    install(root)
    boot = run("systemd-nspawn", "--quiet", "--register=no", "--keep-unit", "--private-network",
               "--volatile=overlay", f"--bind={tmp_path}:/report",
               f"--bind-ro={HERE / 'inside'}:/checks",
               f"--bind-ro={HERE.parent / 'packages'}:/packages", "-D", root, "-b", "systemd.show_status=no",
               stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=300)
    output = tmp_path / "output"
    assert output.exists(), f"the checks did not run:\n{boot.stdout}"
    report = output.read_text()
    print(report)
    assert " passed" in report and "failed" not in report and "error" not in report.lower(), report
