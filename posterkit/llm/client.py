"""One interface to language and vision-language models, wherever they run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

from PIL import Image

Images = Sequence[Image.Image]
Schema = dict[str, Any]  # of JSON
IMAGE_SIDE = 1024  # pixels; the longer side of images that go to a model, by default


class AnswerError(OSError):
    """A model or a server gave no usable answer; the message is one line that names it and says why."""


class LanguageModel(Protocol):
    """A model that answers a question in words."""

    @property
    def name(self) -> str:
        """Its name in records and errors."""
        ...

    def ask(self, system: str, user: str, images: Images = (), schema: Schema | None = None) -> str:
        """The answer to one question.

        Args:
            system: the system prompt.
            user: the question.
            images: RGB, in the order in which the question speaks of them.
            schema: a JSON schema for the answer. A model may ignore it, so readers of answers stay tolerant.

        Raises:
            AnswerError: there is no answer, or this model takes no images.
        """
        ...


@runtime_checkable
class BatchLanguageModel(LanguageModel, Protocol):
    """A language model that answers several questions in one batch."""

    def ask_all(self, system: str, users: Sequence[str]) -> list[str]:
        """An answer to each question; AnswerError where there is none to any."""
        ...


class VisionLanguageModel(LanguageModel, Protocol):
    """A language model that takes images and gives the probabilities of its answers."""

    def choice_probabilities(
        self, system: str, questions: Sequence[str], choices: Sequence[str], images: Images = ()
    ) -> list[list[float]]:
        """The probability of each choice among all of them, from the model's first token.

        Args:
            questions: about the same images; what they begin with alike is read once.
            choices: answers of one token each.

        Returns:
            For each question one number for each choice; they sum to 1.

        Raises:
            AnswerError: there is no answer, or it is none of the choices.
        """
        ...
