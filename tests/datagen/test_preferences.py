"""Candidates of a prompt, and the preference pairs that are mined from them."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import tiny_flux
import tiny_qwen
from chat_server import servers
from grey_judge import candidates, grey_judge, level_of
from PIL import Image
from tiny_clip import save_clip

from posterkit import PosterCraftPipeline, PosterOmniPipeline
from posterkit.datagen.drawing import Draw, DrawnPosters, ModelAt
from posterkit.datagen.engine import Drop
from posterkit.datagen.lazy_models import OpenReward, open_image_text_model, open_judge
from posterkit.datagen.preferences import (
    UNEDITED,
    RankedCandidates,
    ScoreCandidates,
    check_gap,
    encode_pair,
    pass_gates,
)
from posterkit.datagen.report import write_report
from posterkit.datagen.requests import SetRequest, read_requests
from posterkit.datasets import SyntheticPosters, write_sample
from posterkit.datasets.pair_dataset import open_preferences
from posterkit.datasets.validation import validate
from posterkit.rewards.models.image_text import ImageTextModel
from posterkit.sizing import Size
from posterkit.tasks import BLANK, TASKS

ROOT = Path(__file__).parents[2]
AREAS = {"native_area": 64 * 96, "reference_area": 64 * 64, "condition_area": 56 * 56, "num_inference_steps": 2}
REQUEST = SetRequest("a prompt", id="p", caption="a prompt")


@pytest.fixture(scope="module")
def craft(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("craft")
    config = {"native_area": 64 * 96, "num_inference_steps": 2, "max_sequence_length": 48}
    PosterCraftPipeline(**tiny_flux.components(), **config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def omni(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("omni")
    PosterOmniPipeline(**tiny_qwen.components(), **AREAS).save_pretrained(folder)
    return folder


@pytest.fixture
def judged_by_grey():
    """`judged_by_grey([(aesthetics, text, content), ...])`: a judge that gives candidate n the n-th marks, of ten."""
    with servers() as start:
        yield lambda marks: partial(open_judge, grey_judge(start, marks).url)


def drawn(count: int, request: SetRequest = REQUEST) -> DrawnPosters:
    return DrawnPosters(request, candidates(count), tuple(range(100, 100 + count)))


def ranked(judge: OpenReward, count: int, request: SetRequest = REQUEST) -> RankedCandidates:
    found = ScoreCandidates(judge)(drawn(count, request))
    assert isinstance(found, RankedCandidates), found
    return found


def test_the_best_is_chosen_and_the_worst_rejected_and_the_first_of_equals_comes_first(judged_by_grey):
    found = ranked(judged_by_grey([(3, 10, 10), (9, 10, 10), (9, 8, 9), (1, 10, 10), (5, 10, 10)]), 5)
    row, files = encode_pair(found, "some model")
    assert (level_of(files[row["chosen"]]), level_of(files[row["rejected"]])) == (1, 3)
    assert row["gap"] == 0.8 and row["kind"] == "candidates" and row["model"] == "some model"
    assert [(one["number"], one["seed"], one["aesthetics"]) for one in row["candidates"]] == [
        (0, 100, 0.3), (1, 101, 0.9), (2, 102, 0.9), (3, 103, 0.1), (4, 104, 0.5),
    ]  # fmt: skip
    assert row["judged"]["candidates"]["by"] == row["judged"]["worth"]["by"] and "grey" in row["judged"]["worth"]["by"]


@pytest.mark.parametrize(("text", "content", "reason"), [(7, 10, "text"), (10, 4, "content"), (8, 5, None)])
def test_the_winner_must_be_right_itself(judged_by_grey, text, content, reason):
    found = ranked(judged_by_grey([(3, 10, 10), (9, text, content)]), 2)
    passed = pass_gates(found, 0.8, 0.5)
    if reason is None:
        assert passed is found
    else:
        assert isinstance(passed, Drop) and passed.reason == f"winner fails in {reason}" and not passed.fault


def test_the_two_must_lie_further_apart_than_the_gap(judged_by_grey):
    found = ranked(judged_by_grey([(5, 10, 10), (10, 10, 10)]), 2)  # exactly one half apart
    assert check_gap(found, 0.49) is found
    dropped = check_gap(found, 0.5)
    assert isinstance(dropped, Drop) and dropped.reason == "too alike"
    assert "1.0000 and 0.5000: 0.5000 apart" in dropped.detail
    equal = ranked(judged_by_grey([(5, 10, 10), (5, 1, 1)]), 2)
    assert isinstance(check_gap(equal, 0.0), Drop)


def test_a_judge_without_an_answer_for_one_candidate_costs_the_row(judged_by_grey):
    lost = ScoreCandidates(judged_by_grey([(5, 10, 10), "I like it!", (1, 1, 1)]))(drawn(3))
    assert isinstance(lost, Drop) and lost.fault and lost.reason == "judge failed" and "grey" in lost.detail


def test_a_clip_folder_ranks_in_the_judge_s_place(judged_by_grey, tmp_path):
    clip = save_clip(tmp_path)
    found = ScoreCandidates(judged_by_grey([(5, 8, 7)] * 4), partial(open_image_text_model, str(clip)))(drawn(4))
    assert isinstance(found, RankedCandidates) and found.ranker == str(clip) and "grey" in found.judge
    cosines = ImageTextModel(clip).score(candidates(4), [REQUEST.prompt] * 4)
    assert found.best.number == int(np.argmax(cosines)) and found.worst.number == int(np.argmin(cosines))
    assert found.best.quality - found.worst.quality == pytest.approx(max(cosines) - min(cosines))
    assert (found.best.part("text"), found.best.part("agreement")) == pytest.approx((0.8, 0.7))


def test_the_input_as_it_was_is_rejected_with_a_hole_where_filling_has_to_make(judged_by_grey):
    photo, mask = Image.new("RGB", (64, 96), (10, 200, 10)), Image.new("L", (64, 96))
    mask.paste(255, (16, 16, 48, 48))
    found = []
    for task in ("filling", "style_driven"):
        request = SetRequest(
            "a", id="p", task=task, caption="a", instruction="a", images=(photo,), mask=mask, turn=UNEDITED
        )
        row, files = encode_pair(ranked(judged_by_grey([(2, 10, 10), (2, 10, 10)]), 2, request), "m")
        assert (row["id"], row["kind"], row["gap"]) == ("p-unedited", "unedited", None)
        found.append(np.asarray(Image.open(io.BytesIO(files[row["rejected"]]))))
    assert (found[0][16:48, 16:48] == BLANK).all() and (found[0][:16] == (10, 200, 10)).all()
    assert (found[1] == (10, 200, 10)).all()


def test_candidates_drawn_together_and_alone_are_the_same_but_for_rounding(craft):
    request = SetRequest("a boat", id="p", caption="a boat")
    alone, together = (Draw(ModelAt(str(craft)), 3, seed=0, batch=batch)(request) for batch in (1, 3))
    assert alone.seeds == together.seeds and len(set(alone.seeds)) == 3
    for one, other in zip(alone.images, together.images, strict=True):
        assert one.size == (64, 96)
        assert np.abs(np.asarray(one).astype(int) - np.asarray(other)).max() <= 1
    more = Draw(ModelAt(str(craft)), 4, seed=0, batch=1)(request)
    assert more.images[:3] == alone.images
    other_row = Draw(ModelAt(str(craft)), 3, seed=0, batch=1)(SetRequest("a boat", id="q", caption="a boat"))
    assert not set(other_row.seeds) & set(alone.seeds)


@pytest.mark.parametrize("task", list(TASKS))
def test_every_image_task_is_drawn_at_another_size_with_what_it_keeps_in_its_place(omni, tmp_path, task):
    sample = SyntheticPosters(seed=6, tasks=(task,), sizes=((128, 192),))[1]
    write_sample(sample, tmp_path)
    request = read_requests(tmp_path)[0]
    assert isinstance(request, SetRequest) and request.size == (128, 192)
    made = Draw(ModelAt(str(omni)), 2, seed=0)(request)
    assert [image.size for image in made.images] == [(64, 96)] * 2 and made.request.size == Size(64, 96)
    if TASKS[task].keeps_pixels:
        kept = np.asarray(Image.fromarray(sample.mask).resize((64, 96), Image.Resampling.BOX)) == 0
        reduced = np.asarray(Image.fromarray(sample.target).resize((64, 96), Image.Resampling.LANCZOS)).astype(int)
        for image in made.images:
            assert np.abs(np.asarray(image)[kept] - reduced[kept]).mean() < 6  # two ways to reduce a picture differ
        assert made.request.mask.size == (64, 96)


@pytest.mark.slow
def test_typeset_texts_stand_on_every_candidate_letter_for_letter(craft):
    prompt = 'Poster with a boat, title "HARBOUR NIGHT" at the top.'
    request = SetRequest(prompt, id="p", caption=prompt)
    found = ScoreCandidates(partial(open_judge, "rules"))(
        Draw(ModelAt(str(craft)), 2, 0, size=Size(256, 384), typeset=True)(request)
    )
    assert isinstance(found, RankedCandidates)
    assert [one.part("text") for one in found.candidates] == [1.0, 1.0]


def lines(path: Path, *rows: object) -> Path:
    path.write_text("".join(f"{row if isinstance(row, str) else json.dumps(row)}\n" for row in rows))
    return path


def test_prompts_come_from_lines_rows_and_sets(tmp_path):
    plain = read_requests(lines(tmp_path / "a.txt", "a boat", "", " a car "), turns=2)
    assert [plain[n].prompt for n in range(len(plain))] == ["a boat", "a boat", "a car", "a car"]
    assert [(plain[n].id, plain[n].turn) for n in range(2, 4)] == [("prompt-000003", 0), ("prompt-000003", 1)]
    rows = read_requests(lines(tmp_path / "a.jsonl", {"id": "x1", "prompt": "a boat", "theme": "sea"}))
    assert (rows[0].id, rows[0].prompt, rows[0].theme, rows[0].split) == ("x1", "a boat", "sea", "train")
    (tmp_path / "prompts").mkdir()
    lines(tmp_path / "prompts" / "prompts.jsonl", {"id": "x2", "prompt": "a car", "texts": ["CAR"], "language": "en"})
    assert [one.prompt for one in read_requests(tmp_path / "prompts")] == ["a car"]
    source = SyntheticPosters(seed=6, tasks=("text", "id_driven"), sizes=((64, 96),))
    for number, task in enumerate(("text", "id_driven")):
        write_sample(source.sample(number, task=task), tmp_path / "set")
    with pytest.raises(ValueError, match="holds the tasks id_driven, text; no model draws them all, say --task"):
        read_requests(tmp_path / "set")
    assert read_requests(tmp_path / "set", "text")[0].references == ()
    assert len(read_requests(tmp_path / "set", "id_driven")[0].references) >= 1


@pytest.mark.parametrize(
    ("row", "why"),
    [
        ('{"prompt"', "not JSON"),
        ({"id": "a/b", "prompt": "x"}, "id 'a/b' cannot name a file"),
        ({"id": "ok", "prompt": "x"}, "id 'ok' stands in an earlier row too"),
        ({"prompt": " "}, "there is no prompt"),
        ({"prompt": 3}, '"prompt" must be a text, found 3'),
        ({"prompt": "x", "task": "shrinking"}, "unknown task 'shrinking'"),
        ({"prompt": "x", "task": "filling", "references": ["a.png"]}, "needs a mask"),
        ({"prompt": "x", "task": "filling"}, "takes 1 to 1 references, found None"),
    ],
)
def test_a_bad_row_costs_itself_and_says_why(tmp_path, row, why):
    found = read_requests(lines(tmp_path / "p.jsonl", {"id": "ok", "prompt": "a boat"}, row))
    assert isinstance(found[0], SetRequest)
    assert (
        isinstance(found[1], Drop)
        and found[1].fault
        and found[1].detail.startswith("p.jsonl 2")
        and why in found[1].detail
    )


def test_a_file_without_any_prompt_is_refused(tmp_path):
    with pytest.raises(ValueError, match="holds no prompt"):
        read_requests(lines(tmp_path / "a.txt", "", " "))
    with pytest.raises(ValueError, match="there is no such file"):
        read_requests(tmp_path / "none.txt")


def run(*arguments: object) -> list[str]:
    return [sys.executable, "data_tools/mine_preferences.py", *map(str, arguments)]


def finished(*arguments: object) -> subprocess.CompletedProcess:
    return subprocess.run(run(*arguments), cwd=ROOT, capture_output=True, text=True, timeout=300)


def content(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.mark.slow
def test_killed_and_started_again_with_more_workers_is_the_same_to_the_byte(craft, tmp_path):
    prompts = lines(tmp_path / "prompts.txt", *(f"a poster with {n} boats" for n in range(8)))
    options = (prompts, "--model", craft, "--judge", "rules-blind", "--gap", 0, "--gate-text", 0, "--gate-content", 0,
               "--candidates", 3, "--shard", 2)  # fmt: skip
    killed = subprocess.Popen(run(*options, "--out", tmp_path / "killed"), cwd=ROOT, start_new_session=True)
    deadline = time.monotonic() + 120
    while not list((tmp_path / "killed").glob(".flow/0*.json")) and time.monotonic() < deadline:
        time.sleep(0.005)
    os.killpg(killed.pid, signal.SIGKILL)
    killed.wait(60)
    assert not (tmp_path / "killed" / "samples.jsonl").exists()
    for name, workers in (("killed", 2), ("whole", 1)):
        done = finished(*options, "--out", tmp_path / name, "--workers", workers, "--threads", 2)
        assert done.returncode == 0, done.stderr
    assert content(tmp_path / "killed") == content(tmp_path / "whole")
    pairs = open_preferences(tmp_path / "whole")
    assert len(pairs) > 0
    for pair in pairs:
        assert pair.chosen.caption == pair.rejected.caption and pair.gap > 0
        assert pair.chosen.target.shape == (96, 64, 3) and (pair.chosen.target != pair.rejected.target).any()
    refused = finished(*options, "--out", tmp_path / "whole", "--seed", 1)
    assert refused.returncode == 2 and "holds a set made with seed=0, now 1" in refused.stderr


@pytest.mark.slow
def test_the_command_exits_with_what_happened(craft, omni, tmp_path):
    rows = lines(tmp_path / "p.jsonl", {"id": "a", "prompt": "a boat"}, {"id": "b"})
    blind = ("--judge", "rules-blind", "--gap", 0, "--gate-content", 0)
    some = finished(rows, "--model", craft, "--out", tmp_path / "some", *blind)
    assert some.returncode == 1 and "1 samples, 1 dropped" in some.stdout
    dropped = json.loads((tmp_path / "some" / "dropped.jsonl").read_text())
    assert dropped["reason"] == "bad row" and dropped["detail"] == "p.jsonl 2: there is no prompt"
    for arguments, said in (
        ((rows, "--model", omni), "does not draw text; take a FLUX.1 folder"),
        ((rows, "--model", craft, "--candidates", 1), "it takes two to compare"),
        ((rows, "--model", craft, "--unedited"), "text prompts have no input"),
        ((rows, "--model", craft, "--size", "70x96"), "size 70x96 is off the grid"),
        ((rows, "--model", tmp_path), "there is no model_index.json"),
        ((rows, "--model", craft, "--judge", "nobody"), "there is no such judge"),
    ):
        wrong = finished(*arguments, "--out", tmp_path / "wrong")
        assert wrong.returncode == 2 and said in wrong.stderr and "Traceback" not in wrong.stderr
        assert not (tmp_path / "wrong").exists()


def test_the_validator_and_the_page_know_pairs(judged_by_grey, tmp_path):
    found = ranked(judged_by_grey([(3, 10, 10), (9, 10, 10)]), 2)
    row, files = encode_pair(found, "m")
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    lines(tmp_path / "samples.jsonl", row)
    assert validate(tmp_path).faults == []
    page = write_report(tmp_path, tmp_path / "report.html").read_text()
    assert "<figcaption>chosen</figcaption>" in page and "<figcaption>rejected</figcaption>" in page
    assert "0.600 apart" in page
    Image.new("RGB", (32, 32)).save(tmp_path / "small.png")
    for changed, fault in (
        ({"rejected": row["chosen"]}, "chosen and rejected are the same picture"),
        ({"rejected": "small.png"}, "chosen is 64x96, rejected 32x32"),
        ({"rejected": "gone.png"}, "gone.png: there is no such file"),
        ({"rejected": None}, '"rejected" must be a text, found None'),
        ({"prompt": ""}, "\"prompt\" must be a text, found ''"),
        ({"gap": -0.1}, '"gap" must be above 0'),
        ({"kind": "odd"}, "kind 'odd' is unknown"),
    ):
        lines(tmp_path / "samples.jsonl", {**row, **changed})
        assert any(fault in str(one) for one in validate(tmp_path).faults), fault
    lines(tmp_path / "samples.jsonl", {**row, "kind": "unedited", "rejected": "small.png", "gap": None})
    assert [str(one) for one in validate(tmp_path).faults] == [f"{row['rejected']}: no row names this picture"]
