"""One interface for models that answer a question in words, about pictures too, wherever they run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from PIL import Image


class AnswerError(OSError):
    """A judge gave no usable answer; the message is one line that says who and why."""


class Chat(Protocol):
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
