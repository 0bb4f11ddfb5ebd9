"""Who may import whom (the contracts stand in pyproject.toml)."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def test_rooms_and_files_import_in_one_direction_and_the_package_no_top_level_folder():
    # in a process of its own: import-linter turns the loggers of its process off
    command = [Path(sys.executable).with_name("lint-imports"), "--no-cache"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_only_presets_asks_what_the_hardware_is():
    """`torch.cuda.is_available` elsewhere would scatter the decision."""
    texts = {path: path.read_text(encoding="utf-8") for path in (ROOT / "posterkit").rglob("*.py")}
    askers = [path for path, text in texts.items() if "is_available()" in text and "cuda" in text]
    assert [str(path.relative_to(ROOT / "posterkit")) for path in askers] == ["pipelines/presets.py"]


def test_every_folder_of_tests_is_named_as_the_room_or_the_folder_that_it_tests():
    # recipes need the fixtures of training; hostile throws bad files at every room
    others = {"support", "hostile", "training/recipes"}
    folders = {str(path.parent.relative_to(ROOT / "tests")) for path in (ROOT / "tests").rglob("test_*.py")}
    assert not {
        folder for folder in folders - others
        if not (ROOT / "posterkit" / folder).is_dir() and not (ROOT / folder).is_dir()
    }  # fmt: skip
