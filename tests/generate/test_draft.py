"""What a poster is painted over: the request drawn, a sketch, or nothing; and what its record says of it."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from posterkit import PosterMaker, PosterRequest
from posterkit.generate.record import request_from_poster
from posterkit.synthetic.scene_draft import draft

CARD = "---\nposterkit:\n  scripts: []\n  prompts: scene\n  draft: {area: 24576, strength: 0.5}\n---\n# tiny\n"


@pytest.fixture(scope="module")
def painter(tmp_path_factory, craft) -> str:
    """A FLUX.1 folder that draws 64x96 from noise, and paints over drafts of 128x192."""
    folder = tmp_path_factory.mktemp("painter") / "model"
    shutil.copytree(craft, folder)
    (folder / "README.md").write_text(CARD)
    return str(folder)


@pytest.fixture
def maker(painter):
    with PosterMaker(model=painter) as maker:
        yield maker


ASKED = {"prompt": "a violin on deep blue", "size": (128, 192), "seed": 3}


def test_a_checkpoint_that_paints_over_drafts_does_so_at_the_area_of_its_card(maker):
    plan = maker.plan(PosterRequest(**ASKED))
    assert plan.draft is not None and plan.draft.strength == 0.5
    assert plan.native == (128, 192)
    assert plan.steps == 1  # half of two
    assert plan.words == "bars navy background"
    assert plan.notes == ('mini draws no "violin"; it drew sound bars instead',)


def test_what_the_model_paints_over_is_the_drawing_of_the_request(maker):
    poster = maker(PosterRequest(**ASKED, strength=0.5))
    pipe = maker.pipeline("text")
    generator = torch.Generator("cpu").manual_seed(3)
    expected = pipe(
        "bars navy background", image=draft(PosterRequest(**ASKED)), strength=0.5, width=128, height=192,
        generator=generator,
    ).images[0]  # fmt: skip
    assert np.array_equal(np.asarray(poster.drawing), np.asarray(expected))
    assert poster.notes == ['mini draws no "violin"; it drew sound bars instead']


def test_none_begins_from_noise_at_the_native_area(maker):
    plan = maker.plan(PosterRequest(**ASKED, draft="none"))
    assert (plan.draft, plan.native) == (None, (64, 96))


def test_a_checkpoint_whose_card_says_nothing_begins_from_noise_unless_asked(craft):
    with PosterMaker(model=craft) as maker:
        assert maker.plan(PosterRequest(**ASKED)).draft is None
        assert maker.plan(PosterRequest(**ASKED)).words != "bars navy background"
        assert maker.plan(PosterRequest(**ASKED, draft="auto")).draft is not None


def test_a_model_that_letters_begins_from_noise(painter):
    with PosterMaker(model=painter, draw_text=True) as maker:
        assert maker.plan(PosterRequest(**ASKED)).draft is None


def test_a_sketch_of_the_users_is_painted_over_in_every_task(maker, omni, photo):
    sketch = Image.new("RGB", (256, 384), "orange")
    poster = maker(PosterRequest(**ASKED, draft=sketch, strength=0.5))
    assert poster.record["row"]["draft"]["path"] is None
    assert poster.record["row"]["strength"] == 0.5
    with PosterMaker(model=omni) as other:
        request = PosterRequest(task="style_driven", images=[photo], draft=sketch, size=(64, 96), seed=1)
        assert other(request).record["drawn"]["strength"] == 0.6


def test_a_sketch_is_painted_over_as_far_as_the_card_says(maker):
    sketch = Image.new("RGB", (256, 384), "orange")
    own, drawn = (maker.plan(PosterRequest(**ASKED, draft=draft)).draft for draft in (sketch, "auto"))
    assert own.strength == drawn.strength != 0.6


def test_a_sketch_of_another_shape_is_cropped_and_said_so(maker):
    with pytest.warns(UserWarning, match="the draft is 300x100; it is cropped to the poster's shape"):
        maker(PosterRequest(**ASKED, draft=Image.new("RGB", (300, 100)), strength=0.5))


def test_a_poster_is_made_again_from_its_record(maker, tmp_path: Path):
    sketch = tmp_path / "my sketch.png"
    Image.new("RGB", (128, 192), "green").save(sketch)
    for name, changes in {"auto": {}, "noise": {"draft": "none"}, "sketch": {"draft": sketch}}.items():
        first = maker(PosterRequest(**ASKED, **changes))
        first.save(tmp_path / f"{name}.png")
        again = maker(request_from_poster(tmp_path / f"{name}.png")[0])
        assert again.record["id"] == first.record["id"]
        assert np.array_equal(np.asarray(again.image), np.asarray(first.image))


def test_candidates_are_painted_over_drafts_of_their_own(maker):
    one, two = (maker(PosterRequest(**ASKED | {"seed": seed})).drawing for seed in (3, 4))
    best = maker(PosterRequest(**ASKED, best_of=2))
    kept, other = (one, two) if best.seed == 3 else (two, one)
    distance = [np.abs(np.asarray(best.drawing, float) - np.asarray(drawn, float)) for drawn in (kept, other)]
    assert distance[0].max() <= 1 < distance[1].max()  # drawn together, so that rounding differs


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"draft": "none", "strength": 0.5}, "strength 0.5 paints over a draft, and there is none"),
        ({"strength": 1.5}, "strength must be a number above 0 and at most 1, found 1.5"),
    ],
)
def test_a_request_that_contradicts_itself_is_refused(maker, changes, line):
    with pytest.raises(ValueError, match=line):
        maker.plan(PosterRequest(**ASKED, **changes))


def test_rows_drawn_together_are_each_painted_over_their_own_sketch(maker):
    rows = [PosterRequest(**ASKED, draft=Image.new("RGB", (128, 192), name), strength=0.5) for name in ("red", "blue")]
    alone = [np.asarray(maker(row).drawing, float) for row in rows]
    both = [np.asarray(poster.drawing, float) for poster in maker.make([maker.plan(row) for row in rows])]
    assert all(np.abs(one - other).max() <= 1 for one, other in zip(alone, both, strict=True))
    assert np.abs(both[0] - both[1]).max() > 1
