"""`posterkit bench posteromni | postercraft | study | identity` by the command line, on posters of another system."""

from __future__ import annotations

import json

import pytest
from PIL import Image

from posterkit.cli.main import main

SMALL = ["--size", "128x192"]


@pytest.mark.slow
def test_rows_go_out_for_another_system_and_its_posters_come_back_scored(tmp_path, capsys):
    assert main(["bench", "posteromni", "--rows", "6", *SMALL, "--export", str(tmp_path / "rows")]) == 0
    rows = [json.loads(line) for line in (tmp_path / "rows" / "rows.jsonl").read_text().splitlines()]
    assert len(rows) == 6 and {row["task"] for row in rows} <= {"extending", "filling", "rescaling", "id_driven",
                                                                "layout_driven", "style_driven"}  # fmt: skip
    for row in rows:
        files = [*row["images"], *([row["mask"]] if "mask" in row else [])]
        assert all((tmp_path / "rows" / name).is_file() for name in files)
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    for row in rows[:3]:
        size = row["width"], row["height"]
        Image.open(tmp_path / "rows" / row["images"][0]).convert("RGB").resize(size).save(theirs / row["out"])
    call = ["bench", "posteromni", "--rows", "6", *SMALL, "--posters", str(theirs), "-o", str(tmp_path / "out")]
    assert main(call) == 1
    said = capsys.readouterr().out
    assert "| **theirs** | rules |" in said and "theirs: 3 of 6 rows have no score (no poster: 3)" in said
    assert "| PosterOmni | Gemini-2.5-Pro" in said


def test_two_systems_become_a_study_and_its_votes_a_table(tmp_path, capsys):
    for name, color in (("a", "navy"), ("b", "beige")):
        folder = tmp_path / name
        folder.mkdir()
        for number in range(2):
            Image.new("RGB", (128, 192), color).save(folder / f"craft0-{number:04d}.png")
        out = tmp_path / f"out-{name}"
        assert main(["bench", "postercraft", "--rows", "2", *SMALL, "--posters", str(folder), "-o", str(out)]) == 0
        if name == "a":  # the posters of b stay where they were scored
            folder.rename(out / "posters")
    study = ["bench", "study", str(tmp_path / "out-a"), str(tmp_path / "out-b")]
    assert main([*study, "-o", str(tmp_path / "study.html")]) == 0
    said = capsys.readouterr().out
    study_id = said.rpartition("study ")[2].strip()
    votes = [{"row": f"craft0-{number:04d}", "question": "overall", "winner": "first"} for number in range(2)]
    (tmp_path / "votes.json").write_text(json.dumps({"study": study_id, "voter": "ann", "votes": votes}))
    assert main([*study, "--votes", str(tmp_path / "votes.json")]) == 0
    assert "| overall | 100% (100% to 100%) | 0% (0% to 0%) | 0% (0% to 0%) | 2 |" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (["postercraft", "--rows", "101"], "bench postercraft has 100 rows, asked for 101"),
        (["posteromni", "--posters", "x", "--model", "m"], "options of a model do not go with it"),
        (["posteromni", "--posters", "nowhere"], "nowhere: there is no such folder"),
        (["posteromni", "--judge", "text"], "judge text: gives no answers"),
        (["posteromni", "--against", "nowhere"], "nowhere: holds no report"),
        (["identity", "rules"], "the rules know no names"),
        (["identity", "identity", "--folder", "nowhere"], "nowhere: there is no such folder"),
    ],
)
def test_a_wrong_call_is_one_line(call, said, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["bench", *call]) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert said in lines[-1]


@pytest.mark.slow
def test_the_identity_reward_is_calibrated(tmp_path, capsys):
    call = ["bench", "identity", "identity", "--questions", "24", "--identities", "12", "-o", str(tmp_path)]
    assert main(call) == 0
    report = json.loads((tmp_path / "identity.json").read_text())
    assert 0 < report["threshold"] < 1 and 16 < report["rows"] <= 24
    assert "it is there from" in capsys.readouterr().out
