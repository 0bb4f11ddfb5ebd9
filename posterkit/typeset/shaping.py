"""From a line of text to glyphs: direction, fallback faces, HarfBuzz. Lengths are in em and hold at any size."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import accumulate
from typing import Any

from PIL import features
from uniseg.graphemecluster import grapheme_clusters

from posterkit.layout import runs_right_to_left
from posterkit.typeset.bidi import visual_runs
from posterkit.typeset.fonts import Face, coverage, hb, hb_face


@dataclass(frozen=True)
class Glyph:
    """One glyph at `x`, `y` from its run's origin (y up), in em."""

    gid: int
    text: str  # what it stands for; "" for a further glyph of the same letter
    x: float
    y: float
    pen: float  # where the pen stood, without the glyph's own offset
    start: int  # index in the run's text of what it stands for


@dataclass(frozen=True)
class GlyphRun:
    """A stretch in one face and direction, `x` em from the line's origin; `start` is its place in the line's text."""

    face: Face
    text: str
    rtl: bool
    language: str
    tracking: float
    glyphs: tuple[Glyph, ...]
    x: float
    width: float
    start: int = 0

    def letters(self) -> list[tuple[str, float]]:
        """User-perceived characters with the pen's x in em, for drawing one by one."""
        starts = sorted(grapheme_starts(self.text))
        ends = dict(zip(starts, [*starts[1:], len(self.text)], strict=True))
        pens: dict[int, float] = {}
        for glyph in self.glyphs:
            if glyph.start in ends:
                pens[glyph.start] = min(glyph.pen, pens.get(glyph.start, glyph.pen))
        return [(self.text[start : ends[start]], x) for start, x in pens.items()]


@dataclass(frozen=True)
class ShapedLine:
    """Runs in visual order; ink from `left` to `right` and from `top` over to `bottom` under the baseline."""

    text: str
    runs: tuple[GlyphRun, ...]
    width: float
    left: float
    right: float
    top: float
    bottom: float
    rtl: bool

    @property
    def ink(self) -> float:
        return self.right - self.left


_warned = False


def has_raqm() -> bool:
    """Whether Pillow shapes complex scripts; warns once where it does not."""
    global _warned
    found = bool(features.check("raqm"))
    if not found and not _warned:
        _warned = True
        warnings.warn("Pillow has no raqm here: Arabic, Hebrew, Thai and Devanagari come out unshaped in PNG; "
                      "install a Pillow wheel from PyPI", stacklevel=3)  # fmt: skip
    return found


@lru_cache(maxsize=4096)
def shape(text: str, faces: tuple[Face, ...], tracking: float = 0.0) -> ShapedLine:
    """One line, already broken.

    Args:
        text: without line ends.
        faces: a grapheme cluster is set in the first that has all of it; one of them must (`for_text`'s do).
        tracking: em added after each cluster of faces whose letters do not join; none after the line's last.
    """
    rtl = runs_right_to_left(text)
    language = _language(text)
    runs: list[GlyphRun] = []
    x = 0.0
    for start, stretch, level in visual_runs(text, rtl):
        pieces = []
        for face, piece in _by_face(stretch, faces):
            pieces.append((face, piece, start))
            start += len(piece)
        for face, piece, at in reversed(pieces) if level % 2 else pieces:
            spaced = 0.0 if face.joined else tracking
            glyphs, width = _shape_run(piece, face, bool(level % 2), language, spaced)
            runs.append(GlyphRun(face, piece, bool(level % 2), language, spaced, glyphs, x, width, at))
            x += width
    if runs and runs[-1].tracking:
        last = runs[-1]
        runs[-1] = replace(last, width=last.width - tracking)
        x -= last.tracking
    left, right, top, bottom = _ink(runs, x)
    return ShapedLine(text, tuple(runs), x, left, right, top, bottom, rtl)


def _shape_run(text: str, face: Face, rtl: bool, language: str, tracking: float) -> tuple[tuple[Glyph, ...], float]:
    upem = hb_face(face).upem
    buffer = hb.Buffer()
    buffer.add_str(text)
    buffer.guess_segment_properties()
    buffer.direction = "rtl" if rtl else "ltr"
    buffer.language = language or "en"
    buffer.cluster_level = hb.BufferClusterLevel.MONOTONE_CHARACTERS
    hb.shape(_hb_font(face), buffer, {"liga": not tracking, "clig": not tracking, "kern": True, "lnum": True})
    starts = sorted({info.cluster for info in buffer.glyph_infos})
    ends = dict(zip(starts, [*starts[1:], len(text)], strict=True))
    whole = grapheme_starts(text)
    glyphs: list[Glyph] = []
    x, seen = 0.0, set()
    for info, at in zip(buffer.glyph_infos, buffer.glyph_positions, strict=True):
        if tracking and glyphs and info.cluster in whole and info.cluster not in seen:
            x += tracking
        stands_for = "" if info.cluster in seen else text[info.cluster : ends[info.cluster]]
        seen.add(info.cluster)
        glyphs.append(Glyph(info.codepoint, stands_for, x + at.x_offset / upem, at.y_offset / upem, x, info.cluster))
        x += at.x_advance / upem
    return tuple(glyphs), x + tracking


