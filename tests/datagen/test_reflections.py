"""Reflections: drafts, what would make them better, and the best poster of their prompt."""

from __future__ import annotations

import json
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
import tiny_flux
from chat_server import servers
from grey_judge import candidates, grey_judge, level, level_of
from PIL import Image

from posterkit import PosterCraftPipeline
from posterkit.critic import open_critic
from posterkit.datagen.drawing import DrawnPosters
from posterkit.datagen.engine import Drop
from posterkit.datagen.lazy_models import open_judge
from posterkit.datagen.preferences import (
    CriticisedDraft,
    RankedCandidates,
    ScoreCandidates,
    encode_reflection,
    suggest_improvements,
)
from posterkit.datagen.report import write_report
from posterkit.datagen.requests import SetRequest
from posterkit.datasets.pair_dataset import open_reflections
from posterkit.datasets.validation import validate

ROOT = Path(__file__).parents[2]
MARKS = [(3, 10, 10), (9, 2, 2), (8, 9, 10), (9, 9, 9), (10, 10, 9)]  # 23, 13, 27, 27 and 29 of 30


@pytest.fixture
def start():
    with servers() as starting:
        yield starting


def rows(judge: str, count: int, prompt: str = "a prompt", images=None) -> list[CriticisedDraft | Drop]:
    """What comes of each turn of a prompt."""
    made = []
    for turn in range(count - 1):
        request = SetRequest(prompt, id="p", caption=prompt, turn=turn)
        found = ScoreCandidates(partial(open_judge, judge), whole=True)(
            DrawnPosters(request, images or candidates(count), tuple(range(count)))
        )
        assert isinstance(found, RankedCandidates), found
        made.append(suggest_improvements(found, partial(open_critic, judge)))
    return made


def test_each_but_the_best_is_a_draft_and_the_judge_sees_it_before_the_best(start):
    server = grey_judge(start, MARKS, lambda seen: (f"Change {seen}.", "Use calmer colours."))
    made = rows(server.url, 5)
    written = [encode_reflection(one, "m") for one in made]
    assert [row["id"] for row, _ in written] == ["p-0", "p-1", "p-2", "p-3"]
    assert [level_of(files[row["draft"]]) for row, files in written] == [0, 1, 2, 3]
    assert {level_of(files[row["target"]]) for row, files in written} == {4}
    assert [row["content"] for row, _ in written] == [f"Change [{n}, 4]." for n in range(4)]
    assert [one["worth"] for one in written[0][0]["candidates"]] == [0.7667, 0.4333, 0.9, 0.9, 0.9667]
    assert written[0][0]["judged"]["suggestions"]["by"] == written[0][0]["judged"]["candidates"]["by"]


def test_a_draft_as_good_as_the_best_teaches_nothing(start):
    server = grey_judge(start, [(5, 5, 5), (5, 6, 4), (1, 1, 1)])
    first, second = rows(server.url, 3)
    assert isinstance(first, Drop) and first.reason == "as good as the best" and not first.fault
    assert (
        isinstance(second, CriticisedDraft) and level(second.draft.image) == 2 and level(second.found.best.image) == 0
    )


def test_words_about_a_second_picture_cost_the_row_whoever_says_them(start):
    server = grey_judge(start, MARKS, lambda seen: ("Take the colours of the second picture.", "y"))
    (lost,) = rows(server.url, 2)
    assert isinstance(lost, Drop) and lost.reason == "judge failed" and lost.fault
    assert "speaks of another picture" in lost.detail
    # the rules repeat what the prompt quotes
    images = (Image.new("RGB", (128, 192), "white"), Image.effect_noise((128, 192), 90).convert("RGB"))
    (lost,) = rows("rules", 2, 'Poster with the title "THE OTHER PICTURE".', images)
    assert isinstance(lost, Drop) and lost.reason == "speaks of another picture" and not lost.fault


