"""What became of every row: one JSON line each, in a file beside the posters."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from posterkit.image_io import written_whole

LEDGER = "ledger.jsonl"
_BEGINS = '{"row": '  # every line that `LedgerEntry` gives


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
    """Appended while a run goes on, put in the rows' order at its end.

    Raises:
        ValueError: a file of that name is there and is no ledger; it stays as it is.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._known: dict[tuple[str, str], LedgerEntry] = {}
        if path.is_file():
            # a sudden end may tear the last line in the middle of a letter
            lines = path.read_text(encoding="utf-8", errors="replace").split("\n")
            for number, line in enumerate(lines, start=1):
                if line.strip():
                    self._remember(line, torn=number == len(lines))

    def done(self, row_id: str, out: str) -> LedgerEntry | None:
        """The line of a poster that was made before."""
        return self._known.get((row_id, out))

    def add(self, entry: LedgerEntry) -> None:
        with self.path.open("a", encoding="utf-8") as file:
            file.write(_line(entry))

    def rewrite(self, entries: Sequence[LedgerEntry]) -> None:
        """These entries, behind those of other runs whose posters are still there."""
        now = {(entry.id, entry.out) for entry in entries}
        before = [
            entry
            for key, entry in self._known.items()
            if key not in now and entry.out and (self.path.parent / entry.out).is_file()
        ]
        with written_whole(self.path) as temporary:
            temporary.write_text("".join(map(_line, [*before, *entries])), encoding="utf-8")

    def _remember(self, line: str, torn: bool) -> None:
        try:
            entry = LedgerEntry(**json.loads(line))
        except (ValueError, TypeError, RecursionError):
            # a last line that was cut off says nothing: the poster's own metadata decides
            if torn and (line.startswith(_BEGINS) or _BEGINS.startswith(line)):
                return
            raise ValueError(f"{self.path}: is no ledger of posterkit; choose another -o") from None
        if entry.status == "done" and entry.id and entry.out:
            self._known[entry.id, entry.out] = entry


def _line(entry: LedgerEntry) -> str:
    return json.dumps(asdict(entry)) + "\n"  # in ASCII, since a file name need not be UTF-8
