"""Who may import whom (the contracts stand in pyproject.toml)."""

from __future__ import annotations

from pathlib import Path

from importlinter.cli import EXIT_STATUS_SUCCESS, lint_imports

ROOT = Path(__file__).resolve().parents[1]


def test_rooms_and_files_import_in_one_direction_and_the_package_no_top_level_folder(monkeypatch):
    monkeypatch.chdir(ROOT)
    assert lint_imports(no_cache=True) == EXIT_STATUS_SUCCESS


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
