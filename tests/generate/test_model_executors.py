"""Executor tiers E1 and E2: mini-planner and the shipped generator, both frozen."""

from __future__ import annotations

import pytest
from PIL import Image

from posterkit.generate.maker import PosterMaker
from posterkit.generate.model_executors import GeneratorExecutor, LanguageExecutor, open_executor
from posterkit.generate.plan_executor import CHECKS, INKS, PlanTask, execute, run_checked
from posterkit.layout import Box
from posterkit.layout.reasoning import Reasoning, zones_of
from posterkit.llm.local import LocalModel
from posterkit.llm.replay import ReplayModel
from posterkit.rewards.plan_rewards import PlanScorer

SIZE = (416, 608)
SUBJECT = Box(120, 330, 300, 560)
GOOD = Reasoning("Neighbours.", ((1, "title"), (0, "body")), (1, 0), "light", zones_of(SUBJECT, SIZE))
TASK = PlanTask(
    "one", "A poster that shows a red boat on a dark ground; the motif takes the bottom-center.", SIZE,
    ("Friday 8 pm", "JAZZ NIGHT"), GOOD, Image.new("RGB", SIZE, (20, 24, 60)), SUBJECT, False,
)  # fmt: skip


class Asked:
    """A model that keeps the questions of another one."""

    name = "asked"

    def __init__(self, answer: str) -> None:
        self.answer, self.questions = answer, []

    def ask(self, system, user, images=(), schema=None) -> str:
        self.questions.append(user)
        return self.answer


BOXES = '{"boxes": [{"id": 0, "l": 8, "t": 8, "w": 84, "h": 24}, {"id": 1, "l": 8, "t": 40, "w": 84, "h": 10}]}'


def test_a_language_model_reads_the_reasoning_and_places_its_texts():
    model = Asked(BOXES)
    found = LanguageExecutor(model)(TASK, str(GOOD), 0)
    assert found.outcome == "ran" and found.total == len(CHECKS) and found.passed >= 6
    (question,) = model.questions
    assert "light letters on a dark ground" in question and question.index("JAZZ") < question.index("Friday")


def test_without_a_reasoning_it_is_told_nothing():
    model = Asked(BOXES)
    LanguageExecutor(model)(TASK, None, 0)
    (question,) = model.questions
    assert "letters on a" not in question and question.index("Friday") < question.index("JAZZ")


def test_an_answer_that_cannot_be_used_is_a_run_that_failed():
    found = LanguageExecutor(Asked("I would rather not."))(TASK, str(GOOD), 0)
    assert (found.passed, found.total, found.outcome) == (0, len(CHECKS), "failed")


def test_mini_planner_stands_in_where_no_model_is_named():
    executor = open_executor("e1")
    assert isinstance(executor.planner.model, LocalModel)
    good, again = (executor(TASK, str(GOOD), 0) for _ in range(2))
    assert good == again and good.total == len(CHECKS)


@pytest.mark.slow
def test_a_generator_draws_after_the_reasoning_and_the_checks_are_made_on_its_picture():
    executor = GeneratorExecutor(PosterMaker(), steps=2)
    request = executor.request(TASK, execute(TASK, str(GOOD)), 0)
    assert request.steps == 2 and request.lettering.colors == ("#{:02x}{:02x}{:02x}".format(*INKS["light"]),)
    scorer = PlanScorer(executor, lambda task, said: 1.0, key=lambda task: task.id)
    (found,) = scorer(TASK, [str(GOOD)])
    assert 0 < found.with_rate <= 1 and not scorer.faults
    assert executor(TASK, str(GOOD), 1) == executor(TASK, str(GOOD), 1)


def test_texts_that_a_reasoning_drops_fail_before_anything_is_drawn():
    found = GeneratorExecutor(PosterMaker(), steps=2)(TASK, "<hierarchy>title: text 9</hierarchy>", 0)
    assert found.outcome == "failed"


def test_a_tier_is_opened_by_its_name():
    assert open_executor("e0") is run_checked
    assert isinstance(open_executor("e2"), GeneratorExecutor)
    with pytest.raises(ValueError, match="use e0, e1:MODEL or e2:MODEL"):
        open_executor("e4")


def test_an_endpoint_or_recorded_answers_can_execute(tmp_path):
    path = tmp_path / "answers.jsonl"
    path.write_text("", encoding="utf-8")
    assert isinstance(open_executor(f"e1:{path}").planner.model, ReplayModel)
