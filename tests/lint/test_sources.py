# SPDX-License-Identifier: MIT
"""Rules for every file of the sources and the tests."""
import ast
import pathlib
import re

import pytest

ROOT = pathlib.Path(__file__).parents[2]
# Each layer may include itself and these.
BELOW = {
    "base": set(),
    "config": {"base"},
    "net": {"base", "config"},
    "session": {"base", "config", "net"},
    "control": {"base", "config", "net", "session"},
    "daemon": {"base", "config", "net", "session", "control"},
    "client": {"base", "config", "net"},
}
SOURCES = sorted((ROOT / "src").glob("*/*.[ch]"))
LAYER_OF = {path.name: path.parent.name for path in SOURCES}


def includes(path):
    return re.findall(r'^#include "([^"]+)"', path.read_text(), re.M)


@pytest.mark.parametrize("layer", BELOW)
def test_no_include_goes_up(layer):
    wrong = [f"{path.name} includes {name}" for path in SOURCES if path.parent.name == layer
             for name in includes(path) if LAYER_OF.get(name) not in BELOW[layer] | {layer}]
    assert not wrong


def test_every_folder_is_a_layer():
    assert {path.parent.name for path in SOURCES} == set(BELOW)


def imported_names(path):
    """Every part of every imported name: for "from a.b import c", these are a, b and c."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            for alias in node.names:
                yield from [*(getattr(node, "module", None) or "").split("."), *alias.name.split(".")]


def test_no_test_is_imported():
    """Helpers that several tests share belong in tests/harness."""
    files = sorted((ROOT / "tests").rglob("*.py"))
    assert files
    wrong = [f"{path.relative_to(ROOT)} imports {name}" for path in files for name in imported_names(path)
             if name.startswith("test_")]
    assert not wrong


def test_every_file_says_its_licence():
    files = [path for directory in ("src", "tests") for path in (ROOT / directory).rglob("*")
             if path.suffix in (".c", ".h", ".py") or path.name == "CMakeLists.txt"]
    assert files
    assert not [path for path in files if "SPDX-License-Identifier: MIT" not in path.read_text()[:200]]
