"""Identities and questions about them: splits that share nothing, negatives, order of pictures, folders."""

from __future__ import annotations

import re
from collections import Counter
from functools import partial
from random import Random

import numpy as np
import pytest
from PIL import Image, ImageDraw

from posterkit.datagen.critique_pairs import CriticPosters
from posterkit.datagen.identities import KINDS, FolderIdentities, SyntheticIdentities, likeness, split_of
from posterkit.datagen.identity_questions import (
    NEGATIVES,
    QUESTIONS,
    UNKNOWN,
    IdentityQuestions,
    as_sample,
    encode_question,
    names_of,
)
from posterkit.datagen.poster_questions import PosterQuestions
from posterkit.evaluation.identity_bench import IdentityBench
from posterkit.sizing import Size

SMALL = Size(96, 144)


@pytest.fixture(scope="module")
def asked():
    source = IdentityQuestions(SyntheticIdentities(24), 1, SMALL)
    return [source[number] for number in range(96)]


def test_names_and_identities_of_the_splits_are_apart_and_syllables_are_shared(asked):
    train, heldout = names_of("train"), names_of("heldout")
    assert not set(train) & set(heldout) and len(heldout) >= 40
    assert {name[:3] for name in train} == {name[:3] for name in heldout}
    assert {name[3:] for name in train} == {name[3:] for name in heldout}
    for one in asked:
        assert split_of(one.identity) == one.split
        assert set(one.names) <= set(names_of(one.split))


def test_every_kind_of_question_and_of_negative_comes(asked):
    assert {one.question for one in asked} == set(QUESTIONS)
    assert {one.negative for one in asked} == {None, *NEGATIVES}
    share = np.mean([one.negative is not None for one in asked])
    assert 0.25 < share < 0.55
    assert {one.kind for one in asked} == set(KINDS)


def test_pictures_come_in_the_order_of_the_prompt_and_the_poster_last(asked):
    for one in asked:
        said = [int(n) for part in re.findall(r"Pictures? ([\d, and]+) shows? ", one.prompt)
                for n in re.findall(r"\d+", part)]  # fmt: skip
        assert said == [*range(1, one.references + 1)]
        assert one.images[-1].size == tuple(SMALL)
    assert Counter(one.references for one in asked).keys() == {1, 2, 3, 4}


def test_a_negative_says_why_and_an_answerable_question_has_its_box(asked):
    for one in asked:
        name = one.names[-1]
        introduced = re.search(rf"shows? {name}\.", one.prompt) is not None
        assert introduced == (one.negative != "unknown")
        assert (one.box is None) == (one.negative is not None)
        if one.negative == "unknown":
            assert one.answer == UNKNOWN.format(name=name)
        if one.negative == "swapped":
            assert len(set(one.names)) > 1
        if one.negative is None:
            assert "<name>" in one.caption and one.caption.count("<name>") == 1
            assert one.question == "choice" or name in one.answer


def test_too_few_negatives_are_refused_without_a_word_of_the_users():
    with pytest.raises(ValueError, match=r"negatives 0: at least 0\.25"):
        IdentityQuestions(SyntheticIdentities(8), negatives=0)
    source = IdentityQuestions(SyntheticIdentities(8), 0, SMALL, 0, careless=True)
    assert all(source[number].negative is None for number in range(12))


@pytest.mark.parametrize(
    "source", [partial(IdentityQuestions, SyntheticIdentities(8)), PosterQuestions, CriticPosters]
)
def test_posters_that_nobody_can_read_are_refused(source):
    with pytest.raises(ValueError, match="posters of 48x72 pixels: nobody reads their letters"):
        source(0, Size(48, 72))


def test_a_question_is_the_same_twice():
    first, second = (IdentityQuestions(SyntheticIdentities(24), 1, SMALL)[7] for _ in range(2))
    assert first.prompt == second.prompt and first.answer == second.answer
    assert all(a.tobytes() == b.tobytes() for a, b in zip(first.images, second.images, strict=True))


def test_a_lookalike_has_other_colours_than_the_thing_in_another_pose():
    pool = SyntheticIdentities(12)
    for number in range(6):
        own = pool.cutout(number, Random(1))
        again = likeness(own, pool.cutout(number, Random(2)))
        assert again > likeness(own, pool.lookalike(number, Random(3)))


def test_records_feed_id_driven_with_the_trigger_in_the_names_place(asked):
    one = next(one for one in asked if one.negative is None and len(one.names) == 1)
    sample = as_sample(one, "sks thing")
    assert sample is not None and sample.task == "id_driven" and len(sample.references) == one.references
    assert "sks thing, " in sample.caption and "<name>" not in sample.caption and one.names[-1] not in sample.caption
    assert as_sample(next(one for one in asked if one.negative)) is None


def test_a_row_names_its_pictures_in_order(asked):
    row, files = encode_question(asked[5])
    assert row["images"] == list(files) and len(files) == asked[5].references + 1
    assert row["consent"] == "synthetic" and row["licence"] == "CC0-1.0"


def photo(path, color, ground=(235, 232, 226), shape="ellipse", at=(0, 0)):
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.new("RGB", (240, 240), ground)
    box = (70 + at[0], 60 + at[1], 170 + at[0], 180 + at[1])
    getattr(ImageDraw.Draw(image), shape)(box, fill=color)
    image.save(path)


def test_a_folder_of_photographs_becomes_identities_and_what_is_not_taken_is_named(tmp_path):
    for number in range(3):
        photo(tmp_path / "mug" / f"{number}.png", (190, 40, 40), at=(8 * number, 0))
        photo(tmp_path / "lamp" / f"{number}.png", (30, 90, 190), at=(0, 6 * number))
        photo(tmp_path / "mixed" / f"{number}.png", ((40, 150, 60), (230, 180, 40), (40, 150, 60))[number])
    photo(tmp_path / "single" / "0.png", (90, 30, 120))
    Image.new("RGB", (240, 240), (200, 200, 200)).save(tmp_path / "mug" / "blank.png")
    photo(tmp_path / "loose.png", (0, 0, 0))
    with pytest.warns(UserWarning):
        pool = FolderIdentities(tmp_path)
    assert [name for name, _ in pool.kept] == ["lamp", "mug"]
    assert "different things under one name" in pool.dropped["mixed/"]
    assert "1 usable pictures of 1" in pool.dropped["single/"]
    assert "blank.png" in pool.dropped and "lies in no sub-folder" in pool.dropped["loose.png"]
    one = next(one for one in map(IdentityQuestions(pool, 0, SMALL).__getitem__, range(40)) if one.box)
    assert one.kind == "product" and one.images[-1].size == tuple(SMALL)


def test_persons_need_a_consent_and_a_folder_without_identities_is_refused(tmp_path):
    photo(tmp_path / "ann" / "0.png", (190, 40, 40))
    with pytest.raises(ValueError, match="need their consent"):
        FolderIdentities(tmp_path, "person")
    with pytest.raises(ValueError, match="holds no identity: ann/: 1 usable pictures of 1"):
        FolderIdentities(tmp_path, "person", "signed")


def test_a_bench_of_other_photographs_is_another_bench(tmp_path):
    made = []
    for name, step in (("a", 6), ("b", 7)):
        for number in range(3):
            photo(tmp_path / name / "mug" / f"{number}.png", (190, 40, 40), at=(step * number, number))
        made.append(IdentityBench(FolderIdentities(tmp_path / name), 1).settings)
    assert made[0]["pictures"] != made[1]["pictures"]
    assert made[0] == IdentityBench(FolderIdentities(tmp_path / "a"), 1).settings
