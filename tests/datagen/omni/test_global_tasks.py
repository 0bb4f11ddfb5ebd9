"""References of identity, layout and style from finished posters: alike in one thing, and copies in none."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from omni_posters import COFFEE, NONE, built, scenes
from PIL import Image, ImageOps
from skimage import data

from posterkit import typeset
from posterkit.datagen.engine import Drop
from posterkit.datagen.omni.build import build_task
from posterkit.datagen.omni.cutouts import background_of
from posterkit.datagen.omni.leaks import LEAKED, leaked_share
from posterkit.datagen.omni.portraits import copied_share
from posterkit.datagen.omni.posters import PosterTask
from posterkit.datasets import PosterSample
from posterkit.metrics.arrangement import arrangement_similarity
from posterkit.metrics.color import palette, palette_distance
from posterkit.metrics.text_regions import DetectedText
from posterkit.pipelines.segmenters import Subject
from posterkit.prompts import PosterBrief


@pytest.mark.parametrize("number", range(8))
def test_an_id_reference_is_no_pixel_copy_of_the_target(number):
    made = built("id_driven", number)
    for reference in made.references:
        assert copied_share(reference, made.target) < 0.001
    # nor is it the same pose: the cup does not lie on its like, though it is the same cup
    x0, y0, x1, y1 = COFFEE.subjects[0].box
    cup = np.asarray(COFFEE.picture.crop((x0, y0, x1, y1)).convert("L"), float)
    canvas = made.references[0].astype(float)
    shown = np.abs(canvas - np.median(canvas[:4], axis=(0, 1))).max(2) > 30
    rows, columns = np.flatnonzero(shown.any(1)), np.flatnonzero(shown.any(0))
    crop = Image.fromarray(made.references[0]).crop((int(columns[0]), int(rows[0]), int(columns[-1]), int(rows[-1])))
    again = np.asarray(crop.convert("L").resize(cup.shape[::-1]), float)
    assert np.corrcoef(cup.ravel(), again.ravel())[0, 1] < 0.97
    assert np.abs(cup - again).mean() > 8


def test_a_copy_is_told_from_what_is_no_copy():
    target = COFFEE.pixels
    assert copied_share(target[40:200, 60:260], target) == 1.0
    pasted = np.full((200, 200, 3), 240, np.uint8)
    pasted[50:150, 50:150] = target[60:160, 100:200]
    assert copied_share(pasted, target) > 0.5
    assert copied_share(np.asarray(COFFEE.picture.rotate(9)), target) < 0.001
    assert copied_share((target * 0.9).astype(np.uint8), target) < 0.001
    assert copied_share(np.full((64, 64, 3), 200, np.uint8), target) == 0.0


def test_each_subject_of_a_poster_is_a_reference_of_its_own():
    second = np.zeros((448, 320), np.uint8)
    second[240:300, 220:300] = 255
    poster = replace(COFFEE, subjects=(*COFFEE.subjects, Subject(second, (220, 240, 300, 300))))
    made = built("id_driven", 1, poster)
    assert len(made.references) == 2 and made.references[0].shape == made.references[1].shape


@pytest.mark.slow
def test_a_layout_reference_has_the_arrangement_and_neither_content_nor_colours():
    made = [built("layout_driven", number) for number in range(12)]
    ways = {sample.judged["references"]["said"] for sample in made}
    assert ways == {"wireframe", "re-rendered in other colours"}
    other = np.asarray(
        typeset(Image.new("RGB", (320, 448), "teal"), PosterBrief(texts=["JAZZ"]), archetype="top-stack").image
    )
    for sample in made:
        reference = sample.references[0]
        assert reference.shape == sample.target.shape
        if sample.judged["references"]["said"] != "wireframe":
            assert arrangement_similarity(reference, sample.target) > arrangement_similarity(other, sample.target)
            assert palette_distance(palette(reference), palette(sample.target)) > 12
        assert copied_share(reference, sample.target) < 0.001


def test_small_print_does_not_keep_a_poster_from_being_re_rendered():
    fine = replace(COFFEE, texts=(*(COFFEE.texts or ()), DetectedText("by nobody", (5, 440, 60, 445), "minor")))
    assert all(built("layout_driven", number, fine).references for number in range(6))
    tiny = replace(COFFEE, texts=(DetectedText("TITLE", (5, 440, 60, 445), "major"),))
    made = [build_task(PosterTask(number, "layout_driven", tiny), 0, lambda: NONE) for number in range(8)]
    assert {one.reason for one in made if isinstance(one, Drop)} == {"texts too small"}


def test_a_wireframe_shows_blocks_where_subject_and_texts_stand():
    number = next(n for n in range(12) if built("layout_driven", n).judged["references"]["said"] == "wireframe")
    reference = built("layout_driven", number).references[0]
    for text in COFFEE.texts or ():
        x0, y0, x1, y1 = text.box
        assert len(np.unique(reference[y0:y1, x0:x1].reshape(-1, 3), axis=0)) == 1
        assert reference[y0, x0, 0] == (96 if text.role == "major" else 140)
    assert reference[130, 160, 0] == 176 and reference[2, 2, 0] == 252


@pytest.mark.parametrize("number", range(4))
def test_a_style_reference_has_the_colours_and_another_picture(number):
    made = built("style_driven", number)
    stranger = ImageOps.fit(Image.fromarray(data.rocket()), (320, 448))
    own, target = palette(made.references[0]), palette(made.target)
    assert palette_distance(own, target) < palette_distance(palette(np.asarray(stranger)), target)
    assert copied_share(made.references[0], made.target) < 0.02


BOXES = [part.box for part in (*(COFFEE.texts or ()), *COFFEE.subjects)]


@pytest.mark.parametrize("other", [None, *scenes()], ids=["alone", "cat", "astronaut"])
@pytest.mark.parametrize("task", ["layout_driven", "style_driven"])
def test_no_reference_of_layout_or_style_shows_the_targets_scene(task, other):
    for number in range(4):
        made = build_task(PosterTask(number, task, COFFEE, other), 0, lambda: NONE)
        assert isinstance(made, PosterSample)
        assert leaked_share(made.references[0], made.target, BOXES) <= LEAKED


@pytest.mark.slow
def test_the_targets_own_scene_is_a_leak_mirrored_recoloured_cropped_or_at_another_size():
    cat, target = scenes()
    ground = background_of(target, NONE, 0)
    hidden = [part.box for part in (*(target.texts or ()), *target.subjects)]
    for shown in (
        ImageOps.mirror(ground),
        ImageOps.colorize(ground.convert("L"), "navy", "orange"),
        ground.crop((0, 20, 320, 440)),
        ImageOps.mirror(ground).resize((400, 560)),
    ):
        assert leaked_share(np.asarray(shown), target.pixels, hidden) > LEAKED
    for stranger in (cat, COFFEE):
        assert leaked_share(stranger.pixels, target.pixels, hidden) <= LEAKED
