"""Two posters for one prompt: preference pairs (PosterCraft stage 3, PosterOmni's reward), reflections (stage 4)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar, overload

from posterkit.datasets.dataset import PosterDataset
from posterkit.datasets.sample_files import Row, sample_from_row
from posterkit.schema import PosterSample

Item = TypeVar("Item")
Read = Callable[[str], bytes]

# what both posters of a row have in common, as a sample has it
_COMMON = (
    "task", "instruction", "words", "theme", "source", "licence", "split", "references", "mask", "placed", "shard",
)  # fmt: skip


@dataclass(frozen=True)
class PreferencePair:
    """Which of two posters is better.

    Attributes:
        id: unique within a set.
        chosen, rejected: as samples; task, prompt (`caption`), instruction, references and mask are the same in both.
        kind: "candidates": two drawings of one model; "unedited": rejected is the input as it was, of its own size.
        gap: chosen's score less rejected's; None where nothing was compared.
    """

    id: str
    chosen: PosterSample
    rejected: PosterSample
    kind: str
    gap: float | None


@dataclass(frozen=True)
class Reflection:
    """A draft, what to change in it, and a better poster for the same prompt.

    Attributes:
        id: unique within a set.
        draft, target: as samples; all but the picture is the same in both.
        content, style: the two suggestions; together the pipeline's `feedback=[content, style]`.
    """

    id: str
    draft: PosterSample
    target: PosterSample
    content: str
    style: str


class PairDataset(Sequence[Item], Generic[Item]):
    """Pairs by number: rows are in memory, pictures are read on access.

    Args:
        path: the set's folder, or its index file.
        decode: an item from a row and a reader of its files.
        split: only pairs of this one; None for all.

    Raises:
        FileNotFoundError: there is no index.
        ValueError: a line is no JSON object.
    """

    def __init__(self, path: str | Path, decode: Callable[[Row, Read], Item], split: str | None = None) -> None:
        found = PosterDataset(path, split=split)
        self.rows, self.files, self._decode = found.rows, found.files, decode

    def __len__(self) -> int:
        return len(self.rows)

    @overload
    def __getitem__(self, index: int) -> Item: ...
    @overload
    def __getitem__(self, index: slice) -> list[Item]: ...
    def __getitem__(self, index: int | slice) -> Item | list[Item]:
        """Item `index`.

        Raises:
            ValueError: its row lacks a key, or one of its pictures cannot be read.
            FileNotFoundError: a picture is not there.
        """
        if isinstance(index, slice):
            return [self[number] for number in range(*index.indices(len(self)))]
        row = self.rows[index]
        return self._decode(row, lambda name: self.files.read(row, name))


def open_preferences(path: str | Path, split: str | None = None) -> PairDataset[PreferencePair]:
    """The pairs that `mine_preferences.py` wrote; see `PairDataset`."""
    return PairDataset(path, preference_from_row, split)


def open_reflections(path: str | Path, split: str | None = None) -> PairDataset[Reflection]:
    """The reflections that `build_reflections.py` wrote; see `PairDataset`."""
    return PairDataset(path, reflection_from_row, split)


def preference_from_row(row: Row, read: Read) -> PreferencePair:
    """The pair that a row describes.

    Raises:
        ValueError: a key is missing, or a picture is damaged.
    """
    _need(row, ("id", "task", "prompt", "chosen", "rejected"))
    chosen, rejected = (sample_from_row(one, read) for one in as_samples(row))
    return PreferencePair(row["id"], chosen, rejected, row.get("kind", "candidates"), row.get("gap"))


def reflection_from_row(row: Row, read: Read) -> Reflection:
    """The reflection that a row describes.

    Raises:
        ValueError: a key is missing, or a picture is damaged.
    """
    _need(row, ("id", "task", "prompt", "draft", "target", "content", "style"))
    draft, target = (sample_from_row(one, read) for one in as_samples(row))
    return Reflection(row["id"], draft, target, row["content"], row["style"])


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


def _need(row: Row, keys: Sequence[str]) -> None:
    missing = [key for key in keys if key not in row]
    if missing:
        raise ValueError(f"{row.get('id', 'a pair')}: {', '.join(missing)} is missing")
