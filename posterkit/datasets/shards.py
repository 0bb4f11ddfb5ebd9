"""Shards of a set: a folder of files, or a WebDataset tar; written whole or not at all, read within limits."""

from __future__ import annotations

import io
import json
import struct
import tarfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from posterkit.datasets.sample_files import Row
from posterkit.image_io import written_whole
from posterkit.messages import error_line, one_line

MAX_MEMBERS = 10**6  # of a tar shard
MAX_SECONDS = 60.0  # for the index of one
_LONGEST_HEADER = 4096  # bytes; a path and some attributes take a few hundred


class FolderShard:
    """A shard as a folder of files; it gets its name when it is whole."""

    def __init__(self, out: Path, k: int, paths: tuple[str, ...]) -> None:
        self.final, self.paths, self._open = out / f"{k:05d}", paths, ExitStack()

    def __enter__(self) -> FolderShard:
        self.temporary = self._open.enter_context(written_whole(self.final))
        self.temporary.mkdir()
        return self

    def put(self, row: Row, files: dict[str, bytes]) -> Row:
        """Write a sample's files; the row comes back with their paths."""
        for name, content in files.items():
            (self.temporary / name).write_bytes(content)

        def moved(named: object) -> Any:
            if isinstance(named, list):
                return [moved(one) for one in named]
            return f"{self.final.name}/{named}" if named in files else named

        return {key: moved(value) if key in self.paths else value for key, value in row.items()}

    def __exit__(self, kind: Any, *rest: Any) -> None:
        if not any(self.temporary.iterdir()):
            self.temporary.rmdir()
        self._open.__exit__(kind, *rest)


class TarShard:
    """A shard as a WebDataset tar: a sample's files and its row (`ID.json`) one after the other."""

    def __init__(self, out: Path, k: int) -> None:
        self.final, self._open = out / f"{k:05d}.tar", ExitStack()

    def __enter__(self) -> TarShard:
        temporary = self._open.enter_context(written_whole(self.final))
        # closed before it gets its name: a full disk may show only there
        self.file = self._open.enter_context(
            tarfile.open(temporary, "w", format=tarfile.GNU_FORMAT)  # noqa: TID251 - written, not read
        )
        return self

    def put(self, row: Row, files: dict[str, bytes]) -> Row:
        """Add a sample; the row comes back with the shard's name.

        Lists and boxes are JSON in a text, and "" is none: Hugging Face `datasets` takes the types of all samples
        from the first five, in which a list may be empty and a box may be missing.
        """
        plain = {key: "" if value is None else value for key, value in row.items()}
        texts = {
            key: json.dumps(value, ensure_ascii=False) if isinstance(value, (list, tuple, dict)) else value
            for key, value in plain.items()
        }
        text = json.dumps(texts, ensure_ascii=False).encode()
        for name, content in {**files, f"{row['id']}.json": text}.items():
            member = tarfile.TarInfo(name)  # no times and no owners: the same bytes every time
            member.size = len(content)
            self.file.addfile(member, io.BytesIO(content))
        return {**row, "shard": self.final.name}

    def __exit__(self, *fault: Any) -> None:
        self._open.__exit__(*fault)


def shard_members(path: str | Path) -> dict[str, tuple[int, int]]:
    """Where each file of a tar shard begins, and its length in bytes; nothing is unpacked.

    Folders, links and devices are left out: what a row names is a file of the shard itself.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no tar file, announces bytes that it does not have, or is beyond a limit.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: there is no such file")
    members: dict[str, tuple[int, int]] = {}
    with _BoundedFile(path) as raw:
        try:
            with tarfile.open(fileobj=raw, mode="r:") as file:  # noqa: TID251 - the one reader
                last = -1
                while (member := file.next()) is not None:
                    if member.offset <= last or member.size < 0 or member.offset_data + member.size > raw.length:
                        what = f"member {one_line(member.name, 80)!r} of {member.size} bytes lies outside the file"
                        raise ValueError(f"{path}: damaged tar file ({what})")
                    last = member.offset
                    if member.isreg():
                        members[member.name] = (member.offset_data, member.size)
                    file.members.clear()  # type: ignore[attr-defined] - it keeps every header that it has read
                    if len(members) > MAX_MEMBERS:
                        raise ValueError(f"{path}: more than {MAX_MEMBERS} files in one shard")
        except tarfile.TarError as error:
            raise ValueError(f"{path}: damaged tar file ({error_line(error)})") from None
        except (OverflowError, RecursionError, UnicodeError, EOFError, IndexError, struct.error) as error:
            raise ValueError(f"{path}: damaged tar file ({type(error).__name__})") from None
    return members


class _BoundedFile(io.FileIO):
    """A tar file of which only headers are read: no read is longer than one, and all of them have a deadline.

    Headers say how long the next one is. Taken at their word they fill the memory, or keep a pattern busy for hours.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.length, self.deadline = path.stat().st_size, time.monotonic() + MAX_SECONDS

    def read(self, size: int | None = -1, /) -> bytes:
        if time.monotonic() > self.deadline:
            raise tarfile.ReadError(f"its index takes longer than {MAX_SECONDS:g} s")
        if size is None or not 0 <= size <= _LONGEST_HEADER:
            raise tarfile.ReadError(f"a header of {size} bytes; {_LONGEST_HEADER} are read")
        return super().read(size) or b""
