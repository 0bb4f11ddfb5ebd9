"""The trial of PVIT's negatives: questions that are kept are the same ones, and its first lessons are true."""

from __future__ import annotations

import re

import identity_claim
import pytest
from identity_claim import POSTER, SIDE, questions, sight, spoken

from posterkit.datagen.identities import SyntheticIdentities
from posterkit.datagen.identity_questions import PLACES
from posterkit.evaluation.identity_bench import read_answer


@pytest.fixture
def asked(monkeypatch, tmp_path):
    monkeypatch.setattr(identity_claim, "RUNS", tmp_path)
    return questions(True, 24)


def test_kept_questions_are_the_drawn_ones(asked, monkeypatch):
    monkeypatch.setattr(identity_claim, "IdentityQuestions", lambda *args, **others: None)  # nothing is drawn again
    again = questions(True, 24)
    assert [one.id for one in again] == [one.id for one in asked]
    for one, other in zip(asked, again, strict=True):
        assert [image.tobytes() for image in one.images] == [image.tobytes() for image in other.images]
        sides = [image.size for image in one.images]
        assert sides == [(SIDE, SIDE)] * one.references + [(POSTER, POSTER)]
        assert (one.prompt, one.answer, one.negative) == (other.prompt, other.answer, other.negative)
        for said in (other.answer, spoken(other)):
            assert read_answer(said, other) == ("refused" if other.negative else "right")


@pytest.mark.parametrize("split", ["train", "heldout"])
def test_lessons_are_true_and_name_nothing_that_is_not_there(split):
    answers = set()
    for number in range(30):
        images, kinds = sight(number, split)
        listed, _, on_poster = kinds["listed"][1].partition(" Poster: ")
        nouns = re.findall(r"\d ([^.]+)\.", listed)
        there = dict(re.fullmatch(r"(.+?) ((?:on|in|at) .+)", part).groups()
                     for part in on_poster.rstrip(".").split(", ") if part)  # fmt: skip
        assert len(nouns) == len(images) - 1 <= 4 and len(there) <= 2 and {*there.values()} <= {*PLACES}
        matched = re.findall(r"\d ([^.]+)\.", kinds["matched"][1])
        assert matched == [f"{noun} {there.get(noun, 'no')}" for noun in nouns]
        asked, answer = kinds["named"]
        names = re.findall(r"shows (\w+)\.", asked)
        assert answer == " ".join(dict.fromkeys(f"{n}, {noun}." for n, noun in zip(names, nouns, strict=True)))
        assert not any(name in text for name in names for kind in ("listed", "matched") for text in kinds[kind])
        answers.update(said.removeprefix(f"{noun} ") for said, noun in zip(matched, nouns, strict=True))
    assert {"no", "in the middle"} < answers


def test_lessons_show_none_of_the_identities_of_the_arms(monkeypatch):
    made = []
    monkeypatch.setattr(identity_claim, "SyntheticIdentities", lambda *of, **seed: made.append((of, seed)) or
                        SyntheticIdentities(*of, **seed))  # fmt: skip
    sight(0)
    assert made == [((2**20,), {"seed": 1})]
