"""What a draft takes from a reference."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from posterkit.generate import reference_look
from posterkit.generate.reference_look import arrangement, color_scheme, look_of, rescaled
from posterkit.metrics.appearance import drawing_style
from posterkit.metrics.color import palette, palette_distance
from posterkit.schema import PosterRequest
from posterkit.sizing import Size
from posterkit.synthetic import SyntheticPosters
from posterkit.synthetic.layouts import TitleLayout
from posterkit.synthetic.scene_draft import draft

SIZE = Size(256, 384)


@pytest.fixture(scope="module")
def posters():
    source = SyntheticPosters(seed=21, size=SIZE, tasks=("text",), split="heldout", lettering=False)
    return [source[number] for number in range(40)]


def test_the_ground_of_a_scheme_is_the_colour_of_the_border():
    picture = np.full((60, 40, 3), (20, 40, 120), np.uint8)
    picture[20:40, 10:30] = (240, 200, 30)
    scheme = color_scheme(picture)
    assert np.abs(np.subtract(scheme.bg, (20, 40, 120))).max() <= 1
    assert np.abs(np.subtract(scheme.accents[0], (240, 200, 30))).max() <= 12  # the reduced picture mixes its edge


def test_a_draft_in_a_style_is_nearer_to_its_own_reference_than_to_another(posters):
    nearer = 0
    pairs = [(posters[n], posters[n + 10]) for n in range(10)]
    for own, other in pairs:
        request = PosterRequest("a lighthouse", task="style_driven", images=[own.target], seed=1)
        colors = palette(np.asarray(draft(request, SIZE, **look_of(request))))
        nearer += palette_distance(colors, palette(own.target)) < palette_distance(colors, palette(other.target))
    assert nearer >= 9


def test_outlines_and_dots_are_told_from_flat_art(posters):
    right = {"outlined": [], "flat": []}
    for sample in posters:
        if sample.style in right:
            right[sample.style].append((drawing_style(sample.target) == "outlined") == (sample.style == "outlined"))
    assert np.mean(right["outlined"]) >= 0.7 and np.mean(right["flat"]) >= 0.8


def test_a_subject_stands_where_the_references_does():
    picture = Image.new("RGB", SIZE, (240, 236, 226))
    picture.paste((180, 40, 40), (20, 30, 150, 160))
    x0, y0, x1, y1 = arrangement(picture).subject
    assert abs((x0 + x1) / 2 - 85 / 256) < 0.05 and abs((y0 + y1) / 2 - 95 / 384) < 0.05
    request = PosterRequest("a red lemonade bottle, beige background", task="layout_driven", images=[picture], seed=2)
    drawn = np.asarray(draft(request, SIZE, **look_of(request))).astype(float)
    away = np.abs(drawn - drawn[:4].mean((0, 1))).max(-1) > 60
    rows, columns = np.nonzero(away[:240])
    assert abs(columns.mean() / 256 - 85 / 256) < 0.08 and rows.mean() / 384 < 0.4


def test_a_title_is_read_from_the_reference():
    source = SyntheticPosters(seed=8, size=(512, 768), tasks=("text",))
    sample = next(one for one in map(source.__getitem__, range(20)) if one.layout == "bottom" and one.texts)
    x0, y0, x1, y1 = arrangement(Image.fromarray(sample.target)).title
    bx0, by0, bx1, by1 = sample.texts[0].box
    assert x0 <= (bx0 + bx1) / 2 / 512 <= x1 and y0 <= (by0 + by1) / 2 / 768 <= y1


@pytest.mark.parametrize("subject", [(0.1, 0.04, 0.9, 0.93), (0.1, 0.06, 0.9, 0.97), (0.2, 0.1, 0.8, 0.4)])
def test_a_subject_gives_way_to_the_title_of_the_new_poster(monkeypatch, subject):
    layout = TitleLayout("reference", (0.0, 0.0, 0.0, 0.0), "center", subject, "")
    monkeypatch.setattr(reference_look, "arrangement", lambda picture: layout)
    picture = Image.new("RGB", (24, 16), "teal")
    made = look_of(PosterRequest("waves", task="layout_driven", images=[picture], texts=["SURF"]))["layout"]
    assert made.title[3] - made.title[1] > 0.2
    assert made.title[1] >= made.subject[3] or made.title[3] <= made.subject[1]
    assert made.subject[3] - made.subject[1] >= 0.3


def test_a_task_without_a_look_takes_nothing():
    assert look_of(PosterRequest("a lighthouse")) == {}


@pytest.mark.parametrize("size", [(256, 384), (384, 256), (320, 320)])
def test_a_rescaled_poster_still_shows_its_subject_whole(size):
    picture = Image.new("RGB", (600, 400), (240, 236, 226))
    picture.paste((180, 40, 40), (90, 100, 240, 290))
    made = np.asarray(rescaled(picture, Size(*size))).astype(int)
    assert made.shape == (size[1], size[0], 3)
    red = (made[..., 0] - made[..., 1]) > 70
    rows, columns = np.flatnonzero(red.any(1)), np.flatnonzero(red.any(0))
    shape = (columns[-1] - columns[0] + 1) / (rows[-1] - rows[0] + 1)
    assert shape == pytest.approx(150 / 190, rel=0.04)  # neither cut nor stretched
    assert red.sum() == pytest.approx((columns[-1] - columns[0] + 1) * (rows[-1] - rows[0] + 1), rel=0.05)
    assert min(columns[0], rows[0], size[0] - columns[-1], size[1] - rows[-1]) > 4


@pytest.mark.parametrize(("side", "soft"), [(24, True), (200, False)])
def test_a_reference_without_detail_is_said_to_look_soft(side, soft, recwarn):
    rescaled(Image.new("RGB", (side, side), "teal"), SIZE)
    assert [f"{side}x{side}" in str(warning.message) for warning in recwarn] == [True] * soft
