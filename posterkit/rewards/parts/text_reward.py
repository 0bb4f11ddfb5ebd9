"""Whether the poster shows the expected texts: by OCR, and by template matching for glyph posters."""

# pyright: standard
from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from PIL import Image

from posterkit.metrics.expected_texts import expected_texts
from posterkit.metrics.glyphs import CELL, glyph_accuracy, read_glyphs
from posterkit.metrics.ocr import TextAccuracy, respaced, text_accuracy, word_similarity, words
from posterkit.metrics.prompt_requirements import in_expected_order
from posterkit.rewards.reward import PosterReward, ReadingReward, RewardResult
from posterkit.schema import PosterRequest


class TextReward(ReadingReward):
    """OCR against the expected texts: the mean of the words' F-score and of `word_similarity`.

    Both are of words in any order, so that it does not matter how the texts are divided into quotes or lines.
    Up to `request.spare` unexpected words cost nothing. A poster without text where none is expected has value 1.
    Requests whose texts are not known are not judged.

    How it can be hacked: the right words once, large and plain, on an empty ground, have value 1, so do not use it
    alone. Text sprayed everywhere loses precision. OCR misses ornate and tiny letters, so this reward pushes towards
    plain ones; what only looks like text is not seen. It is blind to whatever leaves the words readable: their order,
    faces, sizes and places, and all of the picture.
    """

    part = "text"

    def applies(self, request: PosterRequest) -> bool:
        return expected_texts(request) is not None

    def score(self, poster: Image.Image, request: PosterRequest) -> RewardResult:
        read = [text.text for text in self.reader.texts(poster)]
        found = accuracy(expected_texts(request) or (), read, request.spare)
        parts = {key: float(getattr(found, key)) for key in ("recall", "precision", "f_score", "similarity", "exact")}
        return RewardResult((found.f_score + found.similarity) / 2, parts, _faults(found))


class GlyphReward(PosterReward):
    """The title's letters at their places, by template matching: for glyph posters, which OCR cannot read.

    How it can be hacked: only the places of the expected letters count, so anything else on the poster costs nothing.
    """

    name = "glyphs"

    def applies(self, request: PosterRequest) -> bool:
        return any(_title(request))

    def score(self, poster: Image.Image, request: PosterRequest) -> RewardResult:
        letters, places = _title(request)
        if request.size is not None and poster.size != tuple(request.size):
            raise ValueError(
                f"{request.id or 'a request'}: its letters have places on {request.size}, the poster is {poster.size}"
            )
        read = read_glyphs(np.asarray(poster), places)
        right = glyph_accuracy(read, letters)
        return RewardResult(right, {"letters": right}, "" if read == letters else f'"{read}" instead of "{letters}"')


def accuracy(expected: Sequence[str], read: Sequence[str], spare: int = 0) -> TextAccuracy:
    """As `text_accuracy`, but similar in whatever order; up to `spare` unexpected words are left out.

    Args:
        spare: how many more words it may show, since the prompt asks for texts that it does not quote.
    """
    want = [word for text in expected for word in words(text)]
    have = respaced([word for text in in_expected_order(expected, read) for word in words(text)], want)
    forgiven, kept = Counter(text_accuracy(expected, have).extra[:spare]), []
    for word in reversed(have):
        if forgiven[word]:
            forgiven[word] -= 1
        else:
            kept.append(word)
    return replace(text_accuracy(expected, kept[::-1]), similarity=word_similarity(want, kept))


def _title(request: PosterRequest) -> tuple[str, list[tuple[int, int, int, int]]]:
    """The expected letters in a box of glyph cells, and their cells; nothing where there is no such box."""
    expected = expected_texts(request) or ()
    for region in request.regions:
        x0, y0, x1, y1 = region.box
        if region.text in expected and (x1 - x0, y1 - y0) == (CELL[0] * len(region.text), CELL[1]):
            cells = [(x, y0, x + CELL[0], y1) for x in range(x0, x1, CELL[0])]
            return region.text, cells
    return "", []


def _faults(found: TextAccuracy, most: int = 6) -> str:
    lines = [f'"{want}" reads "{have}"' for want, have in found.misspelt.items()]
    for name, those in (("missing", found.missing), ("not asked for", found.extra)):
        if those:
            more = f" and {len(those) - most} more" if len(those) > most else ""
            lines.append(f"{name}: {' '.join(those[:most])}{more}")
    return "; ".join(lines)
