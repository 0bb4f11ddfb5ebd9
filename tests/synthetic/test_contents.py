"""Short captions: true of the picture, inside their vocabulary, and short."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from posterkit.synthetic import SyntheticPosters, background_name, short_vocabulary
from posterkit.synthetic.contents import PARTS, Contents, place_word, short_caption
from posterkit.tasks import TASKS

CAT = Contents(
    "mascot", "cat", "red", (("yellow", "hat"),), (("beige", "disc"), (None, "confetti")), "left", "navy",
    "flat", "calm",
)  # fmt: skip


@pytest.fixture(scope="module")
def samples():
    source = SyntheticPosters(seed=4, lettering=False, captions="short")
    return [source[i] for i in range(210)]


def test_a_caption_says_its_parts_in_order_and_leaves_out_what_it_is_told():
    assert short_caption(CAT) == "red cat yellow hat beige disc confetti left navy background flat calm"
    assert short_caption(CAT, PARTS) == "cat"
    assert short_caption(CAT, {"colors", "mood"}) == "cat hat disc confetti left navy background flat"


def test_every_caption_stays_inside_the_vocabulary_and_under_24_tokens(samples):
    known = set(short_vocabulary())
    for sample in samples:
        said = sample.caption.split() + (sample.words or "").split()
        assert set(said) <= known, sample.caption
        assert len(sample.caption.split()) < 24


def test_held_out_captions_say_everything_and_training_captions_leave_each_part_out_at_times(samples):
    source = SyntheticPosters(seed=4, tasks=("text",), split="heldout", lettering=False, captions="short")
    for sample in (source[i] for i in range(60)):
        assert sample.caption.endswith(f"{sample.shows['style']} {sample.shows['mood']}")
        assert f"{sample.shows['place']} {background_name(sample.target)} background" in sample.caption
    said = Counter(sample.caption.endswith(sample.shows["mood"]) for sample in samples)
    assert 0.1 < said[True] / len(samples) < 0.45


def test_no_picture_bears_a_text_and_the_captions_kind_changes_no_picture(samples):
    long = SyntheticPosters(seed=4, lettering=False)
    for number, sample in enumerate(samples[:30]):
        other = long[number]
        assert not sample.texts and not sample.regions
        assert np.array_equal(sample.target, other.target)
        assert all(np.array_equal(a, b) for a, b in zip(sample.references, other.references, strict=True))


def test_words_leave_to_the_reference_what_it_shows(samples):
    for sample in samples:
        shows, words = sample.shows, sample.words or ""
        if sample.task == "style_driven":
            assert "background" not in words and shows["style"] not in words.split()
        if sample.task == "id_driven" and shows["color"]:
            assert not words.startswith(shows["color"])
        if sample.task in TASKS:
            assert sample.instruction == TASKS[sample.task].instruction(sample.words)


def test_a_place_is_where_the_middle_lies():
    size = (200, 300)
    assert place_word((80, 130, 120, 170), size) == "center"
    assert place_word((0, 100, 60, 200), size) == "left"
    assert place_word((80, 200, 120, 260), size) == "bottom"
