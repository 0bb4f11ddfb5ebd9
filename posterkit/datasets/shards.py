"""Shards of a set: a folder of files, or a WebDataset tar; nothing on disk is ever half written."""

from __future__ import annotations

import io
import json
import os
import shutil
import tarfile
from pathlib import Path
from typing import Any

Row = dict[str, Any]


class FolderShard:
    """A shard as a folder of files; it gets its name when it is whole."""

    def __init__(self, out: Path, k: int, paths: tuple[str, ...]) -> None:
        self.final, self.temporary = out / f"{k:05d}", out / f".{k:05d}.{os.getpid()}.tmp"
        self.paths = paths

    def __enter__(self) -> FolderShard:
        shutil.rmtree(self.temporary, ignore_errors=True)
        self.temporary.mkdir(parents=True)
        return self

    def put(self, row: Row, files: dict[str, bytes]) -> Row:
        """Write a sample's files; the row comes back with their paths."""
        for name, content in files.items():
            (self.temporary / name).write_bytes(content)

        def moved(named: Any) -> Any:
            if isinstance(named, list):
                return [moved(one) for one in named]
            return f"{self.final.name}/{named}" if named in files else named

        return {key: moved(value) if key in self.paths else value for key, value in row.items()}

    def __exit__(self, kind: Any, *_: Any) -> None:
        if kind is None and any(self.temporary.iterdir()):
            shutil.rmtree(self.final, ignore_errors=True)  # a whole one without a record: killed between the two
            self.temporary.rename(self.final)
        else:
            shutil.rmtree(self.temporary, ignore_errors=True)


class TarShard:
    """A shard as a WebDataset tar: a sample's files and its row (`ID.json`) one after the other."""

    def __init__(self, out: Path, k: int) -> None:
        self.final, self.temporary = out / f"{k:05d}.tar", out / f".{k:05d}.{os.getpid()}.tmp"

    def __enter__(self) -> TarShard:
        self.file = tarfile.open(self.temporary, "w", format=tarfile.GNU_FORMAT)
        return self

    def put(self, row: Row, files: dict[str, bytes]) -> Row:
        """Add a sample; the row comes back with the shard's name."""
        text = json.dumps(row, ensure_ascii=False).encode()
        for name, content in {**files, f"{row['id']}.json": text}.items():
            member = tarfile.TarInfo(name)  # no times and no owners: the same bytes every time
            member.size = len(content)
            self.file.addfile(member, io.BytesIO(content))
        return {**row, "shard": self.final.name}

    def __exit__(self, kind: Any, *_: Any) -> None:
        try:
            self.file.close()  # a full disk may show only here
            if kind is None:
                self.temporary.rename(self.final)
        finally:
            self.temporary.unlink(missing_ok=True)


def write_whole(path: Path, content: bytes) -> None:
    """Write a file under another name first, so that nobody ever sees half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_bytes(content)
        temporary.rename(path)
    finally:
        temporary.unlink(missing_ok=True)
