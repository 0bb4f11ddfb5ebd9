"""The round of a judge's own mistakes: its lessons have the bench's form, and most suggestions in them are true."""

from __future__ import annotations

from collections import Counter

from misled_round import LeadingQuestions, encode

from posterkit.evaluation.judge_bench import JudgeBench, outcome_of
from posterkit.evaluation.judge_questions import judge_questions


def test_most_suggestions_are_true_and_no_lesson_is_a_question_of_the_bench():
    found = [LeadingQuestions()[number][1] for number in range(900)]
    counts = Counter(query.condition for query in found)
    assert 0.82 < counts["factual"] / (counts["factual"] + counts["misleading"]) < 0.93
    assert {query.track for query in found} == {"pictures", "captions"}
    asked = {query.words() for query in JudgeBench(200, 2, tracks=("pictures", "captions")).queries}
    assert not asked & {query.words() for query in found}
    assert len({query.question.id for query in found}) == len(found) > len(judge_questions(5))


def test_a_lesson_is_a_row_whose_answer_the_bench_counts_as_right():
    for number in range(4):
        _, query = LeadingQuestions()[number]
        row, files = encode((number, query))
        assert row["images"] == [*files] and row["prompt"] == query.words()
        assert outcome_of(query, {"reply": row["answer"]}) == "right"
