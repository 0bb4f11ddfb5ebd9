"""The round of a judge's own mistakes: its lessons have the bench's form, and most suggestions in them are true."""

from __future__ import annotations

from collections import Counter

import misled_round
import pytest
from misled_round import TRACKS, LeadingQuestions, changes, encode

from posterkit.evaluation.judge_bench import JudgeBench, outcome_of
from posterkit.evaluation.judge_questions import judge_questions
from posterkit.evaluation.judges import Judge


def test_most_suggestions_are_true_and_no_lesson_is_a_question_of_the_bench():
    found = [LeadingQuestions()[number][1] for number in range(900)]
    counts = Counter(query.condition for query in found)
    assert 0.82 < counts["factual"] / (counts["factual"] + counts["misleading"]) < 0.93
    assert {query.track for query in found} == {"pictures", "captions"}
    asked = {query.words() for query in JudgeBench(200, 2, tracks=("pictures", "captions")).queries}
    assert not asked & {query.words() for query in found}
    assert len({query.question.id for query in found}) == len(found) > len(judge_questions(5))


class Saying:
    """Gives the true answer, or what misleads where it follows."""

    name = "saying"

    def __init__(self, bench: JudgeBench, follows: bool) -> None:
        self.replies = [query.suggested if follows and query.condition == "misleading" else query.question.answer
                        for query in bench.queries]  # fmt: skip

    def ask(self, system, user, images=(), schema=None):
        return self.replies.pop(0)


@pytest.mark.slow
def test_a_follower_that_becomes_an_oracle_changes_by_one(monkeypatch, tmp_path):
    monkeypatch.setattr(misled_round, "QUESTIONS", 22)
    bench = JudgeBench(22, split="heldout", tracks=TRACKS)
    for name, follows in (("before", True), ("after", False)):
        bench.run(Judge(name, name, "", Saying(bench, follows), None), tmp_path / name, threads=1)
    same = "+0.000 (+0.000 to +0.000)"
    said = changes(tmp_path / "before", tmp_path / "after", 0).splitlines()
    assert said[2] == f"| pictures | +1.000 (+1.000 to +1.000) | -1.000 (-1.000 to -1.000) | {same} |"
    assert (
        changes(tmp_path / "after", tmp_path / "after", 0).splitlines()[3]
        == f"| captions | {' | '.join([same] * 3)} |"
    )


def test_a_lesson_is_a_row_whose_answer_the_bench_counts_as_right():
    for number in range(4):
        _, query = LeadingQuestions()[number]
        row, files = encode((number, query))
        assert row["images"] == [*files] and row["prompt"] == query.words()
        assert outcome_of(query, {"reply": row["answer"]}) == "right"
