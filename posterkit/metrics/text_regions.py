"""Texts of a poster and their rank, credit blocks and watermarks, from the lines that OCR read."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Literal

from posterkit.documents import read_text, read_yaml
from posterkit.metrics.ocr import Line, edit_distance

Rank = Literal["major", "minor"]

SURE = 0.6  # confidence from which a line counts; rings and windows are read as single letters, less surely
SURE_OF_ONE = 0.9  # and from which a single letter does
MAJOR_HEIGHT = 0.6  # of the tallest letters
MAJOR_AREA = 0.004  # of the poster
SMALL = 0.03  # letters of a credit block are at most so high, as a part of the poster's longer side
_CREDITS, _WATERMARKS, _ALONE = (
    re.compile("|".join(words), re.IGNORECASE)
    for words in read_yaml(read_text(Path(__file__).with_name("marks.yaml"))).values()
)
_CJK = "\u2e80"


@dataclass(frozen=True)
class DetectedText:
    """A text that is seen on a poster: its box `x0, y0, x1, y1` in pixels, half open, and its rank."""

    text: str
    box: tuple[int, int, int, int]
    role: Rank
    sure: float = field(default=1.0, compare=False)  # that it is read right, by its least sure line, in [0, 1]


def confident_lines(lines: Sequence[Line]) -> list[Line]:
    """The lines that are text: with a letter or digit, read surely enough."""
    kept = []
    for line in lines:
        letters = sum(letter.isalnum() for letter in line.text)
        if letters and line.score >= (SURE if letters > 1 else SURE_OF_ONE):
            kept.append(line)
    return kept


def find_texts(lines: Sequence[Line], size: tuple[int, int]) -> tuple[DetectedText, ...]:
    """Lines merged into texts, top to bottom, of a poster of `size` pixels.

    Lines of like height that stand in one row, or closely over each other, are one text. A text is major where its
    letters are at least 0.6 times as high as the tallest and it covers 0.4 % of the poster; the tallest always is.
    """
    groups = [_in_reading_order(group) for group in _joined(lines, _same_text)]
    heights = [median(_height(line) for line in group) for group in groups]
    found = []
    for group, height in zip(groups, heights, strict=True):
        box = _around(group, size)
        area = (box[2] - box[0]) * (box[3] - box[1])
        tallest = height == max(heights)
        major = tallest or (height >= MAJOR_HEIGHT * max(heights) and area >= MAJOR_AREA * math.prod(size))
        role: Rank = "major" if major else "minor"
        sure = min(line.score for line in group)
        found.append(DetectedText(_run_together([line.text for line in group]), box, role, sure))
    return tuple(sorted(found, key=lambda text: (text.box[1] + text.box[3], text.box[0])))


def has_credit_block(lines: Sequence[Line], size: tuple[int, int]) -> bool:
    """Many small dense lines in one block, as at the foot of film posters.

    A block counts from 3 lines and 100 letters on, 25 or more a line, over 35 % of the width and 1.5 % of the area,
    where most of it is in capitals or it names a crew; from 5 lines and 200 letters on, whatever it says. A Chinese
    letter counts as two.
    """
    small = [line for line in lines if _height(line) <= SMALL * max(size)]
    for block in _joined(small, _same_block):
        text = " ".join(line.text for line in block)
        letters = sum((1 + (letter >= _CJK)) for letter in text if letter.isalnum())
        x0, y0, x1, y1 = _around(block, size)
        dense = letters >= 25 * len(block)
        large = x1 - x0 >= 0.35 * size[0] and (x1 - x0) * (y1 - y0) >= 0.015 * math.prod(size)
        capitals = sum(letter.isupper() for letter in text) > 0.6 * sum(letter.isalpha() for letter in text)
        short = len(block) >= 3 and letters >= 100 and (capitals or _CREDITS.search(text))
        if dense and large and (short or (len(block) >= 5 and letters >= 200)):
            return True
    return False


def has_watermark(lines: Sequence[Line], size: tuple[int, int]) -> bool:
    """A known phrase (a stock site's name, a copyright line, "SAMPLE" alone), or one text all over the poster.

    The latter is read at least four times, in at least two rows and two columns of a 3x3 grid, and four letters long.
    """
    if any(_WATERMARKS.search(line.text) or _ALONE.fullmatch(line.text.strip(" .-—*")) for line in lines):
        return True
    read = [("".join(letter for letter in line.text.casefold() if letter.isalnum()), line) for line in lines]
    for mark in {text for text, _ in read if len(text) >= 4}:
        cells: list[tuple[int, int]] = []
        for text, line in read:
            # a reader may run two marks of one row together, or lose a letter of one
            if mark in text or edit_distance(mark, text) <= 1:
                x, y = (line.box[0] + line.box[2]) / 2, (line.box[1] + line.box[3]) / 2
                cells += [(int(3 * x / size[0]), int(3 * y / size[1]))] * max(1, text.count(mark))
        if len(cells) >= 4 and len({x for x, _ in cells}) >= 2 and len({y for _, y in cells}) >= 2:
            return True
    return False


def _height(line: Line) -> float:
    """How high its letters are: the shorter side of its box, for lines that run downwards too."""
    x0, y0, x1, y1 = line.box
    return max(1.0, min(x1 - x0, y1 - y0) if len(line.text) > 1 else y1 - y0)


def _same_text(a: Line, b: Line) -> bool:
    height = min(_height(a), _height(b))
    if height < 0.7 * max(_height(a), _height(b)):
        return False
    across, down = _gaps(a, b)
    return (down < -0.6 * height and across < 0.6 * height) or (
        across < -0.5 * _narrower(a, b) and down < 0.3 * height
    )


def _same_block(a: Line, b: Line) -> bool:
    across, down = _gaps(a, b)
    height = max(_height(a), _height(b))
    return (down < -0.5 * height and across < 3 * height) or (across < -0.3 * _narrower(a, b) and down < 1.2 * height)


def _gaps(a: Line, b: Line) -> tuple[float, float]:
    """How far apart two boxes are across and down; negative is how far they overlap."""
    across = max(a.box[0], b.box[0]) - min(a.box[2], b.box[2])
    return across, max(a.box[1], b.box[1]) - min(a.box[3], b.box[3])


def _narrower(a: Line, b: Line) -> float:
    return min(a.box[2] - a.box[0], b.box[2] - b.box[0])


def _joined(lines: Sequence[Line], together: Callable[[Line, Line], bool]) -> list[list[Line]]:
    """Groups of lines that hang together, directly or through others."""
    groups: list[list[Line]] = []
    for line in lines:
        near, far = [line], []
        for group in groups:
            if any(together(line, other) for other in group):
                near += group
            else:
                far.append(group)
        groups = [*far, near]
    return groups


def _in_reading_order(lines: list[Line]) -> list[Line]:
    rows: list[list[Line]] = []
    for line in sorted(lines, key=lambda line: line.box[1] + line.box[3]):
        middle = (line.box[1] + line.box[3]) / 2
        if rows and middle < rows[-1][0].box[3] - 0.3 * _height(rows[-1][0]):
            rows[-1].append(line)
        else:
            rows.append([line])
    return [line for row in rows for line in sorted(row, key=lambda line: line.box[0])]


def _run_together(texts: Sequence[str]) -> str:
    joined = ""
    for text in (" ".join(text.split()) for text in texts):
        joined += ("" if not joined or (joined[-1] >= _CJK and text[:1] >= _CJK) else " ") + text
    return joined


def _around(lines: Sequence[Line], size: tuple[int, int]) -> tuple[int, int, int, int]:
    """The box of all of them, in whole pixels on the canvas."""
    x0 = min(size[0] - 1, max(0, math.floor(min(line.box[0] for line in lines))))
    y0 = min(size[1] - 1, max(0, math.floor(min(line.box[1] for line in lines))))
    x1 = min(size[0], max(x0 + 1, math.ceil(max(line.box[2] for line in lines))))
    y1 = min(size[1], max(y0 + 1, math.ceil(max(line.box[3] for line in lines))))
    return x0, y0, x1, y1
