"""Best of n: a poster is drawn from several seeds, a reward looks at each, the best is kept."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from PIL import Image

from posterkit.generate.plan import RULES, Plan, Settings
from posterkit.generate.request import NoneScored
from posterkit.generate.worker import Drawn, Inputs, Worker
from posterkit.messages import error_line
from posterkit.prompts import in_quotes, quoted_texts
from posterkit.rewards import RewardResult, open_reward
from posterkit.rewards.opening import reach
from posterkit.rewards.service.pool import RewardPool
from posterkit.schema import PosterRequest
from posterkit.sizing import contain

LIMIT = 600.0  # seconds that a reward may take for one poster; a language model on a CPU takes minutes
SEEN = (2048, 2048)  # pixels; no reward looks any closer

OnStep = Callable[[int], None]


class Scorer:
    """A run's reward; what fails for one poster costs that poster alone.

    Args:
        tasks: that its posters are of.

    Raises:
        ValueError, OSError: there is no such reward, it weighs nothing for a task, or nobody answers where it is
            served.
    """

    def __init__(self, settings: Settings, tasks: Collection[str]) -> None:
        from posterkit.pipelines.presets import hardware

        source = settings.reward or RULES
        reward = open_reward(source, device=str(hardware(settings.device).device), tasks=tasks)
        reach(source, {})
        self.name = reward.name
        self._guarded = RewardPool(reward, workers=0, limit=LIMIT, at_once=1, tolerated=1.0)

    def __call__(self, posters: Sequence[Image.Image], rows: Sequence[PosterRequest]) -> list[RewardResult | str]:
        """What finished posters are worth; why, in one line, where the reward fails."""
        scoring = self._guarded.submit([_reduced(poster) for poster in posters], rows)
        worths, faults = scoring.result(), iter(scoring.faults)
        return [
            next(faults).removeprefix(f"{row.id}: ") if worth is None else worth
            for worth, row in zip(worths, rows, strict=True)
        ]

    def __enter__(self) -> Scorer:
        return self

    def __exit__(self, *fault: object) -> None:
        self._guarded.close()


def draw_best(
    worker: Worker,
    work: Sequence[tuple[Plan, Inputs]],
    scorer: Scorer | None,
    at_once: int,
    on_step: OnStep | None = None,
) -> list[Drawn | Exception]:
    """Draw each plan from `best_of` seeds, its own and those after it, and keep the best; of equals the first.

    Posters are scored as the designer gets them: typeset texts are the same right ones on all candidates, and how
    well they can be read on each drawing counts. A candidate that cannot be scored is left out.

    Args:
        work: plans that `together` says go together.
        scorer: None where a plan is drawn once.
        at_once: posters that one call of the pipeline draws.
        on_step: called after each denoising step with the steps done so far, over all calls.

    Returns:
        For each plan its poster, the scores in its record under "chosen"; or why there is none.
    """
    if scorer is None or work[0][0].best_of == 1:
        return worker.draw(work, on_step)
    choices = [_Choice(asked_of(*one)) for one in work]
    candidates = [
        (choice, replace(plan, seed=plan.seed + number), inputs)
        for choice, (plan, inputs) in zip(choices, work, strict=True)
        for number in range(plan.best_of)
    ]
    for start in range(0, len(candidates), at_once):
        part = candidates[start : start + at_once]
        shown = _later(on_step, start // at_once * work[0][0].steps)
        drawn = worker.draw([(plan, inputs) for _, plan, inputs in part], shown)
        for (choice, plan, _), poster in zip(part, drawn, strict=True):
            choice.look(poster, plan.seed, scorer)
    return [choice.kept(scorer.name) for choice in choices]


@dataclass
class _Choice:
    """The candidates for one poster; only the best so far is held."""

    asked: PosterRequest
    best: Drawn | None = None
    value: float = -1.0
    rows: list[dict[str, Any]] = field(default_factory=list)

    def look(self, poster: Drawn | Exception, seed: int, scorer: Scorer) -> None:
        if isinstance(poster, Exception):
            self.rows.append({"seed": seed, "fault": error_line(poster)})
            return
        worth = scorer([poster.image], [self.asked])[0]
        self.rows.append({"seed": seed, **worth_row(worth)})
        if isinstance(worth, RewardResult) and worth.value > self.value:
            self.best, self.value = poster, worth.value

    def kept(self, by: str) -> Drawn | Exception:
        if self.best is None:
            return NoneScored(f"none of {len(self.rows)} candidates could be scored: {self.rows[0]['fault']}")
        chosen = {"by": by, "seed": self.best.seed, "value": round(self.value, 4), "candidates": self.rows}
        left_out = [f"seed {row['seed']} is left out: {row['fault']}" for row in self.rows if "fault" in row]
        return replace(self.best, record=self.best.record | {"chosen": chosen}, notes=[*self.best.notes, *left_out])


def asked_of(plan: Plan, inputs: Inputs) -> PosterRequest:
    """What a job's finished poster was asked to be.

    The texts are the job's, typeset or drawn; a poster without any may bear none where its model was told so, and
    else nobody knows. Sizes are the finished poster's, or those of `SEEN` where it is larger.
    """
    job, texts = plan.job, tuple(plan.row["texts"])
    words = job.expanded or job.prompt
    unsaid = [in_quotes(text) for text in texts if text not in quoted_texts(words)]
    if unsaid:
        words = f"{words.strip(' ,.')} with the text {' and '.join(unsaid)}.".lstrip()
    size = contain(plan.finished, SEEN)
    references, mask, placed = [np.asarray(image) for image in inputs.references], None, None
    if inputs.canvas is not None and inputs.region is not None and plan.box is not None:
        references = [np.asarray(_reduced(inputs.canvas.crop(plan.box)))]
        # a pixel that the region touches at all is made
        mask = np.where(np.asarray(inputs.region.resize(size, Image.Resampling.BOX)) > 0, 255, 0).astype(np.uint8)
        across, down = size.width / plan.finished.width, size.height / plan.finished.height
        x0, y0, x1, y1 = plan.box
        placed = round(x0 * across), round(y0 * down), round(x1 * across), round(y1 * down)
    return PosterRequest(
        words,
        task=job.task,
        texts=texts or (() if "no text" in plan.words.lower() else None),
        images=references,
        mask=mask,
        placed=placed,
        size=size,
        caption=words,
        id=job.where or "poster",
    )


def worth_row(worth: RewardResult | str) -> dict[str, Any]:
    """A worth for a record, rounded to what it means; the fault where there is none."""
    if isinstance(worth, str):
        return {"fault": worth}
    parts = {name: round(float(part), 4) for name, part in worth.parts.items()}
    return {"value": round(worth.value, 4), "parts": parts, "why": worth.why}


def _reduced(poster: Image.Image) -> Image.Image:
    size = contain(poster.size, SEEN)
    return poster if size == poster.size else poster.resize(size, Image.Resampling.LANCZOS)


def _later(on_step: OnStep | None, before: int) -> OnStep | None:
    return None if on_step is None else lambda done: on_step(before + done)
