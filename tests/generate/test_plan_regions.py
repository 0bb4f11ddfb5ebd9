"""A plan as regions that steer a model, from the request to the record."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from posterkit import PosterRequest
from posterkit.cli.main import main
from posterkit.generate.checkpoint import Settings, find_checkpoint
from posterkit.generate.maker import together
from posterkit.generate.metadata import read_record
from posterkit.generate.plan_regions import CALM, MOST, plan_regions
from posterkit.generate.poster_plan import make_plan
from posterkit.generate.record import request_from_poster
from posterkit.layout import Box, Element, Layout
from posterkit.lettering import Lettering
from posterkit.pipelines import regional_prompts

PLAN = Layout(
    400, 600,
    (
        Element(0, "NORTH LIGHT", "title", Box(40, 40, 360, 100), group=0),
        Element(1, "Friday", "subtitle", Box(40, 110, 200, 140), group=0),
        Element(2, "Pier 4", "body", Box(40, 540, 200, 560), group=1),
        Element(3, "", "subject", Box(100, 200, 300, 500)),
    ),
)  # fmt: skip


def test_texts_that_stand_together_share_a_calm_region_and_the_subject_has_the_prompt():
    subject, head, foot = plan_regions(PLAN, 'a lighthouse at night, "NORTH LIGHT"', None)
    assert subject == ((0.25, 200 / 600, 0.75, 500 / 600), "a lighthouse at night")
    assert head[1] == foot[1] == CALM
    grown = PLAN.margin / 2
    assert head[0] == pytest.approx(((40 - grown) / 400, (40 - grown) / 600, (360 + grown) / 400, (140 + grown) / 600))


def test_a_plan_has_no_more_regions_than_a_pipeline_takes():
    texts = tuple(Element(n, f"Line {n}", "body", Box(40, 40 + 40 * n, 200, 60 + 40 * n), group=n) for n in range(12))
    assert len(plan_regions(Layout(400, 600, texts), "a fox", None)) == regional_prompts.MOST == MOST


def test_mini_reads_regions_in_its_own_language():
    prompts = [words for _, words in plan_regions(PLAN, "a red sailboat, deep blue background", "scene")]
    assert prompts[0].startswith("red sailboat")
    assert prompts[1] == "navy background flat"


def test_a_regional_poster_begins_from_noise_and_is_drawn_apart_from_others():
    checkpoint = find_checkpoint(Settings(), "text")
    ask = {"texts": ["NORTH LIGHT"], "seed": 1, "lettering": Lettering(planner="grammar")}
    plain = make_plan(PosterRequest("a lighthouse", **ask), Settings(), checkpoint)
    steered = make_plan(PosterRequest("a lighthouse", regional=True, **ask), Settings(), checkpoint)
    assert plain.draft is not None and not plain.regions
    assert steered.draft is None and len(steered.regions) >= 2
    assert together(plain) != together(steered) and plain.id != steered.id
    assert all(0 <= low < high <= 1 for (x0, y0, x1, y1), _ in steered.regions for low, high in ((x0, x1), (y0, y1)))


@pytest.mark.parametrize(
    ("extra", "said"),
    [
        ({}, "regional follows a plan, and there is none"),
        ({"task": "extending", "images": ["a.png"]}, "task 'extending' keeps pixels where they are"),
    ],
    ids=["no plan", "kept pixels"],
)
def test_what_cannot_be_steered_is_said_before_a_model_loads(extra, said):
    with pytest.raises(ValueError, match=said):
        PosterRequest("a fox", texts=["FOX"], regional=True, **extra).check()
    wordless = PosterRequest("a fox", regional=True, lettering=Lettering(planner="grammar"))
    with pytest.raises(ValueError, match="there are no texts to plan"):
        make_plan(wordless, Settings(), find_checkpoint(Settings(), "text"))


def test_a_steered_poster_says_its_regions_and_can_be_made_again(tmp_path: Path, capsys):
    out = tmp_path / "p.png"
    said = ["generate", "a red sailboat", "--text", "NORTH LIGHT", "--planner", "grammar", "--regional"]
    assert main([*said, "--steps", "2", "--width", "208", "--height", "304", "-o", str(out)]) == 0
    record = read_record(out)
    assert record["row"]["regional"] is True
    assert record["drawn"]["regions"][0]["prompt"].startswith("red sailboat")
    request, _, _ = request_from_poster(out)
    assert request.regional and request.draft == "none"
    assert main(["generate", "--from-image", str(out), "-o", str(tmp_path / "q.png")]) == 0
    assert read_record(tmp_path / "q.png")["id"] == record["id"]


def test_a_row_of_a_batch_can_be_regional(tmp_path: Path, capsys):
    row = {"prompt": "a red sailboat", "texts": ["SAIL"], "planner": "grammar", "regional": True, "steps": 1,
           "width": 208, "height": 304}  # fmt: skip
    (tmp_path / "rows.jsonl").write_text(json.dumps(row) + "\n", encoding="utf-8")
    assert main(["batch", str(tmp_path / "rows.jsonl"), "-o", str(tmp_path / "out")]) == 0
    (poster,) = (path for path in (tmp_path / "out").glob("*.png") if path.name != "contact_sheet.png")
    assert read_record(poster)["row"]["regional"] is True
