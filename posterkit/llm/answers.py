"""Reads a model's JSON answer by its schema: tolerant of the wrapping, strict about the values."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator
from typing import Any

from posterkit.llm.client import AnswerError, Schema
from posterkit.messages import one_line

LONGEST = 100_000  # characters of an answer; a poster's texts with their boxes are a tenth of it
DEEPEST = 20  # brackets within brackets
_TRIES = 40  # opening brackets that are tried; prose has few
_YES = frozenset(("yes", "true", "y", "是", "有"))
_NO = frozenset(("no", "false", "n", "none", "否", "无", "没有"))
_NUMBER = re.compile(r"\s*([-+]?\d+(?:\.\d+)?)\s*(?:(%)|/\s*(\d+(?:\.\d+)?))?\s*")
_THOUGHTS = re.compile(r"<think>.*?(?:</think>|\Z)", re.DOTALL)


def read_answer(answer: str, schema: Schema, model: str) -> Any:
    """The value in an answer that fits a schema.

    The JSON may stand in a code fence or in prose, end lists with a comma, lie alone in a list (or be the list where
    the schema is an object of one list), and have more keys than the schema. Numbers may be strings ("0.8"; "80%"
    where the range is 0 to 1 or 0 to 100; "4/5" where 5 is the maximum), booleans "yes" and "no", a text a number. A
    number outside its range is no answer.

    Args:
        schema: a JSON schema of type, properties, required, items, enum, minimum, maximum, minItems, maxItems.
        model: name of the model, for errors.

    Raises:
        AnswerError: one line: no JSON that fits; it says what is missing and what was found.
    """
    if len(answer) > LONGEST:
        raise AnswerError(f"{model}: the answer has {len(answer)} characters, at most {LONGEST} are read")
    fault = "holds no JSON"
    for value in _values(_THOUGHTS.sub(" ", answer)):
        try:
            return _fit(value, schema, "")
        except _Unfit as unfit:
            fault = str(unfit)
    raise AnswerError(f"{model}: the answer {fault}; found: {one_line(answer) or 'nothing'}")


class _Unfit(Exception):
    """How a value does not fit: the end of a sentence that begins with "the answer"."""


def _values(text: str) -> Iterator[Any]:
    """The JSON values in a text, outermost first, each parsed at most once."""
    at = 0
    for _ in range(_TRIES):
        opening = re.compile(r"[{\[]").search(text, at)
        if opening is None:
            return
        at = opening.start() + 1
        end = _end(text, opening.start())
        if end:
            try:
                # control characters in strings are let through here and taken out later
                value = json.loads(
                    _plain(text[opening.start() : end]), strict=False, parse_constant=_refuse, parse_int=_whole
                )
            except (ValueError, RecursionError):
                continue
            at = end
            yield value


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


def _whole(digits: str) -> int:
    if len(digits) > 18:
        raise ValueError("a number this long is no measure of anything")
    return int(digits)


# a string that never closes runs to the end, or each quote mark in it would be tried as the next opening one
_STRING = r'"(?:[^"\\]|\\.)*+(?:"|\\?\Z)'
_TOKEN = re.compile(_STRING + r"|[{}\[\]]", re.DOTALL)
_SPARE = re.compile(_STRING + r"|,(?=\s*[}\]])|\b(?:True|False|None)\b", re.DOTALL)


def _end(text: str, start: int) -> int:
    """Just behind the bracket that closes the one at `start`; 0 where none does, or it goes too deep."""
    depth = 0
    for token in _TOKEN.finditer(text, start):
        if token[0] in "{[":
            depth += 1
        elif token[0] in "}]":
            depth -= 1
        if depth == 0:
            return token.end()
        if depth > DEEPEST:
            return 0
    return 0


def _plain(found: str) -> str:
    """JSON without the commas that end lists, and without Python's names for its constants."""
    words = {"True": "true", "False": "false", "None": "null"}
    return _SPARE.sub(lambda match: "" if match[0] == "," else words.get(match[0], match[0]), found)


