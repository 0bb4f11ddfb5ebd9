"""id_driven with the subject's own pixels."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from posterkit.generate import draw, preserve
from posterkit.generate.maker import PosterMaker
from posterkit.generate.record import request_from_poster
from posterkit.schema import PosterRequest
from posterkit.sizing import Size

RED, BLUE = (200, 30, 40), (20, 40, 180)
SIZE = Size(256, 384)
PHOTOS = Path(__file__).parents[2] / "examples" / "photos"


def bottle(ground: tuple[int, ...] = (0, 0, 0, 0), mode: str = "RGBA") -> Image.Image:
    """A red and blue pill, 60 by 100 pixels, on a ground of 120 by 160."""
    picture = Image.new(mode, (120, 160), ground)
    draw = ImageDraw.Draw(picture)
    draw.rounded_rectangle((30, 30, 89, 129), 20, fill=RED)
    draw.rectangle((30, 80, 89, 109), fill=BLUE)
    return picture


@pytest.fixture(scope="module")
def poster():
    with PosterMaker() as maker:
        yield maker(PosterRequest("on a teal background", task="id_driven", images=[bottle()], size=SIZE, seed=1))


@pytest.mark.slow
def test_the_subjects_colours_stand_on_the_poster_exactly(poster):
    pixels = np.asarray(poster.image).reshape(-1, 3)
    for color in (RED, BLUE):
        # 60 by 100 pixels are scaled up at most twice; the flat inside of each part keeps its colour to the byte
        assert (pixels == color).all(1).sum() > 0.5 * 60 * 30


@pytest.mark.slow
def test_the_ground_is_painted_in_the_named_colour(poster):
    border = np.asarray(poster.image)[:8].reshape(-1, 3).mean(0)
    assert border[0] < 90 and border[1] > 90 and border[2] > 90


@pytest.mark.slow
def test_the_record_makes_the_poster_again(poster, tmp_path):
    bottle().save(tmp_path / "bottle.png")
    with PosterMaker() as maker:
        first = maker(PosterRequest(task="id_driven", images=[tmp_path / "bottle.png"], size=SIZE, seed=3))
        first.save(tmp_path / "poster.png")
        request, settings, _ = request_from_poster(tmp_path / "poster.png")
        assert request.preserve is True and settings.segmenter is None
        assert maker(request).image.tobytes() == first.image.tobytes()


def test_a_mask_is_black_where_the_subject_is():
    mask = Image.new("L", (120, 160), 255)
    mask.paste(0, (30, 80, 90, 110))
    cut = preserve.cut_out(bottle((90, 90, 90), "RGB"), mask)
    assert cut is not None and np.asarray(cut)[15, 30].tolist() == [*BLUE, 255]
    assert abs(cut.width - 60) <= 2 and abs(cut.height - 30) <= 2


def test_a_thing_on_a_plain_ground_is_found():
    cut = preserve.cut_out(bottle((236, 234, 230), "RGB"), None)
    assert cut is not None
    assert abs(cut.width - 60) <= 8 and abs(cut.height - 100) <= 8


def test_a_photograph_without_a_clear_subject_is_framed_whole():
    photo = PHOTOS / "chelsea.jpg"  # a cat's face from edge to edge
    request = PosterRequest(task="id_driven", images=[photo], size=SIZE, seed=1)
    with pytest.warns(UserWarning, match="image 1: no clean outline"):
        studio = preserve.studio_of(request, SIZE, "rules")
    x0, y0, x1, y1 = studio.things.getchannel("A").getbbox()
    assert (x1 - x0) / (y1 - y0) == pytest.approx(451 / 300, rel=0.03)


@pytest.mark.parametrize(("size", "words"), [(Size(832, 1216), "stands small"), (Size(416, 608), None)])
def test_a_subject_that_is_lost_on_its_poster_is_said(size, words, recwarn):
    preserve.studio_of(PosterRequest(task="id_driven", images=[bottle()], seed=1), size, "rules")
    assert [words in str(warning.message) for warning in recwarn] == ([True] if words else [])


def test_a_subject_that_is_enlarged_for_print_is_said_to_look_soft():
    photo = PHOTOS / "chelsea.jpg"
    with pytest.warns(UserWarning, match="no clean outline"), pytest.warns(UserWarning, match="look soft"):
        preserve.studio_of(PosterRequest(task="id_driven", images=[photo], seed=1), Size(1240, 1754), "rules")


@pytest.mark.slow
def test_the_shadow_below_a_subject_lies_over_the_drawing(poster):
    with PosterMaker() as maker:
        prepared = draw.prepare(maker.plan(poster.request))
    assert prepared.shadows.size == SIZE
    _, _, _, foot = prepared.things.getchannel("A").getbbox()
    shade = np.asarray(prepared.shadows.getchannel("A"))[foot]
    darkest = int(shade.argmax())
    assert shade[darkest] > 40
    drawn, finished = (np.asarray(image).astype(float).mean(2)[foot] for image in (poster.drawing, poster.image))
    assert finished[darkest] < drawn[darkest] - 8


def test_a_mask_needs_one_image_that_is_cut_out():
    mask = Image.new("L", (120, 160), 255)
    PosterRequest(task="id_driven", images=[bottle()], mask=mask).check()
    with pytest.raises(ValueError, match="takes no mask"):
        PosterRequest(task="id_driven", images=[bottle(), bottle()], mask=mask).check()
    with pytest.raises(ValueError, match="takes no mask"):
        PosterRequest(task="id_driven", images=[bottle()], mask=mask, preserve=False).check()


def test_tasks_without_pixels_of_their_own_refuse_to_preserve():
    with pytest.raises(ValueError, match="keeps no pixels"):
        PosterRequest(task="style_driven", images=[bottle()], preserve=True).check()


def test_a_figure_with_limbs_is_cut_out_of_a_plain_ground_alone():
    picture = Image.new("RGB", (160, 160), (236, 234, 230))
    draw = ImageDraw.Draw(picture)
    draw.ellipse((55, 40, 105, 130), fill=RED)
    draw.line((62, 70, 20, 40), fill=RED, width=12)
    draw.line((98, 70, 140, 40), fill=RED, width=12)
    cut = preserve.cut_out(picture, None)
    assert cut is not None and abs(cut.width - 130) <= 12 and abs(cut.height - 95) <= 12


def test_of_two_views_of_a_subject_the_first_is_shown_and_two_subjects_stand_side_by_side():
    turned = bottle().rotate(8, Image.Resampling.BICUBIC)
    other = Image.fromarray(np.asarray(bottle())[..., [1, 0, 2, 3]])  # green
    request = PosterRequest(task="id_driven", images=[bottle(), turned], size=SIZE, seed=1)
    with pytest.warns(UserWarning, match="the same subject"):
        one = preserve.studio_of(request, SIZE, "rules")
    x0, y0, x1, y1 = one.things.getchannel("A").getbbox()
    assert (x1 - x0) / (y1 - y0) == pytest.approx(0.6, rel=0.03)
    both = preserve.studio_of(replace(request, images=[bottle(), other]), SIZE, "rules")
    pixels = np.asarray(both.things)
    red, green = pixels[..., 0] > 150, pixels[..., 1] > 150
    assert red.any() and green.any() and np.nonzero(red)[1].max() < np.nonzero(green)[1].min()
