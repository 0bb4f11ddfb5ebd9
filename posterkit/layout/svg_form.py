"""Layouts as SVG wireframes that can be looked at, edited in a drawing program, and read back."""

from __future__ import annotations

import math
import re
from xml.etree import ElementTree
from xml.sax.saxutils import escape, quoteattr

from posterkit.layout.layout_request import MOST_ELEMENTS, MOST_PIXELS
from posterkit.layout.types import Box, Element, Layout
from posterkit.lettering import ALIGNS

FILLS = {"title": "#1f4e79", "subtitle": "#2e75b6", "body": "#9dc3e6", "cta": "#c55a11", "subject": "#c5e0b4",
         "logo": "#7030a0", "underlay": "#ffe699", "image": "#e2efda", "decoration": "#d9d9d9"}  # fmt: skip
_MOST = 2_000_000  # characters that are read
_NUMBER = re.compile(r"\s*(-?\d{1,6}(?:\.\d{1,9})?)(?:px)?\s*")


def layout_to_svg(layout: Layout) -> str:
    """A layout as an SVG of its size: a rectangle for each element, things first, with its text beside it."""
    w, h = layout.size
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{w}" height="{h}" viewBox="0 0 {w} {h}">',
             f'<rect class="canvas" width="{w}" height="{h}" fill="#f7f7f5"/>']  # fmt: skip
    for one in (*layout.things, *layout.texts):
        parts.append(_rectangle(one))
    for rule in layout.rules:
        parts.append(f'<rect class="rule" {_sides(rule)} fill="#444444"/>')
    return "\n".join((*parts, "</svg>")) + "\n"


def _rectangle(one: Element) -> str:
    size = f' data-size="{one.size:.2f}"' if math.isfinite(one.size) else ""
    words = " ".join(one.text.split())
    label = words if len(words) <= 40 else words[:37] + "..."
    height = min(max(6.0, 0.6 * one.box.height), 1.6 * max(one.box.width, 1.0) / max(4, len(label or one.role)))
    return (
        f'<rect class={quoteattr(one.role)} data-index="{one.index}" data-align="{one.align}"{size} '
        f'data-group="{one.group}" data-text={quoteattr(one.text)} {_sides(one.box)} '
        f'fill="{FILLS.get(one.role, "#d9d9d9")}" fill-opacity="0.75"/>\n'
        f'<text x="{one.box.x0 + 2:.2f}" y="{(one.box.y0 + one.box.y1 + 0.7 * height) / 2:.2f}" '
        f'font-size="{height:.2f}" font-family="sans-serif">{escape(label or one.role)}</text>'
    )


def _sides(box: Box) -> str:
    x0, y0, x1, y1 = (round(side, 2) for side in box)
    return f'x="{x0:.2f}" y="{y0:.2f}" width="{x1 - x0:.2f}" height="{y1 - y0:.2f}"'


def layout_from_svg(text: str, what: str = "layout") -> Layout:
    """A layout from such an SVG; other shapes are passed over, and so are transformations.

    Raises:
        ValueError: one line: too long, no SVG, no canvas, or a rectangle without its numbers.
    """
    if len(text) > _MOST:
        raise ValueError(f"{what}: {len(text)} characters of SVG; at most {_MOST} are read")
    if "<!" in re.sub(r"<!--.*?-->", "", text, flags=re.DOTALL):
        raise ValueError(f"{what}: declares a document type or entities, which are not read")
    try:
        root = ElementTree.fromstring(text)
    except (ElementTree.ParseError, ValueError) as error:
        raise ValueError(f"{what}: no SVG: {error}") from None
    rectangles = [one for one in root.iter() if isinstance(one.tag, str) and one.tag.rpartition("}")[2] == "rect"]
    canvas = next((one for one in rectangles if one.get("class") == "canvas"), None)
    if canvas is None:
        raise ValueError(f'{what}: has no <rect class="canvas">')
    size = round(_number(canvas, "width", what)), round(_number(canvas, "height", what))
    if min(size) < 1 or max(size) > MOST_PIXELS:
        raise ValueError(f"{what}: its canvas is {size[0]}x{size[1]}; sides of 1 to {MOST_PIXELS} pixels are read")
    rules = tuple(_box(one, what) for one in rectangles if one.get("class") == "rule")
    found = [one for one in rectangles if one.get("class") not in (None, "canvas", "rule")]
    if not 1 <= len(found) <= MOST_ELEMENTS:
        raise ValueError(f"{what}: has {len(found)} elements; 1 to {MOST_ELEMENTS} are read")
    elements = sorted((_element(one, at, what) for at, one in enumerate(found)), key=lambda one: one.index)
    if len({one.index for one in elements}) < len(elements):
        raise ValueError(f"{what}: two elements have one data-index")
    return Layout(*size, tuple(elements), rules)


def _element(one: ElementTree.Element, position: int, what: str) -> Element:
    align = one.get("data-align", "center")
    if align not in ALIGNS:
        raise ValueError(f"{what}: unknown data-align {align[:40]!r}; use {', '.join(ALIGNS)}")
    return Element(
        int(_number(one, "data-index", what, position)), one.get("data-text", ""), one.get("class", ""),
        _box(one, what), align, _number(one, "data-size", what, math.inf), int(_number(one, "data-group", what, 0)),
    )  # fmt: skip


def _box(one: ElementTree.Element, what: str) -> Box:
    x, y = (_number(one, side, what, 0.0) for side in "xy")
    wide, high = (_number(one, side, what) for side in ("width", "height"))
    if min(wide, high) < 0:
        raise ValueError(f"{what}: a rectangle has a side below 0")
    return Box(x, y, round(x + wide, 2), round(y + high, 2))


def _number(one: ElementTree.Element, name: str, what: str, default: float | None = None) -> float:
    said = one.get(name)
    if said is None and default is not None:
        return default
    match = _NUMBER.fullmatch(said or "")
    if match is None:
        raise ValueError(f"{what}: a rectangle's {name} is {(said or 'missing')[:40]!r}, not a number of pixels")
    return float(match[1])
