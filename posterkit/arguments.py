"""Command lines: types of options, and a parser that says what is wrong in one line."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any, NoReturn

WRONG_CALL = 2


class LineParser(argparse.ArgumentParser):
    """Says what is wrong in one line, and ends with exit code 2."""

    def error(self, message: str) -> NoReturn:
        self.exit(WRONG_CALL, f"posterkit: {message} (see {self.prog} --help)\n")


def typed(
    parse: Callable[[str], Any], accepted: str, fits: Callable[[Any], bool] = lambda _: True
) -> Callable[[str], Any]:
    """A type for argparse.

    Args:
        parse: makes the value of a word; a ValueError means that there is none.
        accepted: what is taken, in words.
        fits: whether a value is taken.
    """

    def parsed(text: str) -> Any:
        try:
            value = parse(text)
        except ValueError:
            value = None
        if value is not None and fits(value):
            return value
        found = value if isinstance(value, int) else repr(text)
        raise argparse.ArgumentTypeError(f"must be {accepted}, found {found}")

    return parsed


def whole(low: int, high: int | None = None) -> Callable[[str], int]:
    """A type for argparse: a whole number within limits."""
    accepted = f"a whole number of at least {low}" if high is None else f"a whole number from {low} to {high}"
    return typed(int, accepted, lambda value: value >= low and (high is None or value <= high))
