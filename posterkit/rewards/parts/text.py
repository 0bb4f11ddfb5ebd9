"""Does the poster say what it was asked to say? By OCR, and by template matching in the world of glyph posters."""

from __future__ import annotations

import threading
from collections import Counter, OrderedDict
from collections.abc import Sequence
from hashlib import sha256

import numpy as np
from PIL import Image

from posterkit.llm.once import opened_once
from posterkit.metrics.demands import as_asked
from posterkit.metrics.expected_texts import expected_texts
from posterkit.metrics.glyphs import CELL, glyph_accuracy, read_glyphs
from posterkit.metrics.lettering import find_texts, sure_lines
from posterkit.metrics.text import Line, TextAccuracy, TextReader, text_accuracy, words
from posterkit.rewards.parts.part import Part
from posterkit.rewards.reward import RewardResult
from posterkit.schema import PosterRequest

FAST_LIMIT = 480  # pixels of the detector; see benchmarks/reward_speed.py for what it costs
SMALLEST = 384  # pixels; posters whose shorter side is smaller are enlarged to it, they are unreadable else
_KEPT = 32  # posters whose lines are remembered: several rewards ask about one


class PosterLines:
    """Reads posters by OCR; what was read last is remembered. Safe from several threads, one poster at a time."""

    def __init__(self, fast: bool = False) -> None:
        self._reader = TextReader(limit=FAST_LIMIT if fast else None, enlarge_to=SMALLEST)
        self._lock = threading.Lock()
        self._read: OrderedDict[bytes, list[Line]] = OrderedDict()

    def __call__(self, poster: Image.Image) -> list[Line]:
        """The lines that are surely text, top to bottom, their boxes in the poster's pixels."""
        key = sha256(repr(poster.size).encode() + poster.tobytes()).digest()
        with self._lock:  # the reader keeps state while it works
            if key not in self._read:
                self._read[key] = sure_lines(self._reader(poster))
                if len(self._read) > _KEPT:
                    self._read.popitem(last=False)
            return self._read[key]

    def forget(self) -> None:
        """Read every poster anew from here on."""
        with self._lock:
            self._read.clear()


@opened_once()
def poster_lines(fast: bool = False) -> PosterLines:
    """The reader that all rewards of a process share."""
    return PosterLines(fast)


class TextReward(Part):
    """OCR against the asked texts: the mean of the words' F-score and the similarity of the whole wording.

    Words that nobody dictated are forgiven up to the row's `spare`. Nothing asked and nothing written is worth 1.
    Rows of which nobody knows what they should say are not judged.

    What hacks it: the right words once, large and plain, on an empty ground, are worth 1; so do not reward it alone.
    Text sprayed everywhere loses its precision. What OCR cannot read (ornate or tiny letters) counts as missing, so
    it pushes towards plain ones, and what only looks like text is not seen.
    """

    def __init__(self, fast: bool = False) -> None:
        self.fast = fast
        self.name = "text-fast" if fast else "text"

    def applies(self, row: PosterRequest) -> bool:
        return expected_texts(row) is not None

    def judge(self, poster: Image.Image, row: PosterRequest) -> RewardResult:
        asked = expected_texts(row) or ()
        found = accuracy(
            asked, [text.text for text in find_texts(poster_lines(self.fast)(poster), poster.size)], row.spare
        )
        parts = {key: float(getattr(found, key)) for key in ("recall", "precision", "f_score", "similarity", "exact")}
        return RewardResult((found.f_score + found.similarity) / 2, parts, _faults(found))


class GlyphReward(Part):
    """The title's letters at their places, by template matching: for glyph posters, which OCR cannot read.

    What hacks it: it looks only where letters were asked for, so whatever else stands on the poster costs nothing.
    """

    name = "glyphs"

    def applies(self, row: PosterRequest) -> bool:
        return any(_title(row))

    def judge(self, poster: Image.Image, row: PosterRequest) -> RewardResult:
        letters, places = _title(row)
        if row.size is not None and poster.size != tuple(row.size):
            raise ValueError(
                f"{row.id or 'a row'}: its letters are asked for on {row.size}, the poster is {poster.size}"
            )
        read = read_glyphs(np.asarray(poster), places)
        right = glyph_accuracy(read, letters)
        return RewardResult(right, {"letters": right}, "" if read == letters else f'"{read}" instead of "{letters}"')


def accuracy(asked: Sequence[str], read: Sequence[str], spare: int = 0) -> TextAccuracy:
    """As `text_accuracy`, in whatever order the texts stand; up to `spare` words that were not asked for are left out.

    Args:
        read: the texts on the poster.
        spare: words of texts that were asked for without saying which.
    """
    ordered = as_asked(asked, read)
    found = text_accuracy(asked, ordered)
    forgiven = Counter(found.extra[:spare])
    if not forgiven:
        return found
    kept: list[str] = []
    for word in reversed([word for text in ordered for word in words(text)]):
        if forgiven[word]:
            forgiven[word] -= 1
        else:
            kept.append(word)
    return text_accuracy(asked, kept[::-1])


def _title(row: PosterRequest) -> tuple[str, list[tuple[int, int, int, int]]]:
    """The letters that the row dictates in a box of glyph cells, and their cells; nothing where there is none."""
    asked = expected_texts(row) or ()
    for region in row.regions:
        x0, y0, x1, y1 = region.box
        if region.text in asked and (x1 - x0, y1 - y0) == (CELL[0] * len(region.text), CELL[1]):
            cells = [(x, y0, x + CELL[0], y1) for x in range(x0, x1, CELL[0])]
            return region.text, cells
    return "", []


def _faults(found: TextAccuracy, most: int = 6) -> str:
    said = [f'"{want}" reads "{have}"' for want, have in found.misspelt.items()]
    for name, those in (("missing", found.missing), ("not asked for", found.extra)):
        if those:
            more = f" and {len(those) - most} more" if len(those) > most else ""
            said.append(f"{name}: {' '.join(those[:most])}{more}")
    return "; ".join(said)
