"""Extending, filling and rescaling from finished posters: what goes in, and what must come out untouched."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import numpy as np
import pytest
from omni_posters import COFFEE, NONE, built
from PIL import Image
from skimage.feature import match_template

from posterkit.datagen.engine import Drop
from posterkit.datagen.omni.build import BUILDERS, build_task
from posterkit.datagen.omni.posters import CannotBuild, PosterTask
from posterkit.datagen.omni.rearrangement import rearranged
from posterkit.metrics.text_regions import DetectedText
from posterkit.prompts import quoted_texts
from posterkit.sizing import Size
from posterkit.tasks import BLANK, TASKS, place


@pytest.mark.parametrize("task", list(TASKS))
def test_the_target_is_the_finished_poster_byte_for_byte(task):
    made = built(task)
    assert (made.target == COFFEE.pixels).all() and made.caption == COFFEE.caption
    assert made.instruction == TASKS[task].instruction(made.words)
    assert len(made.references) in TASKS[task].references
    assert [(text.text, text.box) for text in made.texts] == [(text.text, text.box) for text in COFFEE.texts or ()]
    assert made.judged["references"]["said"]


@pytest.mark.parametrize("number", range(12))
def test_extending_keeps_the_whole_subject_in_the_crop(number):
    made = built("extending", number)
    x0, y0, x1, y1 = made.placed or (0, 0, 0, 0)
    a, b, c, d = COFFEE.subjects[0].box
    assert x0 <= a and y0 <= b and x1 >= c and y1 >= d
    assert (made.references[0] == COFFEE.pixels[y0:y1, x0:x1]).all()
    assert made.mask is not None and (made.mask[y0:y1, x0:x1] == 0).all()
    assert np.count_nonzero(made.mask == 0) == (x1 - x0) * (y1 - y0) < 0.86 * made.mask.size


@pytest.mark.parametrize("number", range(12))
def test_filling_blanks_what_the_mask_covers_and_nothing_else(number):
    made = built("filling", number)
    assert made.mask is not None and 0.03 <= (made.mask > 0).mean() <= 0.45
    hole = made.mask == 255
    assert (made.references[0][hole] == BLANK).all()
    assert (made.references[0][~hole] == COFFEE.pixels[~hole]).all()
    # the pipeline lays the pair out as it would lay out the untouched poster: nothing else is lost
    mask, size = Image.fromarray(made.mask), Size(320, 448)
    ours, _ = place(TASKS["filling"], [Image.fromarray(made.references[0])], size, mask)
    whole, _ = place(TASKS["filling"], [COFFEE.picture], size, mask)
    assert (np.asarray(ours[0]) == np.asarray(whole[0])).all()


def test_filling_erases_subjects_texts_and_areas_and_says_what_stood_there():
    made = {built("filling", number).judged["references"]["said"]: built("filling", number) for number in range(40)}
    assert set(made) == {"erased subject", "erased text", "erased area"}
    subject = made["erased subject"]
    assert subject.mask is not None and (subject.mask[COFFEE.subjects[0].mask > 0] == 255).all()
    assert subject.words == "A cup of coffee on a red saucer."
    (quoted,) = quoted_texts(made["erased text"].instruction)
    (text,) = [text for text in COFFEE.texts or () if text.text == quoted]
    x0, y0, x1, y1 = text.box
    assert (made["erased text"].mask[y0:y1, x0:x1] == 255).all()


@pytest.mark.parametrize("number", range(6))
def test_rescaling_shows_the_poster_in_another_shape(number):
    made = built("rescaling", number)
    h, w = made.references[0].shape[:2]
    assert abs(np.log((w / h) / (320 / 448))) > 0.2 and 0.8 < w * h / (320 * 448) < 1.2
    # the cup was moved, not stretched: at one scale alike in both directions it is found again
    cup = np.asarray(COFFEE.picture.convert("L"))[70:190, 90:230]
    canvas = np.asarray(Image.fromarray(made.references[0]).convert("L").reduce(2))
    scores = []
    for scale in np.linspace(0.3, 1.45, 24):
        piece = np.asarray(Image.fromarray(cup).resize((round(70 * scale), round(60 * scale))))
        if piece.shape[0] < canvas.shape[0] and piece.shape[1] < canvas.shape[1]:
            scores.append(float(match_template(canvas, piece).max()))
    assert max(scores) > 0.9


def test_parts_never_leave_the_canvas_or_meet_and_texts_keep_their_order():
    rng = Random(0)
    old = Size(400, 600)
    tried = 0
    for _ in range(300):
        new = Size(rng.randrange(300, 800), rng.randrange(300, 800))
        subject = (rng.randrange(20, 100), rng.randrange(200, 260), rng.randrange(200, 380), rng.randrange(300, 420))
        texts = [
            (30, 30, 30 + rng.randrange(60, 340), 90),
            (30, 110, 30 + rng.randrange(60, 300), 135),
            (40, 520, 200, 545),
        ]
        try:
            made = rearranged(old, new, [subject], texts, rng)
        except CannotBuild:
            continue
        tried += 1
        boxes = [*made.subjects, *made.texts]
        for n, (x0, y0, x1, y1) in enumerate(boxes):
            assert 0 <= x0 < x1 <= new.width and 0 <= y0 < y1 <= new.height
            for a, b, c, d in boxes[:n]:
                assert x1 <= a or c <= x0 or y1 <= b or d <= y0
        tops = [box[1] for box in made.texts]
        assert tops == sorted(tops)
        (x0, y0, x1, y1), (a, b, c, d) = made.subjects[0], subject
        assert (x1 - x0) / (c - a) == pytest.approx((y1 - y0) / (d - b), abs=0.03)
    assert tried > 200


def test_a_subject_that_runs_off_two_opposite_sides_cannot_be_rearranged():
    with pytest.raises(CannotBuild):
        rearranged(Size(400, 600), Size(600, 400), [(0, 200, 400, 400)], [], Random(0))
    made = rearranged(Size(400, 600), Size(600, 400), [(100, 300, 300, 600)], [(20, 20, 200, 60)], Random(0))
    assert made.subjects[0][3] == 400  # what ran off the lower side runs off it again


def cut(box, hole: np.ndarray) -> bool:
    """Whether an area takes a part of a box and not the whole."""
    share = hole[box[1] : box[3], box[0] : box[2]].mean()
    return bool(0 < share < 1)


@pytest.mark.parametrize("task", ["filling", "extending"])
def test_no_text_is_cut_and_every_text_in_the_hole_is_named(task):
    named = 0
    for number in range(40):
        made = build_task(PosterTask(number, task, COFFEE), 0, lambda: NONE)
        if isinstance(made, Drop):
            continue
        assert made.mask is not None
        hole, quoted = made.mask > 0, quoted_texts(made.instruction)
        for text in COFFEE.texts or ():
            assert not cut(text.box, hole), (number, text)
            inside = bool(hole[text.box[1] : text.box[3], text.box[0] : text.box[2]].any())
            assert (text.text in quoted) == inside, (number, made.instruction)
            named += inside
    assert named > 10


def test_a_rearranged_poster_that_does_not_read_as_the_poster_does_is_dropped():
    broken = replace(
        COFFEE, texts=(*(COFFEE.texts or ()), DetectedText("NOT THERE AT ALL", (20, 250, 300, 280), "major"))
    )
    made = [build_task(PosterTask(number, "rescaling", broken), 0, lambda: NONE) for number in range(3)]
    assert {one.reason for one in made if isinstance(one, Drop)} == {"texts damaged"}


def test_every_task_has_a_builder():
    assert list(BUILDERS) == list(TASKS)
