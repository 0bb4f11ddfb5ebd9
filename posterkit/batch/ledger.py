"""What became of every row: one JSON line each, in a file beside the posters."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from posterkit.batch.claims import FolderClaims
from posterkit.batch.index import RowIndex
from posterkit.image_io import written_whole

LEDGER = "ledger.jsonl"
_BEGINS = '{"row": '  # every line that `LedgerEntry` gives
_TABLE = """
    CREATE TABLE lines (
        key TEXT PRIMARY KEY, at INTEGER, row TEXT, out TEXT, status TEXT, line TEXT, number INTEGER, news INTEGER);
    CREATE INDEX rows_of_lines ON lines (row);
"""
_PUT = "INSERT OR REPLACE INTO lines VALUES (?, ?, ?, ?, ?, ?, ?, ?)"


@dataclass
class LedgerEntry:
    """A row's line in the ledger.

    Attributes:
        seed, value: the kept one's, where a reward chose from several.
        safety: decisions of the safety gate that did more than let a text pass.
    """

    row: str
    out: str | None
    id: str | None
    task: str | None
    status: str
    why: str = ""
    seconds: float | None = None
    seed: int | None = None
    value: float | None = None
    notes: list[str] = field(default_factory=list)
    safety: list[dict[str, Any]] = field(default_factory=list)


class Ledger:
    """Appended while a run goes on, put in the rows' order at its end; several batches may write one.

    Lines are held beside the index of the rows, on disk.

    Raises:
        ValueError: a file of that name is there and is no ledger; it stays as it is.
    """

    def __init__(self, path: Path, claims: FolderClaims, index: RowIndex) -> None:
        self.path = path
        self._claims = claims
        self._db: sqlite3.Connection = index.db
        self._db.executescript("DROP TABLE IF EXISTS lines;" + _TABLE)
        self._at = 0
        self._read_to: tuple[int, int] = (0, 0)  # of which file, and how far
        with claims.writing_ledger():
            self._read(news=0)

    def done(self, row_id: str, out: str) -> LedgerEntry | None:
        """The line of a poster that was made before."""
        return self._entry("SELECT line FROM lines WHERE key = ?", _key(row_id, out))

    def add(self, entry: LedgerEntry, number: int) -> None:
        """Write the line of a row that is settled now."""
        with self._claims.writing_ledger():
            self._read(news=1)
            with self.path.open("a+b") as file:
                torn = _end_of(file) not in (b"", b"\n")  # by a sudden end
                file.write(b"\n" * torn + _line(entry).encode())
            self._read_to = _inode(self.path), self.path.stat().st_size
        self.note(entry, number)

    def note(self, entry: LedgerEntry, number: int) -> None:
        """Keep the line of a row for the end."""
        self._put(entry, number, news=0)

    def news(self, row: str) -> LedgerEntry | None:
        """What another batch has written of a row since this one began."""
        self._read(news=1)
        return self._entry("SELECT line FROM lines WHERE row = ? AND news = 1 ORDER BY at DESC", json.dumps(row))

    def rewrite(self) -> None:
        """The lines in the rows' order, behind those of other runs whose posters are still there."""
        with self._claims.writing_ledger():
            self._read(news=1)
            # rows of another batch or shard stand at their places
            self._db.execute("CREATE INDEX IF NOT EXISTS rows_by_name ON rows (name)")
            self._db.execute(
                "UPDATE lines SET number = (SELECT number FROM rows WHERE rows.name = lines.row) WHERE number IS NULL "
                "AND row NOT IN (SELECT row FROM lines WHERE number IS NOT NULL)"
            )
            with written_whole(self.path) as temporary, temporary.open("w", encoding="utf-8") as file:
                file.writelines(self._in_order())
            self._read_to = _inode(self.path), self.path.stat().st_size

    def posters(self, most: int) -> list[tuple[int, LedgerEntry]]:
        """The first rows that have become posters, with their numbers."""
        found = self._db.execute(
            "SELECT number, line FROM lines WHERE number IS NOT NULL AND status = 'done' ORDER BY number LIMIT ?",
            [most],
        )
        return [(number, LedgerEntry(**json.loads(line))) for number, line in found]

    def failures(self, most: int) -> list[LedgerEntry]:
        """The first rows that have failed."""
        found = self._db.execute(
            "SELECT line FROM lines WHERE number >= 0 AND status = 'failed' ORDER BY number LIMIT ?", [most]
        )
        return [LedgerEntry(**json.loads(line)) for (line,) in found]

    def _in_order(self) -> Iterator[str]:
        before = self._db.execute("SELECT line, out FROM lines WHERE number IS NULL AND status = 'done' ORDER BY at")
        yield from (line for line, out in before if (self.path.parent / json.loads(out)).is_file())
        yield from (line for (line,) in self._db.execute(
            "SELECT line FROM lines WHERE number IS NOT NULL ORDER BY number, at"))  # fmt: skip

    def _entry(self, query: str, value: str) -> LedgerEntry | None:
        found = self._db.execute(query, [value]).fetchone()
        return found and LedgerEntry(**json.loads(found[0]))

    def _read(self, news: int) -> None:
        """The lines that the file has got since it was read last; all of them where another one is there now."""
        try:
            inode, size = _inode(self.path), self.path.stat().st_size
        except FileNotFoundError:
            return
        start = self._read_to[1] if self._read_to[0] == inode and size >= self._read_to[1] else 0
        if start == size:
            return
        with self.path.open("rb") as file:
            file.seek(start)
            while line := file.readline():
                if not line.endswith(b"\n") and news:
                    break  # is being written
                start += len(line)
                if text := line.decode("utf-8", "replace").strip():
                    self._remember(text, news)
        self._read_to = inode, start

    def _remember(self, line: str, news: int) -> None:
        try:
            entry = LedgerEntry(**json.loads(line))
        except (ValueError, TypeError, RecursionError) as error:
            # a line that was cut off says nothing: the poster's own metadata decides
            torn = isinstance(error, ValueError) and (line.startswith(_BEGINS) or _BEGINS.startswith(line))
            if torn:
                return
            raise ValueError(f"{self.path}: is no ledger of posterkit; choose another -o") from None
        own = self._db.execute("SELECT number, news FROM lines WHERE key = ?", [_key_of(entry)]).fetchone()
        if own is None or own[0] is None:  # what this batch says of its rows stands
            self._put(entry, None, news if own is None else own[1])

    def _put(self, entry: LedgerEntry, number: int | None, news: int) -> None:
        self._at += 1
        row, out = json.dumps(entry.row), json.dumps(entry.out)
        self._db.execute(_PUT, [_key_of(entry), self._at, row, out, entry.status, _line(entry), number, news])


def _key_of(entry: LedgerEntry) -> str:
    return _key(entry.id or "", entry.out or "") if entry.status == "done" else json.dumps(["failed", entry.row])


def _key(row_id: str, out: str) -> str:
    return json.dumps([row_id, out])


def _line(entry: LedgerEntry) -> str:
    return json.dumps(asdict(entry)) + "\n"  # in ASCII, since a file name need not be UTF-8


def _inode(path: Path) -> int:
    return path.stat().st_ino


def _end_of(file: Any) -> bytes:
    """The last byte of an open file."""
    if not file.seek(0, os.SEEK_END):
        return b""
    file.seek(-1, os.SEEK_END)
    return file.read(1)
