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
from posterkit.datagen.lazy_models import OpenCritic, OpenImageTextModel, OpenReward, score_posters
from posterkit.datagen.prompts import language_of
from posterkit.datagen.requests import SetRequest
from posterkit.metrics.color import srgb_to_lab
from posterkit.metrics.ocr import text_accuracy
from posterkit.pipelines.segmenters import Box, Segmenter, open_segmenter
from posterkit.prompts import quoted_texts
from posterkit.schema import DrawnText, PosterSample, Region
from posterkit.synthetic import background_name

BLANK = 3.0  # Lab units by which a picture's pixels differ on the mean, below which it is blank
NOISE = 0.55  # share of a picture's variation that is finer than 2 pixels, above which it has collapsed into noise


@dataclass(frozen=True)
class Candidate:
    """One poster for a prompt."""

    picture: Image.Image
    texts: tuple[DrawnText, ...] = ()  # where it was typeset; empty where the model drew them
    scores: dict[str, float] = field(default_factory=dict)  # by question, larger is better

    def with_score(self, question: str, score: float) -> Candidate:
        """The same candidate with a further score."""
        return replace(self, scores={**self.scores, question: round(score, 4)})


@dataclass(frozen=True)
class FilteredCandidates:
    """A prompt and what is left of its candidates."""

    request: SetRequest
    candidates: tuple[Candidate, ...]
    lost: Counter[str] = field(default_factory=Counter)  # why candidates went no further, and how many
    judged: dict[str, dict[str, Any]] = field(default_factory=dict)  # the judges so far, as in `PosterSample.judged`

    @property
    def texts(self) -> tuple[str, ...]:
        """What the poster must say."""
        texts = self.request.texts
        return tuple(quoted_texts(self.request.caption) if texts is None else texts)

    def sift(self, verdicts: Iterable[Candidate | str], **judged: dict[str, Any]) -> FilteredCandidates | Drop:
        """What is left; where nothing is, the commonest reason, with the last candidate as thumbnail.

        A verdict is the candidate itself, or in a word why it goes no further; `judged` is added to the result's.
        """
        found = list(verdicts)
        lost = self.lost + Counter(verdict for verdict in found if isinstance(verdict, str))
        kept = tuple(verdict for verdict in found if isinstance(verdict, Candidate))
        if kept:
            return replace(self, candidates=kept, lost=lost, judged={**self.judged, **judged})
        said = ", ".join(f"{reason} {number}" for reason, number in sorted(lost.items()))
        return Drop(lost.most_common(1)[0][0], said, self.candidates[-1].picture)


def drop_no_posters(
    drawn: DrawnPosters, segmenter: str = "rules", device: str | None = None
) -> FilteredCandidates | Drop:
    """Drop, before any model judge looks, blank pictures, noise, and pictures without a subject.

    Args:
        segmenter: what finds subjects, see `posterkit.pipelines.segmenters`.
    """
    item = FilteredCandidates(drawn.request, tuple(map(Candidate, drawn.images, drawn.texts)))
    find = open_segmenter(segmenter, device)
    boxes = ([text.box for text in one.texts if text.box] for one in item.candidates)
    return item.sift(
        fault_of(one.picture, texts, find) or one for one, texts in zip(item.candidates, boxes, strict=True)
    )


def fault_of(picture: Image.Image, texts: list[Box], find: Segmenter) -> str | None:
    """Why a picture is no poster; None where it may be one."""
    lab = srgb_to_lab(np.asarray(picture))
    if float(np.linalg.norm(lab - np.median(lab, axis=(0, 1)), axis=2).mean()) < BLANK:
        return "blank"
    light = lab[..., 0]
    fine = light - ndimage.gaussian_filter(light, 2)
    if float(fine.var()) > NOISE * float(light.var()):
        return "noise"
    return None if find(picture, texts) else "no subject"


def check_texts(item: FilteredCandidates, open_critic: OpenCritic, least: float) -> FilteredCandidates | Drop:
    """Read each candidate and drop those that lack too much of the requested texts."""
    if not item.texts:
        return item
    critic = open_critic()

    def look(candidate: Candidate) -> Candidate | str:
        seen = critic.texts(candidate.picture)
        recall = text_recall(item.texts, [text.text for text in seen])
        if recall < least:
            return "wrong text" if seen else "no text"
        texts = candidate.texts or tuple(DrawnText(text.text, text.box) for text in seen)
        return replace(candidate, texts=texts).with_score("text recall", recall)

    return item.sift(map(look, item.candidates), **{"text recall": {"by": critic.name}})


def text_recall(expected: tuple[str, ...], read: list[str]) -> float:
    """How much of the texts was read, in [0, 1]: of words; of letters where they are Chinese, which has no blanks."""
    if language_of("".join(expected)) == "zh":
        expected, read = tuple(" ".join(text) for text in expected), [" ".join(text) for text in read]
    return text_accuracy(expected, read).recall


def check_agreement(
    item: FilteredCandidates, open_model: OpenImageTextModel, least: float
) -> FilteredCandidates | Drop:
    """Compare each candidate with its prompt by a CLIP-like model."""
    scorer, pictures = open_model(), [candidate.picture for candidate in item.candidates]
    scores = scorer.score(pictures, [item.request.caption] * len(pictures))
    verdicts = (
        "does not fit its prompt" if score < least else candidate.with_score("agreement", score)
        for candidate, score in zip(item.candidates, scores, strict=True)
    )
    return item.sift(verdicts, agreement={"by": scorer.name})


def keep_best(item: FilteredCandidates, open_reward: OpenReward, licence: str, made_by: str) -> PosterSample:
    """Keep the best candidate as a finished poster: by agreement with its prompt, else by a reward.

    Args:
        made_by: the model's name, for the row's `source`.
    """
    judged, question = dict(item.judged), "agreement"
    candidates = list(item.candidates)
    if question not in judged:
        reward, question = open_reward(), "worth"
        judged[question] = {"by": reward.name}
        results = score_posters(reward, [candidate.picture for candidate in candidates], item.request.caption)
        found = zip(candidates, results, strict=True)
        candidates = [candidate.with_score(question, result.value) for candidate, result in found]
    chosen = max(candidates, key=lambda candidate: candidate.scores[question])
    judged = {name: {**answer, "said": chosen.scores[name]} for name, answer in judged.items()}
    drawn = len(candidates) + item.lost.total()
    judged["candidates"] = {"by": made_by, "said": {"drawn": drawn, **dict(sorted(item.lost.items()))}}
    request, pixels = item.request, np.asarray(chosen.picture)
    title = item.texts[0] if item.texts else None
    return PosterSample(
        id=f"candidate-{request.id}", task="text", target=pixels, texts=list(chosen.texts),
        regions=[Region(text.box, "major" if text.text == title else "minor", text.text)
                 for text in chosen.texts if text.box],
        caption=request.caption, instruction=request.caption, words=request.caption, theme=request.theme,
        source=made_by, licence=licence, split=request.split, background=background_name(pixels),
        style=request.style, judged=judged,
    )  # fmt: skip
