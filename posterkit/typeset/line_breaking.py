"""Breaking a text into lines and finding the largest size at which they fit a box."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import pairwise

from uniseg.linebreak import line_break_units

from posterkit.layout import Measured, Role
from posterkit.typeset.fonts import PAIRINGS, Face, for_text
from posterkit.typeset.shaping import ShapedLine, cap_height, shape, x_height

MAX_LINES = 24
SOFT_HYPHEN = "\u00ad"
COLUMN = " " * 4  # as a tab is set: what follows stands at the right edge of the block
_NEARLY = 0.97  # a smaller number of lines is taken where it reaches this part of the largest size
_AIR = 0.09  # em kept between the ink of two lines, however tight the leading


@dataclass(frozen=True)
class TextStyle:
    """How a text of one role is set."""

    faces: tuple[Face, ...]
    tracking: float  # em added between letters
    leading: float  # em from baseline to baseline, at least
    scale: float = 1.0  # faces with small lower-case letters are set larger by this
    hyphenates: bool = True  # a soft hyphen breaks a word before the text gets small
    keeps: bool = True  # numbers, prices and dates stay on one line


@dataclass(frozen=True)
class Block:
    """Lines at a font size in pixels; the block's ink is `width` x `height` pixels."""

    lines: tuple[ShapedLine, ...]
    size: float
    leading: float
    ascent: float  # em from the block's top to the first baseline
    width: float
    height: float

    def baseline(self, line: int) -> float:
        """Pixels from the block's top to a line's baseline."""
        return (self.ascent + line * self.leading) * self.size


@lru_cache(maxsize=1024)
def text_style(text: str, role: Role, style: str, extra: tuple[Face, ...] = ()) -> TextStyle:
    """Faces, tracking and leading by the type scale: large capitals tight, small text loose, small capitals spaced.

    Raises:
        ValueError: no font has one of the characters.
    """
    faces = for_text(text, style, role == "title", extra)
    capitals = text.upper() == text and text.lower() != text
    if role == "title":
        tracking = 0.0 if faces[0].joined else PAIRINGS[style].tracking
        return TextStyle(faces, tracking, 0.86 if capitals else 0.98, hyphenates=False)
    scale = min(1.25, max(1.0, 0.5 / x_height(faces[0])))
    if capitals and len(text) <= 48:
        return TextStyle(faces, 0.14 if role == "subtitle" else 0.10, 1.35, 0.88)
    if role == "cta":
        return TextStyle(faces, 0.02, 1.2, scale)
    return TextStyle(faces, 0.005, 1.25 if role == "subtitle" else 1.38, scale)


def fit(text: str, how: TextStyle, width: float, height: float, size: float, least: float = 0.0) -> Block | None:
    """Set a text as large as fits, at most at `size`.

    Breaks stand only where UAX #14 allows them (and at every newline), and not inside a number, a price or a date
    unless nothing else fits. A soft hyphen breaks a word only where the text does not fit without, or takes less than
    three quarters of its size. For each number of lines the narrowest balanced breaking is taken, and of those the
    one that can be largest; where a smaller number of lines reaches nearly the same size, that one.

    Args:
        width, height: of the box in pixels.
        size: largest font size in pixels.
        least: a size in pixels below which nothing is of use, so that a far too long text is given up at once.

    Returns:
        The block; None where the text does not fit.
    """
    whole = _fit(text.replace(SOFT_HYPHEN, ""), how, width, height, size, least)
    if SOFT_HYPHEN in text and (whole is None or (how.hyphenates and whole.size < 0.75 * size)):
        broken = _fit(text, how, width, height, size, least)
        whole = max((block for block in (whole, broken) if block), key=lambda block: block.size, default=None)
    return whole or _fit(text, replace(how, keeps=False), width, height, size, least)


