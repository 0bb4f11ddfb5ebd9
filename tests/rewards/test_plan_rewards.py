"""TraceLift's rewards: the truth table, by hand from the published formulas."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import pytest

from posterkit.layout.reasoning import Reasoning
from posterkit.rewards.plan_rewards import (
    Execution,
    PlanScorer,
    execution_score,
    pass_coefficient,
    rule_rubric,
    tracelift,
    tracelift_code,
)

WHOLE, HALF, FAILED, NOTHING = Execution(8, 8), Execution(4, 8), Execution(0, 8, "failed"), Execution(0, 0, "none")
TABLE = {
    (0, 0): 0, (1, 1): 1 / 2, (2, 2): 2 / 3, (3, 3): 1, (1, 0): 1, (2, 0): 1, (3, 0): 1, (2, 1): 1, (3, 1): 1,
    (3, 2): 1, (0, 1): -1, (0, 2): -1, (0, 3): -1, (1, 2): -1, (1, 3): -1, (2, 3): -1,
}  # fmt: skip


def test_the_coefficient_of_all_sixteen_pairs():
    assert set(TABLE) == set(product(range(4), range(4)))
    for (passed, without), expected in TABLE.items():
        assert pass_coefficient(passed, without) == pytest.approx(expected)


@pytest.mark.parametrize(("one", "score"), [(WHOLE, 1.0), (HALF, 0.6), (FAILED, 0.05), (NOTHING, 0.0)])
def test_an_execution_counts_its_checks_and_that_it_ran(one, score):
    assert execution_score(one) == pytest.approx(score)


@pytest.mark.parametrize("rubric", [0.0, 0.5, 1.0, 1.7, -0.3])
@pytest.mark.parametrize("pair", TABLE)
def test_the_form_for_code_over_the_whole_table(pair, rubric):
    clipped = min(1.0, max(0.0, rubric))
    expected = min(1.0, max(0.0, 0.6 + 0.2 * clipped * TABLE[pair]))
    assert tracelift_code(HALF, *pair, rubric) == pytest.approx(expected)


def test_a_first_run_that_passes_whole_hides_the_bonus():
    assert tracelift_code(WHOLE, 3, 0, 1.0) == tracelift_code(WHOLE, 3, 0, 0.0) == 1.0


@pytest.mark.parametrize(
    ("e2e", "uplift", "rubric", "expected"),
    [(1, 1, 1, 1.0), (1, 0, 1, 0.5), (0, 0, 1, 0.0), (0.5, 0.5, 0.5, 0.375), (0, -1, 1, -0.5), (0, -1, 0, 0.0)],
)
def test_the_form_for_mathematics(e2e, uplift, rubric, expected):
    assert tracelift(e2e, uplift, rubric) == pytest.approx(expected)


def test_a_well_written_plan_that_harms_is_worth_less_than_a_badly_written_one():
    assert tracelift(0.2, -0.6, 1.0) < tracelift(0.2, -0.6, 0.1)


class Executor:
    """Passes 6 of 8 checks with a reasoning that says "order", else 4; counts its runs."""

    def __init__(self) -> None:
        self.runs: list[tuple[str | None, int]] = []

    def __call__(self, request, reasoning, seed):
        self.runs.append((reasoning, seed))
        if reasoning == "broken":
            raise RuntimeError("no layout")
        return Execution(6 if reasoning and "order" in reasoning else 4, 8)


def scorer(mode="tracelift", rubric=lambda request, said: 1.0):
    return PlanScorer(Executor(), rubric, mode)


def test_n_reasonings_take_four_n_and_three_runs_and_the_next_batch_four_n():
    one = scorer()
    one("brief", ["order a", "b", "c"])
    assert len(one.execute.runs) == 4 * 3 + 3
    one("brief", ["order d"])
    assert len(one.execute.runs) == 4 * 4 + 3
    one("another brief", ["e"])
    assert len(one.execute.runs) == 4 * 5 + 6
    without = [seed for said, seed in one.execute.runs if said is None]
    assert without == [0, 1, 2, 0, 1, 2]  # the seeds that reasonings are compared on


@pytest.mark.parametrize(
    ("mode", "helps", "idle"),
    [("exec_only", 0.75, 0.5), ("reason_only", 1.0, 1.0), ("tracelift", 0.375 + 0.5 * 0.25, 0.25),
     ("tracelift_code", 0.8, 0.6)],
)  # fmt: skip
def test_each_mode_by_hand(mode, helps, idle):
    found = scorer(mode)("brief", ["order", "well put"])
    assert [one.final for one in found] == pytest.approx([helps, idle])
    assert [one.uplift for one in found] == pytest.approx([0.25, 0.0])


def test_a_phrase_that_the_rubric_likes_and_that_helps_nobody_pays_only_where_reason_alone_counts():
    likes = {"order": 0.4, "order, with elegance": 1.0, "elegance": 1.0}
    rubric = lambda request, said: likes[said]  # noqa: E731
    finals = {mode: [one.final for one in scorer(mode, rubric)("brief", ["order", "elegance"])]
              for mode in ("exec_only", "reason_only", "tracelift")}  # fmt: skip
    assert finals["reason_only"][1] > finals["reason_only"][0]
    assert finals["tracelift"][1] < finals["tracelift"][0] and finals["exec_only"][1] < finals["exec_only"][0]


def test_failures_are_counted_and_named():
    def rubric(request, said):
        raise OSError("no server")

    one = scorer("tracelift", rubric)
    (found,) = one("brief", ["broken"])
    assert (found.e2e, found.with_rate, found.base_rate, found.rubric) == (0.0, 0.0, 0.5, 0.5)
    assert found.final == pytest.approx(0.5 * 0.5 * -0.5)
    assert one.faults.count("executor: no layout") == 4 and "rubric: no server" in one.faults


GOOD = Reasoning("Neighbours.", ((1, "title"), (0, "body")), (1, 0), "light", ("bottom-center",))


@pytest.mark.parametrize(
    ("change", "score"),
    [
        ({}, 1.0), ({"audience": ""}, 0.8), ({"roles": ((1, "body"), (0, "body"))}, 0.8), ({"order": (1,)}, 0.8),
        ({"letters": None}, 0.8), ({"audience": "The title is 90 px high."}, 0.8),
        ({"roles": (), "order": (), "letters": None, "subject": ()}, 0.4),
    ],
)  # fmt: skip
def test_the_rubric_of_rules_takes_a_fifth_for_each(change, score):
    assert rule_rubric("A brief.", str(replace(GOOD, **change))) == pytest.approx(score)
