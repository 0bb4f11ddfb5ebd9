"""What a model that sees says of posters: the mark that it would give, weighed by how sure it is of each."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property

import numpy as np
from PIL import Image

from posterkit.llm.client import VisionLanguageModel
from posterkit.rewards.parts.part import Part
from posterkit.rewards.reward import RewardResult
from posterkit.schema import PosterRequest

MARKS = tuple("012345")
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
# the question comes last: what is the same for all, pictures and request, is read once, by servers too (vLLM, SGLang)
QUESTION = """\
Request: {request}
{question}
Answer with one digit from 0 (not at all) to 5 (flawless) and with nothing else."""


class ModelReward(Part):
    """A vision-language model by folder or endpoint; the expected digit of its answer, as a part of 5 (Edit-R1).

    No word is generated and no answer has to be parsed: a mark costs its question to read, and it is as fine as the
    model's doubts, so that posters of one prompt hardly ever tie. The pictures that went in and then the poster are
    read once for all marks.

    What hacks it: a model believes what it can read; a poster that bears praise or instructions may raise its marks,
    and small misspellings escape it. Keep OCR beside it.

    Args:
        source: for the name.
        open_seer: called at the first poster.
        only: one of `QUESTIONS`; None asks those of `WHOLE` and takes their mean.
    """

    def __init__(
        self, source: str, open_vision_language_model: Callable[[], VisionLanguageModel], only: str | None = None
    ) -> None:
        self.name, self._open = f"{only or 'marks'} by {source}", open_vision_language_model
        self.asked = (only,) if only else WHOLE

    def applies(self, row: PosterRequest) -> bool:
        return self.asked != ("identity",) or bool(row.references)

    def judge(self, poster: Image.Image, row: PosterRequest) -> RewardResult:
        pictures = [*row.inputs(), poster]
        request = row.as_instruction() if row.images else row.caption or row.as_instruction()
        questions = [QUESTION.format(request=request, question=QUESTIONS[part]) for part in self.asked]
        chances = self._seer.choice_probabilities(SYSTEM, questions, MARKS, pictures)
        expected = np.asarray(chances) @ [int(mark) for mark in MARKS] / int(MARKS[-1])
        parts = dict(zip(self.asked, expected.tolist(), strict=True))
        weakest = min(parts, key=lambda part: parts[part])
        return RewardResult(
            float(np.mean(list(parts.values()))), parts, f"weakest in {weakest} ({parts[weakest]:.2f})"
        )

    @cached_property
    def _seer(self) -> VisionLanguageModel:
        return self._open()
