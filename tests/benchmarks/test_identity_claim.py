"""The trial of PVIT's negatives: questions that are kept are the same ones, and its first lessons are true."""

from __future__ import annotations

import identity_claim
import pytest
from identity_claim import SIDE, lesson, questions

from posterkit.datagen.identities import SyntheticIdentities
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
        assert all(image.size == (SIDE, SIDE) for image in one.images) and len(one.images) == one.references + 1
        assert (one.prompt, one.answer, one.negative) == (other.prompt, other.answer, other.negative)
        assert read_answer(other.answer, other) == ("refused" if other.negative else "right")


def test_lessons_without_names_are_true(asked):
    pool, found = SyntheticIdentities(identity_claim.IDENTITIES), set()
    for one, prompt, answer in lesson("same", asked * 3, "a") + lesson("things", asked, "b"):
        number = int(next(word for word in prompt.split() if word.isdigit()))
        assert number - 1 in one.own and not any(name in prompt for name in one.names)
        if prompt.startswith("Is"):
            assert answer == ("yes." if one.negative is None else "no.")
        elif prompt.startswith("Where"):
            assert one.negative is None and f"stands {answer}" in one.answer
        else:
            assert answer == f"{pool.noun(one.identity)}."
        found.add(prompt.split()[0])
    assert found >= {"Is", "What"}
