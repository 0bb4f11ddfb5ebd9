"""Results on disk, so that no poster is scored twice for the same request."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path

import numpy as np
from PIL import Image

import posterkit
from posterkit.llm.cache import FolderCache, pixel_hash
from posterkit.rewards.reward import Reward, RewardResult, check_count
from posterkit.schema import PosterRequest


class CachedReward:
    """A reward whose results are kept in a folder.

    A question is everything that decides the result: the reward's name, posterkit's and the OCR's version, the
    poster's pixels, and the request with its pictures (but not its id). Errors and values that are not finite are not
    kept.

    Args:
        reward: scores what is not in the folder yet.
        folder: of a `posterkit.llm.cache.FolderCache`.
    """

    def __init__(self, reward: Reward, folder: str | Path) -> None:
        self.reward, self._cache = reward, FolderCache(folder)

    @property
    def name(self) -> str:
        return self.reward.name

    def __call__(self, images: Sequence[Image.Image], requests: Sequence[PosterRequest]) -> list[RewardResult]:
        """The results, from the folder if they are there.

        Raises:
            OSError: the folder cannot be written.
        """
        check_count(self.name, images, requests)
        versions = f"posterkit {posterkit.__version__} rapidocr {version('rapidocr')}"
        questions = [
            f"{self.name} {versions} {pixel_hash(image)} {_content(request)}"
            for image, request in zip(images, requests, strict=True)
        ]
        found = [_read(self._cache.get(question)) for question in questions]
        missing = [n for n, result in enumerate(found) if result is None]
        if missing:
            scored = self.reward([images[n] for n in missing], [requests[n] for n in missing])
            for n, result in zip(missing, scored, strict=True):
                found[n] = result
                if np.isfinite(result.value):
                    self._cache.put(questions[n], json.dumps(asdict(result)), by=self.name, user=requests[n].id)
        return [result for result in found if result is not None]


def _content(request: PosterRequest) -> str:
    """Everything in a request that a reward looks at, pictures by a hash of their pixels."""
    names = ("task", "texts", "references", "mask_array", "placed", "regions", "size", "caption", "spare")
    return repr(_plain({"prompt": request.as_instruction(), **{name: getattr(request, name) for name in names}}))


def _plain(value):
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
