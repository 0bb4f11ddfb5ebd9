"""A set of posters on disk, as the data tools write it: an index of rows, and pictures in folders or tar shards."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path

from posterkit.datasets.sample_files import Row, sample_from_row
from posterkit.datasets.shards import shard_members
from posterkit.documents import read_json, read_lines
from posterkit.image_io import MAX_BYTES
from posterkit.messages import one_line
from posterkit.schema import PosterSample

INDEX = "samples.jsonl"
PICTURES = ("target", "references", "mask")  # the keys of a row that name files
_LONGEST_NAME = 1024  # letters, with its folders


class PosterDataset:
    """Samples by number: rows are in memory, pictures are read on access.

    Attributes:
        rows: as the index has them; `lines` are their numbers there, from 1.

    Args:
        path: the set's folder, or its index file.
        tasks: only samples of these; None for all.
        split: only samples of this one; None for all.

    Raises:
        FileNotFoundError: there is no index.
        ValueError: a line is no JSON object.
    """

    def __init__(self, path: str | Path, *, tasks: Collection[str] | None = None, split: str | None = None) -> None:
        path = Path(path)
        self.index = path / INDEX if path.is_dir() else path
        self.files = SetFiles(self.index.parent)
        found = [
            (line, row)
            for line, row in read_rows(self.index)
            if (tasks is None or row.get("task") in tasks) and (split is None or row.get("split", "train") == split)
        ]
        self.lines, self.rows = [line for line, _ in found], [row for _, row in found]

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> PosterSample:
        """Sample `index`.

        Raises:
            ValueError: its row lacks a key, or one of its pictures cannot be read; the message names the sample.
            FileNotFoundError: a picture is not there.
        """
        row = self.rows[index]
        return sample_from_row(row, lambda name: self.files.read(row, name))

    def __iter__(self) -> Iterator[PosterSample]:
        return (self[index] for index in range(len(self)))


class SetFiles:
    """The files of a set, by the names that its rows give them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._members: dict[str, dict[str, tuple[int, int]]] = {}
        self._stamps: dict[str, tuple[int, int]] = {}  # of tar shards

    def read(self, row: Row, name: str) -> bytes:
        """The bytes of one file of a row.

        Raises:
            FileNotFoundError: it is not there, or its shard is not.
            ValueError: its shard is damaged.
        """
        shard = row.get("shard")
        if shard is None:
            path = self._path(name)
            if not path.is_file():
                raise FileNotFoundError(f"{path}: there is no such file")
            _check_length(path, path.stat().st_size)
            return path.read_bytes()
        members = self.members(shard)
        if name not in members:
            raise FileNotFoundError(f"{self.folder / shard}: holds no {name}")
        start, size = members[name]
        path = self._path(shard)
        _check_length(f"{path} {name}", size)
        with path.open("rb") as file:
            file.seek(start)
            return file.read(size)

    def stamp(self, row: Row, name: str) -> tuple[int, int]:
        """Bytes and time of change (nanoseconds) of one file of a row, or of the tar shard that holds it.

        Raises:
            FileNotFoundError: it is not there.
        """
        shard = row.get("shard")
        if shard in self._stamps:
            return self._stamps[shard]
        path = self._path(name if shard is None else shard)
        try:
            found = path.stat()
        except FileNotFoundError:
            raise FileNotFoundError(f"{path}: there is no such file") from None
        stamp = found.st_size, found.st_mtime_ns
        if shard is not None:
            self._stamps[shard] = stamp
        return stamp

    def members(self, shard: str) -> dict[str, tuple[int, int]]:
        """Where each member of a tar shard begins, and its length in bytes."""
        if shard not in self._members:
            self._members[shard] = shard_members(self._path(shard))
        return self._members[shard]

    def _path(self, name: str) -> Path:
        if len(name) > _LONGEST_NAME:
            raise ValueError(f"{one_line(name, 60)}: a name of {len(name)} letters, longer than any file's")
        if Path(name).is_absolute() or ".." in Path(name).parts:
            raise ValueError(f"{name}: lies outside the set; paths are relative to the index")
        return self.folder / name


def pictures_named(row: Row) -> Iterator[tuple[str, str]]:
    """The key and the name of each picture file of a row."""
    for key in PICTURES:
        names = row.get(key) or []
        yield from ((key, name) for name in ([names] if isinstance(names, str) else names))


def _check_length(what: str | Path, length: int) -> None:
    if length > MAX_BYTES:
        raise ValueError(f"{what}: {length / 2**20:.0f} MiB are more than the limit of {MAX_BYTES / 2**20:g}")


def read_rows(index: str | Path) -> Iterator[tuple[int, Row]]:
    """The lines of an index with their numbers, from 1.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: a line is no JSON object.
    """
    index = Path(index)
    if not index.is_file():
        raise FileNotFoundError(f"{index}: there is no such file; a set has its rows there")
    for number, line in read_lines(index):
        yield number, read_row(line, f"{index}:{number}")


def read_row(line: str | bytes, where: str) -> Row:
    """One line of an index.

    Raises:
        ValueError: it is no JSON object.
    """
    row = read_json(line, where)
    if not isinstance(row, dict):
        raise ValueError(f"{where}: a row must be a JSON object, found {type(row).__name__}")
    return row
