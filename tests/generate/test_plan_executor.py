from dataclasses import replace

import pytest
from PIL import Image

from posterkit.generate.plan_executor import CHECKS, PlanTask, execute, run_checked, verify
from posterkit.layout import Box
from posterkit.layout.reasoning import Reasoning, zones_of
from posterkit.rewards.plan_rewards import PlanScorer

SIZE = (416, 608)
SUBJECT = Box(120, 240, 300, 480)
GOOD = Reasoning(
    "Neighbours.", ((1, "title"), (3, "subtitle"), (0, "body"), (2, "cta")), (1, 3, 0, 2), "light",
    zones_of(SUBJECT, SIZE), "top-right",
)  # fmt: skip
TASK = PlanTask(
    "one", "A poster.", SIZE, ("Friday 8 pm", "JAZZ NIGHT", "Book now", "An evening by the river"), GOOD,
    Image.new("RGB", SIZE, (20, 24, 60)), SUBJECT, True,
)  # fmt: skip


def checks(reasoning: Reasoning | None) -> dict[str, bool]:
    return verify(TASK, execute(TASK, None if reasoning is None else str(reasoning)))


def failing(reasoning: Reasoning | None) -> set[str]:
    return {name for name, passes in checks(reasoning).items() if not passes}


def test_a_good_reasoning_passes_every_check():
    assert tuple(checks(GOOD)) == CHECKS and failing(GOOD) == set()


def test_without_a_reasoning_the_executor_takes_things_as_they_come():
    assert failing(None) >= {"contrast", "elements", "logo", "order"}


@pytest.mark.parametrize(
    ("change", "fails"),
    [
        ({"letters": "dark"}, {"contrast"}),
        ({"logo": None}, {"elements", "logo"}),
        ({"roles": ((0, "title"), (3, "subtitle"), (1, "body"), (2, "cta"))}, {"hierarchy"}),
        ({"order": (2, 0, 3, 1)}, {"order"}),
        ({"roles": ((1, "title"), (3, "subtitle"), (2, "cta")), "order": (1, 3, 2)}, {"texts", "elements"}),
    ],
)
def test_each_flaw_fails_its_own_checks(change, fails):
    assert failing(replace(GOOD, **change)) >= fails


def test_texts_stay_what_they_are_and_a_text_that_is_left_out_is_missed():
    artifact = execute(TASK, str(GOOD))
    assert sorted(one.text for one in artifact.layout.texts) == sorted(TASK.texts)
    with pytest.raises(ValueError, match="places no text"):
        execute(TASK, "<hierarchy>title: text 9</hierarchy>")
    assert run_checked(TASK, "<hierarchy>title: text 9</hierarchy>", 0).outcome == "failed"


def test_a_good_reasoning_has_uplift_and_the_same_seed_gives_the_same():
    scorer = PlanScorer(run_checked, lambda task, said: 1.0, key=lambda task: task.id)
    good, flawed = scorer(TASK, [str(GOOD), str(replace(GOOD, letters="dark", logo=None))])
    assert good.uplift > 0 and good.final > flawed.final
    assert run_checked(TASK, str(GOOD), 1) == run_checked(TASK, str(GOOD), 1)
