"""Glyph posters: the world of the ablations, and whether its letters are read back."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from glyph_posters import SIZE, GlyphPosters

from posterkit.metrics.glyphs import ALPHABET, CELL, glyph_accuracy, read_glyphs
from posterkit.tasks import TASKS


def title_of(sample, picture=None):
    return read_glyphs(sample.target if picture is None else picture, [line.box for line in sample.texts[0].lines])


def test_every_title_is_read_back_as_it_was_drawn():
    for number in range(60):
        sample = GlyphPosters(seed=3)[number]
        assert title_of(sample) == sample.texts[0].text


def test_letters_two_pixels_beside_their_place_are_read_and_four_beside_are_not():
    samples = [GlyphPosters(seed=3)[number] for number in range(40)]
    for shift, least, most in ((2, 0.99, 1.0), (6, 0.0, 0.6)):
        moved = [np.roll(sample.target, shift, axis=1) for sample in samples]
        found = [
            glyph_accuracy(title_of(s, picture), s.texts[0].text) for s, picture in zip(samples, moved, strict=True)
        ]
        assert least <= np.mean(found) <= most


def test_nothing_is_read_on_a_blank_poster_and_another_title_scores_near_chance():
    samples = [GlyphPosters(seed=3)[number] for number in range(100)]
    blank = np.full((*SIZE[::-1], 3), 90, np.uint8)
    assert title_of(samples[0], blank) == "???"
    strangers = [glyph_accuracy(title_of(a, b.target), a.texts[0].text) for a, b in itertools.pairwise(samples)]
    assert np.mean(strangers) < 0.2  # an eighth where both titles stand at the same end


def test_a_place_of_another_size_is_refused():
    with pytest.raises(ValueError, match="20x28"):
        read_glyphs(np.zeros((96, 64, 3), np.uint8), [(0, 0, 10, 10)])
    with pytest.raises(ValueError, match="2 letters read for 3"):
        glyph_accuracy("AB", "ABC")


@pytest.mark.parametrize("task", TASKS)
def test_a_task_has_what_its_pipeline_takes(task):
    sample = GlyphPosters(tasks=(task,))[5]
    assert sample.task == task and len(sample.references) in TASKS[task].references
    assert sample.target.shape == (96, 64, 3) and sample.target.dtype == np.uint8
    if TASKS[task].needs_mask:
        assert sample.mask is not None
    if sample.placed and task == "extending":
        x0, y0, x1, y1 = sample.placed
        assert np.array_equal(sample.target[y0:y1, x0:x1], sample.references[0])
        assert not sample.mask[y0:y1].any() and sample.mask[:y0].all() and sample.mask[y1:].all()
    assert '"' not in (sample.words or "") or sample.texts[0].text in sample.words


def test_captions_tell_the_letters_as_often_as_asked_and_misread_as_many():
    def told(**kinds):
        return [(s.texts[0].text, s.caption) for s in (GlyphPosters(**kinds)[n] for n in range(300))]

    assert all(f'"{title}"' in caption for title, caption in told())
    share = np.mean([f'"{title}"' in caption for title, caption in told(told=0.3)])
    assert 0.2 < share < 0.4
    quoted = [(title, caption.split('"')[1]) for title, caption in told(wrong=0.25)]
    right = np.mean([a == b for title, said in quoted for a, b in zip(title, said, strict=True)])
    assert abs(right - (0.75 + 0.25 / len(ALPHABET))) < 0.05


def test_a_brand_has_one_look_and_a_bare_poster_no_small_print():
    captions = {GlyphPosters(brand=True)[n].caption.split('"')[0] for n in range(20)}
    assert len(captions) == 1
    assert all(len(GlyphPosters(bare=True)[n].texts) == 1 for n in range(20))
    roles = [[region.role for region in GlyphPosters()[n].regions] for n in range(20)]
    assert ["major", "minor"] in roles and all(found[0] == "major" for found in roles)


def test_splits_and_seeds_share_no_poster_and_a_number_is_always_the_same():
    assert np.array_equal(GlyphPosters(seed=2)[7].target, GlyphPosters(seed=2)[7].target)
    pictures = {GlyphPosters(seed, split=split)[n].target.tobytes()
                for seed in (0, 1) for split in ("train", "heldout") for n in range(25)}  # fmt: skip
    assert len(pictures) == 100
    assert CELL == (20, 28)
