"""The plan of a drawing, and a quick random choice."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Any, TypeVar

Item = TypeVar("Item")
Plan = dict[str, Any]  # a theme's own numbers and colours; its `slots` are what captions say


def pick(rng: Random, items: Sequence[Item]) -> Item:
    """One item, all alike often, from a single random number; several times as quick as `rng.choice`."""
    return items[int(rng.random() * len(items))]
