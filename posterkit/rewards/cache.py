"""Worths on disk, so that no poster is scored twice for the same row."""

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
from posterkit.llm.cache import digest, read_entry, write_entry
from posterkit.rewards.parts.part import check_count
from posterkit.rewards.reward import Reward, RewardResult
from posterkit.schema import PosterRequest


class CachedReward:
    """A reward whose worths are kept in a folder, one file a poster.

    The key is everything that decides the worth: the reward's name, posterkit's and the OCR's version, the poster's
    pixels, and the row with its pictures (but not its id). Safe for any number of threads and processes on one folder;
    a damaged file is scored again. Errors and worths that are no number are not kept.

    Args:
        reward: who scores what is not there yet.
        folder: made where it is not there.
    """

    def __init__(self, reward: Reward, folder: str | Path) -> None:
        self.reward, self.folder = reward, Path(folder)

    @property
    def name(self) -> str:
        return self.reward.name

    def __call__(self, images: Sequence[Image.Image], rows: Sequence[PosterRequest]) -> list[RewardResult]:
        """The worths, from the folder where they are there.

        Raises:
            OSError: the folder cannot be written.
        """
        check_count(self.name, images, rows)
        paths = [self._path(image, row) for image, row in zip(images, rows, strict=True)]
        found = [_read(path) for path in paths]
        missing = [n for n, worth in enumerate(found) if worth is None]
        if missing:
            scored = self.reward([images[n] for n in missing], [rows[n] for n in missing])
            for n, worth in zip(missing, scored, strict=True):
                found[n] = worth
                if np.isfinite(worth.value):
                    write_entry(paths[n], {"by": self.name, "user": rows[n].id, "answer": json.dumps(asdict(worth))})
        return [worth for worth in found if worth is not None]

    def _path(self, image: Image.Image, row: PosterRequest) -> Path:
        how = f"{self.name} posterkit {posterkit.__version__} rapidocr {version('rapidocr')}"
        key = sha256(f"{how} {digest(image)} {_told(row)}".encode()).hexdigest()
        return self.folder / key[:2] / f"{key}.json"


def _told(row: PosterRequest) -> str:
    """Everything in a row that a reward looks at, pictures by their content."""
    names = ("task", "texts", "references", "mask_array", "placed", "regions", "size", "caption", "spare")
    return repr(_plain({"prompt": row.as_instruction(), **{name: getattr(row, name) for name in names}}))


def _plain(value):
    if isinstance(value, np.ndarray):
        return value.shape, str(value.dtype), sha256(np.ascontiguousarray(value).tobytes()).hexdigest()
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    return tuple(_plain(one) for one in value) if isinstance(value, tuple) else value


def _read(path: Path) -> RewardResult | None:
    kept = read_entry(path)
    if kept is not None:
        with suppress(ValueError, TypeError, KeyError):  # damaged inside; it is scored again
            entry = json.loads(kept)
            return RewardResult(float(entry["value"]), dict(entry["parts"]), str(entry["why"]))
    return None
