"""A critic's sets: what a row lacks is said in one line, what cannot be seen is counted, shards read as folders do."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest
from PIL import Image

from posterkit.datagen.critique_pairs import (
    PICTURES,
    CriticPosters,
    answer_wrongly,
    drop_true,
    encode_pair,
    match_lengths,
)
from posterkit.datagen.engine import Flow, run_flow
from posterkit.sizing import Size
from posterkit.training.errors import RunFailed
from posterkit.training.loading.critic_answers import CriticQuestions, open_critic_questions
from posterkit.training.loading.critic_pairs import PairsConfig, open_critic_pairs


def questions(folder: Path, **changes) -> Path:
    """Six questions, of which two are held out; `changes` are of the third."""
    rows = []
    for k in range(6):
        rows.append({"id": f"r{k}", "images": [f"{k}.png"], "prompt": "Where?", "answer": "left", "question": "free",
                     "split": "heldout" if k > 3 else "train"})  # fmt: skip
        Image.new("RGB", (28, 56), (40 * k, 0, 0)).save(folder / f"{k}.png")
    rows[2] |= changes
    (folder / "samples.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return folder


def opened(folder: Path) -> tuple[CriticQuestions, CriticQuestions, list[str]]:
    said: list[str] = []
    run = SimpleNamespace(print=said.append, accelerator=SimpleNamespace(wait_for_everyone=lambda: None))
    return (*open_critic_questions(str(folder), None, run, "train/critic_sft.py"), said)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"answer": " "}, "line 3: lacks answer; no questions of train/critic_sft.py"),
        ({"images": [3]}, "line 3: lacks pictures"),
        ({"images": []}, "line 3: lacks pictures"),
        ({"id": "r0"}, "line 3: the id 'r0' is that of line 1 too"),
        ({"system": 3}, "line 3: its system prompt is 3, not words"),
        ({"names": [1, 2]}, "row r2: its names are no list of at most 144 names"),
        ({"names": [f"N{k}" for k in range(400)]}, "row r2: its names are no list of at most 144 names"),
    ],
)
def test_a_row_that_teaches_nothing_is_named(tmp_path, changes, said):
    with pytest.raises(ValueError, match=said):
        opened(questions(tmp_path, **changes))


@pytest.mark.parametrize("harm", ["gone", "no picture", "outside"])
def test_rows_without_their_picture_are_left_out_and_counted(tmp_path, harm):
    questions(tmp_path, **({"images": ["../2.png"]} if harm == "outside" else {}))
    if harm == "gone":
        (tmp_path / "2.png").unlink()
    elif harm == "no picture":
        (tmp_path / "2.png").write_bytes(b"none")
    train, heldout, (line,) = opened(tmp_path)
    assert [row["id"] for row in train.rows] == ["r0", "r1", "r3"] and len(heldout.rows) == 2
    assert line.startswith(f"{tmp_path}: 1 of 6 questions are left out, the first since ") and "2.png" in line


def test_damage_further_back_in_a_picture_ends_the_run_in_one_line(tmp_path, capsys):
    Image.effect_noise((64, 64), 90).save(questions(tmp_path) / "2.png")
    whole = (tmp_path / "2.png").read_bytes()
    (tmp_path / "2.png").write_bytes(whole[: len(whole) // 2])
    train, _, said = opened(tmp_path)
    assert not said
    with pytest.raises(RunFailed):
        train.content(train.rows[2])
    assert capsys.readouterr().err.startswith("posterkit: row r2: ")


def test_pairs_in_tar_shards_are_those_in_folders(tmp_path):
    steps = (("answer", partial(answer_wrongly, seed=0, open_critic=None)), ("length", match_lengths),
             ("check", drop_true))  # fmt: skip
    flow = Flow(CriticPosters(0, Size(64, 96)), 24, steps, partial(encode_pair, seed=0), {"tool": "a"}, paths=PICTURES)
    found = {}
    run = SimpleNamespace(print=print, accelerator=SimpleNamespace(wait_for_everyone=lambda: None))
    for layout in ("folder", "webdataset"):
        run_flow(flow, tmp_path / layout, layout=layout)
        train, _ = open_critic_pairs(PairsConfig(str(tmp_path / layout)), run)
        found[layout] = [(row["id"], row["chosen"], train.picture(row, "target").tobytes()) for row in train.rows]
    assert found["folder"] == found["webdataset"] and len(found["folder"]) > 4
