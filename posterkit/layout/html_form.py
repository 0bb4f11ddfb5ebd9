"""Layouts as the HTML that language models read and write: LayoutPrompter's, on a grid of whole numbers.

<html>
<body>
<div class="canvas" style="left: 0px; top: 0px; width: 109px; height: 160px"></div>
<div class="title" style="index: 0; left: 8px; top: 8px; width: 93px; height: 22px"></div>
</body>
</html>
"""

from __future__ import annotations

import html
import re
from collections.abc import Sequence
from html.parser import HTMLParser

from posterkit.layout.layout_request import MOST_ELEMENTS
from posterkit.layout.types import Box, Element, Layout

LONG_SIDE = 160  # cells of the grid
_MOST = 200_000  # characters that are read
_STYLE = re.compile(r"\s*(index|left|top|width|height)\s*:\s*(-?\d{1,6})(?:px)?\s*")
_LABEL = re.compile(r"[^\s\"'<>&]{1,40}")


def grid_of(size: tuple[int, int], long_side: int = LONG_SIDE) -> tuple[int, int]:
    """Columns and rows of a canvas of `size` pixels."""
    scale = long_side / max(size)
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def on_grid(box: Box, size: tuple[int, int], grid: tuple[int, int]) -> tuple[int, int, int, int]:
    """Left, top, width, height in cells: edges go to the nearest line, and every box has at least one cell."""
    (w, h), (columns, rows) = size, grid
    left, right = (min(columns, max(0, round(x * columns / w))) for x in (box.x0, box.x1))
    top, bottom = (min(rows, max(0, round(y * rows / h))) for y in (box.y0, box.y1))
    left, top = min(left, columns - 1), min(top, rows - 1)
    return left, top, max(1, right - left), max(1, bottom - top)


def off_grid(cells: Sequence[float], size: tuple[int, int], grid: tuple[int, int]) -> Box:
    """A box in pixels from left, top, width, height in cells."""
    left, top, wide, high = cells
    x, y = size[0] / grid[0], size[1] / grid[1]
    return Box(left * x, top * y, (left + wide) * x, (top + high) * y)


def layout_to_html(layout: Layout, grid: tuple[int, int] | None = None, texts: bool = False) -> str:
    """A layout as HTML.

    Args:
        grid: columns and rows; the canvas's shape with a long side of 160 where not given.
        texts: each text stands in its division; the published form has labels alone.
    """
    grid = grid or grid_of(layout.size)
    lines = ["<html>", "<body>", _division("canvas", "", 0, 0, *grid)]
    for one in layout:
        words = html.escape(one.text, quote=False).replace("\n", "&#10;") if texts else ""
        lines.append(_division(one.role, f"index: {one.index}; ", *on_grid(one.box, layout.size, grid), words))
    return "\n".join((*lines, "</body>", "</html>"))


def _division(label: str, index: str, left: int, top: int, width: int, height: int, words: str = "") -> str:
    style = f"{index}left: {left}px; top: {top}px; width: {width}px; height: {height}px"
    return f'<div class="{_label(label)}" style="{style}">{words}</div>'


def _label(label: str) -> str:
    return re.sub(r"[\s\"'<>&]+", "-", label)[:40] or "element"


def layout_from_html(text: str, size: tuple[int, int] | None = None, what: str = "layout") -> Layout:
    """A layout from HTML; what is no division with numbers is passed over.

    Args:
        size: of the canvas in pixels; the grid's own numbers where not given.
        what: the document's name, which every error begins with.

    Raises:
        ValueError: one line: too long, no canvas, no element, or one without its numbers.
    """
    if len(text) > _MOST:
        raise ValueError(f"{what}: {len(text)} characters of HTML; at most {_MOST} are read")
    reader = _Divisions()
    reader.feed(text)
    reader.close()
    canvas = [style for label, style, _ in reader.found if label == "canvas"]
    divisions = [division for division in reader.found if division[0] != "canvas"]
    if not canvas or min(canvas[0].get("width", 0), canvas[0].get("height", 0)) < 1:
        raise ValueError(f'{what}: has no <div class="canvas"> with a width and a height in px')
    if not 1 <= len(divisions) <= MOST_ELEMENTS:
        raise ValueError(f"{what}: has {len(divisions)} elements; 1 to {MOST_ELEMENTS} are read")
    grid = canvas[0]["width"], canvas[0]["height"]
    size = size or grid
    elements = []
    for position, (label, style, words) in enumerate(divisions):
        missing = [name for name in ("left", "top", "width", "height") if name not in style]
        if missing or min(style["width"], style["height"]) < 0:
            fault = f"lacks {missing[0]}" if missing else "has a side below 0"
            raise ValueError(f"{what}: element {position + 1} ({label}) {fault}")
        box = off_grid([style[name] for name in ("left", "top", "width", "height")], size, grid)
        elements.append(Element(style.get("index", position), words, label, box))
    if len({one.index for one in elements}) < len(elements) or min(one.index for one in elements) < 0:
        raise ValueError(f"{what}: its elements' indices are not numbers from 0, each once")
    return Layout(*size, tuple(elements))


class _Divisions(HTMLParser):
    """Label, numbers and words of every division."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.found: list[tuple[str, dict[str, int], str]] = []
        self._open = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._open = tag == "div"
        if not self._open or len(self.found) > MOST_ELEMENTS + 1:
            return
        said = dict(attrs)
        label = _LABEL.match(said.get("class") or "")
        parts = (_STYLE.fullmatch(part) for part in (said.get("style") or "").split(";"))
        self.found.append((label[0] if label else "element", {m[1]: int(m[2]) for m in parts if m}, ""))

    def handle_endtag(self, tag: str) -> None:
        self._open = False

    def handle_data(self, data: str) -> None:
        if self._open and self.found:
            label, style, words = self.found[-1]
            self.found[-1] = label, style, (words + data)[:_MOST]
