"""Drafts show what a request asks for, leave room for its title, and bear no lettering."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest
from PIL import Image

from posterkit.metrics.ocr import TextReader
from posterkit.prompts.scene import Scene, read_scene, table
from posterkit.schema import PosterRequest
from posterkit.sizing import Size
from posterkit.synthetic import background_name
from posterkit.synthetic.contents import SUBJECTS, read_contents
from posterkit.synthetic.layouts import title_area
from posterkit.synthetic.palettes import NAMES
from posterkit.synthetic.scene_draft import draft, plan_scene
from posterkit.synthetic.synthetic_poster import motif_area, render

SIZE = Size(208, 304)
EVERY = [subject for names in SUBJECTS.values() for subject in names]
WITHOUT_COLOR = (*SUBJECTS["geometric"], *SUBJECTS["aurora"])


def shown(scene: Scene, seed: int = 0):
    poster = plan_scene(scene, SIZE, seed)
    image = render(poster, SIZE).image
    return read_contents(poster, motif_area(poster, SIZE), SIZE, background_name(image))


@pytest.mark.parametrize("subject", EVERY)
def test_every_subject_that_has_words_is_drawn(subject):
    assert subject in table("subjects")[0].names.values()
    assert shown(Scene(subject)).subject == subject


def test_named_colours_of_subject_and_background_are_drawn():
    rng, right, count = Random(0), 0, 120
    for seed in range(count):
        subject = rng.choice([name for name in EVERY if name not in WITHOUT_COLOR])
        color, background = rng.sample(NAMES, 2)
        found = shown(Scene(subject, color, background=background), seed)
        right += (found.subject, found.color, found.background) == (subject, color, background)
    assert right >= 0.85 * count  # some neighbours, such as black on navy, cannot be told apart


@pytest.mark.parametrize("place", ["left", "right", "top", "bottom", "center"])
def test_the_subject_stands_where_it_is_asked_for(place):
    found = shown(Scene("bottle", place=place)).place
    assert found == place or place == "center"  # with a title above or below, the middle is a little off


@pytest.mark.parametrize(("place", "low", "high"), [(None, 0.45, 1.0), ("right", 0.45, 1.0), ("left", 0.0, 0.55)])
def test_on_a_wide_poster_the_subject_stands_high_beside_the_title(place, low, high):
    size = Size(320, 180)
    x0, y0, x1, y1 = motif_area(plan_scene(Scene("bottle", place=place), size, 1), size)
    assert low * size.width <= x0 < x1 <= high * size.width
    assert y1 - y0 > 0.6 * size.height


def test_the_subject_stands_clear_of_the_title():
    for seed, subject in enumerate(EVERY):
        poster = plan_scene(Scene(subject), SIZE, seed)
        title, motif = title_area(poster.layout, *SIZE), motif_area(poster, SIZE)
        apart = title[3] <= motif[1] or motif[3] <= title[1] or title[2] <= motif[0] or motif[2] <= title[0]
        assert apart, (subject, poster.layout.name)


def test_a_draft_follows_from_request_and_seed_and_is_alike_at_every_size():
    request = PosterRequest("a red fox on teal", texts=["FOX"], size=(208, 304), seed=3)
    small, large = draft(request), draft(request, Size(416, 608))
    assert small.tobytes() == draft(request).tobytes()
    assert (small.size, large.size) == ((208, 304), (416, 608))
    shrunk = np.asarray(large.resize(small.size, Image.Resampling.BOX), dtype=float)
    assert np.abs(shrunk - np.asarray(small, dtype=float)).mean() < 3
    assert draft(PosterRequest("a red fox on teal", size=(208, 304), seed=4)).tobytes() != small.tobytes()


def test_details_and_style_are_drawn():
    scene = read_scene("a penguin with a red scarf on yellow, halftone")
    found = shown(scene)
    assert ("red", "scarf") in found.details
    assert (found.subject, found.background, found.style) == ("penguin", "yellow", "halftone")


def test_quoted_texts_are_left_to_the_typesetter():
    reader = TextReader()
    picture = draft(PosterRequest('a lighthouse at night with the title "NORTH LIGHT"', size=(416, 608)))
    assert [line for line in reader(picture) if line.score > 0.6] == []
