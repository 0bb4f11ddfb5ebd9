"""The plan of a drawing, a quick random choice, and tables of words and colours."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any, TypeVar

from posterkit.documents import table_lines

Item = TypeVar("Item")
Plan = dict[str, Any]  # a theme's own numbers and colours; its `slots` are what captions say


def pick(rng: Random, items: Sequence[Item]) -> Item:
    """One item, all alike often, from a single random number; several times as quick as `rng.choice`."""
    return items[int(rng.random() * len(items))]


def read_table(name: str) -> list[tuple[str, str]]:
    """The rows of a table in `words/`: a key and what follows it; a key may come several times."""
    parts = (line.partition(":") for line in table_lines(Path(__file__).parent / "words" / f"{name}.txt"))
    return [(key, rest.strip()) for key, _, rest in parts]
