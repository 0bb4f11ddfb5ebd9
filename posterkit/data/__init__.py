"""Data sets of posters: the sample's schema, sets on disk and the engine that makes them, synthetic posters."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from posterkit.data.dataset import PosterDataset
    from posterkit.data.schema import DrawnText, PosterSample, Region, read_sample, write_sample
    from posterkit.data.synthetic import (
        SyntheticPosters,
        background_name,
        border_lab,
        caption_vocabulary,
        title_words,
    )

_PUBLIC = {
    "PosterDataset": "posterkit.data.dataset",
    "PosterSample": "posterkit.data.schema",
    "Region": "posterkit.data.schema",
    "DrawnText": "posterkit.data.schema",
    "read_sample": "posterkit.data.schema",
    "write_sample": "posterkit.data.schema",
    "SyntheticPosters": "posterkit.data.synthetic",
    "background_name": "posterkit.data.synthetic",
    "border_lab": "posterkit.data.synthetic",
    "caption_vocabulary": "posterkit.data.synthetic",
    "title_words": "posterkit.data.synthetic",
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
    raise AttributeError(f"module 'posterkit.data' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
