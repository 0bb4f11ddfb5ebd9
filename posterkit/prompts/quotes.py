"""The quoted strings of a prompt: what must stand on the poster, letter for letter."""

from __future__ import annotations

import re
from typing import NamedTuple

# opening mark -> the marks that may close it
_CLOSERS = {
    '"': '"', "'": "'", "“": "”", "„": "“”\"", "”": "”", "‘": "’", "‚": "‘’", "«": "»", "»": "«", "‹": "›", "›": "‹",
    "「": "」", "『": "』", "《": "》", "〈": "〉", "〝": "〞〟", "＂": "＂",
}  # fmt: skip
_SINGLE = {"'", "‘", "‚"}  # their closing mark is an apostrophe too
LONGEST = 1000  # characters; no text on a poster is longer
_INCHES = {'"', "”", "＂"}  # after a digit they mean inches
# words that begin with an apostrophe: rock 'n' roll, 'til dawn, the '90s
_ELISION = re.compile(r"(?:n['’]|n\b|(?:til|tis|twas|twere|cause|em|bout|round|neath)\b|\d0s\b)", re.IGNORECASE)
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_CJK = "\u2e80"  # from here on words are written without spaces between them


class Quote(NamedTuple):
    """A quoted string: the span with its marks, and the text between them."""

    start: int
    end: int
    text: str


def quotes(prompt: str) -> list[Quote]:
    """The quoted strings of a prompt, in order; of nested ones the outermost.

    Straight, curly and low quotes, guillemets either way round and CJK brackets count. `\\"` inside is a quote mark of
    the text, `\\n` a line break; blanks at the ends are dropped. Apostrophes and inch marks are told apart. A mark
    that nothing closes within 1000 characters and before the next empty line is no quote, nor is a straight one before
    a blank.
    """
    found, at = [], 0
    while at < len(prompt):
        escaped = prompt.startswith('\\"', at)  # a prompt quoted once too often: \"TITLE\"
        width = 2 if escaped else 1
        end = prompt.find('\\"', at + 2) if escaped else _closing(prompt, at)
        if end < 0:
            at += width
            continue
        text = _verbatim(prompt[at + width : end])
        if text:
            found.append(Quote(at, end + width, text))
        at = end + width
    return found


def quoted_texts(prompt: str) -> list[str]:
    """The texts alone."""
    return [quote.text for quote in quotes(prompt)]


def without_quotes(prompt: str) -> str:
    """The prompt with a blank in place of every quoted string."""
    for quote in reversed(quotes(prompt)):
        prompt = f"{prompt[: quote.start]} {prompt[quote.end :]}"
    return prompt


def tidy(text: str) -> str:
    """The text as `quotes` reads one: with plain newlines, and no blanks at its ends."""
    return text.replace("\r\n", "\n").replace("\r", "\n").strip()


def in_quotes(text: str) -> str:
    """The text in straight quotes, so that `quotes` reads the very same text again.

    Args:
        text: tidy (no blanks at its ends, plain newlines), not empty, at most 1000 characters.
    """
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    # an empty line would end the quoted string, so its first break is written out
    return '"' + re.sub(r"\n(?=\s*\n)", r"\\n", escaped) + '"'


def _verbatim(inside: str) -> str:
    def unescape(match: re.Match[str]) -> str:
        mark = match[1]
        return "\n" if mark == "n" else mark if mark == "\\" or mark in _CLOSERS else match[0]

    return tidy(_ESCAPE.sub(unescape, inside))


def _closing(prompt: str, at: int) -> int:
    """Where the string that opens at `at` closes; -1 where none opens or it never closes."""
    mark = prompt[at]
    if mark not in _CLOSERS or not _opens(prompt, at):
        return -1
    closers, depth, i = _CLOSERS[mark], 1, at + 1
    blank = re.compile(r"\n\s*\n").search(prompt, at)
    limit = min(blank.start() if blank else len(prompt), at + LONGEST + 2)
    while i < limit:
        if prompt[i] == "\\":
            i += 2
            continue
        if mark == "”" and prompt[i] == "“":
            return -1  # a stray closing mark, not a Swedish opening one
        if prompt[i] == mark and mark not in closers:
            depth += 1
        elif prompt[i] in closers:
            if prompt[i] == '"' != mark and prompt[i - 1].isdigit():
                i += 1  # inches inside low quotes
                continue
            if mark not in _SINGLE:
                depth -= 1
            elif elision := _elision(prompt, i):
                i += elision
            elif _closes(prompt, i) and not _apostrophe_at_the_end(prompt, mark, i, limit):
                return i
            if depth == 0:
                return i
        i += 1
    return -1


def _opens(prompt: str, at: int) -> bool:
    mark, before, after = prompt[at], prompt[at - 1 : at], prompt[at + 1 : at + 2]
    if mark in _INCHES:
        return not before.isdigit() and not after.isspace()
    if mark in _SINGLE:
        in_word = before.isalnum() and before < _CJK
        return not in_word and not after.isspace() and not _ELISION.match(prompt, at + 1)
    return True


def _closes(prompt: str, at: int) -> bool:
    """A single mark closes after a letter or a stop, and not before a letter (don't)."""
    before, after = prompt[at - 1], prompt[at + 1 : at + 2]
    return not before.isspace() and not (after.isalnum() and after < _CJK)


def _elision(prompt: str, at: int) -> int:
    """How long the word is that begins with the apostrophe at `at`; 0 where none does."""
    match = _ELISION.match(prompt, at + 1) if prompt[at - 1].isspace() else None
    return len(match[0]) if match else 0


def _apostrophe_at_the_end(prompt: str, mark: str, at: int, limit: int) -> bool:
    """The mark after "Farmers" in 'Farmers' Market': a plural or a clipped -ing, and another mark closes later."""
    if not re.search(r"(?:s|in)$", prompt[max(0, at - 2) : at], re.IGNORECASE):
        return False
    for i in range(at + 1, limit):
        if prompt[i] in _CLOSERS[mark] and not _elision(prompt, i) and _closes(prompt, i):
            return True
        if prompt[i] == mark and _opens(prompt, i):
            return False
    return False
