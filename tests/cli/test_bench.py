"""`posterkit bench judge`: its table, report, exit codes and errors."""

from __future__ import annotations

import json

import pytest
import tiny_chat
from chat_server import says, servers

from posterkit.cli.main import main
from posterkit.rewards.reliability import JudgeBound, check_judges


def test_the_rules_judge_keeps_its_bounds(tmp_path, capsys):
    assert main(["bench", "judge", "rules", "-o", str(tmp_path), "--questions", "2", "--tracks", "captions"]) == 0
    said = capsys.readouterr().out
    assert "rules: 14 rows" in said and "follow" in said and "over the bounds" not in said
    report = json.loads((tmp_path / "judge.json").read_text())
    assert report["tracks"]["captions"]["drop"]["mean"] == 0


def test_an_endpoint_that_answers_one_word_to_everything_is_over_the_bounds(tmp_path, capsys):
    with servers() as start:
        server = start(says("Yes."))
        call = ["bench", "judge", f"{server.url}/v1", "--model", "m", "-o", str(tmp_path), "--questions", "2"]
        assert main([*call, "--tracks", "pictures"]) == 0
        images = [body["messages"][1]["content"] for _, _, body in server.asked if body.get("messages")]
    assert sum(isinstance(one, list) for one in images) == 14  # with a picture; the two others without one
    assert "over the bounds: answers 0% of the questions rightly" in capsys.readouterr().out


@pytest.mark.slow
def test_a_local_vision_language_folder_answers_and_scores(tmp_path, capsys):
    folder = tiny_chat.save(tmp_path / "vlm")
    call = ["bench", "judge", str(folder), "-o", str(folder), "--questions", "1", "--posters", "2"]
    assert main(call) == 0
    report = json.loads((folder / "judge.json").read_text())
    assert report["rows"] == 8 + 7 + 12 and len(report["fingerprint"]) == 16
    assert report["tracks"]["pictures"]["acc_none"]["mean"] == 0  # its weights are random
    assert report["tracks"]["grounds"]["shift"]["mean"] > 0
    assert check_judges([str(folder)], JudgeBound()).faults


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (["judge"], "JUDGE"),
        (["judges"], "judge"),
        (["judge", "ruls"], "did you mean 'rules'"),
        (["judge", "rules", "--questions", "0"], "at least 1"),
        (["judge", "aesthetics", "--original", "nowhere"], "gives scores and no answers"),
        (["judge", "rules", "--original", "nowhere"], "nowhere: holds no .parquet"),
    ],
)
def test_a_wrong_call_is_one_line(tmp_path, capsys, call, said):
    extra = ["-o", str(tmp_path / "out")] if len(call) > 1 and call[0] == "judge" else []
    assert main(["bench", *call, *extra]) == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("posterkit")]
    assert said in line
