"""Every tool that reads a folder of pictures: whatever is wrong with one of them costs that one only."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from pictures import mixed_folder

pytestmark = pytest.mark.slow


ROOT = Path(__file__).parents[2]
TOOLS = {
    "render_text.py": ("--size", "128x128"),
    "filter_posters.py": ("--no-text",),
    "build_omni.py": ("--painter", "none", "--judge", "rules-blind", "--tasks", "filling"),
}


@pytest.mark.parametrize("tool", TOOLS)
def test_bad_files_cost_their_own_row_and_a_line_that_says_why(tmp_path: Path, tool: str) -> None:
    good, bad = mixed_folder(tmp_path / "in")
    out = tmp_path / "set"
    call = [sys.executable, str(ROOT / "data_tools" / tool), str(tmp_path / "in"), "--out", str(out), "--workers", "1"]
    done = subprocess.run([*call, *TOOLS[tool]], capture_output=True, text=True)
    assert done.returncode == 1, done.stderr
    said = done.stderr.splitlines()
    assert all(line.startswith("posterkit: ") for line in said) and any(
        "moving.gif: has 2 frames" in line for line in said
    )
    rows = [json.loads(line) for line in (out / "samples.jsonl").read_text().splitlines()]
    dropped = [json.loads(line) for line in (out / "dropped.jsonl").read_text().splitlines()]
    faults = [row for row in dropped if row["fault"]]
    assert len(faults) == len(bad)
    for name, why in bad.items():
        assert sum(name in row["detail"] and why in row["detail"] for row in faults) == 1
    # a good picture becomes a sample, or is dropped for what it shows: as a near copy, or without a subject
    kept = {Path(row["source"]).name for row in rows}
    unfit = {name for name in good for row in dropped if not row["fault"] and row["id"].startswith(name)}
    assert kept and kept | unfit == good and not kept & unfit
    checked = subprocess.run(
        [sys.executable, str(ROOT / "data_tools/validate.py"), str(out), "--workers", "1"],
        capture_output=True,
        text=True,
    )
    assert checked.returncode == 0, checked.stdout
