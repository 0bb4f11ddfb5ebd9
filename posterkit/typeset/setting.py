"""A text in its box: broken into lines, fitted, aligned, with a button under a call to action."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import cast

from posterkit.layout import PILL, Box, Element, Role, legible_size
from posterkit.typeset.fonts import Face
from posterkit.typeset.line_breaking import COLUMN, Block, TextStyle, fit, text_style
from posterkit.typeset.placed_text import PlacedLine, PlacedText
from posterkit.typeset.shaping import ShapedLine, shape


def set_text(element: Element, style: str, extra: tuple[Face, ...], free: bool, size: tuple[int, int]) -> PlacedText:
    """Fit a text into its box: the planner's boxes are as large as the text, a user's (`free`) may be larger."""
    how = text_style(element.text, cast(Role, element.role), style, extra)
    box = element.box
    least = 0.5 * min(legible_size(*size), element.size)
    if free and element.role == "cta":
        block = _fit_in_button(element, how)
    else:
        loose = 0.0 if free else 0.02 * element.size
        block = fit(element.text, how, box.width + loose, box.height + loose, element.size, least)
    if block is None or block.size < min(legible_size(*size), element.size) * 0.999:
        raise ValueError(_does_not_fit(element, block, size))
    pad = PILL[0] * block.size if free and element.role == "cta" else 0.0
    y = box.y0 + (box.height - block.height) / 2
    lines = []
    for number, line in enumerate(block.lines):
        if "\t" in element.text and COLUMN in line.text:
            lines += _in_columns(line, how, element, block, y + block.baseline(number))
            continue
        slack = box.width - line.ink * block.size
        # the ink, not the advance box, stands on the margin
        offset = {"left": pad, "center": slack / 2, "right": slack - pad}[element.align]
        x = box.x0 + offset - line.left * block.size
        lines.append(PlacedLine(line, x, y + block.baseline(number)))
    return _placed(element, block, tuple(lines), y)


def _in_columns(
    line: ShapedLine, how: TextStyle, element: Element, block: Block, baseline: float
) -> Iterator[PlacedLine]:
    """A dish at the left edge of its block and its price at the right one."""
    slack = element.box.width - block.width
    x0 = element.box.x0 + {"left": 0.0, "center": slack / 2, "right": slack}[element.align]
    dish, price = (shape(part, how.faces, how.tracking) for part in line.text.rsplit(COLUMN, 1))
    yield PlacedLine(dish, x0 - dish.left * block.size, baseline)
    yield PlacedLine(price, x0 + block.width - price.right * block.size, baseline)


def _fit_in_button(element: Element, how: TextStyle) -> Block | None:
    """The largest setting whose button, padding and all, lies in the box."""
    size = min(element.size, element.box.height / (0.8 + 2 * PILL[1]))
    for _ in range(30):
        block = fit(element.text, how, element.box.width - 2 * PILL[0] * size, element.box.height, size)
        if block is not None and block.size > 0.99 * size and block.height <= element.box.height - 2 * PILL[1] * size:
            return block
        size *= 0.92
    return None


def _placed(element: Element, block: Block, lines: tuple[PlacedLine, ...], y: float) -> PlacedText:
    x0 = min(at.x + at.line.left * block.size for at in lines)
    x1 = max(at.x + at.line.right * block.size for at in lines)
    ink = Box(x0, y, x1, y + block.height)
    families: Counter[str] = Counter()
    for run in (run for at in lines for run in at.line.runs):
        families[run.face.family] += len(run.text)
    button = None
    if element.role == "cta":
        px, py = PILL[0] * block.size, PILL[1] * block.size
        # centred on the capitals, not on descenders, and on whole pixels so that every output agrees
        middle = (lines[0].baseline - 0.36 * block.size + lines[-1].baseline - 0.36 * block.size) / 2
        half = (lines[-1].baseline - lines[0].baseline + 0.72 * block.size) / 2 + py
        button = Box(*(float(round(side)) for side in (x0 - px, middle - half, x1 + px, middle + half)))
    return PlacedText(
        element.text, cast(Role, element.role), ink, families.most_common(1)[0][0], block.size,
        (0, 0, 0), tuple(at.line.text for at in lines), 0.0, lines, button, group=element.group, align=element.align,
    )  # fmt: skip


def _does_not_fit(element: Element, block: Block | None, size: tuple[int, int]) -> str:
    shown = element.text if len(element.text) <= 40 else element.text[:37] + "..."
    box = ", ".join(f"{side:.0f}" for side in element.box)
    reached = "" if block is None else f" (it would be {block.size:.1f} px)"
    return (
        f"text {element.index + 1} ({shown!r}, {len(element.text)} characters) does not fit its box ({box}) at the "
        f"smallest legible size, {legible_size(*size):.0f} px{reached}; shorten it or give it a larger box"
    )
