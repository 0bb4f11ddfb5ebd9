"""One interface for language models that read and write text, wherever they run."""

from __future__ import annotations

from typing import Protocol


class AnswerError(OSError):
    """A judge gave no usable answer; the message is one line that says who and why."""


class Chat(Protocol):
    """A language model that answers one question."""

    @property
    def name(self) -> str:
        """What records and errors call it."""
        ...

    def ask(self, system: str, user: str) -> str:
        """The answer to one question.

        Raises:
            AnswerError: there is none.
        """
        ...
