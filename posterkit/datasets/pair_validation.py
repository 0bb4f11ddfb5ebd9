"""What can be wrong with a preference pair or a reflection, beside what can be wrong with each of its posters."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from PIL import Image

from posterkit.critic.model import speaks_of_another
from posterkit.datasets.pair_dataset import pictures_of
from posterkit.sizing import Size

KINDS = ("candidates", "unedited")


def key_faults(row: dict[str, Any]) -> Iterator[str]:
    """What is wrong with a pair's row before any file is opened; nothing for a row with a single poster."""
    keys = pictures_of(row)
    if keys is None:
        return
    words = ("prompt",) if keys[0] == "chosen" else ("prompt", "content", "style")
    for key in (*keys, *words):
        if not isinstance(row.get(key), str) or not row[key].strip():
            yield f'"{key}" must be a text, found {row.get(key)!r}'
    if keys[0] == "draft":
        for key in ("content", "style"):
            if isinstance(row.get(key), str) and (told := speaks_of_another(row[key])):
                yield f'"{key}" speaks of another picture: {told!r}'
        return
    kind, gap = row.get("kind", "candidates"), row.get("gap")
    if kind not in KINDS:
        yield f"kind {kind!r} is unknown; there are {', '.join(KINDS)}"
    if gap is not None and not (isinstance(gap, int | float) and gap > 0):
        yield f'"gap" must be above 0, the chosen one being better; found {gap!r}'


def picture_faults(row: dict[str, Any], first: Image.Image, second: Image.Image) -> Iterator[str]:
    """What is wrong between the two posters of a pair, in the order of `pictures_of`."""
    keys = pictures_of(row)
    assert keys is not None
    if first.size == second.size:
        if np.array_equal(np.asarray(first), np.asarray(second)):
            yield f"{keys[0]} and {keys[1]} are the same picture"
    elif row.get("kind") != "unedited":  # an input has its own size
        yield f"{keys[0]} is {Size(*first.size)}, {keys[1]} {Size(*second.size)}"
