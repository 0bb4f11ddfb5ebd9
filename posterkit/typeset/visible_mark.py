"""A small line in a corner of a poster, which says that a model made it."""

from __future__ import annotations

from dataclasses import replace
from typing import TypeVar

from posterkit.layout import Box, Layout, legible_size
from posterkit.typeset.fonts import for_text
from posterkit.typeset.painting import painted
from posterkit.typeset.placed_text import Composition, PlacedLine, PlacedText
from posterkit.typeset.raster import draw
from posterkit.typeset.shaping import ShapedLine, shape
from posterkit.typeset.under_texts import ground_of

Poster = TypeVar("Poster", bound=Composition)


def check_mark(text: str, style: str, size: tuple[int, int]) -> None:
    """Raise ValueError where the line does not fit into a poster of this size, or no font has one of its letters."""
    _set(text, style, size, 0.0)


def with_mark(poster: Poster, text: str, area: Box) -> Poster:
    """The poster with the line in the first corner that is free: bottom right, bottom left, top right, top left.

    Args:
        area: the poster once it is cut.
    """
    free = float(poster.sheet.safe_pixels) if poster.sheet else 0.0
    line, size, margin = _set(text, poster.style, (round(area.width), round(area.height)), free)
    taken = [box for one in poster.boxes for box in ([one.button] if one.button else one.line_boxes())]
    taken += [one.area for one in poster.graphics] + [rule for rule, _ in poster.rules]
    wide, high = line.ink * size, 1.2 * size
    lefts = area.x1 - margin - wide, area.x0 + margin
    tops = area.y1 - margin - high, area.y0 + margin
    spots = [Box(x, y, x + wide, y + high) for y in tops for x in lefts]
    spot = min(spots, key=lambda box: sum(box.shared(other) for other in taken))
    baseline = spot.y0 + 0.95 * size
    group = max((one.group for one in poster.boxes), default=-1) + 1
    placed = PlacedText(
        text, "body", spot, line.runs[0].face.family, size, (0, 0, 0), (text,), 0.0,
        (PlacedLine(line, spot.x0 - line.left * size, baseline),), group=group, align="left",
    )  # fmt: skip
    _, background, (marked,), _, underlays = painted(
        poster.background, [placed], Layout(*poster.image.size, ()), [], [], []
    )
    boxes, under = [*poster.boxes, marked], [*poster.underlays, *underlays]
    again = replace(poster, background=background, boxes=boxes, underlays=under)
    canvas = ground_of(again)
    for one in boxes:
        draw(canvas, one)
    return replace(again, image=canvas)


def _set(text: str, style: str, size: tuple[int, int], safe: float) -> tuple[ShapedLine, float, float]:
    """The shaped line, its font size and its distance from the edges, in pixels."""
    letters = legible_size(*size)
    line, margin = shape(text, for_text(text, style), 0.01), max(safe, 1.2 * letters)
    if line.ink * letters > size[0] - 2 * margin:
        raise ValueError(
            f"the visible mark {text[:40]!r} is too long for a poster of {size[0]} pixels; take fewer words"
        )
    return line, letters, margin
