"""Rows of a CSV manifest, as a spreadsheet saves it."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, zip_longest
from pathlib import Path
from typing import Any

from posterkit.batch.row_keys import ROW_KEYS
from posterkit.batch.rows import BadRow
from posterkit.documents import MAX_CHARACTERS
from posterkit.lettering import ROLES, parse_box

_LISTS = {"text": "texts", "image": "images", "font": "fonts", "color": "colors", "role": "roles", "box": "boxes",
          "sizes": "sizes"}  # fmt: skip
_NUMBERS = {"width": int, "height": int, "seed": int, "steps": int, "best_of": int, "seeds": int, "dpi": int,
            "guidance": float,
            "strength": float}  # fmt: skip
# as spreadsheets write them in English, German, French, Spanish and Russian
_TRUE = ("true", "wahr", "vrai", "verdadero", "истина", "yes")
_FALSE = ("false", "falsch", "faux", "falso", "ложь", "no")
_BETWEEN = "|"  # several values in one cell


def read_csv(path: Path) -> Iterator[tuple[str, dict[str, Any] | BadRow]]:
    """The rows of a CSV file as a JSONL manifest has them, each with its name; the first line names the columns.

    Columns are the manifest's keys. A list's values stand in one cell, `|` between them, or in several columns of one
    name: text, text, text. The columns title, subtitle, body and cta hold the texts of those roles.

    Raises:
        ValueError: it is not UTF-8 text, or two columns have one name.
    """
    lines, begin = _lines(path), []
    while (line := next(lines, None)) is not None:
        begin.append(line)
        if line.strip():
            break
    # commas, semicolons (as German and French spreadsheets write) or tabs: whichever the head has most of
    delimiter = max(",;\t", key=begin[-1].count) if begin else ","
    rows = csv.reader(chain(begin, lines), delimiter=delimiter, strict=True)  # an open quote would swallow rows
    return table_rows(((rows.line_num, cells) for cells in _cells(rows)), path.name)


def table_rows(
    rows: Iterable[tuple[int, Sequence[str] | csv.Error]], name: str
) -> Iterator[tuple[str, dict[str, Any] | BadRow]]:
    """The rows of a table of texts, numbered, whose first row that is not blank names the columns.

    Raises:
        ValueError: two columns have one name, and can hold no list.
    """
    columns: list[str] = []
    for number, cells in rows:
        where = f"{name}:{number}"
        if isinstance(cells, csv.Error):
            yield where, BadRow(where, f"not CSV: {cells}")
        elif not any(cell.strip() for cell in cells):
            continue
        elif not columns:
            columns = [cell.strip().lower() for cell in cells]
            once = [
                column
                for column in columns
                if column not in ROLES and _LISTS.get(column, column) not in _LISTS.values()
            ]
            if twice := next((column for column in once if column and once.count(column) > 1), None):
                raise ValueError(f'{name}: two columns are named "{twice}"; give one of them another name')
        else:
            many = f"{len(cells)} cells under {len(columns)} columns; quote a cell with a comma"
            yield where, BadRow(where, many) if len(cells) > len(columns) else _row(columns, cells)


def _lines(path: Path) -> Iterator[str]:
    with path.open("rb") as file:
        number = 0
        while line := file.readline(MAX_CHARACTERS):
            number += 1
            try:
                yield line.decode("utf-8-sig" if number == 1 else "utf-8")
            except UnicodeDecodeError:
                raise ValueError(f"{path}: not UTF-8 text (line {number}); save it as CSV UTF-8") from None


def _cells(rows: Iterator[list[str]]) -> Iterator[list[str] | csv.Error]:
    try:
        yield from rows
    except csv.Error as error:
        yield error


def _row(columns: Sequence[str], cells: Sequence[str]) -> dict[str, Any]:
    row: dict[str, Any] = {}
    for column, cell in zip_longest(columns, cells, fillvalue=""):
        cell, key = cell.strip(), _LISTS.get(column, column)
        if not cell:
            if column not in ROLES and key not in ROW_KEYS and column:
                row[column] = ""  # a template may name it
        elif column in ROLES:
            row.setdefault("texts", []).append(f"@{column}:{cell}")
        elif key in _LISTS.values():
            values: list[Any] = [value.strip() for value in cell.split(_BETWEEN)]
            row.setdefault(key, []).extend(map(_box, values) if key == "boxes" else values)
        else:
            row[column] = _value(column, cell)
    return row


def _value(column: str, cell: str) -> Any:
    if column in ("preserve", "regional"):
        word = cell.lower()
        return word in _TRUE if word in (*_TRUE, *_FALSE) else cell
    try:
        return _NUMBERS[column](cell) if column in _NUMBERS else cell
    except ValueError:
        return cell  # the manifest's own check says what is wrong


def _box(cell: str) -> Any:
    try:
        return list(parse_box(cell))
    except ValueError:
        return cell
