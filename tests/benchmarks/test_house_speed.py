"""The arithmetic of benchmarks/house_speed.py, and the commands that it times."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import house_speed
import pytest

ROOT = Path(__file__).resolve().parents[2]


def test_a_ratio_is_the_mean_of_the_pairs_with_its_interval():
    assert house_speed.table_row("help", [(1.0, 2.0)] * 5) == "| help | 2.000 | 1.000 | 0.50 (0.50 to 0.50) |"
    row = house_speed.table_row("help", [(0.8, 1.0), (1.2, 1.0)])
    assert row == "| help | 1.000 | 1.000 | 1.00 (0.80 to 1.20) |"


def test_who_begins_changes_from_pair_to_pair():
    called = []

    def timed(name: str, seconds: float):
        return lambda: called.append(name) or seconds

    assert house_speed.take_turns(timed("ours", 1.0), timed("theirs", 2.0), 3) == [(1.0, 2.0)] * 3
    assert called == ["ours", "theirs", "theirs", "ours", "ours", "theirs"]


def test_the_command_of_a_checkout_is_the_one_that_its_project_file_names(tmp_path):
    (tmp_path / "pyproject.toml").write_text('[project.scripts]\nposterkit = "shop:main"\n')
    (tmp_path / "shop.py").write_text("def main():\n    sum(range(3_000_000))\n")
    assert house_speed.seconds_of(house_speed.command_of(tmp_path), tmp_path) > 0
    (tmp_path / "pyproject.toml").write_text("[project]\n")
    with pytest.raises(ValueError, match="names no posterkit command"):
        house_speed.command_of(tmp_path)


def test_a_process_that_fails_is_an_error_with_what_it_said():
    with pytest.raises(RuntimeError, match="no such poster"):
        house_speed.seconds_of([sys.executable, "-c", "raise SystemExit('no such poster')"], ROOT)


def test_rows_that_were_kept_are_not_timed_again_and_new_ones_are_kept(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(house_speed, "time_row", lambda row, before, pairs, steps: [(1.0, 2.0)] * pairs)
    call = ["--before", str(ROOT), "--pairs", "2", "--kept", str(tmp_path / "rows.json")]
    house_speed.main([*call, "--rows", "help"])
    monkeypatch.setattr(house_speed, "time_row", lambda row, before, pairs, steps: [(3.0, 2.0)] * pairs)
    house_speed.main([*call, "--rows", "help", "generate"])
    lines = [line.split(" | ")[2:] for line in capsys.readouterr().out.splitlines() if line.startswith("| help")]
    assert lines == [["1.000", "0.50 (0.50 to 0.50) |"]] * 2
    assert json.loads((tmp_path / "rows.json").read_text()) == {"help": [[1, 2]] * 2, "generate": [[3, 2]] * 2}
