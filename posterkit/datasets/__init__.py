"""Data sets of posters: the sample's schema, sets on disk and the engine that makes them, synthetic posters."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from posterkit.datasets.dataset import PosterDataset
    from posterkit.schema import DrawnText, PosterSample, Region, read_sample, write_sample
    from posterkit.synthetic import (
        SyntheticPosters,
        background_name,
        border_lab,
        caption_vocabulary,
        title_words,
    )

_PUBLIC = {
    "PosterDataset": "posterkit.datasets.dataset",
    "PosterSample": "posterkit.schema",
    "Region": "posterkit.schema",
    "DrawnText": "posterkit.schema",
    "read_sample": "posterkit.schema",
    "write_sample": "posterkit.schema",
    "SyntheticPosters": "posterkit.synthetic",
    "background_name": "posterkit.synthetic",
    "border_lab": "posterkit.synthetic",
    "caption_vocabulary": "posterkit.synthetic",
    "title_words": "posterkit.synthetic",
}

__all__ = [
    "DrawnText",
    "PosterDataset",
    "PosterSample",
    "Region",
    "SyntheticPosters",
    "background_name",
    "border_lab",
    "caption_vocabulary",
    "read_sample",
    "title_words",
    "write_sample",
]


def __getattr__(name: str):
    if name in _PUBLIC:
        return getattr(importlib.import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module 'posterkit.datasets' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
