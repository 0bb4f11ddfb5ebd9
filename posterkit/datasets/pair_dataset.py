"""Two posters for one prompt: preference pairs (PosterCraft stage 3, PosterOmni's reward), reflections (stage 4)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from posterkit.datasets.dataset import PosterDataset
from posterkit.datasets.sample_files import Row, sample_from_row
from posterkit.schema import PosterSample

Item = TypeVar("Item")

# what both posters of a row have in common, as a sample has it
_COMMON = (
    "task", "instruction", "words", "theme", "source", "licence", "split", "references", "mask", "placed", "shard",
)  # fmt: skip


@dataclass(frozen=True)
class PreferencePair:
    """Which of two posters is better."""

    id: str  # unique within a set
    chosen: PosterSample  # as a sample; `rejected` is one of the same request, so that all but the picture is equal
    rejected: PosterSample
    kind: str  # "candidates": two drawings of one model; "unedited": rejected is the input as it was
    gap: float | None  # chosen's score less rejected's; None where nothing was compared


@dataclass(frozen=True)
class Reflection:
    """A draft, what to change in it, and a better poster for the same prompt."""

    id: str  # unique within a set
    draft: PosterSample  # as a sample; all but the picture is the same in `target`
    target: PosterSample
    content: str  # one suggestion, `style` the other; together the pipeline's `feedback=[content, style]`
    style: str


class PairDataset(Generic[Item]):
    """Pairs by number: rows are in memory, pictures are read on access.

    Args:
        path: the set's folder, or its index file.
        split: only pairs of this one; None for all.
        keys: that a row must have.
        make: a pair from its row and its two posters.

    Raises:
        FileNotFoundError: there is no index.
        ValueError: a line is no JSON object.
    """

    def __init__(
        self, path: str | Path, split: str | None, keys: Sequence[str],
        make: Callable[[Row, PosterSample, PosterSample], Item],
    ) -> None:  # fmt: skip
        found = PosterDataset(path, split=split)
        self.rows, self.files, self._keys, self._make = found.rows, found.files, ("id", "task", "prompt", *keys), make

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> Item:
        """Pair `index`.

        Raises:
            ValueError: its row lacks a key, or one of its pictures cannot be read.
            FileNotFoundError: a picture is not there.
        """
        row = self.rows[index]
        if missing := [key for key in self._keys if key not in row]:
            raise ValueError(f"{row.get('id', 'a pair')}: {', '.join(missing)} is missing")
        first, second = (sample_from_row(one, lambda name: self.files.read(row, name)) for one in as_samples(row))
        return self._make(row, first, second)


def open_preferences(path: str | Path, split: str | None = None) -> PairDataset[PreferencePair]:
    """The pairs that `mine_preferences.py` wrote; see `PairDataset`."""

    def make(row: Row, chosen: PosterSample, rejected: PosterSample) -> PreferencePair:
        return PreferencePair(row["id"], chosen, rejected, row.get("kind", "candidates"), row.get("gap"))

    return PairDataset(path, split, ("chosen", "rejected"), make)


def open_reflections(path: str | Path, split: str | None = None) -> PairDataset[Reflection]:
    """The reflections that `build_reflections.py` wrote; see `PairDataset`."""

    def make(row: Row, draft: PosterSample, target: PosterSample) -> Reflection:
        return Reflection(row["id"], draft, target, row["content"], row["style"])

    return PairDataset(path, split, ("draft", "target", "content", "style"), make)


def pictures_of(row: Row) -> tuple[str, str] | None:
    """The keys of a pair's two posters, the better one last for a reflection; None for a row with a single poster."""
    if "chosen" in row or "rejected" in row:
        return "chosen", "rejected"
    return ("draft", "target") if "draft" in row else None


def as_samples(row: Row) -> list[Row]:
    """A row as rows of samples: two for a pair, one for each poster; the row itself where there is only one."""
    keys = pictures_of(row)
    if keys is None:
        return [row]
    common = {key: row[key] for key in _COMMON if key in row}
    return [
        {**common, "id": f"{row.get('id')}-{key}", "target": row.get(key), "caption": row.get("prompt", "")}
        for key in keys
    ]
