"""The interface of all rewards, a value in [0, 1] for a poster and its request; and a cache of results on disk."""

# pyright: standard
from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import ClassVar, Protocol

import numpy as np
from PIL import Image

import posterkit
from posterkit.llm.answer_cache import FolderCache, code_version, pixel_hash
from posterkit.metrics.poster_reader import PosterReader, open_poster_reader
from posterkit.schema import PosterRequest

NOTHING_TO_JUDGE = "nothing to judge"
# rooms whose code decides what a poster is worth
_MEASURES = tuple(
    Path(posterkit.__file__).parent / room for room in ("rewards", "safety", "metrics", "prompts", "layout")
)


class RewardError(OSError):
    """A reward gave no usable result; the message is one line that names it and says why."""


@dataclass(frozen=True)
class RewardResult:
    """The reward of one poster; larger is better."""

    value: float  # in [0, 1]
    parts: dict[str, float] = field(default_factory=dict)  # the measures that it is made of, by name; each in [0, 1]
    why: str = ""  # one line for people: what is wrong with the poster


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


class ReadingReward(PosterReward):
    """A reward that reads what stands on posters; its name says how it reads.

    With no `reader` it shares the process's own; without `read_text` it is much faster, and sees no texts.
    """

    part: ClassVar[str]

    def __init__(self, reader: PosterReader | None = None, read_text: bool = True) -> None:
        self.reader, self.read_text = reader or open_poster_reader(), read_text
        self.name = self.part + ("-blind" if not read_text else "-fast" if self.reader.fast else "")


def check_count(name: str, images: Sequence[Image.Image], requests: Sequence[PosterRequest]) -> None:
    """ValueError where there is not one request for each poster."""
    if len(images) != len(requests):
        raise ValueError(f"reward {name}: {len(images)} posters for {len(requests)} rows; give one row for each")


class CachedReward:
    """A reward whose results are kept in a folder.

    The key is everything that decides the result: the reward's name, the measures' code, the OCR's version, the
    poster's pixels, and the request with its pictures (but not its id). Errors and values that are not finite are not
    kept.

    Args:
        reward: scores what is not in the folder yet.
        folder: of a `posterkit.llm.answer_cache.FolderCache`.
    """

    def __init__(self, reward: Reward, folder: str | Path) -> None:
        self.reward, self._cache = reward, FolderCache(folder)

    @property
    def name(self) -> str:
        return self.reward.name

    def __call__(self, images: Sequence[Image.Image], requests: Sequence[PosterRequest]) -> list[RewardResult]:
        """The results, from the folder if they are there; OSError where it cannot be written."""
        check_count(self.name, images, requests)
        versions = f"{code_version(*_MEASURES)} rapidocr {version('rapidocr')}"
        keys = [
            f"{self.name} {versions} {pixel_hash(image)} {_content(request)}"
            for image, request in zip(images, requests, strict=True)
        ]
        found = [_read(self._cache.get(key)) for key in keys]
        missing = [n for n, result in enumerate(found) if result is None]
        if missing:
            scored = self.reward([images[n] for n in missing], [requests[n] for n in missing])
            for n, result in zip(missing, scored, strict=True):
                found[n] = result
                if np.isfinite(result.value):
                    self._cache.put(keys[n], json.dumps(asdict(result)), by=self.name, user=requests[n].id)
        return [result for result in found if result is not None]


def _content(request: PosterRequest) -> str:
    """Everything in a request that a reward reads; pictures by a hash of their pixels."""
    names = ("task", "texts", "references", "mask_array", "placed", "regions", "size", "caption", "spare")
    return repr(_plain({"prompt": request.as_instruction(), **{name: getattr(request, name) for name in names}}))


def _plain(value: object) -> object:
    if isinstance(value, np.ndarray):
        return value.shape, str(value.dtype), sha256(np.ascontiguousarray(value).tobytes()).hexdigest()
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    return tuple(_plain(one) for one in value) if isinstance(value, tuple) else value


def _read(answer: str | None) -> RewardResult | None:
    if answer is not None:
        with suppress(ValueError, TypeError, KeyError):  # damaged inside; it is scored again
            entry = json.loads(answer)
            return RewardResult(float(entry["value"]), dict(entry["parts"]), str(entry["why"]))
    return None
