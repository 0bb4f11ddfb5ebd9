"""Blanks that OCR lost: put back where a line's letters stand apart on the poster."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFont

from posterkit.typeset.fonts import FACES

APART = 2.2  # times the usual gap between letters, from which on there is a gap between words
LEAST = 0.1  # of the letters' height, that a gap between words has at least
ASIDE = 0.6  # of a letter's width, by which a gap may stand beside where letters of usual widths have it
_CJK = "\u2e80"


def with_blanks(text: str, crop: Image.Image) -> str:
    """A line with a blank at every gap between its words.

    Nothing changes where the picture behind the letters leaves no gaps, where letters are spaced out, or where the
    gaps do not lie between letters.

    Args:
        text: as it was read.
        crop: the line on the poster, RGB.
    """
    letters = text.replace(" ", "")
    if len(letters) < 4 or any(letter >= _CJK for letter in letters):
        return text
    ink = _ink(crop)
    columns, rows = np.flatnonzero(ink.any(0)), np.flatnonzero(ink.any(1))
    if columns.size < 8:
        return text
    gaps = np.diff(columns)
    starts, widths = columns[:-1][gaps > 1] + 1, gaps[gaps > 1] - 1
    if len(widths) < len(letters) / 3:  # letters that touch, or a picture behind them
        return text
    least = max(APART * float(np.median(widths)), LEAST * float(rows[-1] - rows[0] + 1))
    wide = widths >= least
    if not text.count(" ") < wide.sum() < len(letters) / 1.5:
        return text
    ends = _ends(letters)
    whole = columns[-1] + 1 - columns[0] - widths[wide].sum()
    found = {len(text[:n].replace(" ", "")) for n, letter in enumerate(text) if letter == " "}
    before = columns[0]
    for start, width in zip(starts[wide], widths[wide], strict=True):
        place = (start - before) / whole
        number = int(np.abs(ends[:-1] - place).argmin())
        if abs(ends[number] - place) > ASIDE / len(letters):
            return text
        found.add(number + 1)
        before += width
    return "".join(f" {letter}" if n in found else letter for n, letter in enumerate(letters))


def _ink(crop: Image.Image) -> NDArray[np.bool_]:
    """`(H, W)`: what is nearer to the letters' colour than to the ground's, which is that of the crop's rim."""
    pixels = np.asarray(crop.convert("RGB"), np.float64)
    ground = np.median(np.concatenate([pixels[0], pixels[-1]]), axis=0)
    away = np.linalg.norm(pixels - ground, axis=2)
    return away > 0.5 * np.percentile(away, 95)


def _ends(letters: str) -> NDArray[np.float64]:
    """Where each letter ends in a line without blanks, as a part of it, in a face of usual widths."""
    face = _face()
    lengths = [face.getlength(letters[: n + 1]) for n in range(len(letters))]
    return np.asarray(lengths) / lengths[-1]


@cache
def _face() -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(str(next(face.path for face in FACES if face.name == "Inter-Medium")), 64)
