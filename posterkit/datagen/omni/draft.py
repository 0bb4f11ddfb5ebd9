"""What every task's builder takes and gives."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np

from posterkit.datagen.omni.parts import PainterAt
from posterkit.datagen.omni.subjects import Box


class Unfit(Exception):
    """A poster that a task cannot be made from: a reason of a few words, and what was found."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(reason, detail)
        self.reason, self.detail = reason, detail


@dataclass(frozen=True)
class Workshop:
    """What builders work with."""

    painter: PainterAt


@dataclass(frozen=True)
class Draft:
    """What a task adds to its target, the finished poster.

    Attributes:
        references, mask, words, placed, subject: as in `PosterSample`.
        how: how the input was made, for the record.
        painted: whether the painter had a part in it.
    """

    references: list[np.ndarray]
    words: str | None
    how: str
    mask: np.ndarray | None = None
    placed: Box | None = None
    subject: Box | None = None
    painted: bool = False


def seed_of(name: str) -> int:
    """A seed that hangs on a name alone, so that tasks of one poster share what was painted."""
    return zlib.crc32(name.encode())
