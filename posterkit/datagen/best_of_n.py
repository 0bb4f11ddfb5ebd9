"""Filters several posters for each prompt and keeps the best (PosterOmni section 4: candidates and their filters)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from PIL import Image
from scipy import ndimage

from posterkit.datagen.drawing import DrawnPosters
from posterkit.datagen.engine import Drop
from posterkit.datagen.lazy_models import LazyCritic, LazyImageTextModel, LazyReward
from posterkit.datagen.prompts import language_of
from posterkit.datagen.requests import SetRequest
from posterkit.metrics.color import srgb_to_lab
from posterkit.metrics.ocr import text_accuracy
from posterkit.pipelines.segmenters import Box, open_segmenter
from posterkit.prompts import quoted_texts
from posterkit.schema import DrawnText, PosterSample, Region
from posterkit.synthetic import background_name

BLANK = 3.0  # Lab units by which a picture's pixels differ on the mean, below which it is blank
NOISE = 0.55  # share of a picture's variation that is finer than 2 pixels, above which it has collapsed into noise


@dataclass(frozen=True)
class Candidate:
    """One poster for a prompt.

    Attributes:
        texts: where it was typeset; empty where the model drew them.
        scores: by question, larger is better.
    """

    picture: Image.Image
    texts: tuple[DrawnText, ...] = ()
    scores: dict[str, float] = field(default_factory=dict)

    def with_score(self, question: str, score: float) -> Candidate:
        """The same candidate with a further score."""
        return replace(self, scores={**self.scores, question: round(score, 4)})


@dataclass(frozen=True)
class FilteredCandidates:
    """A prompt and what is left of its candidates.

    Attributes:
        lost: why candidates went no further, and how many.
        judged: the judges so far, as in `PosterSample.judged`.
    """

    request: SetRequest
    candidates: tuple[Candidate, ...]
    lost: Counter[str] = field(default_factory=Counter)
    judged: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def texts(self) -> tuple[str, ...]:
        """What the poster must say."""
        texts = self.request.texts
        return tuple(quoted_texts(self.request.caption) if texts is None else texts)

    def sift(self, verdicts: Iterable[Candidate | str], **judged: dict[str, Any]) -> FilteredCandidates | Drop:
        """What is left; where nothing is, the commonest reason, with the last candidate as thumbnail.

        Args:
            verdicts: for each candidate itself, or in a word why it goes no further.
            judged: what is added to `judged`.
        """
        found = list(verdicts)
        lost = self.lost + Counter(verdict for verdict in found if isinstance(verdict, str))
        kept = tuple(verdict for verdict in found if isinstance(verdict, Candidate))
        if kept:
            return replace(self, candidates=kept, lost=lost, judged={**self.judged, **judged})
        said = ", ".join(f"{reason} {number}" for reason, number in sorted(lost.items()))
        return Drop(lost.most_common(1)[0][0], said, self.candidates[-1].picture)


@dataclass(frozen=True)
class EarlyFilter:
    """A step that drops, before any model judge looks, blank pictures, noise, and pictures without a subject.

    Args:
        segmenter: what finds subjects, see `posterkit.pipelines.segmenters`.
    """

    segmenter: str = "rules"
    device: str | None = None

    def __call__(self, drawn: DrawnPosters) -> FilteredCandidates | Drop:
        item = FilteredCandidates(drawn.request, tuple(map(Candidate, drawn.images, drawn.texts)))
        return item.sift(
            self.fault(one.picture, [text.box for text in one.texts if text.box]) or one for one in item.candidates
        )

    def fault(self, picture: Image.Image, texts: list[Box]) -> str | None:
        """Why a picture is no poster; None where it may be one."""
        lab = srgb_to_lab(np.asarray(picture))
        if float(np.linalg.norm(lab - np.median(lab, axis=(0, 1)), axis=2).mean()) < BLANK:
            return "blank"
        light = lab[..., 0]
        fine = light - ndimage.gaussian_filter(light, 2)
        if float(fine.var()) > NOISE * float(light.var()):
            return "noise"
        return None if open_segmenter(self.segmenter, self.device)(picture, texts) else "no subject"


@dataclass(frozen=True)
class TextFilter:
    """A step that reads each candidate and drops those that lack too much of the requested texts."""

    judge: LazyCritic
    least: float

    def __call__(self, item: FilteredCandidates) -> FilteredCandidates | Drop:
        if not item.texts:
            return item
        judge = self.judge.open()

        def look(candidate: Candidate) -> Candidate | str:
            seen = judge.texts(candidate.picture)
            recall = text_recall(item.texts, [text.text for text in seen])
            if recall < self.least:
                return "wrong text" if seen else "no text"
            texts = candidate.texts or tuple(DrawnText(text.text, text.box) for text in seen)
            return replace(candidate, texts=texts).with_score("text recall", recall)

        return item.sift(map(look, item.candidates), **{"text recall": {"by": judge.name}})


def text_recall(expected: tuple[str, ...], read: list[str]) -> float:
    """How much of the texts was read, in [0, 1]: of words; of letters where they are Chinese, which has no blanks."""
    if language_of("".join(expected)) == "zh":
        expected, read = tuple(" ".join(text) for text in expected), [" ".join(text) for text in read]
    return text_accuracy(expected, read).recall


@dataclass(frozen=True)
class ImageTextFilter:
    """A step that compares each candidate with its prompt by a CLIP-like model."""

    scorer: LazyImageTextModel
    least: float

    def __call__(self, item: FilteredCandidates) -> FilteredCandidates | Drop:
        scorer, pictures = self.scorer.open(), [candidate.picture for candidate in item.candidates]
        scores = scorer.score(pictures, [item.request.caption] * len(pictures))
        verdicts = (
            "does not fit its prompt" if score < self.least else candidate.with_score("agreement", score)
            for candidate, score in zip(item.candidates, scores, strict=True)
        )
        return item.sift(verdicts, agreement={"by": scorer.name})


@dataclass(frozen=True)
class KeepBest:
    """A step that keeps the best candidate as a finished poster: by agreement with its prompt, else by a reward.

    Args:
        made_by: the model's name, for the row's `source`.
    """

    judge: LazyReward
    licence: str
    made_by: str

    def __call__(self, item: FilteredCandidates) -> PosterSample:
        judged, question = dict(item.judged), "agreement"
        candidates = list(item.candidates)
        if question not in judged:
            judge, question = self.judge.open(), "worth"
            judged[question] = {"by": judge.name}
            results = self.judge.score([candidate.picture for candidate in candidates], item.request.caption)
            found = zip(candidates, results, strict=True)
            candidates = [candidate.with_score(question, result.value) for candidate, result in found]
        chosen = max(candidates, key=lambda candidate: candidate.scores[question])
        judged = {name: {**answer, "said": chosen.scores[name]} for name, answer in judged.items()}
        drawn = len(candidates) + item.lost.total()
        judged["candidates"] = {"by": self.made_by, "said": {"drawn": drawn, **dict(sorted(item.lost.items()))}}
        request, pixels = item.request, np.asarray(chosen.picture)
        title = item.texts[0] if item.texts else None
        return PosterSample(
            id=f"candidate-{request.id}", task="text", target=pixels, texts=list(chosen.texts),
            regions=[Region(text.box, "major" if text.text == title else "minor", text.text)
                     for text in chosen.texts if text.box],
            caption=request.caption, instruction=request.caption, words=request.caption, theme=request.theme,
            source=self.made_by, licence=self.licence, split=request.split, background=background_name(pixels),
            style=request.style, judged=judged,
        )  # fmt: skip
