"""What a task builder returns: the inputs that belong to a finished poster, or the reason why it cannot be used."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np

from posterkit.pipelines.segmenters import Box


class CannotBuild(Exception):
    """The poster does not suit the task: a reason of a few words for the funnel, and what was found."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(reason, detail)
        self.reason, self.detail = reason, detail


@dataclass(frozen=True)
class TaskInputs:
    """References, mask and words for a target, which is the finished poster itself.

    Attributes:
        references, mask, words, placed, subject: as in `PosterSample`.
        how: how the input was made, for the record.
        painted: the painter made part of it.
    """

    references: list[np.ndarray]
    words: str | None
    how: str
    mask: np.ndarray | None = None
    placed: Box | None = None
    subject: Box | None = None
    painted: bool = False


def seed_of(name: str) -> int:
    """A seed from a name alone, so that all tasks of a poster share what was painted."""
    return zlib.crc32(name.encode())
