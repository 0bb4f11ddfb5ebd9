"""Errors in a poster's lettering: BPO's error injection (arXiv 2403.08730) for pictures.

Whole pixel columns change places, from the middle of one gap between letters to the middle of the next, which keeps
the edges of letters whole, and only where the ground is so even that no seam shows.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence
from itertools import combinations, pairwise, product
from random import Random
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from posterkit.schema import Box, DrawnLine

Picture = NDArray[np.uint8]
Span = tuple[int, int]
_INK = 0.15  # of a line's contrast: what differs less from the ground is ground
_FAINT = 40.0  # levels: ink that differs less from the ground is left alone
_SEAM = 10.0  # levels that the ground may change by around what was moved
_LOWEST = 12  # pixels: letters of lower rows are left alone
_ALIKE = 0.3  # of the ink: letters that differ in less look alike
_ROWS, _WORDS = 4, 24  # a box with more of them is left alone


class Word(NamedTuple):
    """A word on a poster: its letters, its rows of pixels, and their columns, each with half of the gaps beside it."""

    text: Sequence[str]
    rows: Span
    spans: list[Span]
    known: bool  # whether a span is the letter at the same place; else it may be several letters, or a part of one


def misspelt(rng: Random, poster: Picture, lines: Sequence[DrawnLine]) -> tuple[Picture, str] | None:
    """A poster on which two neighbouring letters of a word changed places, and what was done.

    Where none can, a copy of one letter stands in place of another. Words at least half as high as the highest are
    taken first.

    Args:
        poster: uint8 `(H, W, 3)`.
        lines: texts and their boxes; a line may have several rows; adjacent lines of one letter each are one line.

    Returns:
        None where no word has two letters that differ and stand apart, on an even ground.
    """
    words = [word for line in _joined(lines) for word in words_on(poster, line)]
    rng.shuffle(words)
    half = max((_height(word) for word in words), default=0) / 2
    words.sort(key=lambda word: (_height(word) < half, not word.known))
    for edits in (_exchanges, _copies):
        for word in words:
            found = list(edits(poster, word, words))
            rng.shuffle(found)
            for left, piece, why in found:
                if (made := _put(poster, word.rows, left, piece)) is not None:
                    return made, why
    return None


def words_on(poster: Picture, line: Sequence[DrawnLine]) -> list[Word]:
    """The words of a line, and where their letters stand; those that are too low are left out.

    Args:
        line: one text, whose letters are separated by the gaps in their ink; or one line for each letter.
    """
    if len(line) > 1:
        boxes = [letter.box for letter in line]
        rows = min(box[1] for box in boxes), max(box[3] for box in boxes)
        return [Word([letter.text for letter in line], rows, _with_gaps([(box[0], box[2]) for box in boxes]), True)]
    words = [_letters(word) for word in line[0].text.split()]
    ink, (left, top) = _ink(poster, line[0].box)
    rows = _rows(ink)
    if not words or not len(rows) <= min(len(words), _ROWS) or len(words) > _WORDS:
        return []
    spans = [_runs(ink[y0:y1].max(0) >= _INK) for y0, y1 in rows]
    found = []
    for (y0, y1), row in zip(rows, _read(words, spans), strict=True):
        for text, own in row:
            places = [(x0 + left, x1 + left) for x0, x1 in _with_gaps(own)]
            found.append(Word(text, (y0 + top, y1 + top), places, len(text) == len(own)))
    leftwards = {"R", "AL"}
    return [
        word for word in found
        if _height(word) >= _LOWEST and leftwards.isdisjoint(map(unicodedata.bidirectional, word.text))
    ]  # fmt: skip


def _joined(lines: Sequence[DrawnLine]) -> list[list[DrawnLine]]:
    """Lines of one letter each that follow each other to the right, as one."""
    found: list[list[DrawnLine]] = []
    for line in lines:
        before = found[-1][-1] if found else None
        beside = before and before.box[2] <= line.box[0] < before.box[2] + (line.box[3] - line.box[1])
        level = before and before.box[1] < line.box[3] and line.box[1] < before.box[3]
        if before and len(line.text) == len(before.text) == 1 and beside and level:
            found[-1].append(line)
        else:
            found.append([line])
    return found


def _ink(poster: Picture, box: Box) -> tuple[NDArray[np.float64], tuple[int, int]]:
    """The distance of a line's pixels from its ground, 1 for its ink; and the left top corner of the part measured."""
    height, width = poster.shape[:2]
    pad = max(2, (box[3] - box[1]) // 12)
    x0, y0, x1, y1 = max(0, box[0] - pad), max(0, box[1] - pad), min(width, box[2] + pad), min(height, box[3] + pad)
    part = poster[y0:y1, x0:x1].astype(np.float64)
    ground = np.median(np.concatenate([part[0], part[-1], part[:, 0], part[:, -1]]), 0)
    far = np.abs(part - ground).max(2)
    contrast = np.quantile(far, 0.97)
    return (far / contrast if contrast >= _FAINT else np.zeros_like(far)), (x0, y0)


def _rows(ink: NDArray[np.float64]) -> list[Span]:
    """The rows of a text, each with the accents above it."""
    runs = _runs(ink.max(1) >= _INK)
    highest = max((y1 - y0 for y0, y1 in runs), default=0)
    full = [number for number, (y0, y1) in enumerate(runs) if y1 - y0 >= 0.4 * highest]
    cuts = [(runs[number][1] + runs[number + 1][0]) // 2 for number in full[:-1]]
    return list(pairwise([0, *cuts, len(ink)])) if full else []


def _read(words: Sequence[Sequence[str]], rows: Sequence[list[Span]]) -> list[list[tuple[Sequence[str], list[Span]]]]:
    """The words of each row and their spans of ink, broken into rows so that most spans are letters."""

    def broken(cuts: Sequence[int]) -> list[list[tuple[Sequence[str], list[Span]]]]:
        parts = [words[start:end] for start, end in pairwise((0, *cuts, len(words)))]
        return [list(zip(part, _split(row, len(part)), strict=False)) for part, row in zip(parts, rows, strict=True)]

    def named(made: list[list[tuple[Sequence[str], list[Span]]]]) -> int:
        return sum(len(text) for row in made for text, own in row if len(text) == len(own))

    return max((broken(cuts) for cuts in combinations(range(1, len(words)), len(rows) - 1)), key=named)


def _split(spans: list[Span], count: int) -> list[list[Span]]:
    """Spans in as many groups, parted at the widest gaps; none where there are fewer spans."""
    if len(spans) < count:
        return []
    gaps = [after[0] - before[1] for before, after in pairwise(spans)]
    cuts = sorted(sorted(range(len(gaps)), key=lambda place: -gaps[place])[: count - 1])
    return [spans[start:end] for start, end in pairwise([0, *(cut + 1 for cut in cuts), len(spans)])]


def _with_gaps(spans: Sequence[Span]) -> list[Span]:
    """Spans that touch in the middle of the gaps between them; as much as half a gap is added at both ends."""
    middles = [(before[1] + after[0]) // 2 for before, after in pairwise(spans)]
    if not middles:
        return list(spans)
    first = max(0, spans[0][0] - (spans[1][0] - spans[0][1] + 1) // 2)
    return list(pairwise([first, *middles, spans[-1][1] + (spans[-1][0] - spans[-2][1] + 1) // 2]))


def _exchanges(poster: Picture, word: Word, words: Sequence[Word]) -> Iterator[tuple[int, Picture, str]]:
    """Each pair of neighbours exchanged: the column to put the piece at, the piece, and its description."""
    y0, y1 = word.rows
    for place, (a, b) in enumerate(pairwise(word.spans)):
        if not word.known or _differ(word.text[place], word.text[place + 1]):
            what = f"letters {place + 1} and {place + 2}" if word.known else "two parts"
            piece = np.concatenate([poster[y0:y1, slice(*b)], poster[y0:y1, slice(*a)]], 1)
            yield a[0], piece, f"{what} of {_quoted(word)} exchanged"


def _copies(poster: Picture, word: Word, words: Sequence[Word]) -> Iterator[tuple[int, Picture, str]]:
    """As `_exchanges`: in each letter's place another of the same rows, not wider and not much narrower."""
    y0, y1 = word.rows
    same_rows = [one for one in words if one.known and one.rows == word.rows] if word.known else []
    sources = [source for one in same_rows for source in zip(one.text, one.spans, strict=True)]
    for (letter, (x0, x1)), (place, (left, right)) in product(sources, enumerate(word.spans)):
        room = (right - left) - (x1 - x0)
        if _differ(letter, word.text[place]) and 0 <= room <= (right - left) / 3:
            piece = np.pad(poster[y0:y1, x0:x1], ((0, 0), (room // 2, room - room // 2), (0, 0)), "edge")
            yield left, piece, f'"{letter}" in place of letter {place + 1} of {_quoted(word)}'


def _put(poster: Picture, rows: Span, left: int, piece: Picture) -> Picture | None:
    """The poster with a piece put in, or None where that changes hardly any ink, or the ground around it."""
    made = poster.copy()
    place = made[slice(*rows), left : left + piece.shape[1]]
    if place.shape != piece.shape:
        return None
    old = place.astype(np.float64)
    change, ground = np.abs(piece - old), np.median(old[[0, -1]], (0, 1))
    ink = np.abs(old - ground).sum() + np.abs(piece - ground).sum()
    if change.sum() < _ALIKE * ink or change[[0, -1]].mean(2).max() > _SEAM:
        return None
    place[:] = piece
    return made


def _runs(inked: NDArray[np.bool_]) -> list[Span]:
    """Where a row of flags is true, from and to."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], inked, [False]]).astype(np.int8)))
    return [(int(start), int(end)) for start, end in edges.reshape(-1, 2)]


def _letters(word: str) -> list[str]:
    """The letters of a word, without combining accents."""
    composed = unicodedata.normalize("NFC", word)
    return [letter for letter in composed if not unicodedata.category(letter).startswith("M")]


def _differ(a: str, b: str) -> bool:
    return a.casefold() != b.casefold()


def _height(word: Word) -> int:
    return word.rows[1] - word.rows[0]


def _quoted(word: Word) -> str:
    return f'"{"".join(word.text)}"'
