"""The rows of a critic's set, questions or pairs, and their pictures: in files or in tar shards."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from posterkit.datasets.dataset import INDEX, SetFiles, read_rows
from posterkit.datasets.sample_files import Row
from posterkit.image_io import read_image, read_size
from posterkit.messages import error_line
from posterkit.training.errors import RunFailed
from posterkit.training.protocols import RunView


class CriticRows:
    """Some rows of a set's folder."""

    def __init__(self, folder: Path, rows: list[Row]) -> None:
        self.files, self.rows = SetFiles(folder), rows

    def picture_named(self, row: Row, name: str) -> Image.Image:
        """One of a row's pictures; the run ends in one line where it is damaged."""
        try:
            return read_image(self.files.read(row, name), name=str(self.files.folder / name))
        except (OSError, ValueError) as fault:
            raise RunFailed(f"row {row['id']}: {error_line(fault)}; take it out of {INDEX}") from None


def open_critic_rows(
    folder: Path, run: RunView, tool: str, what: str, keys: Sequence[str], names: Callable[[Row], Any],
    taken: Callable[[Row], bool] = lambda row: True,
) -> tuple[list[Row], list[Row]]:  # fmt: skip
    """The rows to learn from, and those held out. Rows whose pictures are gone or damaged are left out and counted.

    Args:
        tool, what: what makes such a folder, and "questions" or "pairs", for errors.
        keys: of a row, whose values are words.
        names: the names of a row's pictures.
        taken: whether a row is wanted.

    Raises:
        FileNotFoundError: there is no set.
        ValueError: a row lacks a key or has the id of another one, or too few are left.
    """
    if not (folder / INDEX).is_file():
        raise FileNotFoundError(f"{folder}: there is no set here; {tool} makes one")
    files, lines, lost = SetFiles(folder), dict[str, int](), Counter[str]()
    rows: list[Row] = []
    for number, row in read_rows(folder / INDEX):
        where, pictures = f"{folder / INDEX} line {number}", names(row)
        lacks = [key for key in keys if not isinstance(row.get(key), str) or not row[key].strip()]
        if not isinstance(pictures, list) or not pictures or not all(isinstance(name, str) for name in pictures):
            lacks.append("pictures")
        if lacks:
            raise ValueError(f"{where}: lacks {', '.join(lacks)}; no {what} of {tool}")
        if not isinstance(row.get("system", ""), str):
            raise ValueError(f"{where}: its system prompt is {row['system']!r}, not words")
        if lines.setdefault(row["id"], number) != number:
            raise ValueError(f"{where}: the id {row['id']!r} is that of line {lines[row['id']]} too")
        if taken(row):
            fault = _fault(files, row, pictures)
            lost.update([fault] if fault else [])
            rows += [] if fault else [row]
    if lost:
        of = f"{lost.total()} of {lost.total() + len(rows)} {what} are left out"
        run.print(f"{folder}: {of}, the first since {next(iter(lost))}")
    train, heldout = ([row for row in rows if row["split"] == split] for split in ("train", "heldout"))
    if not train or not heldout:
        raise ValueError(f"{folder}: too few {what}: {len(train)} to learn from, {len(heldout)} held out")
    return train, heldout


def _fault(files: SetFiles, row: Row, pictures: Sequence[str]) -> str:
    """Why a picture of a row is not there; empty where all are."""
    for name in pictures:
        try:
            read_size(files.read(row, name), name=str(files.folder / name))
        except (OSError, ValueError) as fault:
            return error_line(fault)
    return ""
