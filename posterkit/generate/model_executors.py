"""Executor tiers E1 and E2: what a frozen language model, or a frozen generator, makes of a planner's reasoning."""

# pyright: standard
from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import replace

from posterkit.generate.maker import PosterMaker
from posterkit.generate.obstacles import find_subject
from posterkit.generate.plan_executor import (
    CHECKS,
    INKS,
    Artifact,
    PlanTask,
    execute,
    measurer_of,
    run_checked,
    told_request,
    verify,
)
from posterkit.layout.json_form import layout_to_json
from posterkit.layout.planners.models import ModelPlanner
from posterkit.layout.planners.planner_names import MINI
from posterkit.layout.reasoning import Reasoning, read_reasoning
from posterkit.lettering import Lettering
from posterkit.llm.client import LanguageModel
from posterkit.llm.open_model import open_language_model
from posterkit.metrics.ocr import TextReader, text_accuracy
from posterkit.rewards.plan_rewards import Execution
from posterkit.schema import PosterRequest
from posterkit.sizing import Size

_READ = 0.9  # of a poster's letters, from which its texts count as exact


class LanguageExecutor:
    """E1: a frozen language model places what the reasoning says, and reads its words.

    An answer that cannot be used is a run that failed.

    Args:
        model: answers the questions of `posterkit.layout.planners.questions`.
    """

    def __init__(self, model: LanguageModel) -> None:
        self.planner = ModelPlanner(model, exemplars=2, samples=1)

    def __call__(self, task: PlanTask, reasoning: str | None, seed: int) -> Execution:
        said = read_reasoning(reasoning) if reasoning is not None else Reasoning()
        try:
            request = replace(told_request(task, said, seed), description=str(said) if reasoning is not None else "")
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)  # that the grammar plans in its place
                layout = self.planner.plan(request, measurer_of(task.size))
        except ValueError:
            return Execution(0, len(CHECKS), "failed")
        if layout.planner != self.planner.name:
            return Execution(0, len(CHECKS), "failed")
        return Execution(sum(verify(task, Artifact(layout, said.letters or "dark")).values()), len(CHECKS))


class GeneratorExecutor:
    """E2: a frozen generator draws the poster at few steps after E0's plan, and the checks are made on its picture.

    Contrast is that of the drawn ground, the subject is the one that is found in it, and the texts are those that are
    read on the finished poster.

    Args:
        maker: its settings name the model, and whether that draws the texts.
        steps: of the generator.
    """

    def __init__(self, maker: PosterMaker | None = None, steps: int = 4) -> None:
        self.maker, self.steps, self._reader = maker or PosterMaker(), steps, TextReader()

    def __call__(self, task: PlanTask, reasoning: str | None, seed: int) -> Execution:
        try:
            artifact = execute(task, reasoning, seed)
            poster = self.maker(self.request(task, artifact, seed))
        except ValueError:
            return Execution(0, len(CHECKS), "failed")
        found = find_subject(poster.drawing.resize(task.size))
        subject = found[0].box if found else task.subject
        checks = verify(replace(task, picture=poster.drawing, subject=subject), artifact)
        read = text_accuracy(task.texts, [line.text for line in self._reader(poster.image)])
        checks["texts"] &= read.similarity >= _READ
        return Execution(sum(checks.values()), len(CHECKS))

    def request(self, task: PlanTask, artifact: Artifact, seed: int) -> PosterRequest:
        """The poster that is asked of the maker."""
        ink = "#{:02x}{:02x}{:02x}".format(*INKS[artifact.letters])
        lettering = Lettering(plan=layout_to_json(artifact.layout), colors=(ink,))
        shows = task.brief.partition(";")[0]
        texts = [one.text for one in artifact.layout.texts]
        return PosterRequest(
            shows, texts=texts, size=Size(*task.size), seed=seed, steps=self.steps, lettering=lettering
        )


def open_executor(spec: str, device: str = "cpu") -> Callable[[PlanTask, str | None, int], Execution]:
    """An executor by its tier.

    Args:
        spec: `e0`, the grammar; `e1:MODEL`, a language model (see `open_language_model`), mini-planner where there is
            none; `e2:MODEL`, a generator, the shipped one where there is none.
        device: where a model runs.

    Raises:
        ValueError: there is no such tier.
        AnswerError: the language model cannot be loaded.
    """
    tier, _, address = spec.partition(":")
    if spec == "e0":
        return run_checked
    if tier == "e1":
        return LanguageExecutor(open_language_model(address or MINI, device=device))
    if tier == "e2":
        return GeneratorExecutor(PosterMaker(model=address or None, device=device))
    raise ValueError(f"no such executor: {spec!r}; use e0, e1:MODEL or e2:MODEL")
