"""What a planner's reasoning is worth: how well its executor does with it, and what it adds (TraceLift).

A verifier gives the share of checks that pass. Uplift is what the same executor, on the same seeds, does better with
the reasoning than without. The rubric's score counts only as far as the reasoning helps: a phrase that sounds well and
helps nobody earns nothing.
"""

# pyright: standard
from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from posterkit.layout.reasoning import coordinates_in, read_reasoning

Mode = Literal["exec_only", "reason_only", "tracelift", "tracelift_code"]
DIMENSIONS = ("brief_understanding", "hierarchy_quality", "step_coherence", "layout_support", "non_leakage")
BEST = 4  # of a rubric's label, from 0
SEEDS = 3  # of the executor's runs with and without the reasoning
NO_RUBRIC = 0.5  # where the rubric's model fails
TIES = {0: 0.0, 1: 0.5, 2: 2 / 3, 3: 1.0}  # the coefficient where as many runs pass with as without
RAN = {"ran": 0.2, "failed": 0.05, "none": 0.0}  # of an execution: it came out, it broke on the way, nothing to run


@dataclass(frozen=True)
class Execution:
    """What came of one run of an executor.

    Attributes:
        passed, total: checks of the verifier.
        outcome: "ran", "failed" on the way, or "none" where there was nothing to run.
    """

    passed: int
    total: int
    outcome: Literal["ran", "failed", "none"] = "ran"

    @property
    def rate(self) -> float:
        return self.passed / self.total if self.total else 0.0

    @property
    def whole(self) -> bool:
        """Every check passes."""
        return self.outcome == "ran" and self.total > 0 and self.passed == self.total


@dataclass(frozen=True)
class PlanReward:
    """A reward and what it is made of, for logs."""

    final: float
    e2e: float
    with_rate: float
    base_rate: float
    rubric: float

    @property
    def uplift(self) -> float:
        return self.with_rate - self.base_rate


def tracelift(e2e: float, uplift: float, rubric: float) -> float:
    """0.5 e2e + 0.5 clip(rubric, 0, 1) uplift: the published form for mathematics."""
    return 0.5 * e2e + 0.5 * _clip(rubric) * uplift


def pass_coefficient(passed_with: int, passed_without: int, ties: Mapping[int, float] = TIES) -> float:
    """+1 where more runs pass whole with the reasoning than without, -1 where fewer do; a tie by how many pass."""
    if passed_with != passed_without:
        return 1.0 if passed_with > passed_without else -1.0
    return ties[passed_with]


def execution_score(one: Execution) -> float:
    """0.8 of the share of checks that pass, and up to 0.2 for having run at all."""
    return 0.8 * one.rate + RAN[one.outcome]


def tracelift_code(first: Execution, passed_with: int, passed_without: int, rubric: float) -> float:
    """clip(exec + 0.2 clip(rubric, 0, 1) coefficient, 0, 1): the published form for code.

    Where the first run passes whole the bonus is lost to the clip.
    """
    return _clip(execution_score(first) + 0.2 * _clip(rubric) * pass_coefficient(passed_with, passed_without))


def rule_rubric(brief: str, reasoning: str) -> float:
    """A rubric without a model: a fifth for each rule that a reasoning keeps, in the order of `DIMENSIONS`.

    It says who reads; it has one title; its order is that of the texts that it places; it says which letters, and what
    is kept free; it gives no coordinates. How it can be hacked: nothing is compared with the brief.
    """
    said = read_reasoning(reasoning)
    titles = [at for at, role in said.roles if role == "title"]
    rules = (bool(said.audience), len(titles) == 1, bool(said.order) and set(said.order) == set(dict(said.roles)),
             bool(said.letters and said.subject), not coordinates_in(reasoning))  # fmt: skip
    return sum(rules) / len(DIMENSIONS)


def _clip(value: float) -> float:
    return min(1.0, max(0.0, value))


@dataclass
class PlanScorer:
    """Rewards of reasonings by one executor; what it does without reasoning is run once for each request.

    n reasonings about a request take 4 n + 3 runs.

    Args:
        execute: request, reasoning (None for none) and seed to an execution. An exception counts as a run that failed.
        rubric: request and reasoning to a score in [0, 1]; an exception counts as `NO_RUBRIC`.
        mode: the rule by which the parts make a reward.
        key: what tells requests apart.
    """

    execute: Callable[[Any, str | None, int], Execution]
    rubric: Callable[[Any, str], float]
    mode: Mode = "tracelift"
    key: Callable[[Any], Hashable] = lambda request: request
    faults: list[str] = field(default_factory=list)
    _without: dict[Hashable, list[Execution]] = field(default_factory=dict)

    def __call__(self, request: Any, reasonings: Sequence[str]) -> list[PlanReward]:
        """A reward for each reasoning about a request."""
        without = self._runs_without(request)
        return [self._reward(request, one, without) for one in reasonings]

    def base_rate(self, request: Any) -> float:
        """The share of checks that pass without a reasoning."""
        return sum(one.rate for one in self._runs_without(request)) / SEEDS

    def _runs_without(self, request: Any) -> list[Execution]:
        known = self.key(request)
        if known not in self._without:
            self._without[known] = [self._run(request, None, seed) for seed in range(SEEDS)]
        return self._without[known]

    def _reward(self, request: Any, reasoning: str, without: Sequence[Execution]) -> PlanReward:
        first = self._run(request, reasoning, SEEDS)
        runs = [self._run(request, reasoning, seed) for seed in range(SEEDS)]
        with_rate, base_rate = (sum(one.rate for one in some) / SEEDS for some in (runs, without))
        try:
            rubric = self.rubric(request, reasoning)
        except Exception as fault:  # a model or a server fails in its own ways
            self.faults.append(f"rubric: {fault}")
            rubric = NO_RUBRIC
        if self.mode == "exec_only":
            final = first.rate
        elif self.mode == "reason_only":
            final = _clip(rubric)
        elif self.mode == "tracelift":
            final = tracelift(first.rate, with_rate - base_rate, rubric)
        else:
            whole, base_whole = (sum(one.whole for one in some) for some in (runs, without))
            final = tracelift_code(first, whole, base_whole, rubric)
        return PlanReward(final, first.rate, with_rate, base_rate, rubric)

    def _run(self, request: Any, reasoning: str | None, seed: int) -> Execution:
        try:
            return self.execute(request, reasoning, seed)
        except Exception as fault:  # an executor may be a model
            self.faults.append(f"executor: {fault}")
            return Execution(0, 1, "failed")
