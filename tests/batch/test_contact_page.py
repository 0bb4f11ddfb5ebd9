from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path

import pytest

from posterkit.batch.claims import FolderClaims
from posterkit.batch.contact_page import write_page
from posterkit.batch.index import RowIndex
from posterkit.batch.ledger import Ledger, LedgerEntry
from posterkit.cli.progress import BatchProgress
from posterkit.schema import PosterRequest


class Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.images, self.cells = [], []
        self._in = ""

    def handle_starttag(self, tag, attrs):
        self._in = tag
        if tag == "img":
            self.images.append(dict(attrs)["src"])

    def handle_data(self, data):
        if self._in == "td":
            self.cells.append(data)
        self._in = ""


def ledger_of(out: Path) -> Ledger:
    return Ledger(
        out / "ledger.jsonl", FolderClaims(out), RowIndex.of([PosterRequest("x", id=f"r{n}") for n in range(3)])
    )


def test_the_page_shows_posters_and_says_why_rows_failed(tmp_path: Path) -> None:
    ledger = ledger_of(tmp_path)
    ledger.add(LedgerEntry("r0", "sea & sun.png", "a", "text", "done", notes=["<b>soft</b>"]), 0)
    ledger.add(LedgerEntry("r1", "b.pdf", "b", "text", "done"), 1)
    ledger.add(LedgerEntry("r2", None, None, "text", "failed", "1 < 2"), 2)
    path = write_page(ledger, tmp_path)
    assert path is not None
    text = path.read_text()
    reader = Reader()
    reader.feed(text)
    assert reader.images == ["sea%20%26%20sun.png"] and reader.cells == ["r2", "1 < 2"]
    assert "<b>" not in text and "b.pdf" in text
    assert write_page(ledger, tmp_path) == path  # ours may be written anew
    path.write_text("my own page")
    with pytest.warns(UserWarning, match="is a file of yours"):
        assert write_page(ledger, tmp_path) is None
    assert path.read_text() == "my own page"


def test_the_board_counts_and_foretells(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    with BatchProgress() as board:
        board.start(10)
        board.found(2)
        board.row(LedgerEntry("a", None, None, None, "failed", "no"))
        for name in ("b", "c", "d"):
            board.row(LedgerEntry(name, f"{name}.png", name, "text", "done"))
            now[0] += 30
        now[0] -= 30
        assert board.numbers() == {
            "made": "3", "made before": "2", "failed": "1", "left": "4", "a minute": "2.0", "time left": "0:02:00"
        }  # fmt: skip
