"""A line and its context as hashed words and n-grams of letters: one template for training and for use."""

from __future__ import annotations

import re
from functools import lru_cache
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from posterkit.safety.text_variants import plain

BITS = 15  # of the table: 32,768 rows
_ENDS = re.compile(r"(?<=[.!?;])\s+|[。！？；\n\"“”「」『』]+|(?<=\w)\s*[:：]\s+")
_DIGITS = re.compile(r"\d+(?:[.,:]\d+)*")
_LONGEST = 400  # letters of a segment; more is cut into pieces
_CJK = "\u2e80"  # a Chinese letter is a word
# words, and marks: of a row of one mark the last; exclamation marks and emoji say nothing
_WORD = re.compile(rf"[{_CJK}-\U0001efff\U00020000-\U0003ffff]|[^\W{_CJK}-\U0003ffff]+|\?(?!\?)|:(?!:)|,(?!,)")
_DRAWN_OUT = re.compile(r"(.)\1{3,}")  # sooooo is as sooo
_MOST = 80  # words that are read
_SALTS = {"text": 0, "context": 0x6659FD93}


def segments(text: str) -> list[tuple[int, int]]:
    """Where a text's sentences and quoted parts begin and end, without blanks; each is judged by itself.

    A harmful line is as harmful in a long brief as it is alone.
    """
    found, start = [], 0
    for match in [*_ENDS.finditer(text), None]:
        end = match.start() if match else len(text)
        for first in range(start, end, _LONGEST):
            piece = text[first : min(end, first + _LONGEST)]
            left = len(piece) - len(piece.lstrip())
            stripped = piece.strip()
            if any(letter.isalnum() for letter in stripped):
                found.append((first + left, first + left + len(stripped)))
        start = match.end() if match else end
    return found


def hashed(text: str, part: str = "text") -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows of the table for each word of a line, or of its context, and how many each word has.

    A word has itself and its n-grams of 3 to 5 letters, a Chinese letter itself and those that follow it.

    Args:
        part: "text" or "context"; the two never share a row's meaning.
    """
    words = _WORD.findall(_DRAWN_OUT.sub(r"\1\1\1", _DIGITS.sub("0", plain(text))))[:_MOST]
    rows: list[int] = []
    lengths = []
    for place, word in enumerate(words):
        after = "".join(one for one in words[place + 1 : place + 3] if one >= _CJK) if word >= _CJK else ""
        found = _rows(word, after, _SALTS[part])
        rows += found
        lengths.append(len(found))
    return np.array(rows, dtype=np.int64), np.array(lengths, dtype=np.int64)


@lru_cache(maxsize=65_536)
def _rows(word: str, after: str, salt: int) -> list[int]:
    """
    Args:
        after: what follows a Chinese letter, up to two of them.
    """
    if word >= _CJK:
        grams = [word + after[:size] for size in range(len(after) + 1)]
    else:
        whole = f"<{word}>"
        sizes = range(3, 6) if len(word) > 2 else ()
        grams = [whole, *(whole[at : at + size] for size in sizes for at in range(len(whole) - size + 1))]
    return [crc32(gram.encode("utf-8", "surrogatepass"), salt) % 2**BITS for gram in grams]
