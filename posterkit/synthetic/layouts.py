"""Arrangements of title and subject, for any aspect ratio."""

from __future__ import annotations

import math
from dataclasses import dataclass

from posterkit.synthetic.plans import read_table

WIDE = 1.2  # width through height; on a wider poster a title stands best beside the subject
Rect = tuple[float, float, float, float]  # x0, y0, x1, y1; of the canvas (0 to 1) or in pixels


@dataclass(frozen=True)
class TitleLayout:
    """Where the title and the subject stand, as shares of the canvas."""

    name: str
    title: Rect
    align: str  # "left", "center" or "right" within the title's area
    subject: Rect
    where: str  # the title's place in words


def _layout(name: str, row: str) -> TitleLayout:
    title, align, subject, where = row.split(" | ")
    (a, b, c, d), (e, f, g, h) = (map(float, area.split()) for area in (title, subject))
    return TitleLayout(name, (a, b, c, d), align, (e, f, g, h), where)


LAYOUTS = tuple(_layout(*row) for row in read_table("layouts"))
# a title in the middle stands on the art, so only calm art may take it
CALM = ("aurora", "geometric", "sky", "space", "sea")
PANELS = ("card", "arch", "circle", "inset")
PLACES = ("in the center", "on the left", "on the right", "at the top", "at the bottom")


def title_area(layout: TitleLayout, width: int, height: int) -> Rect:
    """The title's area in pixels; on a wide canvas it takes more of the height."""
    x0, y0, x1, y1 = layout.title
    more = _more_height(layout, width, height)
    y0, y1 = (y0, y1 + more) if y0 < 0.3 else (y0 - more, y1)
    return x0 * width, y0 * height, x1 * width, y1 * height


def subject_area(layout: TitleLayout, width: int, height: int) -> Rect:
    """The main motif's area in pixels; it gives way to the title on a wide canvas."""
    x0, y0, x1, y1 = layout.subject
    more = _more_height(layout, width, height)
    if more:
        y0, y1 = (y0 + more, y1) if layout.title[1] < 0.3 else (y0, y1 - more)
    return x0 * width, y0 * height, x1 * width, y1 * height


def _more_height(layout: TitleLayout, width: int, height: int) -> float:
    """What the title's height grows by, as a share of the canvas' height."""
    if layout.name in ("left", "right", "middle", "reference"):
        return 0.0
    return (layout.title[3] - layout.title[1]) * min(0.35, max(0.0, math.sqrt(width / height) - 1))


def panel_area(kind: str, layout: TitleLayout, width: int, height: int) -> Rect:
    """The picture's window on a framed poster, in pixels."""
    if kind == "inset" or layout.name == "middle":
        margin = 0.085 * min(width, height)
        return margin, margin, width - margin, height - margin
    x0, y0, x1, y1 = subject_area(layout, width, height)
    if kind == "circle":
        x, y, r = (x0 + x1) / 2, (y0 + y1) / 2, min(x1 - x0, y1 - y0) / 2
        return x - r, y - r, x + r, y + r
    if kind == "arch":
        x, half = (x0 + x1) / 2, min((x1 - x0) / 2, (y1 - y0) * 0.42)
        return x - half, y0, x + half, y1
    return x0, y0, x1, y1


def place_words(area: Rect, width: int, height: int) -> str:
    """Where the middle of an area lies on a canvas, in words (one of `PLACES`)."""
    u, v = (area[0] + area[2]) / 2 / width, (area[1] + area[3]) / 2 / height
    if abs(u - 0.5) > 0.085:
        return PLACES[1] if u < 0.5 else PLACES[2]
    if abs(v - 0.5) > 0.17:
        return PLACES[3] if v < 0.5 else PLACES[4]
    return PLACES[0]
