"""Several posters for each prompt, filtered, the best kept (PosterOmni section 4: candidates and their filters)."""

from __future__ import annotations

from collections import Counter
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
from posterkit.metrics.text import text_accuracy
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


@dataclass(frozen=True)
class FilteredCandidates:
    """A prompt and what is left of its candidates.

    Attributes:
        lost: why candidates went no further, and how many.
        judged: who looked at them.
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

    def keep_only(self, kept: list[Candidate], lost: Counter[str]) -> FilteredCandidates | Drop:
        """What is left; where nothing is, the commonest reason, with the last candidate as thumbnail."""
        lost = self.lost + lost
        if kept:
            return replace(self, candidates=tuple(kept), lost=lost)
        said = ", ".join(f"{reason} {number}" for reason, number in sorted(lost.items()))
        return Drop(lost.most_common(1)[0][0], said, self.candidates[-1].picture)


@dataclass(frozen=True)
class EarlyFilter:
    """The step that drops pictures which no model judge need look at: blank ones, noise, and those without a subject.

    Args:
        segmenter: who looks for a subject, see `posterkit.pipelines.segmenters`.
    """

    segmenter: str = "rules"
    device: str | None = None

    def __call__(self, drawn: DrawnPosters) -> FilteredCandidates | Drop:
        candidates = map(Candidate, drawn.images, drawn.texts)
        item = FilteredCandidates(drawn.request, tuple(candidates))
        kept, lost = [], Counter[str]()
        for candidate in item.candidates:
            why = self.fault(candidate.picture, [text.box for text in candidate.texts if text.box])
            lost.update([why] if why else [])
            kept += [] if why else [candidate]
        return item.keep_only(kept, lost)

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
    """The step that reads each candidate and drops those that lack too much of the texts asked for."""

    judge: LazyCritic
    least: float

    def __call__(self, item: FilteredCandidates) -> FilteredCandidates | Drop:
        if not item.texts:
            return item
        judge, kept, lost = self.judge.open(), [], Counter[str]()
        for candidate in item.candidates:
            seen = judge.texts(candidate.picture)
            recall = text_recall(item.texts, [text.text for text in seen])
            if recall < self.least:
                lost["wrong text" if seen else "no text"] += 1
                continue
            texts = candidate.texts or tuple(DrawnText(text.text, text.box) for text in seen)
            kept.append(replace(candidate, texts=texts, scores={**candidate.scores, "text recall": round(recall, 4)}))
        return replace(item, judged={**item.judged, "text recall": {"by": judge.name}}).keep_only(kept, lost)


def text_recall(asked: tuple[str, ...], read: list[str]) -> float:
    """How much of the texts was read, in [0, 1]: of words; of letters where they are Chinese, which has no blanks."""
    if language_of("".join(asked)) == "zh":
        asked, read = tuple(" ".join(text) for text in asked), [" ".join(text) for text in read]
    return text_accuracy(asked, read).recall


@dataclass(frozen=True)
class ImageTextFilter:
    """The step that compares each candidate with its prompt by a CLIP-like model."""

    scorer: LazyImageTextModel
    least: float

    def __call__(self, item: FilteredCandidates) -> FilteredCandidates | Drop:
        scorer, kept, lost = self.scorer.open(), [], Counter[str]()
        pictures = [candidate.picture for candidate in item.candidates]
        for candidate, score in zip(
            item.candidates, scorer.score(pictures, [item.request.caption] * len(pictures)), strict=True
        ):
            if score < self.least:
                lost["does not fit its prompt"] += 1
            else:
                kept.append(replace(candidate, scores={**candidate.scores, "agreement": round(score, 4)}))
        return replace(item, judged={**item.judged, "agreement": {"by": scorer.name}}).keep_only(kept, lost)


@dataclass(frozen=True)
class KeepBest:
    """The step that keeps the best candidate as a finished poster: by agreement with its prompt, else by a reward.

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
            for n, (candidate, result) in enumerate(zip(candidates, results, strict=True)):
                candidates[n] = replace(candidate, scores={**candidate.scores, question: round(result.value, 4)})
        chosen = max(candidates, key=lambda candidate: candidate.scores[question])
        judged = {asked: {**answer, "said": chosen.scores[asked]} for asked, answer in judged.items()}
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
