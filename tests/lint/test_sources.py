# SPDX-License-Identifier: MIT
"""What holds for every source file."""
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
    "daemon": {"base", "config", "net", "session"},
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




def test_every_file_says_its_licence():
    files = [path for directory in ("src", "tests") for path in (ROOT / directory).rglob("*")
             if path.suffix in (".c", ".h", ".py") or path.name == "CMakeLists.txt"]
    assert files
    assert not [path for path in files if "SPDX-License-Identifier: MIT" not in path.read_text()[:200]]
