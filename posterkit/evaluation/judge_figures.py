"""The figures of the judge bench: accuracies and how often a suggestion is followed, shifts of scores, rank flips."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from posterkit.evaluation.judge_questions import JudgeQuestion
from posterkit.evaluation.judge_replies import Outcome
from posterkit.evaluation.statistics import cluster_bootstrap

CONDITIONS = ("none", "neutral", "factual", "misleading")
Statistic = Callable[[np.ndarray], float]
Judged = tuple[JudgeQuestion, str, Outcome]  # a question, the condition, the outcome
Figure = dict[str, Any] | None  # mean, low, high, count; None where there is nothing to measure


def answer_figures(rows: Sequence[Judged]) -> dict[str, Any]:
    """Figures of replies, with 95 % intervals from drawing whole questions.

    Failed rows count nowhere but in `outcomes`; a refusal and an ambiguous reply are not right.

    Args:
        rows: question, condition and outcome.

    Returns:
        `acc_none` (without a picture; of captions with a neutral picture and no caption), `acc_neutral`, `factual`,
        `spurious`: shares of right answers; `drop` = factual - spurious, `harm` = acc_none - spurious, `follow`: the
        share of misleading rows that were answered as suggested; `outcomes`: how many rows there are of each.
    """
    numbers = {name: number for number, name in enumerate(dict.fromkeys(question.id for question, _, _ in rows))}
    right, followed, answered = (np.zeros((len(numbers), len(CONDITIONS))) for _ in range(3))
    for question, condition, outcome in rows:
        place = numbers[question.id], CONDITIONS.index(condition)
        right[place] += outcome == "right"
        followed[place] += outcome == "followed"
        answered[place] += outcome != "failed"
    alone = 0 if answered[:, 0].any() else 1

    def share(of: np.ndarray, condition: int) -> Statistic:
        return lambda drawn: _ratio(of[drawn, condition].sum(), answered[drawn, condition].sum())

    none, neutral, factual, spurious = (share(right, number) for number in (alone, 1, 2, 3))
    statistics = {
        "acc_none": none, "acc_neutral": neutral, "factual": factual, "spurious": spurious,
        "drop": lambda drawn: factual(drawn) - spurious(drawn), "harm": lambda drawn: none(drawn) - spurious(drawn),
        "follow": share(followed, 3),
    }  # fmt: skip
    return {**_figures(len(numbers), statistics), "outcomes": dict(Counter(outcome for _, _, outcome in rows))}


def shift_figures(values: Sequence[Sequence[float | None]], grounds: Sequence[str]) -> dict[str, Any]:
    """How scores move with the ground, with 95 % intervals from drawing whole posters.

    Args:
        values: scores of each poster on each ground, the first of which is the plain one; None where it failed.

    Returns:
        `shift` and `shift_p95`: mean and 95th percentile of |score - score on the plain ground|; `lift`: the mean of
        the difference itself; `flips`: of the pairs of posters whose scores differ on the plain ground, the share
        that another ground reverses; `tau`: Kendall's tau-b of both orders, mean over grounds; `by_ground`: the
        shift on each.
    """
    scores = np.array([[np.nan if one is None else one for one in row] for row in values], float)
    moved = scores[:, 1:] - scores[:, :1]

    def of_moves(statistic: Callable[[np.ndarray], float], columns: slice | int = slice(None)) -> Any:
        def found(drawn: np.ndarray) -> float:
            known = moved[drawn][:, columns].ravel()
            known = known[~np.isnan(known)]
            return float(statistic(known)) if known.size else float("nan")

        return found

    statistics = {
        "shift": of_moves(lambda known: np.abs(known).mean()),
        "shift_p95": of_moves(lambda known: np.quantile(np.abs(known), 0.95)),
        "lift": of_moves(np.mean),
        "flips": lambda drawn: _flips(scores[drawn]),
        "tau": lambda drawn: _tau(scores[drawn]),
    }
    by_ground = {ground: of_moves(lambda known: np.abs(known).mean(), number) for number, ground in
                 enumerate(grounds[1:])}  # fmt: skip
    return {**_figures(len(scores), statistics), "by_ground": _figures(len(scores), by_ground)}


def _figures(clusters: int, statistics: dict[str, Statistic]) -> dict[str, Figure]:
    return {name: figure(clusters, statistic) for name, statistic in statistics.items()}


def figure(clusters: int, statistic: Statistic) -> Figure:
    """`cluster_bootstrap` as plain values, rounded to what they mean."""
    found = cluster_bootstrap(clusters, statistic)
    return None if found is None else {name: round(value, 4) for name, value in asdict(found).items()}


def _ratio(part: float, whole: float) -> float:
    return float(part / whole) if whole else float("nan")


def _flips(scores: np.ndarray) -> float:
    """Of the ordered pairs on the first ground, and of all other grounds, the share in reverse order."""
    before = np.sign(scores[:, None, 0] - scores[None, :, 0])
    after = np.sign(scores[:, None, 1:] - scores[None, :, 1:])
    known = ~np.isnan(after) & ~np.isnan(before)[..., None] & (before != 0)[..., None]
    return _ratio((known & (after == -before[..., None])).sum(), known.sum())


def _tau(scores: np.ndarray) -> float:
    """Kendall's tau-b of the first ground's order with each other's; the mean of those that have an order at all."""
    found = []
    for column in scores[:, 1:].T:
        known = ~np.isnan(column) & ~np.isnan(scores[:, 0])
        # by all pairs: scipy's kendalltau takes several times as long, and a bootstrap asks a thousand times
        x, y = (np.sign(np.subtract.outer(one, one)) for one in (scores[known, 0], column[known]))
        if untied := np.count_nonzero(x) * np.count_nonzero(y):
            found.append((x * y).sum() / math.sqrt(untied))
    return float(np.mean(found)) if found else float("nan")
