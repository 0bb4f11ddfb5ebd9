from __future__ import annotations

import json
from pathlib import Path

from posterkit.batch.claims import FolderClaims
from posterkit.batch.index import RowIndex
from posterkit.batch.ledger import Ledger, LedgerEntry
from posterkit.schema import PosterRequest


def opened(out: Path, rows: int = 4) -> Ledger:
    index = RowIndex.of([PosterRequest("x", id=f"r{n}") for n in range(rows)])
    return Ledger(out / "ledger.jsonl", FolderClaims(out), index)


def entry(number: int, status: str = "done") -> LedgerEntry:
    return LedgerEntry(f"r{number}", f"r{number}.png", f"id{number}", "text", status, "" if status == "done" else "no")


def rows(out: Path) -> list[str]:
    return [json.loads(line)["row"] for line in (out / "ledger.jsonl").read_text().splitlines()]


def test_two_batches_put_each_others_lines_in_the_rows_order(tmp_path: Path) -> None:
    one, other = opened(tmp_path), opened(tmp_path)
    for ledger, number in ((one, 3), (other, 2), (one, 1), (other, 0)):
        ledger.add(entry(number, "failed" if number == 2 else "done"), number)
    assert rows(tmp_path) == ["r3", "r2", "r1", "r0"]
    one.rewrite()
    assert rows(tmp_path) == ["r0", "r1", "r2", "r3"]
    other.rewrite()
    assert rows(tmp_path) == ["r0", "r1", "r2", "r3"]


def test_what_another_batch_writes_is_news(tmp_path: Path) -> None:
    one = opened(tmp_path)
    one.add(entry(0, "failed"), 0)
    other = opened(tmp_path)
    assert other.news("r0") is None  # stood there before
    one.add(entry(1, "failed"), 1)
    found = other.news("r1")
    assert found is not None and found.status == "failed"
    one.rewrite()  # another file is there now
    one.add(entry(2), 2)
    found = other.news("r2")
    assert found is not None and found.status == "done" and other.done("id2", "r2.png") == found


def test_a_line_behind_a_torn_one_is_read(tmp_path: Path) -> None:
    opened(tmp_path).add(entry(0), 0)
    with (tmp_path / "ledger.jsonl").open("ab") as file:
        file.write(b'{"row": "r1", "ou')
    ledger = opened(tmp_path)
    ledger.add(entry(2), 2)  # killed before it could put its ledger in order
    again = opened(tmp_path)
    assert again.done("id0", "r0.png") and again.done("id2", "r2.png")


def test_a_row_that_failed_and_is_made_now_has_one_line(tmp_path: Path) -> None:
    opened(tmp_path).add(entry(0, "failed"), 0)
    ledger = opened(tmp_path)
    ledger.add(entry(0), 0)
    ledger.rewrite()
    assert [json.loads(line)["status"] for line in (tmp_path / "ledger.jsonl").read_text().splitlines()] == ["done"]
