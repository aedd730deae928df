# SPDX-License-Identifier: MIT
"""mandoc and groff find no mistakes in the markup of the manual pages."""

import shutil
import subprocess
from pathlib import Path

import pytest

import harness

SOURCE = Path(__file__).parents[2]
PAGES = sorted((SOURCE / "src/man").glob("*.[1-8]"))


@pytest.fixture(params=PAGES, ids=lambda path: path.name)
def page(request):
    return request.param


def complaints(*command):
    if not shutil.which(command[0]):
        harness.cannot_run(f"{command[0]} is not installed")
    result = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                            text=True)
    return result.stdout


def test_there_are_pages():
    assert {path.name for path in PAGES} >= {"selectd.8", "selectd.conf.5", "selectc.1"}


def test_mandoc_finds_nothing(page):
    assert complaints("mandoc", "-Tlint", page) == ""


def test_groff_finds_nothing(page):
    """The command that man --warnings runs, without its pager and caches."""
    assert complaints("groff", "-man", "-ww", "-z", "-Tutf8", page) == ""
