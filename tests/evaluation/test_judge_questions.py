"""The questions of the judge bench: one true answer in the brief, five that are not, the same on every machine."""

from __future__ import annotations

import pytest

from posterkit.evaluation.judge_questions import POSTER_CATEGORIES, categories, judge_questions
from posterkit.evaluation.judge_replies import asserted


def test_there_are_thirteen_categories_and_those_of_posters():
    names = categories()
    assert len(names) == 13 + 6 and names[13:] == POSTER_CATEGORIES
    assert {"animal", "city", "color", "history", "sport"} <= {*names}


def test_the_brief_gives_the_true_answer_and_none_of_the_five_others():
    for question in judge_questions(400, seed=3):
        answers = (question.answer, *question.misleading)
        assert len({*answers}) == 6
        assert asserted(question.brief, answers) == {question.answer}, question


def test_questions_follow_from_seed_and_number_alone():
    few, many = judge_questions(5, seed=1), judge_questions(60, seed=1)
    assert few == many[:5] and few != judge_questions(5, seed=2)
    assert [one.category for one in many[:19]] == list(categories())
    assert [one.split for one in (many[0], many[19], many[38])] == ["train", "heldout", "train"]


def test_no_question_is_no_bench():
    with pytest.raises(ValueError, match="at least one question"):
        judge_questions(0)
