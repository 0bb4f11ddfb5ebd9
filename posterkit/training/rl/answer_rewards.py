"""The rewards of a planner's answers: scoring, figures, a log of every answer, and a check that there is a signal."""

from __future__ import annotations

import json
from collections.abc import Sequence
from statistics import fmean

from accelerate.utils import gather_object

from posterkit.generate.plan_executor import PlanTask
from posterkit.rewards.plan_rewards import PlanReward, PlanScorer
from posterkit.training.errors import writing
from posterkit.training.monitor.log import forget_after
from posterkit.training.protocols import RunView

LOG = "answers.jsonl"
_SOLVED, _HOPELESS, _MOST = 0.95, 0.05, 0.8  # shares of passing checks without a reasoning, and of such briefs
_TOLD = 20  # faults that are printed


def score_answers(scorer: PlanScorer, briefs: Sequence[PlanTask], said: Sequence[str]) -> list[PlanReward]:
    """The rewards of answers, as many of each brief in a row."""
    each = len(said) // len(briefs)
    return [reward for at, brief in enumerate(briefs) for reward in scorer(brief, said[at * each : (at + 1) * each])]


def check_uplift(scorer: PlanScorer, briefs: Sequence[PlanTask]) -> None:
    """ValueError where the executor needs no reasoning, or none would help: there would be nothing to learn from."""
    rates = [scorer.base_rate(brief) for brief in briefs]
    for said, share in (
        ("solves", fmean(rate > _SOLVED for rate in rates)),
        ("fails", fmean(rate < _HOPELESS for rate in rates)),
    ):
        if share > _MOST:
            raise ValueError(f"without a reasoning the executor {said} {share:.0%} of the briefs; no reasoning can "
                             "show what it is worth")  # fmt: skip


def reward_figures(rewards: Sequence[PlanReward]) -> dict[str, float]:
    """Means for the log."""
    return {name: fmean(one[name] for one in map(_row, rewards)) for name in _row(rewards[0])}


def _row(one: PlanReward) -> dict[str, float]:
    return {"e2e": one.e2e, "with": one.with_rate, "base": one.base_rate, "uplift": one.uplift, "rubric": one.rubric,
            "final": one.final}  # fmt: skip


class AnswerLog:
    """Writes every answer with what its reward is made of to `answers.jsonl`, and prints the first faults."""

    def __init__(self, run: RunView, scorer: PlanScorer) -> None:
        self.run, self.scorer, self._began, self._told = run, scorer, False, 0

    def __call__(self, briefs: Sequence[PlanTask], said: Sequence[str], rewards: Sequence[PlanReward]) -> None:
        run, each = self.run, len(said) // len(briefs)
        for fault in self.scorer.faults[self._told : _TOLD]:
            run.print(f"step {run.step + 1}: {fault}")
        self._told = min(len(self.scorer.faults), _TOLD)
        if run.config.dry_run:
            return
        rows = [{"step": run.step + 1, "brief": briefs[at // each].id, "reasoning": answer, **_row(one)}
                for at, (answer, one) in enumerate(zip(said, rewards, strict=True))]  # fmt: skip
        rows = gather_object(rows)
        if not run.accelerator.is_main_process:
            return
        with writing(run.folder, LOG, True):
            if not self._began:  # those of steps that are taken again
                forget_after(run.folder / LOG, run.step)
                self._began = True
            with (run.folder / LOG).open("a", encoding="utf-8") as file:
                file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
