"""What most rewards are: one question about one poster at a time, which not every row puts."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from posterkit.rewards.reward import RewardResult
from posterkit.schema import PosterRequest

NOTHING_TO_JUDGE = "nothing to judge"


class Part(ABC):
    """A reward that looks at posters one by one."""

    name: str

    def applies(self, row: PosterRequest) -> bool:
        """Whether the row asks for anything that this reward judges; where not, a poster is worth 1 without parts."""
        return True

    @abstractmethod
    def judge(self, poster: Image.Image, row: PosterRequest) -> RewardResult:
        """One poster, RGB, of a row to which this applies."""

    def __call__(self, images: Sequence[Image.Image], rows: Sequence[PosterRequest]) -> list[RewardResult]:
        check_count(self.name, images, rows)
        return [
            self.judge(image.convert("RGB"), row) if self.applies(row) else RewardResult(1.0, {}, NOTHING_TO_JUDGE)
            for image, row in zip(images, rows, strict=True)
        ]


def check_count(name: str, images: Sequence[Image.Image], rows: Sequence[PosterRequest]) -> None:
    """One row for each poster.

    Raises:
        ValueError: the numbers differ.
    """
    if len(images) != len(rows):
        raise ValueError(f"reward {name}: {len(images)} posters for {len(rows)} rows; give one row for each")


def pixels(poster: Image.Image, row: PosterRequest) -> NDArray[np.uint8]:
    """The poster at the size that the row's mask and boxes are measured on, `(H, W, 3)`."""
    if row.size is None or poster.size == tuple(row.size):
        return np.asarray(poster)
    return np.asarray(poster.resize(row.size, Image.Resampling.LANCZOS))


def share(value: float, low: float, high: float) -> float:
    """How far a value is on the way from low to high, in [0, 1]; `low` may be the larger one."""
    return float(min(1.0, max(0.0, (value - low) / (high - low))))
