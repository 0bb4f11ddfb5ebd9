"""Every tool that reads a folder of pictures: whatever is wrong with one of them costs that one only."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from pictures import mixed_folder

ROOT = Path(__file__).parents[2]
TOOLS = {
    "render_text.py": ("--size", "128x128"),
}


@pytest.mark.parametrize("tool", TOOLS)
def test_bad_files_cost_their_own_row_and_a_line_that_says_why(tmp_path: Path, tool: str) -> None:
    good, bad = mixed_folder(tmp_path / "in")
    out = tmp_path / "set"
    call = [sys.executable, str(ROOT / "data_tools" / tool), str(tmp_path / "in"), "--out", str(out), "--workers", "1"]
    done = subprocess.run([*call, *TOOLS[tool]], capture_output=True, text=True)
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    rows = [json.loads(line) for line in (out / "samples.jsonl").read_text().splitlines()]
    assert {Path(row["source"]).name for row in rows} == good
    dropped = [json.loads(line) for line in (out / "dropped.jsonl").read_text().splitlines()]
    assert len(dropped) == len(bad)
    for name, said in bad.items():
        found = [row for row in dropped if name in row["detail"]]
        assert len(found) == 1 and said in found[0]["detail"] and found[0]["fault"]
    checked = subprocess.run(
        [sys.executable, str(ROOT / "data_tools/validate.py"), str(out), "--workers", "1"],
        capture_output=True,
        text=True,
    )
    assert checked.returncode == 0, checked.stdout
