"""Questions about a poster's brief whose answers no picture decides, with five answers that mislead (CorrelationQA).

    for question in judge_questions(40, seed=0):
        print(question.brief, question.text, question.answer, question.misleading)

CorrelationQA (arXiv 2402.03757) shows a question with a picture of its answer or of one of five wrong ones; a model
that follows the picture answers worse. Here the answer stands in the brief, so that no knowledge is needed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from random import Random

from posterkit.documents import table_lines
from posterkit.evaluation.judge_replies import asserted

POSTER_CATEGORIES = ("price", "date", "venue", "sponsor", "age", "language")
MISLEADING = 5
_OTHERS = 3  # facts in a brief that the question does not ask for
_EVENTS = ("Summer Fair", "Open Evening", "Harbor Days", "Winter Gala", "Street Party", "Culture Night", "Science Day")


@dataclass(frozen=True)
class JudgeQuestion:
    """A question that the brief answers."""

    id: str  # the same for the same seed and number
    category: str  # one of `categories()`
    brief: str  # what the poster is for; one of its sentences answers the question
    text: str
    answer: str  # the true one
    misleading: tuple[str, ...]  # five others of its kind
    shows: tuple[tuple[str, str], ...]  # what a picture shows of an answer, where that is not the answer's own word
    split: str  # "train" or "heldout"; a judge that learns from one half is measured on the other

    def shown(self, answer: str) -> str:
        """The letters that a picture shows for an answer."""
        return dict(self.shows).get(answer, answer)


@dataclass(frozen=True)
class _Row:
    category: str
    question: str
    statement: str
    answers: tuple[str, ...]
    shows: tuple[tuple[str, str], ...]


def categories() -> tuple[str, ...]:
    """The thirteen categories, then those of posters."""
    return tuple(dict.fromkeys(row.category for row in _rows()))


def judge_questions(count: int, seed: int = 0) -> list[JudgeQuestion]:
    """The first questions of a series, the categories in turn.

    Raises:
        ValueError: count is not positive.
    """
    if count < 1:
        raise ValueError(f"a bench needs at least one question, got {count}")
    return [_question(number, seed) for number in range(count)]


def _question(number: int, seed: int) -> JudgeQuestion:
    names, rng = categories(), Random(f"{seed} judge question {number}")
    category = names[number % len(names)]
    row = rng.choice([one for one in _rows() if one.category == category])
    answer, *misleading = rng.sample(row.answers, 1 + MISLEADING)
    facts = [row.statement.format(answer)]
    for other in rng.sample([one for one in _rows() if one.category != category], len(_rows()) - 2):
        fact = other.statement.format(rng.choice(other.answers))
        if len(facts) <= _OTHERS and not asserted(fact, row.answers):
            facts.append(fact)
    rng.shuffle(facts)
    brief = f"A poster for the {rng.choice(_EVENTS)}. {' '.join(facts)}"
    split = ("train", "heldout")[number // len(names) % 2]
    return JudgeQuestion(
        f"q{seed}-{number:05d}", category, brief, row.question, answer, tuple(misleading), row.shows, split
    )


@cache
def _rows() -> Sequence[_Row]:
    rows = []
    for line in table_lines(Path(__file__).with_name("judge_questions.txt")):
        category, question, statement, answers = (part.strip() for part in line.split("|"))
        words = [tuple(one.strip().split("=")) for one in answers.split(";")]
        shows = tuple((word[0], word[1]) for word in words if len(word) == 2)
        rows.append(_Row(category, question, statement, tuple(word[0] for word in words), shows))
    return rows
