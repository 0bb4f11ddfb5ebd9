"""The reward of a vision-language model: the expected digit of its answer to one question for each part."""

# pyright: standard
from __future__ import annotations

from collections.abc import Callable
from functools import cached_property

import numpy as np
from PIL import Image

from posterkit.llm.client import VisionLanguageModel
from posterkit.rewards.reward import PosterReward, RewardResult
from posterkit.schema import PosterRequest

DIGITS = tuple("012345")
QUESTIONS = {
    "aesthetics": "Does it look good as a poster: composition, colour, typography, finish, no broken parts?",
    "text": "Is every text that the request puts in quotes there, spelt letter for letter and legible, without "
    "garbled or needless other text? If the request quotes no text and the poster has none, it is flawless.",
    "agreement": "Does it show what the request asks for: subjects, their number and colours, style, places, and of "
    "the pictures that went in whatever was to be kept?",
    "identity": "Is the main subject of the pictures that went in on the poster, unmistakably the same one?",
}
WHOLE = ("aesthetics", "text", "agreement")
SYSTEM = """\
You judge posters strictly. You see the pictures that went in, if there were any, and last the poster that was made."""
# the question comes last, so that pictures and request are read once for all of them, by servers too (vLLM, SGLang)
QUESTION = """\
Request: {request}
{question}
Answer with one digit from 0 (not at all) to 5 (flawless) and with nothing else."""


class VisionLanguageReward(PosterReward):
    """The expected digit of a vision-language model's answer, as a share of 5 (Edit-R1).

    No word is generated and no answer has to be parsed: a score costs reading its question. It is the mean over the
    model's probabilities of each digit, so that posters of one prompt hardly ever tie. The input images and then the
    poster are read once for all questions.

    How it can be hacked: a model believes what it can read; a poster with praise or instructions on it may get higher
    scores, and small misspellings escape it. Keep OCR beside it.

    Args:
        source: for the name.
        open_model: called at the first poster.
        only: one of `QUESTIONS`; None asks those of `WHOLE` and takes their mean.
    """

    def __init__(self, source: str, open_model: Callable[[], VisionLanguageModel], only: str | None = None) -> None:
        self.name, self._open = f"{only or 'rating'} by {source}", open_model
        self.questions = (only,) if only else WHOLE

    def applies(self, request: PosterRequest) -> bool:
        return self.questions != ("identity",) or bool(request.references)

    def score(self, poster: Image.Image, request: PosterRequest) -> RewardResult:
        images = [*request.inputs(), poster]
        words = request.as_instruction() if request.images else request.caption or request.as_instruction()
        questions = [QUESTION.format(request=words, question=QUESTIONS[part]) for part in self.questions]
        probabilities = self._model.choice_probabilities(SYSTEM, questions, DIGITS, images)
        expected = np.asarray(probabilities) @ [int(digit) for digit in DIGITS] / int(DIGITS[-1])
        parts = dict(zip(self.questions, expected.tolist(), strict=True))
        weakest = min(parts, key=lambda part: parts[part])
        return RewardResult(
            float(np.mean(list(parts.values()))), parts, f"weakest in {weakest} ({parts[weakest]:.2f})"
        )

    @cached_property
    def _model(self) -> VisionLanguageModel:
        return self._open()
