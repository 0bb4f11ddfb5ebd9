from __future__ import annotations

import datetime
import zipfile
from pathlib import Path

import pytest

from posterkit.batch.manifest import read_requests
from posterkit.schema import PosterRequest

openpyxl = pytest.importorskip("openpyxl")
NONE = PosterRequest("a {place} on {day}", task="")


def test_a_workbook_is_read_as_its_csv_would_be(tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    for cells in (
        ["place", "day", "title", "text", "text", "seed", "out"],
        ["lake", datetime.date(2026, 7, 4), "LAKE", "Saturday", None, 7.0, "lake.png"],
        [],
        ["hill", datetime.datetime(2026, 7, 5, 20, 30), "-70%", "1|2", None, None, None],
    ):
        book.active.append(cells)
    book.save(tmp_path / "jobs.xlsx")
    lake, hill = read_requests(tmp_path / "jobs.xlsx", NONE)
    assert isinstance(lake, PosterRequest) and isinstance(hill, PosterRequest)
    assert (lake.id, lake.prompt, lake.texts, lake.seed, lake.out) == (
        "jobs.xlsx:2", "a lake on 2026-07-04", ("LAKE", "Saturday"), 7, "lake.png"
    )  # fmt: skip
    assert (hill.id, hill.prompt, hill.texts) == ("jobs.xlsx:4", "a hill on 2026-07-05 20:30", ("-70%", "1", "2"))


def test_numbers_are_as_their_sheet_shows_them(tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    book.active.append(["title", "text", "text", "text", "seed"])
    book.active.append([-0.7, 0.125, 12.5, 1234.0, 8.0])
    for cell, shown in zip(book.active[2], ("0%", "0.0%", "0.00", "#,##0", "General"), strict=True):
        cell.number_format = shown
    book.save(tmp_path / "sale.xlsx")
    (sale,) = read_requests(tmp_path / "sale.xlsx", PosterRequest(task=""))
    assert isinstance(sale, PosterRequest)
    assert sale.texts == ("-70%", "12.5%", "12.50", "1234") and sale.seed == 8


def test_what_is_no_workbook_is_refused_in_a_line(tmp_path: Path) -> None:
    (tmp_path / "a.xlsx").write_bytes(b"PK\3\4 nothing")
    with pytest.raises(ValueError, match=r"a\.xlsx: not an Excel workbook that can be read"):
        read_requests(tmp_path / "a.xlsx", NONE)
    with zipfile.ZipFile(tmp_path / "b.xlsx", "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("xl/workbook.xml", b"0" * 2**28)
    with pytest.raises(ValueError, match="more than a workbook holds"):
        read_requests(tmp_path / "b.xlsx", NONE)