def _fit(value: object, schema: Schema, at: str) -> Any:
    return _FITTERS[schema["type"]](value, schema, at)


def _object(value: object, schema: Schema, at: str) -> dict[str, Any]:
    if isinstance(value, list):
        return _from_list(value, schema, at)
    if not isinstance(value, dict):
        raise _Unfit(f"has {_shown(value)} {_where(at)}, not an object")
    fitted = {}
    for key, inner in schema["properties"].items():
        missing = key not in value or (value[key] is None and inner["type"] != "array")
        if not missing:
            fitted[key] = _fit(value[key], inner, f"{at}.{key}" if at else key)
        elif key in schema.get("required", ()):
            raise _Unfit(f'lacks "{at}.{key}"' if at else f'lacks "{key}"')
    return fitted


def _from_list(value: list[Any], schema: Schema, at: str) -> dict[str, Any]:
    """A list where an object is due: the object's only list, or the object alone in it."""
    lists = [key for key, inner in schema["properties"].items() if inner["type"] == "array"]
    if len(lists) == len(schema["properties"]) == 1:
        try:
            return _object({lists[0]: value}, schema, at)
        except _Unfit:
            if len(value) != 1:
                raise
    if len(value) == 1 and isinstance(value[0], dict):
        return _object(value[0], schema, at)
    raise _Unfit(f"has a list of {len(value)} {_where(at)}, not an object")


def _array(value: object, schema: Schema, at: str) -> list[Any]:
    if value is None:
        return []
    items = value if isinstance(value, list) else [value]
    if not schema.get("minItems", 0) <= len(items) <= schema.get("maxItems", math.inf):
        raise _Unfit(f"has {len(items)} items {_where(at)}")
    return [_fit(item, schema["items"], f"{at}[{number}]") for number, item in enumerate(items)]


def _string(value: object, schema: Schema, at: str) -> str:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str):
        raise _Unfit(f"has {_shown(value)} {_where(at)}, not a text")
    text = "".join(letter if letter.isprintable() or letter == "\n" else " " for letter in value).strip()
    allowed = schema.get("enum")
    if allowed is None:
        return text
    for word in allowed:
        if word.casefold() == text.casefold():
            return word
    raise _Unfit(f"has {_shown(text)} {_where(at)}, not one of {', '.join(allowed)}")


def _number(value: object, schema: Schema, at: str) -> float:
    low, high = schema.get("minimum", -math.inf), schema.get("maximum", math.inf)
    match = _NUMBER.fullmatch(value) if isinstance(value, str) and len(value) < 40 else None
    if match:
        number, percent, whole = float(match[1]), match[2], match[3]
        if percent and (low, high) in ((0, 1), (0, 100)):
            value = number * high / 100
        elif not percent and (whole is None or float(whole) == high):
            value = number
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise _Unfit(f"has {_shown(value)} {_where(at)}, not a number")
    if not low <= value <= high:
        raise _Unfit(f"has {value:g} {_where(at)}, outside {low:g} to {high:g}")
    return value


def _integer(value: object, schema: Schema, at: str) -> int:
    number = _number(value, schema, at)
    if number != int(number):
        raise _Unfit(f"has {number:g} {_where(at)}, not a whole number")
    return int(number)


def _boolean(value: object, schema: Schema, at: str) -> bool:
    word = value.strip(" .").casefold() if isinstance(value, str) else value
    if isinstance(word, (bool, int)) and word in (0, 1):
        return bool(word)
    if isinstance(word, str) and word in _YES | _NO:
        return word in _YES
    raise _Unfit(f"has {_shown(value)} {_where(at)}, not yes or no")


_FITTERS: dict[str, Callable[[Any, Schema, str], Any]] = {
    "object": _object, "array": _array, "string": _string, "number": _number, "integer": _integer,
    "boolean": _boolean,
}  # fmt: skip


def _where(at: str) -> str:
    return f'at "{at}"' if at else "at its top"


def _shown(value: object) -> str:
    return one_line(repr(value), 40)
