"""Reads JSON and YAML that others wrote: bounded in size and depth, plain values only, every fault one line.

JSON takes no NaN, no infinity and no integer of more than 32 digits; YAML takes no aliases and no tags, so that a
small file cannot grow in memory and none can name a class.
"""

from __future__ import annotations

import json
import re
from typing import Any

import yaml

from posterkit.messages import one_line

MAX_CHARACTERS = 16 * 2**20  # of one document
MAX_DEPTH = 64  # levels of lists and objects in one another
_DIGITS = 32
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


def read_yaml(text: str, what: str = "YAML") -> Any:
    """The value of a YAML document of plain values; None where it is empty.

    Raises:
        ValueError: it is no YAML, too long or too deep, or has aliases, tags or values that are no plain ones.
    """
    _check_size(text, what)
    try:
        depth = 0
        for event in yaml.parse(text, Loader=yaml.SafeLoader):
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
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" at line {mark.line + 1} column {mark.column + 1}" if mark else ""
        raise ValueError(
            f"{what}: not YAML: {one_line(getattr(error, 'problem', None) or str(error))}{where}"
        ) from None
    except RecursionError:
        raise ValueError(f"{what}: too deep") from None


def _check_size(text: str, what: str, most: int = MAX_CHARACTERS) -> None:
    if len(text) > most:
        raise ValueError(f"{what}: {len(text)} characters; at most {most} are read")


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
