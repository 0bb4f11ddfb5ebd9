"""Who may import whom (DESIGN section 1)."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
# each room may import the rooms behind it; rooms of one line not each other
ORDER = [
    {"cli"},
    {"batch", "training"},
    {"evaluation"},
    {"datagen"},
    {"datasets"},
    {"generate"},
    {"critic"},
    {"rewards"},
    {"pipelines"},
    {"synthetic"},
    {"metrics"},
    {"typeset"},
    {"layout"},
    {"prompts"},
    {"llm"},
    {"schema"},
    {"image_io"},
    {"tasks"},
    {"sizing", "mini"},
]
RANK = {room: rank for rank, rooms in enumerate(ORDER) for room in rooms}
FILES = sorted((ROOT / "posterkit").rglob("*.py"))


def imported_rooms(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return {name.split(".")[1] for name in names if name.startswith("posterkit.")}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_room_imports_only_what_stands_behind_it(path):
    room = path.relative_to(ROOT / "posterkit").parts[0].removesuffix(".py")
    if room in ("__init__", "__main__"):
        return
    assert room in RANK, f"{room} is a room that DESIGN does not know"
    for other in imported_rooms(path) & RANK.keys():
        allowed = other == room or RANK[other] > RANK[room]
        assert allowed, f"{path.relative_to(ROOT)} imports posterkit.{other}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_package_imports_no_top_level_folder(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            assert node.module.split(".")[0] not in {"train", "data_tools", "examples", "benchmarks", "tests"}


def test_relative_imports_are_not_used_since_the_rule_could_not_see_them():
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            assert not (isinstance(node, ast.ImportFrom) and node.level), path


def test_only_presets_asks_what_the_hardware_is():
    """`torch.cuda.is_available` elsewhere would scatter the decision."""
    askers = {
        str(path.relative_to(ROOT / "posterkit"))
        for path in FILES
        if "is_available()" in path.read_text(encoding="utf-8") and "cuda" in path.read_text(encoding="utf-8")
    }
    assert askers == {"pipelines/presets.py"}
