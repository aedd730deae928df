# SPDX-License-Identifier: MIT
"""The installed tree is complete under any prefix: the paths in units and pages exist."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

import harness

BUILD = Path(os.environ["BUILD_DIR"])


def cached(name):
    """The value of a variable in the build's cache."""
    return re.search(rf"^{name}:\w+=(.*)$", (BUILD / "CMakeCache.txt").read_text(), re.M)[1]


def cmake_install(root, prefix=None):
    options = ["--prefix", prefix] if prefix else []
    subprocess.run(["cmake", "--install", BUILD, *options], env=os.environ | {"DESTDIR": str(root)},
                   check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)


@pytest.fixture(params=[None, "/usr", "/usr/local", "/opt/selectd-1.0", "/"],
                ids=lambda prefix: prefix or "configured")
def tree(request, tmp_path):
    """A temporary root in which everything is installed, and the prefix."""
    cmake_install(tmp_path, request.param)
    return tmp_path, Path(request.param or cached("CMAKE_INSTALL_PREFIX"))


def texts(root):
    """All installed files except the two programs, by path."""
    return {path: path.read_text() for path in root.rglob("*")
            if path.is_file() and path.name not in ("selectd", "selectc")}


def units(root, prefix):
    directory = root / prefix.relative_to("/") / "lib/systemd/system"
    return {path.name: path for path in directory.iterdir()}


def test_what_the_units_execute_is_installed(tree):
    root, prefix = tree
    found = units(root, prefix)
    assert set(found) == {"selectd.service", "selectd.socket", "selectd@.service", "selectd@.socket"}
    for name in "selectd.service", "selectd@.service":
        commands = re.findall(r"^Exec\w+=(\S*selectd)", found[name].read_text(), re.M)
        assert set(commands) == {str(prefix / "sbin/selectd")}
        assert os.access(root / commands[0].lstrip("/"), os.X_OK)


def test_systemd_finds_nothing_wrong_with_the_units(tree):
    root, prefix = tree
    if not shutil.which("systemd-analyze"):
        harness.cannot_run("systemd-analyze is not installed")
    found = units(root, prefix)
    if prefix.parts[1:2] == ("opt",):  # systemd does not search this directory, as if the units were linked
        linked = root / "etc/systemd/system"
        linked.mkdir(parents=True)
        found = {name: Path(shutil.copy(path, linked)) for name, path in found.items()}
    for path in found.values():
        name = str(path.relative_to(root)).replace("@", "@1")
        verify = subprocess.run(["systemd-analyze", "verify", "--man=no", "--recursive-errors=no",
                                 f"--root={root}", f"/{name}"], capture_output=True, text=True)
        about_it = [line for line in (verify.stdout + verify.stderr).splitlines() if "selectd" in line]
        assert not about_it


def test_no_text_names_another_prefix(tree):
    root, prefix = tree
    for path, text in texts(root).items():
        for other in re.findall(r"/\S*?(?=/(?:sbin/selectd|bin/selectc|lib/systemd/\w|share/doc/selectd))", text):
            assert other == str(prefix).rstrip("/"), f"{path} names {other}"


def test_files_of_the_page_is_what_was_installed(tree):
    """FILES lists all installed files, except programs, pages and files that exist only while the daemon
    runs.
    """
    root, prefix = tree
    page = next(path for path in texts(root) if path.name == "selectd.8")
    files = re.search(r"^\.SH FILES\n(.*?)^\.SH", page.read_text(), re.M | re.S)[1]
    named = {path for path in re.findall(r"^\.I (/\S+)", files, re.M) if not path.startswith("/run/")}
    pages = root / prefix.relative_to("/") / "share/man"
    assert named == {f"/{path.relative_to(root)}" for path in texts(root) if pages not in path.parents}


def test_the_program_reads_the_file_that_was_installed(tree):
    root, _ = tree
    said = subprocess.run([harness.SELECTD, "--help"], capture_output=True, text=True).stdout
    default = re.search(r"instead of (\S+)", said)[1]
    installed = root / default.lstrip("/")
    assert installed.read_text().startswith(f"# {default}: ")


def test_everyone_can_read_what_was_installed(tree):
    root, _ = tree
    for path in texts(root):
        assert path.stat().st_mode & 0o777 == 0o644, path


@pytest.mark.parametrize("name", ["my selectd", "100%", "a;b", "a$b", "a\\b"])
def test_a_prefix_that_units_cannot_name_is_refused(tmp_path, name):
    options = ["--prefix", f"/opt/{name}"]
    result = subprocess.run(["cmake", "--install", BUILD, *options], env=os.environ | {"DESTDIR": str(tmp_path)},
                            stdin=subprocess.DEVNULL, capture_output=True, text=True)
    assert result.returncode != 0
    assert "units" in result.stderr and f"/opt/{name}" in result.stderr
    assert not list(tmp_path.iterdir())


def test_an_edited_file_is_kept(tmp_path):
    cmake_install(tmp_path, "/usr")
    edited = tmp_path / "etc/selectd.conf"
    edited.write_text("# /usr/sbin/selectd, edited\n")
    cmake_install(tmp_path, "/opt/other")
    assert edited.read_text() == "# /usr/sbin/selectd, edited\n"
