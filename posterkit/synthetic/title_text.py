"""Titles and small lines on synthetic posters: fonts, fitting, colours that can be read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageFont

from posterkit.schema import DrawnText
from posterkit.synthetic.canvas import Canvas
from posterkit.synthetic.layouts import Rect
from posterkit.synthetic.palettes import RGB, ColorScheme, contrast, luminance
from posterkit.typeset.fonts import FACES

Font = ImageFont.FreeTypeFont
READABLE = 4.5  # WCAG contrast ratio of normal text


@cache
def _faces(use: str) -> tuple[Path, ...]:
    """Fonts for "capitals", "title" and "small" use; scripts set no capitals, and small lines take plain faces."""
    able = sorted((face.path for face in FACES if face.covers("AZaz09")), key=lambda path: path.name)
    plain = ("inter-medium", "manrope", "opensans", "spartan", "slab")
    barred = {"small": (), "title": ("medium", "cjk"), "capitals": ("medium", "cjk", "script", "lobster")}[use]
    return tuple(
        path for path in able
        if not any(part in path.stem.lower() for part in barred)
        and (use != "small" or any(part in path.stem.lower() for part in plain))
    )  # fmt: skip


@lru_cache(maxsize=2048)
def load_font(use: str, choice: float, size: int) -> Font:
    """The font that a number in [0, 1) chooses for a use, at a size in pixels."""
    files = _faces(use)
    return ImageFont.truetype(str(files[int(choice * len(files))]), size, layout_engine=ImageFont.Layout.BASIC)


@lru_cache(maxsize=256)
def _metrics(use: str, choice: float) -> tuple[float, float]:
    """Height of capitals and depth of descenders, as shares of the font size."""
    font = load_font(use, choice, 100)
    return -font.getbbox("H", anchor="ls")[1] / 100, font.getbbox("gy", anchor="ls")[3] / 100


@lru_cache(maxsize=4096)
def _width(word: str, use: str, choice: float) -> float:
    return load_font(use, choice, 100).getlength(word) / 100


@dataclass(frozen=True)
class _Lines:
    use: str
    lines: tuple[str, ...]
    width: float
    size: float
    pitch: float
    cap: float
    depth: float

    @property
    def height(self) -> float:
        return self.cap + self.depth + self.pitch * (len(self.lines) - 1)


def _fit(words: Sequence[str], choice: float, width: float, height: float, largest: float) -> _Lines:
    """The line breaks that allow the largest letters in the area."""
    upper = all(word == word.upper() for word in words)
    use = "capitals" if upper else "title"
    cap, depth = _metrics(use, choice)
    depth = 0.0 if upper else depth
    leading = cap * 1.26 if upper else 1.0
    space = _width(" ", use, choice)
    best: _Lines | None = None
    for breaks in range(2 ** (len(words) - 1)):
        lines, widths = [words[0]], [_width(words[0], use, choice)]
        for n, word in enumerate(words[1:]):
            if breaks >> n & 1:
                lines.append(word)
                widths.append(_width(word, use, choice))
            else:
                lines[-1] += " " + word
                widths[-1] += space + _width(word, use, choice)
        size = min(width / max(widths), height / (cap + depth + leading * (len(lines) - 1)), largest)
        if best is None or size > best.size * 1.02:
            best = _Lines(use, tuple(lines), max(widths) * size, size, leading * size, cap * size, depth * size)
    assert best is not None
    return best


def ground(canvas: Canvas, area: Rect) -> np.ndarray:
    """Luminances of what lies behind an area, `(n,)`, coarse."""
    x0, y0 = max(0, int(area[0])), max(0, int(area[1]))
    box = (x0, y0, max(x0 + 8, min(canvas.w, int(area[2]))), max(y0 + 8, min(canvas.h, int(area[3]))))
    small = canvas.image.crop(box).resize((10, 5), Image.Resampling.BOX)
    return np.array([luminance(p) for p in np.asarray(small).reshape(-1, 3).tolist()])


def text_color(palette: ColorScheme, behind: np.ndarray, prefer: int) -> tuple[RGB, float]:
    """The colour to set a text in, and its contrast with nearly the worst of what lies behind it."""
    low, high = np.quantile(behind, [0.06, 0.94]).tolist()

    def worst(color: RGB) -> float:
        own = luminance(color)
        return 1.0 if low < own < high else min(contrast(own, low), contrast(own, high))

    pool = (*palette.accents, palette.ink, palette.paper)
    for n in range(len(pool)):
        color = pool[(n + prefer) % len(pool)]
        if worst(color) >= READABLE:
            return color, worst(color)
    best = max((palette.ink, palette.paper, (16, 16, 18), (252, 252, 250)), key=worst)
    return best, worst(best)


@dataclass(frozen=True)
class TitleText:
    """What is set on a poster: a title, perhaps a small line, and the fonts as numbers in [0, 1)."""

    title: str
    subtitle: str | None
    font: float
    small_font: float
    prefer: int = 0


def set_text(canvas: Canvas, lettering: TitleText, area: Rect, align: str, palette: ColorScheme, factor: int,
             colors: Sequence[RGB] | None = None) -> list[DrawnText]:  # fmt: skip
    """Draw a title and its small line in an area of the canvas (pixels), on a plate where the art is too busy.

    Args:
        factor: the canvas' supersampling, by which boxes are reduced.
        colors: the texts' colours where another rendering has chosen them.

    Returns:
        Title first.
    """
    x0, y0, x1, y1 = area
    small = gap = 0.0
    if lettering.subtitle:
        widest = (x1 - x0) / _width(lettering.subtitle, "small", lettering.small_font)
        small = min(max(0.052 * canvas.s, 9.0 * factor), widest, 0.3 * (y1 - y0))
        gap = small * 0.7
    # the small line's capitals are 0.72 of its size
    room = y1 - y0 - gap - 0.72 * small
    title = _fit(lettering.title.split(), lettering.font, x1 - x0, room, 0.24 * canvas.s)
    if small:
        small = min(small, 0.7 * title.size)
    total = title.height + gap + 0.72 * small
    top = y0 + (y1 - y0 - total) / 2
    left = x1 - title.width if align == "right" else x0
    right = x0 + title.width if align == "left" else x1
    used = (left, top, right, top + total)
    behind = ground(canvas, used)
    color, ratio = text_color(palette, behind, lettering.prefer)
    if ratio < 3:
        color = _plate(canvas, used, palette)
    elif colors and min(contrast(luminance(colors[0]), v) for v in np.quantile(behind, [0.06, 0.94])) >= READABLE:
        color = colors[0]
    y, boxes = top + title.cap, []
    font = load_font(title.use, lettering.font, max(1, int(title.size)))
    for line in title.lines:
        boxes.append(_line(canvas, line, font, area, align, y, color))
        y += title.pitch
    settings = [_setting(lettering.title, boxes, color, font, factor, canvas)]
    if lettering.subtitle:
        font = load_font("small", lettering.small_font, max(1, int(small)))
        box = _line(canvas, lettering.subtitle, font, area, align, top + title.height + gap + small * 0.72, color)
        settings.append(_setting(lettering.subtitle, [box], color, font, factor, canvas))
    return settings


def _plate(canvas: Canvas, used: Rect, palette: ColorScheme) -> RGB:
    pad = 0.035 * canvas.s
    box = (used[0] - pad, used[1] - pad, used[2] + pad, used[3] + pad)
    canvas.draw.rounded_rectangle(box, radius=pad * 0.6, fill=palette.bg)
    own = luminance(palette.bg)
    return max((palette.ink, palette.paper, *palette.accents), key=lambda q: contrast(luminance(q), own))


def _line(canvas: Canvas, text: str, font: Font, area: Rect, align: str, baseline: float, color: RGB) -> Rect:
    x = {"left": area[0], "center": (area[0] + area[2]) / 2, "right": area[2]}[align]
    anchor = {"left": "ls", "center": "ms", "right": "rs"}[align]
    canvas.draw.text((x, baseline), text, fill=color, font=font, anchor=anchor)
    return canvas.draw.textbbox((x, baseline), text, font=font, anchor=anchor)


def _setting(text: str, boxes: list[Rect], color: RGB, font: Font, factor: int, canvas: Canvas) -> DrawnText:
    x0, y0 = (max(0, int(min(box[side] for box in boxes) // factor)) for side in (0, 1))
    x1, y1 = (
        min(whole // factor, int(-(-max(box[side] for box in boxes) // factor)))
        for side, whole in ((2, canvas.w), (3, canvas.h))
    )
    family, weight = font.getname()
    return DrawnText(text, (x0, y0, x1, y1), color, f"{family} {weight}")
