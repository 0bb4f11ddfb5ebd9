"""Reads JSON, JSON lines, YAML and plain text that others wrote: bounded, plain values only, every fault one line.

JSON takes no NaN, no infinity and no integer of more than 32 digits; YAML takes no aliases and no tags, so that a
small file cannot grow in memory and none can name a class.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from posterkit.messages import one_line

MAX_CHARACTERS = 16 * 2**20  # of one document, and bytes of one JSON line
MAX_NOTE = 64 * 2**10  # bytes of a prompt or a caption beside a picture
MAX_DEPTH = 64  # levels of lists and objects in one another
_DIGITS = 32
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml's is ten times as fast, where it is there
_OPENING = re.compile(r'"(?:[^"\\]|\\.)*"|[\[{]|[\]}]', re.DOTALL)


def read_json(text: str | bytes, what: str = "JSON", most: int = MAX_CHARACTERS) -> Any:
    """The value of a JSON document.

    Args:
        what: the document's name, which every error begins with.
        most: characters that are read.

    Raises:
        ValueError: it is no JSON, too long, too deep, or holds a number that is none.
    """
    if isinstance(text, bytes):
        _check_size(text, what, most)
        try:
            text = text.decode("utf-8-sig")
        except UnicodeDecodeError:
            raise ValueError(f"{what}: not UTF-8 text") from None
    _check_size(text, what, most)
    _check_depth(text, what)

    def constant(name: str) -> None:
        raise ValueError(f"{what}: {name} is no number")

    def integer(digits: str) -> int:
        if len(digits.lstrip("-")) > _DIGITS:
            raise ValueError(f"{what}: {one_line(digits, 24)} is too large a number; {_DIGITS} digits are read")
        return int(digits)

    try:
        return json.loads(text, parse_constant=constant, parse_int=integer)
    except json.JSONDecodeError as error:
        where = f"line {error.lineno} " if error.lineno > 1 else ""
        raise ValueError(f"{what}: not JSON: {error.msg} at {where}column {error.colno}") from None


def read_lines(path: str | Path) -> Iterator[tuple[int, bytes]]:
    """The lines of a JSON lines file that are not blank, with their numbers from 1, for `read_json`.

    A line that is longer than `read_json` takes comes cut off just behind that length, so that it is refused and
    costs nothing but itself.

    Raises:
        OSError: the file cannot be read.
    """
    with Path(path).open("rb") as file:
        number = 0
        while line := file.readline(MAX_CHARACTERS + 2):
            number += 1
            cut = line
            while len(cut) >= MAX_CHARACTERS and not cut.endswith(b"\n"):
                cut = file.readline(MAX_CHARACTERS)
            if line.strip():
                yield number, line


def read_text(path: str | Path, *, within: str | Path | None = None, most: int = MAX_CHARACTERS) -> str:
    """A small UTF-8 file.

    Args:
        within: the folder that the file must lie in, links followed: what lies beside a picture is published with it.
        most: bytes.

    Raises:
        ValueError: it is longer, no UTF-8 text, or a link that leads out of the folder.
        OSError: it cannot be read.
    """
    path = Path(path)
    try:
        inside = within is None or path.resolve().is_relative_to(Path(within).resolve())
    except RuntimeError:
        raise ValueError(f"{path}: a link that leads to itself") from None
    if not inside:
        raise ValueError(f"{path}: a link that leads out of its folder; put the file itself there")
    if path.exists() and not path.is_file():
        raise ValueError(f"{path}: no plain file")
    with path.open("rb") as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise ValueError(f"{path}: longer than {most} bytes")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError(f"{path}: not UTF-8 text") from None


def table_lines(path: Path) -> list[str]:
    """The lines of a table that is shipped with posterkit, without blank ones and those that begin with #."""
    return [line for line in path.read_text(encoding="utf-8").splitlines() if line and not line.startswith("#")]


def read_yaml(text: str, what: str = "YAML") -> Any:
    """The value of a YAML document of plain values; None where it is empty.

    Raises:
        ValueError: it is no YAML, too long or too deep, or has aliases, tags or values that are no plain ones.
    """
    _check_size(text, what)
    try:
        depth = 0
        for event in yaml.parse(text, Loader=_LOADER):
            line = event.start_mark.line + 1
            if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
                raise ValueError(
                    f"{what}: line {line} has an anchor or alias, which are not read; write the value out"
                )
            if getattr(event, "tag", None) and not getattr(event, "implicit", None):
                raise ValueError(
                    f"{what}: line {line} has the tag {one_line(event.tag, 40)}; only plain values are read"
                )
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth > MAX_DEPTH:
                raise ValueError(f"{what}: line {line} is more than {MAX_DEPTH} levels deep")
        return yaml.load(text, Loader=_LOADER)  # noqa: TID251 - a safe loader, and the one reader
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" at line {mark.line + 1} column {mark.column + 1}" if mark else ""
        raise ValueError(
            f"{what}: not YAML: {one_line(getattr(error, 'problem', None) or str(error))}{where}"
        ) from None
    except RecursionError:
        raise ValueError(f"{what}: too deep") from None


def _check_size(text: str | bytes, what: str, most: int = MAX_CHARACTERS) -> None:
    if len(text) > most and len(text.rstrip()) > most:
        raise ValueError(f"{what}: longer than {most} characters")


def _check_depth(text: str, what: str) -> None:
    """Count brackets outside strings, before a parser goes down with them."""
    depth = 0
    if text.count("[") + text.count("{") <= MAX_DEPTH:
        return
    for match in _OPENING.finditer(text):
        first = match.group()[0]
        if first in "[{":
            depth += 1
            if depth > MAX_DEPTH:
                raise ValueError(f"{what}: more than {MAX_DEPTH} levels deep")
        elif first in "]}":
            depth -= 1