def _fit(text: str, how: TextStyle, width: float, height: float, size: float, least: float) -> Block | None:
    paragraphs = tuple(part.strip() for part in text.strip("\n").split("\n"))
    total = sum(full for paragraph in paragraphs for _, full, _ in _units(paragraph, how))
    if width <= 0 or total * least > MAX_LINES * width or 0.7 * total * least * least > width * height:
        return None
    candidates: list[Block] = []
    for count in range(len(paragraphs), MAX_LINES + 1):
        lines = _balanced(paragraphs, count, how)
        if len(lines) < count:
            continue
        block = _block(lines, how, width, height, size)
        if block is None or block.size < 0.5 * max((found.size for found in candidates), default=0.0):
            break
        candidates.append(block)
        if block.size >= size * 0.999:
            break
    if not candidates:
        return None
    largest = max(block.size for block in candidates)
    return next(block for block in candidates if block.size >= _NEARLY * largest)


def _block(lines: tuple[str, ...], how: TextStyle, width: float, height: float, size: float) -> Block | None:
    shaped = tuple(shape(line, how.faces, how.tracking) for line in lines)
    ascent = max(cap_height(shaped[0].runs[0].face) if shaped[0].runs else 0.7, shaped[0].top)
    leading = how.leading
    for above, below in pairwise(shaped):
        leading = max(leading, above.bottom + below.top + _AIR)
    em_width = max(line.ink for line in shaped)
    em_height = ascent + (len(shaped) - 1) * leading + shaped[-1].bottom
    fitted = min(size, width / max(em_width, 1e-6), height / em_height)
    if fitted <= 0:
        return None
    return Block(shaped, fitted, leading, ascent, em_width * fitted, em_height * fitted)


@lru_cache(maxsize=4096)
def _balanced(paragraphs: tuple[str, ...], count: int, how: TextStyle) -> tuple[str, ...]:
    """Break into at most `count` lines with the longest line as short as can be."""
    units = [_units(paragraph, how) for paragraph in paragraphs]
    widest = max((bare for paragraph in units for _, _, bare in paragraph), default=0.0)
    total = max(sum(full for _, full, _ in paragraph) for paragraph in units)
    low, high = widest, max(total + abs(how.tracking), widest)
    for _ in range(18):
        middle = (low + high) / 2
        if sum(len(_filled(paragraph, middle)) for paragraph in units) <= count:
            high = middle
        else:
            low = middle
    return tuple(line for paragraph in units for line in _filled(paragraph, high))


@lru_cache(maxsize=1024)
def _units(paragraph: str, how: TextStyle) -> tuple[tuple[str, float, float], ...]:
    """What stands between two allowed breaks, with its width in em and that which it has at a line's end."""
    found = []
    for unit in _kept_words(list(line_break_units(paragraph)), how.keeps):
        inside, at_end = (shape(one, how.faces, how.tracking).width for one in (_inside(unit), _at_end(unit)))
        found.append((unit, inside + how.tracking, at_end))
    return tuple(found)


def _inside(unit: str) -> str:
    return unit.replace(SOFT_HYPHEN, "").replace("\t", COLUMN)


def _at_end(line: str) -> str:
    """A line as it is set: no blanks at its end, and a hyphen for a soft one."""
    line = line.rstrip()
    return _inside(line) + ("-" if line.endswith(SOFT_HYPHEN) else "")


_LONGEST_WORD = 8  # characters; a longer run of kana or Hangul may break anywhere that UAX #14 lets it


def _kept_words(units: list[str], numbers: bool) -> list[str]:
    """Join units so that no line breaks inside a katakana or Korean word, nor before a hiragana ending or a particle.

    UAX #14 allows a break between almost any two East Asian characters; a headline must not make use of it. With
    `numbers` none breaks inside a telephone number, a price, a time or a date either.
    """
    joined: list[str] = []
    for unit in units:
        before = joined[-1] if joined else " "
        one_word = len(before + unit.rstrip()) <= _LONGEST_WORD and _one_word(before[-1], unit[0])
        particle = unit[0] in _PARTICLES and "\u3041" <= before[-1] <= "\u9fff"
        number = numbers and len(before + unit) <= _LONGEST_NUMBER and _one_number(before, unit)
        if joined and (one_word or particle or number or before.endswith("\t")):
            joined[-1] += unit
        else:
            joined.append(unit)
    return joined


