"""What a judge says of several posters for one prompt, and their order."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from PIL import Image

from posterkit.critic.critic import Score
from posterkit.datagen.drawing import Drawn, Once
from posterkit.datagen.engine import Drop
from posterkit.datagen.hq_posters import ClipAt
from posterkit.datagen.poster_scan import JudgeAt
from posterkit.datagen.requests import Wanted
from posterkit.llm.client import AnswerError


@dataclass(frozen=True)
class Candidate:
    """A poster and what it is worth; `worth` is what candidates are ranked by."""

    number: int
    image: Image.Image
    seed: int
    score: Score
    worth: float

    def row(self) -> dict[str, Any]:
        """For a set's row, rounded to what a score means."""
        score = {key: round(v, 4) if isinstance(v, float) else v for key, v in asdict(self.score).items()}
        return {"number": self.number, "seed": self.seed, "worth": round(self.worth, 4), **score}


@dataclass(frozen=True)
class Ranked:
    """All candidates for a prompt, the best one first, and who judged and who ranked them."""

    wanted: Wanted
    candidates: tuple[Candidate, ...]
    judge: str
    ranker: str

    @property
    def best(self) -> Candidate:
        return self.candidates[0]

    @property
    def worst(self) -> Candidate:
        return self.candidates[-1]


@dataclass(frozen=True)
class Appraise:
    """A step: every candidate of a prompt before the judge; where it has no answer for one, the row is lost.

    Attributes:
        ranker: ranks by how well picture and prompt agree, as HPSv2 does; None leaves that to the judge.
        whole: without a ranker the judge's aesthetics, text and content count alike; else its aesthetics alone.
    """

    judge: JudgeAt
    ranker: ClipAt | None = None
    whole: bool = False
    once: Once = field(default_factory=Once, compare=False, repr=False)

    def __call__(self, drawn: Drawn) -> Ranked | Drop:
        try:
            candidates, judge, ranker = self.once(drawn.wanted.id, lambda: self._appraise(drawn))
        except AnswerError as error:
            return Drop("judge failed", str(error), side_by_side(*drawn.images), fault=True)
        return Ranked(drawn.wanted, candidates, judge, ranker)

    def _appraise(self, drawn: Drawn) -> tuple[tuple[Candidate, ...], str, str]:
        judge = self.judge.open()
        prompt = drawn.wanted.prompt
        scores = [judge.score(image, prompt) for image in drawn.images]
        ranker = judge.name
        if self.ranker is not None:
            model = self.ranker.open()
            worth = model.score(drawn.images, [prompt] * len(drawn.images))
            ranker = model.name
        elif self.whole:
            worth = [(score.aesthetics + score.text + score.content) / 3 for score in scores]
        else:
            worth = [score.aesthetics for score in scores]
        found = zip(range(len(scores)), drawn.images, drawn.seeds, scores, worth, strict=True)
        # of equals the first drawn comes first
        ranked = sorted((Candidate(*one) for one in found), key=lambda one: (-one.worth, one.number))
        return tuple(ranked), judge.name, ranker


def side_by_side(*images: Image.Image) -> Image.Image:
    """Pictures in a row on white, each 320 pixels high, for a thumbnail."""
    shown = [image.resize((max(1, round(320 * image.width / image.height)), 320)) for image in images]
    sheet = Image.new("RGB", (sum(image.width + 8 for image in shown) - 8, 320), "white")
    left = 0
    for image in shown:
        sheet.paste(image, (left, 0))
        left += image.width + 8
    return sheet
