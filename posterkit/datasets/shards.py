"""Shards of a set: a folder of files, or a WebDataset tar; nothing on disk is ever half written."""

from __future__ import annotations

import io
import json
import tarfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from posterkit.datasets.sample_files import Row
from posterkit.image_io import written_whole


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

        def moved(named: Any) -> Any:
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
        self.file = self._open.enter_context(tarfile.open(temporary, "w", format=tarfile.GNU_FORMAT))
        return self

    def put(self, row: Row, files: dict[str, bytes]) -> Row:
        """Add a sample; the row comes back with the shard's name."""
        text = json.dumps(row, ensure_ascii=False).encode()
        for name, content in {**files, f"{row['id']}.json": text}.items():
            member = tarfile.TarInfo(name)  # no times and no owners: the same bytes every time
            member.size = len(content)
            self.file.addfile(member, io.BytesIO(content))
        return {**row, "shard": self.final.name}

    def __exit__(self, *fault: Any) -> None:
        self._open.__exit__(*fault)
