"""A line and its context as hashed character and word n-grams: one template for training and for use."""

from __future__ import annotations

import re
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from posterkit.safety.text_variants import plain

BITS = 14  # of the table: 16,384 rows
_ENDS = re.compile(r"(?<=[.!?;])\s+|[。！？；\n\"“”「」『』]+|(?<=\w)\s*[:：]\s+")
_DIGITS = re.compile(r"\d+(?:[.,:]\d+)*")
_LONGEST = 400  # letters of a segment; more is cut into pieces
_FACTOR = np.uint64(0x9E3779B97F4A7C15)
_SALTS = {"text": np.uint64(0), "context": np.uint64(0xD6E8FEB86659FD93)}


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


def hashed(text: str, part: str = "text") -> NDArray[np.int64]:
    """Rows of the table for a line, or for its context: n-grams of 2 to 5 letters, words, and pairs of words.

    Args:
        part: "text" or "context"; the two never share a row's meaning.
    """
    text = _DIGITS.sub("0", plain(text))
    if not text:
        return np.empty(0, dtype=np.int64)
    codes = np.frombuffer(f" {text} ".encode("utf-32-le"), dtype=np.uint32).astype(np.uint64)
    found = [codes[codes > 0x2E80] * _FACTOR + np.uint64(1)]  # a Chinese letter is a word
    rolling = codes
    for size in range(2, 6):
        if len(codes) < size:
            break
        rolling = rolling[:-1] * _FACTOR + codes[size - 1 :]
        found.append(rolling * np.uint64(2 * size + 1))
    words = [crc32(word.encode()) for word in re.findall(r"\w+", text)]
    single = np.array(words, dtype=np.uint64)
    found.append(single * _FACTOR + np.uint64(7))
    for gap in (1, 2):
        found.append((single[:-gap] * _FACTOR + single[gap:]) * np.uint64(11 + gap))
    mixed = np.concatenate(found) ^ _SALTS[part]
    mixed = (mixed ^ (mixed >> np.uint64(31))) * _FACTOR
    return ((mixed ^ (mixed >> np.uint64(29))) * _FACTOR >> np.uint64(64 - BITS)).astype(np.int64)