@lru_cache(maxsize=4096)
def grapheme_starts(text: str) -> frozenset[int]:
    """Where the user-perceived characters of a text begin."""
    return frozenset(list(accumulate(map(len, grapheme_clusters(text)), initial=0))[:-1])


@lru_cache(maxsize=64)
def _hb_font(face: Face) -> Any:
    return hb.Font(hb_face(face))


@lru_cache(maxsize=8192)
def glyph_ink(face: Face, gid: int) -> tuple[float, float, float, float] | None:
    """A glyph's ink: left, right, top, bottom (below the baseline is positive) in em; None where it is blank."""
    extents = _hb_font(face).get_glyph_extents(gid)
    if extents is None or not extents.width or not extents.height:
        return None
    upem = hb_face(face).upem
    top = extents.y_bearing / upem
    return extents.x_bearing / upem, (extents.x_bearing + extents.width) / upem, top, -top - extents.height / upem


def _ink(runs: Sequence[GlyphRun], width: float) -> tuple[float, float, float, float]:
    found = [
        (run.x + glyph.x + ink[0], run.x + glyph.x + ink[1], ink[2] + glyph.y, ink[3] - glyph.y)
        for run in runs
        for glyph in run.glyphs
        if (ink := glyph_ink(run.face, glyph.gid)) is not None
    ]
    if not found:
        return 0.0, width, 0.7, 0.0
    left, right, top, bottom = zip(*found, strict=True)
    return min(left), max(right), max(top), max(0.0, *bottom)


def cap_height(face: Face) -> float:
    """Height of a capital H (or of a Han character, where there is no H) over the baseline, in em."""
    return _height(face, "H永", 0.7)


def x_height(face: Face) -> float:
    """Height of a small x over the baseline, in em; 0.5 where the face has none."""
    return _height(face, "x", 0.5)


@lru_cache(maxsize=256)
def _height(face: Face, probes: str, otherwise: float) -> float:
    for probe in probes:
        if ord(probe) in coverage(face):
            ink = glyph_ink(face, _hb_font(face).get_nominal_glyph(ord(probe)) or 0)
            if ink is not None:
                return ink[2]
    return otherwise


def _by_face(text: str, faces: tuple[Face, ...]) -> Iterator[tuple[Face, str]]:
    """Stretches of whole grapheme clusters; spaces and punctuation stay in the face before them where it has them."""
    current: Face | None = None
    held = ""
    for cluster in grapheme_clusters(text):
        fits = [face for face in faces if face.covers(cluster)]
        neutral = not any(c.isalnum() for c in cluster)
        face = current if current is not None and current in fits and neutral else fits[0]
        if face is not current and current is not None:
            yield current, held
            held = ""
        current = face
        held += cluster
    if current is not None and held:
        yield current, held


def _language(text: str) -> str:
    """The language that a text's script tells, as BCP 47 writes it; "" for Latin letters, which many share.

    HarfBuzz picks regional forms of Han characters by it: kana mean Japanese, Hangul Korean.
    """
    if any("\u3040" <= c <= "\u30ff" for c in text):
        return "ja"
    if any("\uac00" <= c <= "\ud7a3" for c in text):
        return "ko"
    if any("\u3400" <= c <= "\u9fff" for c in text):
        return "zh-Hans"
    told = next((language for letters, language in _LETTERS if any(c in letters for c in text)), "")
    return told or next((language for first, last, language in _SCRIPTS for c in text if first <= c <= last), "")


_LETTERS = (("іїєґІЇЄҐ", "uk"), ("ٹڈڑے", "ur"), ("پچژگ", "fa"))  # of one language of their script
_SCRIPTS = (
    ("\u0600", "\u06ff", "ar"), ("\u0590", "\u05ff", "he"), ("\u0e00", "\u0e7f", "th"), ("\u0900", "\u097f", "hi"),
    ("\u0400", "\u04ff", "ru"), ("\u0370", "\u03ff", "el"),
)  # fmt: skip
