"""Best of n: a poster is drawn from several seeds, a reward scores each, the best is kept."""

# pyright: standard
from __future__ import annotations

import warnings
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from posterkit.generate.checkpoint import Settings
from posterkit.generate.draw import PreparedPoster
from posterkit.generate.poster_plan import RULES
from posterkit.generate.record import FinishedPoster
from posterkit.messages import error_line
from posterkit.prompts import in_quotes, quoted_texts
from posterkit.schema import PosterRequest
from posterkit.sizing import contain

if TYPE_CHECKING:
    from posterkit.rewards import RewardResult

LIMIT = 600.0  # seconds that a reward may take for one poster; a language model on a CPU takes minutes
SEEN = (2048, 2048)  # pixels; rewards see no more detail

Made = FinishedPoster | Exception  # a poster, or why there is none
DrawPosters = Callable[[Sequence[PreparedPoster]], Iterator[Made]]


class NoneScored(Exception):
    """No candidate for a poster could be drawn and scored."""


class Scorer:
    """The reward that chooses between posters; where it fails for one, that one alone has no score.

    A judge that `posterkit bench judge` measured and found over its bounds is a warning. ValueError or OSError where
    there is no such reward, it weighs nothing for one of the tasks, or nobody answers where it is served.
    """

    def __init__(self, settings: Settings, tasks: Collection[str]) -> None:
        from posterkit.pipelines.presets import hardware  # a single poster is made without these
        from posterkit.rewards.reliability import JudgeBound, check_judges
        from posterkit.rewards.service.pool import RewardPool
        from posterkit.rewards.specs import models_of, open_reward, reach

        source = settings.reward or RULES
        reward = open_reward(source, device=str(hardware(settings.device).device), tasks=tasks)
        reach(source, {})
        for fault in check_judges(models_of(source, {}), JudgeBound()).faults:
            warnings.warn(fault, stacklevel=2)
        self.name = reward.name
        self._pool = RewardPool(reward, workers=0, limit=LIMIT, at_once=1, tolerated=1.0)

    def __call__(self, poster: Image.Image, request: PosterRequest) -> RewardResult | str:
        """The score of a finished poster; why, in one line, where the reward fails."""
        scoring = self._pool.submit([_reduced(poster)], [request])
        (result,) = scoring.result()
        return scoring.faults[0].removeprefix(f"{request.id}: ") if result is None else result

    def close(self) -> None:
        self._pool.close()


def draw_best(posters: Sequence[PreparedPoster], draw: DrawPosters, scorer: Scorer) -> list[Made]:
    """Draw each poster from `best_of` seeds, its own and those after it, and keep the best; of equals the first.

    Posters are scored as the designer gets them: typeset texts are the same right ones on all candidates, and how
    well they can be read on each drawing counts. A candidate that cannot be scored is left out.

    Args:
        posters: whose plans go together.
        draw: draws and finishes any number of them, a few at a time; only the best so far are held.

    Returns:
        For each its best, the scores in its record under "chosen"; or why there is none.
    """
    choices = [_Choice(scored_request(poster)) for poster in posters]
    candidates = [
        (choice, replace(poster, request=replace(poster.request, seed=(poster.request.seed or 0) + number)))
        for choice, poster in zip(choices, posters, strict=True)
        for number in range(poster.plan.best_of)
    ]
    drawn = draw([candidate for _, candidate in candidates])
    for (choice, candidate), poster in zip(candidates, drawn, strict=True):
        choice.add(poster, candidate.request.seed, scorer)
    return [choice.chosen(scorer.name) for choice in choices]


@dataclass
class _Choice:
    """The candidates for one poster; only the best so far is held."""

    request: PosterRequest
    best: FinishedPoster | None = None
    value: float = -1.0
    rows: list[dict[str, Any]] = field(default_factory=list)

    def add(self, poster: Made, seed: int | None, scorer: Scorer) -> None:
        if isinstance(poster, Exception):
            self.rows.append({"seed": seed, "fault": error_line(poster)})
            return
        result = scorer(poster.image, self.request)
        self.rows.append({"seed": seed, **score_row(result)})
        if not isinstance(result, str) and result.value > self.value:
            self.best, self.value = poster, result.value

    def chosen(self, by: str) -> Made:
        if self.best is None:
            return NoneScored(f"none of {len(self.rows)} candidates could be scored: {self.rows[0]['fault']}")
        chosen = {"by": by, "seed": self.best.seed, "value": round(self.value, 4), "candidates": self.rows}
        left_out = [f"seed {row['seed']} is left out: {row['fault']}" for row in self.rows if "fault" in row]
        return replace(self.best, record=self.best.record | {"chosen": chosen}, notes=[*self.best.notes, *left_out])


def scored_request(poster: PreparedPoster) -> PosterRequest:
    """What a reward compares a finished poster with: the request, its pictures and boxes at the finished size.

    The texts are the request's, typeset or drawn; a poster without any may bear none where the prompt says so, and
    else nobody knows. Sizes are the finished poster's, or those of `SEEN` where it is larger.
    """
    plan = poster.plan
    request, texts = plan.request, plan.row["texts"]
    words = request.expanded or request.prompt
    unsaid = [in_quotes(text) for text in texts if text not in quoted_texts(words)]
    if unsaid:
        words = f"{words.strip(' ,.')} with the text {' and '.join(unsaid)}.".lstrip()
    known = texts or (() if "no text" in plan.words.lower() else None)
    size = contain(plan.finished, SEEN)
    scored = replace(request, prompt=words, expanded=None, texts=known, size=size, caption=words)
    scored = replace(scored, id=request.id or "poster", mask=None, images=poster.request.images)
    if poster.canvas is None or poster.region is None or plan.box is None:
        return scored
    # a pixel that the region touches at all is made
    mask = np.where(np.asarray(poster.region.resize(size, Image.Resampling.BOX)) > 0, 255, 0).astype(np.uint8)
    across, down = size.width / plan.finished.width, size.height / plan.finished.height
    x0, y0, x1, y1 = plan.box
    placed = round(x0 * across), round(y0 * down), round(x1 * across), round(y1 * down)
    return replace(scored, mask=mask, placed=placed, images=[_reduced(poster.canvas.crop(plan.box))])


def score_row(result: RewardResult | str) -> dict[str, Any]:
    """A score for a record, rounded to what it means; the fault where there is none."""
    if isinstance(result, str):
        return {"fault": result}
    parts = {name: round(float(part), 4) for name, part in result.parts.items()}
    return {"value": round(result.value, 4), "parts": parts, "why": result.why}


def _reduced(poster: Image.Image) -> Image.Image:
    size = contain(poster.size, SEEN)
    return poster if size == poster.size else poster.resize(size, Image.Resampling.LANCZOS)
