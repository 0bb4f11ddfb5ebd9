"""One interface for models that answer a question in words, about pictures too, wherever they run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from PIL import Image

IMAGE_SIDE = 1024  # pixels; the longer side of what a model is shown, unless told otherwise


class AnswerError(OSError):
    """A judge gave no usable answer; the message is one line that says who and why."""


def reduced(image: Image.Image, side: int) -> Image.Image:
    """An RGB copy whose longer side is at most `side` pixels; it is never enlarged."""
    picture = image.convert("RGB")
    if max(picture.size) > side:
        picture = picture.copy()
        picture.thumbnail((side, side), Image.Resampling.LANCZOS)
    return picture


class LanguageModel(Protocol):
    """A model that answers one question."""

    @property
    def name(self) -> str:
        """What records and errors call it."""
        ...

    def ask(
        self,
        system: str,
        user: str,
        images: Sequence[Image.Image] = (),
        schema: dict[str, Any] | None = None,
    ) -> str:
        """The answer to one question.

        Args:
            images: RGB, what the question is about, in the order that it speaks of them.
            schema: a JSON schema that the answer should follow; a model may not heed it, so readers stay tolerant.

        Raises:
            AnswerError: there is none, or this model cannot see.
        """
        ...


class VisionLanguageModel(LanguageModel, Protocol):
    """A chat that can be asked about pictures, and that says how sure it is."""

    def weigh(
        self, system: str, users: Sequence[str], answers: Sequence[str], images: Sequence[Image.Image] = ()
    ) -> list[list[float]]:
        """How likely each of some answers is beside the others, from the model's first token.

        Args:
            users: questions about the same pictures; what they begin with alike is read once.
            answers: a token each.

        Returns:
            For each question a number for each answer; they sum to 1.

        Raises:
            AnswerError: there is no answer, or it is none of them.
        """
        ...
