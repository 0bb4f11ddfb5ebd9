"""The interface of all rewards: posters and their requests go in, results come out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from PIL import Image

from posterkit.schema import PosterRequest


@dataclass(frozen=True)
class RewardResult:
    """One poster's reward, larger is better.

    Attributes:
        value: in [0, 1].
        parts: what it is made of, by name; each in [0, 1].
        why: one line for people: what is wrong with it.
    """

    value: float
    parts: dict[str, float] = field(default_factory=dict)
    why: str = ""


class Reward(Protocol):
    """Says what posters are worth. The same posters and rows always get the same answer."""

    @property
    def name(self) -> str:
        """What records and caches call it; it changes with everything that decides the answer."""
        ...

    def __call__(self, images: Sequence[Image.Image], rows: Sequence[PosterRequest]) -> list[RewardResult]:
        """One worth for each poster (RGB) and what it was asked to be.

        Raises:
            ValueError: as many rows are not there.
        """
        ...
