"""The interface of all rewards: a value in [0, 1] for a poster and the request that it was made for."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from PIL import Image

from posterkit.schema import PosterRequest

NOTHING_TO_JUDGE = "nothing to judge"


class RewardError(OSError):
    """A reward gave no usable result; the message is one line that names it and says why."""


@dataclass(frozen=True)
class RewardResult:
    """The reward of one poster; larger is better.

    Attributes:
        value: in [0, 1].
        parts: the measures that it is made of, by name; each in [0, 1].
        why: one line for people: what is wrong with the poster.
    """

    value: float
    parts: dict[str, float] = field(default_factory=dict)
    why: str = ""


class Reward(Protocol):
    """Scores posters. The same posters and requests always get the same results."""

    @property
    def name(self) -> str:
        """Its name in records and caches; it changes with everything that decides the results."""
        ...

    def __call__(self, images: Sequence[Image.Image], requests: Sequence[PosterRequest], /) -> list[RewardResult]:
        """One result for each poster (RGB) and its request.

        Raises:
            ValueError: there is not one request for each poster.
        """
        ...


class PosterReward(ABC):
    """A reward that scores posters one at a time, and that not every request is subject to."""

    name: str

    def applies(self, request: PosterRequest) -> bool:
        """Whether the request asks for anything that this reward measures; if not, the value is 1, without parts."""
        return True

    @abstractmethod
    def score(self, poster: Image.Image, request: PosterRequest) -> RewardResult:
        """The result for one poster, RGB, whose request this reward applies to."""

    def __call__(self, images: Sequence[Image.Image], requests: Sequence[PosterRequest]) -> list[RewardResult]:
        check_count(self.name, images, requests)
        return [
            self.score(image.convert("RGB"), request)
            if self.applies(request)
            else RewardResult(1.0, {}, NOTHING_TO_JUDGE)
            for image, request in zip(images, requests, strict=True)
        ]


def check_count(name: str, images: Sequence[Image.Image], requests: Sequence[PosterRequest]) -> None:
    """ValueError where there is not one request for each poster."""
    if len(images) != len(requests):
        raise ValueError(f"reward {name}: {len(images)} posters for {len(requests)} rows; give one row for each")