@pytest.fixture
def a_set(start, tmp_path) -> Path:
    server = grey_judge(start, MARKS, lambda seen: ("Show a larger boat.", "Use <calm> colours."))
    with (tmp_path / "samples.jsonl").open("w") as index:
        for one in rows(server.url, 3):
            row, files = encode_reflection(one, "m")
            index.write(json.dumps(row) + "\n")
            for name, content in files.items():
                (tmp_path / name).write_bytes(content)
    return tmp_path


def test_a_reflection_is_read_back_and_feeds_stage_four(a_set):
    found = open_reflections(a_set)
    assert len(found) == 2 and [one.id for one in found] == ["p-0", "p-1"]
    one = found[0]
    assert (one.content, one.style, one.draft.caption) == ("Show a larger boat.", "Use <calm> colours.", "a prompt")
    assert level(Image.fromarray(one.draft.target)) == 0 and level(Image.fromarray(one.target.target)) == 2
    pipe = PosterCraftPipeline(**tiny_flux.components(), max_sequence_length=48)
    pipe.set_progress_bar_config(disable=True)
    made = pipe(prompt=one.draft.caption, draft_image=Image.fromarray(one.draft.target), width=64, height=96,
                feedback=[one.content, one.style], num_inference_steps=1)  # fmt: skip
    assert made.images[0].size == (64, 96)


def test_the_validator_and_the_page_know_reflections(a_set):
    assert validate(a_set).faults == []
    page = write_report(a_set, a_set / "report.html").read_text()
    assert page.count("<figcaption>draft</figcaption>") == 2 and "Use &lt;calm&gt; colours." in page
    row = json.loads((a_set / "samples.jsonl").read_text().splitlines()[0])
    for changed, fault in (
        ({"content": " "}, "\"content\" must be a text, found ' '"),
        ({"style": "Unlike the other poster, use red."}, "\"style\" speaks of another picture: 'the other poster'"),
        ({"content": "参考第二张图片。"}, '"content" speaks of another picture'),
        ({"draft": row["target"]}, "draft and target are the same picture"),
        ({"target": None}, '"target" must be a text, found None'),
    ):
        (a_set / "samples.jsonl").write_text(json.dumps({**row, **changed}) + "\n")
        assert any(fault in str(one) for one in validate(a_set).faults), fault


@pytest.mark.slow
def test_the_command_makes_the_same_set_with_any_number_of_workers(start, tmp_path):
    folder = tmp_path / "craft"
    config = {"native_area": 64 * 96, "num_inference_steps": 2, "max_sequence_length": 48}
    PosterCraftPipeline(**tiny_flux.components(), **config).save_pretrained(folder)
    (tmp_path / "prompts.txt").write_text("".join(f"a poster with {n} boats\n" for n in range(4)))
    sets = []
    for workers, threads in ((1, 1), (2, 3)):
        out = tmp_path / f"set{workers}"
        # a shard of 5 ends in the middle of a prompt's three drafts
        done = subprocess.run(
            [sys.executable, "data_tools/build_reflections.py", tmp_path / "prompts.txt", "--out", out, "--model",
             folder, "--candidates", "4", "--judge", "rules-blind", "--workers", str(workers), "--threads",
             str(threads), "--shard", "5", "--layout", "webdataset"],
            cwd=ROOT, capture_output=True, text=True, timeout=300,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        sets.append({str(p.relative_to(out)): p.read_bytes() for p in sorted(out.rglob("*")) if p.is_file()})
        assert validate(out).faults == []
    assert sets[0] == sets[1]
    found = [json.loads(line) for line in (tmp_path / "set1" / "samples.jsonl").read_text().splitlines()]
    assert 4 <= len(found) <= 12 and len({row["id"] for row in found}) == len(found)
    best = {row["prompt"]: max(row["candidates"], key=lambda one: one["worth"])["number"] for row in found}
    assert all(f"-{best[row['prompt']]}" != row["id"][-2:] for row in found)
