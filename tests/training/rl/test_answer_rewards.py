"""Rewards of a planner's answers: whether there is a signal, and what is logged."""

import json
from types import SimpleNamespace

import pytest

from posterkit.rewards.plan_rewards import Execution, PlanScorer
from posterkit.training.rl import AnswerLog, check_uplift, reward_figures, score_answers


def scorer(passed: int) -> PlanScorer:
    """Without a reasoning so many of ten checks pass, with one all of them."""
    return PlanScorer(lambda task, said, seed: Execution(passed if said is None else 10, 10), lambda task, said: 0.5)


@pytest.mark.parametrize(("passed", "said"), [(10, "solves 100%"), (0, "fails 100%")])
def test_an_executor_that_nothing_can_change_is_refused(passed, said):
    with pytest.raises(ValueError, match=said):
        check_uplift(scorer(passed), ["a", "b"])
    check_uplift(scorer(6), ["a", "b"])


def test_figures_are_means_of_what_a_reward_is_made_of():
    found = reward_figures(score_answers(scorer(6), ["a", "b"], ["w", "x", "y", "z"]))
    assert found == pytest.approx({"e2e": 1, "with": 1, "base": 0.6, "uplift": 0.4, "rubric": 0.5,
                                   "final": 0.5 + 0.5 * 0.5 * 0.4})  # fmt: skip


def test_rows_of_steps_that_are_taken_again_are_dropped(tmp_path):
    config, process = SimpleNamespace(dry_run=False), SimpleNamespace(is_main_process=True)
    briefs, rewards = [SimpleNamespace(id="a")], score_answers(scorer(6), ["a"], ["w", "x"])
    for begun_at, steps in ((0, 3), (1, 1)):
        run = SimpleNamespace(folder=tmp_path, config=config, accelerator=process, step=begun_at, print=print)
        log = AnswerLog(run, scorer(6))
        for step in range(begun_at, begun_at + steps):
            run.step = step
            log(briefs, ["w", "x"], rewards)
    rows = [json.loads(line) for line in (tmp_path / "answers.jsonl").read_text().splitlines()]
    assert [(row["step"], row["reasoning"]) for row in rows] == [(1, "w"), (1, "x"), (2, "w"), (2, "x")]
    assert set(rows[0]) >= {"brief", "e2e", "with", "base", "uplift", "rubric", "final"}
