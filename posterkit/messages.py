"""Errors and foreign text as one printable line: for terminals, logs and records."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_HARMLESS = "\n\u200c\u200d"  # joiners, which several scripts and emoji need


def printable(text: str) -> str:
    """The text with control characters, which a terminal would obey, written as escapes; line ends stay."""
    return "".join(
        letter if letter.isprintable() or letter in _HARMLESS else letter.encode("unicode_escape").decode()
        for letter in text
    )


def one_line(text: str, most: int = 160) -> str:
    """The text as one printable line of at most so many characters."""
    line = " ".join("".join(letter if letter.isprintable() else " " for letter in text[: 20 * most]).split())
    return line if len(line) <= most else line[: most - 1] + "…"


def words_of(error: BaseException) -> str:
    """What an error says; where the system refuses a file, the file and why."""
    if isinstance(error, OSError) and error.strerror:
        reason = error.strerror[:1].lower() + error.strerror[1:]
        return reason if error.filename is None else f"{error.filename}: {reason}"
    return str(error)


def error_line(error: BaseException, most: int = 300) -> str:
    """What went wrong, in one line; the class stands before it where the words alone say too little.

    Errors of posterkit, ValueError and OSError are raised with a line for the reader; a KeyError says only its key.
    """
    message = one_line(words_of(error), most)
    ours = type(error).__module__.partition(".")[0] == "posterkit"
    if message and (ours or isinstance(error, (ValueError, OSError))):
        return message
    return f"{type(error).__name__}: {message}".removesuffix(": ")


class _Catching(threading.local):
    def __init__(self) -> None:
        self.lists: list[list[str]] = []


_catching, _threads = _Catching(), threading.Lock()
_depth, _before = 0, warnings.catch_warnings()


@contextmanager
def caught_warnings() -> Iterator[list[str]]:
    """The warnings of this thread while the block lasts, each time that they come; other threads' go where they went.

    `warnings.catch_warnings` is of one thread only: two that overlap leave the filters of one behind.
    """
    with routed_warnings():
        _catching.lists.append([])
        try:
            yield _catching.lists[-1]
        finally:
            _catching.lists.pop()


@contextmanager
def routed_warnings() -> Iterator[None]:
    """Every warning goes to the list of its thread, if it has one; around work whose threads catch theirs."""
    global _depth, _before
    with _threads:
        if not _depth:
            _before = warnings.catch_warnings()
            _before.__enter__()
            warnings.simplefilter("always")
            for kind in (ResourceWarning, DeprecationWarning, PendingDeprecationWarning):  # for programmers
                warnings.simplefilter("ignore", kind)
            warnings.showwarning = _routed(warnings.showwarning)
        _depth += 1
    try:
        yield
    finally:
        with _threads:
            _depth -= 1
            if not _depth:
                _before.__exit__(None, None, None)


def _routed(shown: Any) -> Any:
    def route(message: Warning | str, *rest: Any, **more: Any) -> None:
        if _catching.lists:
            _catching.lists[-1].append(str(message))
        else:
            shown(message, *rest, **more)

    return route
