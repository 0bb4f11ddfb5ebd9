"""Errors and foreign text as one printable line: for terminals, logs and records."""

from __future__ import annotations

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


def error_line(error: BaseException, most: int = 300) -> str:
    """What went wrong, in one line; the class stands before it where the words alone say too little.

    Errors of posterkit, ValueError and OSError are raised with a line for the reader; a KeyError says only its key.
    """
    message = one_line(str(error), most)
    ours = type(error).__module__.partition(".")[0] == "posterkit"
    if message and (ours or isinstance(error, (ValueError, OSError))):
        return message
    return f"{type(error).__name__}: {message}".removesuffix(": ")
