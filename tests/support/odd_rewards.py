"""Rewards that misbehave, as a user's own may; by module, so that worker processes can import them."""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from posterkit.llm.client import AnswerError
from posterkit.rewards import RewardResult
from posterkit.schema import PosterRequest


class Odd:
    """A reward that is the red of the first pixel / 255; what the row's prompt says happens instead."""

    name = "odd"

    def __call__(self, images: Sequence[Image.Image], rows: Sequence[PosterRequest]) -> list[RewardResult]:
        prompts = [row.prompt for row in rows]
        if "raise" in prompts:
            raise RuntimeError("no such\nfont")
        if "no answer" in prompts:
            raise AnswerError("eye: no usable answer")
        if "lock" in prompts:  # as progress bars have one
            self.lock = multiprocessing.RLock()
            Path("locked").touch()
            time.sleep(60)
        if "hang" in prompts:
            time.sleep(60)
        if "die" in prompts:
            os._exit(3)
        results = [RewardResult(_red(image) / 255, {"red": _red(image) / 255}) for image in images]
        results = [RewardResult(float("nan")) if p == "nan" else RewardResult(1.5) if p == "high" else w
                  for p, w in zip(prompts, results, strict=True)]  # fmt: skip
        return results[1:] if "short" in prompts else results


class Slow:
    """Takes a third of a second a row."""

    name = "slow"

    def __call__(self, images: Sequence[Image.Image], rows: Sequence[PosterRequest]) -> list[RewardResult]:
        time.sleep(0.3 * len(rows))
        return [RewardResult(0.5) for _ in rows]


def _red(image: Image.Image) -> int:
    pixel = image.getpixel((0, 0))
    assert isinstance(pixel, tuple)
    return int(pixel[0])
