"""Rows of an Excel workbook: its first sheet, read as a CSV file is."""

from __future__ import annotations

import contextlib
import datetime
import re
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from posterkit.batch.csv_rows import table_rows
from posterkit.batch.rows import BadRow
from posterkit.messages import error_line

_MOST = 2**30  # bytes of the workbook once it is unpacked
_PACKED = 200  # times that its parts may be packed
_SHOWN_AS = re.compile(r"[#,]*0(?:\.(0+))?(%?)")  # formats of numbers: 0, 0.00, #,##0.0, 0%


def read_xlsx(path: Path) -> Iterator[tuple[str, dict[str, Any] | BadRow]]:
    """The rows of the first sheet, as `read_csv` has them; formulas count as what they came to when it was saved.

    Raises:
        ValueError: openpyxl is not installed, or it is no workbook.
    """
    try:
        import openpyxl
    except ImportError:
        raise ValueError(f'{path}: Excel workbooks need pip install "posterkit[batch]"; or save it as CSV') from None
    try:
        with zipfile.ZipFile(path) as packed:  # noqa: TID251 - only its table of contents, before openpyxl reads it
            sizes = [(part.file_size, part.compress_size) for part in packed.infolist()]
        if sum(size for size, _ in sizes) > _MOST or any(size > 2**20 + _PACKED * small for size, small in sizes):
            raise ValueError("more than a workbook holds")
        book = openpyxl.load_workbook(path, read_only=True, data_only=True)
        sheet = book.worksheets[0]
    except Exception as error:  # a damaged one fails in the reader's own ways
        raise ValueError(f"{path}: not an Excel workbook that can be read ({error_line(error)})") from None
    with contextlib.closing(book):
        yield from table_rows(
            ((number, _texts(cells)) for number, cells in enumerate(sheet.iter_rows(), 1)), path.name
        )


def _texts(cells: Sequence[Any]) -> list[str]:
    texts = [_text(cell) for cell in cells]
    while texts and not texts[-1]:
        texts.pop()
    return texts


def _text(cell: Any) -> str:
    """A cell as its sheet shows it, about: decimals and per cent as there, dates as 2026-07-04."""
    value = cell.value
    if value is None:
        return ""
    if isinstance(value, int | float) and (shown := _SHOWN_AS.fullmatch(cell.number_format)):
        return f"{value:.{len(shown[1] or '')}{shown[2] or 'f'}}"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, datetime.datetime):
        whole_day = value.time() == datetime.time()
        return value.date().isoformat() if whole_day else value.isoformat(" ", "minutes")
    if isinstance(value, datetime.time):
        return value.isoformat("minutes")
    return str(value)
