"""The rows of a batch on disk: as many as there are, in little memory, with the names of their results."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from json import dumps, loads  # texts are kept in ASCII, since a file name need not be UTF-8
from pathlib import Path
from typing import Any, SupportsIndex, overload

from posterkit.batch.rows import BadRow
from posterkit.batch.shard import WHOLE, Shard
from posterkit.batch.variants import stem_of
from posterkit.schema import PosterRequest
from posterkit.tasks import TEXT

Row = PosterRequest | BadRow
Parse = Callable[[Any, str], Row]
SHEET, PAGE = "contact_sheet.png", "contact_sheet.html"
_WINDOW = 512  # rows that are held at a time
_TABLES = """
    PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA cache_size = -16384; PRAGMA temp_store = FILE;
    CREATE TABLE rows (
        number INTEGER PRIMARY KEY, name TEXT, raw TEXT, why TEXT, out TEXT, stem TEXT, kind TEXT, part INTEGER);
    CREATE TABLE names (key TEXT PRIMARY KEY, owner TEXT, next INTEGER DEFAULT 2) WITHOUT ROWID;
    CREATE TABLE inputs (path TEXT PRIMARY KEY) WITHOUT ROWID;
"""


class RowIndex(Sequence[Row]):
    """Rows in their order, each with its result's name: explicit names come first, others get -2, -3 where they clash.

    Only a window of rows is in memory; the rest lies in a private file of SQLite's that goes with this object. A row
    is parsed anew whenever it is asked for.

    Args:
        read: each row's name, what `parse` makes the row of, JSON-able, or why it is none, and its result's name
            without the ending where it says none.
        parse: makes the row.

    Attributes:
        parse: makes a row of what it is made of and its name.
        tasks: of all rows.
        chooses: the tasks of rows that draw several posters and keep the best.
        endings: of the results that rows name.
    """

    def __init__(self, read: Iterable[tuple[str, Any, str]], parse: Parse) -> None:
        self.parse = parse
        self.db = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        self.db.executescript(_TABLES)
        self.db.execute("INSERT INTO names (key, owner) VALUES (?, ?)", [dumps(SHEET), dumps("the contact sheet")])
        self.tasks: set[str] = set()
        self.chooses: set[str] = set()
        self.endings: set[str] = set()
        self._count = 0
        self.db.execute("BEGIN")
        for name, raw, stem in read:
            self._add(name, raw, stem)
            self._count += 1
        self.db.execute("CREATE INDEX ordered ON rows (kind, number)")
        self._name_results()
        self.db.execute("COMMIT")

    @classmethod
    def of(cls, rows: Sequence[Row]) -> RowIndex:
        """The same of rows in memory."""

        def stem(row: Row, number: int) -> str:
            images = [str(path) for path in row.files()] if isinstance(row, PosterRequest) and row.images else []
            return stem_of({"images": images}, row.id, number)

        read = ((row.id, number, stem(row, number)) for number, row in enumerate(rows))
        return cls(read, lambda number, _: rows[number])

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, number: SupportsIndex) -> Row: ...
    @overload
    def __getitem__(self, number: slice) -> list[Row]: ...
    def __getitem__(self, number: SupportsIndex | slice) -> Row | list[Row]:
        places = range(self._count)[number]  # IndexError, and counting from the end
        return self._row(places) if isinstance(places, int) else [self._row(place) for place in places]

    def __iter__(self) -> Iterator[Row]:
        return (self._row(number) for number in range(self._count))

    def windows(self, shard: Shard = WHOLE) -> Iterator[list[int]]:
        """The numbers of a shard's rows, a few at a time; those of one model, adapter and size follow each other.

        Variants of a row are in one shard.
        """
        last: tuple[str, int] = ("", -1)
        while True:
            rows = self.db.execute(
                "SELECT kind, number FROM rows WHERE (kind, number) > (?, ?) AND part % ? = ? "
                "ORDER BY kind, number LIMIT ?", [*last, shard.count, shard.index, _WINDOW]
            ).fetchall()  # fmt: skip
            if not rows:
                return
            yield [number for _, number in rows]
            last = rows[-1]

    def count(self, shard: Shard = WHOLE) -> int:
        """How many rows a shard has."""
        return self._one("SELECT count(*) FROM rows WHERE part % ? = ?", shard.count, shard.index)[0]

    def is_result(self, name: str) -> bool:
        """Whether a row's result has the name."""
        return self._one("SELECT 1 FROM names WHERE key = ?", dumps(name.lower())) is not None

    def is_input(self, path: Path) -> bool:
        """Whether any row reads the file."""
        return self._one("SELECT 1 FROM inputs WHERE path = ?", dumps(str(path.resolve()))) is not None

    def owner(self, name: str) -> str | int | None:
        """Whose result has the name: a row's own name for it, the number of a row that took it, or nobody's."""
        found = self._one("SELECT owner FROM names WHERE key = ?", dumps(name.lower()))
        return found and loads(found[0])

    def raw(self, number: int) -> Any:
        """What the row is made of; None where it is none."""
        return loads(self._one("SELECT raw FROM rows WHERE number = ?", number)[0] or "null")

    def take_name(self, number: int, name: str) -> None:
        """Note that a row's result takes another name than its own."""
        self.db.execute("INSERT OR IGNORE INTO names (key, owner) VALUES (?, ?)", [dumps(name.lower()), number])

    def _one(self, query: str, *values: Any) -> Any:
        return self.db.execute(query, values).fetchone()

    def _row(self, number: int) -> Row:
        name, raw, why, out = self._one("SELECT name, raw, why, out FROM rows WHERE number = ?", number)
        if why is not None:
            return BadRow(loads(name), loads(why))
        row = self.parse(loads(raw), loads(name))
        return row if isinstance(row, BadRow) else replace(row, out=loads(out))

    def _add(self, name: str, raw: Any, stem: str) -> None:
        row = raw if isinstance(raw, BadRow) else self.parse(raw, name)
        part = raw.get("number", self._count) if isinstance(raw, dict) else self._count  # variants stay together
        if isinstance(row, PosterRequest) and row.out:
            key = dumps(row.out.lower())
            if taken := self._one("SELECT owner FROM names WHERE key = ?", key):
                row = BadRow(name, f"out {row.out!r} is already the name of {loads(taken[0])}")
            else:
                self.db.execute("INSERT INTO names (key, owner) VALUES (?, ?)", [key, dumps(name)])
                self.endings.add(Path(row.out).suffix.lower())
        if isinstance(row, BadRow):
            faulty = [self._count, dumps(name), dumps(row.why), part]
            self.db.execute("INSERT INTO rows (number, name, why, kind, part) VALUES (?, ?, ?, '', ?)", faulty)
            return
        for path in row.files():
            with suppress(OSError, RuntimeError):  # a link that leads to itself
                self.db.execute("INSERT OR IGNORE INTO inputs VALUES (?)", [dumps(str(path.resolve()))])
        self.tasks.add(row.task)
        if (row.best_of or 1) > 1:
            self.chooses.add(row.task)
        out, named = (dumps(row.out), None) if row.out else (None, dumps(stem))
        self.db.execute("INSERT INTO rows VALUES (?, ?, ?, NULL, ?, ?, ?, ?)",
                        [self._count, dumps(name), dumps(raw), out, named, _kind(row), part])  # fmt: skip

    def _name_results(self) -> None:
        """Names for rows that say none, in their order."""
        named = self.db.cursor()
        for number, name, stem in self.db.execute(
            "SELECT number, name, stem FROM rows WHERE stem IS NOT NULL ORDER BY number"
        ):
            stem = loads(stem)
            out = f"{stem}.png"
            if first := named.execute("SELECT next FROM names WHERE key = ?", [dumps(out.lower())]).fetchone():
                (count,) = first
                while self.is_result(f"{stem}-{count}.png"):
                    count += 1
                named.execute("UPDATE names SET next = ? WHERE key = ?", [count + 1, dumps(out.lower())])
                out = f"{stem}-{count}.png"
            named.execute("INSERT INTO names (key, owner) VALUES (?, ?)", [dumps(out.lower()), name])
            named.execute("UPDATE rows SET out = ? WHERE number = ?", [dumps(out), number])


def _kind(request: PosterRequest) -> str:
    """Rows of one kind are drawn one after the other; text rows come first, so that each model is loaded once."""
    size = (request.design.size if request.design else request.size) or (0, 0)
    return dumps([request.task != TEXT, request.task, request.lora, *size, request.steps, request.best_of])