_PARTICLES = frozenset("のはがをにでともへやか")  # they close the phrase before them
_LONGEST_NUMBER = 26  # characters that are kept together
_MONTHS = (
    r"jan|feb|mar|mär|apr|may|mai|jun|jul|aug|sep|oct|okt|nov|dec|dez|ene|abr|ago|dic|fév|fev|avr|juin|juil|aoû|déc"
    r"|gen|mag|giu|lug|set|ott|янв|фев|мар|апр|мая|июн|июл|авг|сен|окт|ноя|дек"
)
_CURRENCY = r"[$€£¥₽₩₹฿]|EUR|USD|CHF|GBP|JPY|Fr\.|Rs\.?|kr\.?"
_JOINS = tuple(
    (re.compile(rf"(?:{before})\s$", re.IGNORECASE), re.compile(rf"(?:{after})", re.IGNORECASE))
    for before, after in (
        (r"[\d)/]", r"[(\d/]"),  # telephone numbers, thousands
        (rf"(?<!\w)(?:{_CURRENCY})", r"\d"),  # € 12
        (r"\d[.,]?|\d,-", rf"(?:{_CURRENCY}|%|‰|°|uhr|h|am|pm|a\.m|p\.m|น\.|บาท|руб|km|kg|min)(?!\w)"),  # 12 €, 8 pm
        (r"\d{1,2}(?:\.|st|nd|rd|th|er)?", rf"(?:{_MONTHS})\w*"),  # 12. Juni
        (rf"(?<!\w)(?:{_MONTHS})\w*\.?", r"\d{1,4}"),  # June 12, Juni 2026
        (rf"(?<!\w)(?:{_MONTHS})\w*\.? \d{{1,2}}(?:st|nd|rd|th)?,", r"\d{4}(?!\d)"),  # June 12, 2026
        (r"(?<!\w)(?:mo|di|mi|do|fr|sa|so|mon|tue|wed|thu|fri|sat|sun)\.?,?", r"\d"),  # Fr. 12.
        (r"\d\s?[–—-]|[–—-]", r"\d"),  # 10 – 18
        (r"\d", r"[–—-]\s?"),
    )
)


def _one_number(before: str, after: str) -> bool:
    if before[-1:] in "–—-" and before[-2:-1].isdigit() and after[:1].isdigit():
        return True
    return any(last.search(before) and first.match(after) for last, first in _JOINS)


def _one_word(before: str, after: str) -> bool:
    if "\u30a1" <= after <= "\u30ff":
        return "\u30a1" <= before <= "\u30ff"
    if "\u3041" <= after <= "\u309f":
        return "\u3041" <= before <= "\u309f" or "\u4e00" <= before <= "\u9fff"
    return "\uac00" <= after <= "\ud7a3" and "\uac00" <= before <= "\ud7a3"


def _filled(units: tuple[tuple[str, float, float], ...], width: float) -> list[str]:
    lines, line, used = [], "", 0.0
    for unit, full, bare in units:
        if line and used + bare > width + 1e-9:
            lines.append(_at_end(line))
            line, used = "", 0.0
        line += unit
        used += full
    return [*lines, _at_end(line)] if line.strip() else lines or [""]


def measure(
    text: str, role: Role, width: float, height: float, size: float, *,
    style: str, extra: tuple[Face, ...] = (), least: float = 0.0,
) -> Measured | None:  # fmt: skip
    """How large a text is once set, for the planner: what it says is what will be drawn.

    Args:
        style, extra: as `text_style`.
        least: pixels; what would come out smaller counts as not fitting.
    """
    if width <= 0 or height <= 0:
        return None
    how = text_style(text, role, style, extra)
    # a face set smaller by its scale still starts at a size that counts
    block = fit(text, how, width, height, max(size * how.scale, min(size, least)), least)
    return None if block is None else Measured(block.size, block.width, block.height, len(block.lines))
