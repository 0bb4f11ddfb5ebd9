"""Large letters of a small alphabet, and reading them back by template matching.

A model too small for words can still learn to write; whether it did must not hang on an OCR model, which guesses
words. Letters are looked for at their known places.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from posterkit import typeset

ALPHABET = "ACEHKOTX"  # no two of them alike in their strokes
CELL = 20, 28  # width and height of a letter's place in pixels
LIKE = 0.5  # correlation below which nothing is read
_SHIFT = 2  # pixels that a letter may stand beside its place
_FONT = "inter/InterDisplay-Black.otf"


@cache
def glyph(letter: str) -> NDArray[np.float64]:
    """A letter's ink, `(28, 20)` in [0, 1], as tall and as wide as its place but for a pixel around."""
    width, height = CELL
    scale = 8
    font = ImageFont.truetype(str(Path(typeset.__file__).parent / "fonts" / _FONT), 32 * scale)
    x0, y0, x1, y1 = font.getbbox(letter)
    ink = Image.new("L", (round(x1 - x0), round(y1 - y0)), 0)
    ImageDraw.Draw(ink).text((-x0, -y0), letter, font=font, fill=255)
    drawn = Image.new("L", CELL, 0)
    drawn.paste(ink.resize((width - 2, height - 2), Image.Resampling.LANCZOS), (1, 1))
    return np.asarray(drawn, dtype=np.float64) / 255


def read_glyphs(picture: NDArray[np.uint8], places: Sequence[tuple[int, int, int, int]]) -> str:
    """The letter at each place of a picture `(H, W, 3)` uint8, or "?" where none is like enough.

    Places are boxes of 20x28 pixels (else ValueError); a letter up to two pixels beside its box is found.
    """
    light = np.pad(picture.astype(np.float64).mean(2), _SHIFT, mode="edge")
    read = ""
    for x0, y0, x1, y1 in places:
        if (x1 - x0, y1 - y0) != CELL:
            raise ValueError(f"a letter's place is {CELL[0]}x{CELL[1]} pixels, got {x1 - x0}x{y1 - y0}")
        shifts = range(2 * _SHIFT + 1)
        crops = np.stack([light[y0 + dy : y1 + dy, x0 + dx : x1 + dx].ravel() for dy in shifts for dx in shifts])
        likeness = np.abs(_unit(crops) @ _unit(np.stack([glyph(letter).ravel() for letter in ALPHABET])).T).max(0)
        best = int(likeness.argmax())
        read += ALPHABET[best] if likeness[best] >= LIKE else "?"
    return read


def glyph_accuracy(read: str, expected: str) -> float:
    """Share of the expected letters that stand at their place, in [0, 1].

    Raises:
        ValueError: nothing is expected, or the numbers of letters differ.
    """
    if not expected or len(read) != len(expected):
        raise ValueError(f"{len(read)} letters read for {len(expected)} expected")
    return float(np.mean([found == letter for found, letter in zip(read, expected, strict=True)]))


def _unit(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rows without their mean, of length 1; a flat one is zero."""
    rows = rows - rows.mean(1, keepdims=True)
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9)
