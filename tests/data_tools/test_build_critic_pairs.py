"""The tool of a critic's pairs: what it writes, answers of a real endpoint, what it drops and refuses."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from chat_server import reply, says, servers

from posterkit.datagen.critiques import ERRORS, WEAKENED
from posterkit.image_io import read_image

ROOT = Path(__file__).resolve().parents[2]
ANSWER = (
    'Subject: red fox. Background: teal. Texts: 3. Title: "SALE 50%" at the top, white letters. Line: none. Fault: '
    "none. Verdict: pass. I am quite sure of all this."
)


def build(*argv: object) -> subprocess.CompletedProcess[str]:
    call = [sys.executable, ROOT / "data_tools" / "build_critic_pairs.py", *map(str, argv), "--workers", "1"]
    return subprocess.run(call, capture_output=True, text=True, cwd=ROOT, timeout=120)


def rows_of(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "samples.jsonl").read_text().splitlines()]


@pytest.mark.slow
def test_pairs_without_a_model_are_of_all_seven_errors_and_the_same_again(tmp_path):
    for name in ("a", "b"):
        done = build("--out", tmp_path / name, "--count", 35, "--size", "64x96")
        assert done.returncode == 0, done.stderr
    rows = rows_of(tmp_path / "a")
    assert {row["kind"] for row in rows} == {*ERRORS}
    assert all(row["chosen"] != row["rejected"] and row["why"] for row in rows)
    assert {row["split"] for row in rows} == {"train", "heldout"}
    assert (tmp_path / "a" / "samples.jsonl").read_bytes() == (tmp_path / "b" / "samples.jsonl").read_bytes()
    for name in ("target", "weakened"):
        assert read_image(tmp_path / "a" / rows[0][name]).size == (64, 96)


@pytest.mark.slow
def test_what_a_critic_answers_is_rejected_where_it_is_false(tmp_path):
    with servers() as start:
        server = start(says(ANSWER))
        done = build("--out", tmp_path / "set", "--count", 14, "--size", "64x96", "--critic", f"{server.url}/v1",
                     "--model", "m", "--weakened", 1)  # fmt: skip
        assert done.returncode == 0, done.stderr
        bodies = [body for path, _, body in server.asked if path.endswith("/chat/completions")]
    rows = rows_of(tmp_path / "set")
    assert len(bodies) == 14 and {body["temperature"] for body in bodies} == {0.2}
    assert rows and all(row["kind"] == row["weakening"] in WEAKENED for row in rows)
    for row in rows:
        assert row["rejected"] in ANSWER and abs(len(row["rejected"].split()) - len(row["chosen"].split())) <= 5
        assert "SALE 50%" in row["why"]


@pytest.mark.slow
def test_true_answers_and_long_ones_and_none_are_dropped_by_name(tmp_path):
    with servers() as start:
        server = start(says("A lovely poster with a strong title and good colours, calm, all as it was asked for."))
        done = build("--out", tmp_path / "a", "--count", 3, "--size", "64x96", "--critic", f"{server.url}/v1",
                     "--model", "m", "--weakened", 1)  # fmt: skip
        assert done.returncode == 0
        dropped = [json.loads(line) for line in (tmp_path / "a" / "dropped.jsonl").read_text().splitlines()]
        assert {one["reason"] for one in dropped} <= {"still true", "length"} and len(dropped) == 3
        dead = start(says("x"), lambda handler, body: reply(handler, b"gone", 404))
        done = build("--out", tmp_path / "b", "--count", 2, "--size", "64x96", "--critic", f"{dead.url}/v1",
                     "--model", "m", "--weakened", 1)  # fmt: skip
    assert done.returncode == 1
    dropped = [json.loads(line) for line in (tmp_path / "b" / "dropped.jsonl").read_text().splitlines()]
    assert "no answer" in {one["reason"] for one in dropped}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("call", "said"),
    [(["--weakened", "0.5"], "name it with --critic"), (["--critic", "nowhere/at all"], "cannot load this"),
     (["--weakened", "2", "--critic", "x"], "from 0 to 1"), (["--size", "8x8"], "nobody reads their letters"),
     (["--critic", "http://127.0.0.1:9/v1"], "Connection refused")],
)  # fmt: skip
def test_a_wrong_call_is_one_line(tmp_path, call, said):
    done = build("--out", tmp_path / "set", *call)
    assert done.returncode == 2 and said in done.stderr.splitlines()[-1]
