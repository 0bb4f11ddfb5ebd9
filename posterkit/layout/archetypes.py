"""A handful of poster arrangements and how texts are stacked in each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from posterkit.layout.types import (
    Align,
    Box,
    Element,
    Layout,
    Measured,
    Measurer,
    Role,
    legible_size,
    margin_of,
    side_of,
)

PILL = (1.15, 0.72)  # a call to action stands in a button: padding left and right, above and below, in its font size


@dataclass(frozen=True)
class Archetype:
    """One arrangement."""

    name: str
    align: Align
    head: float  # where the title stands, 0 at the top to 1 at the bottom
    foot: float | None  # where details stand; None puts all in one stack
    column: tuple[float, float] = (0.0, 1.0)  # the part of the width between the margins that text may take
    rows: tuple[float, float] = (0.0, 1.0)  # the part of the height, likewise
    rule: Literal["none", "hairline", "accent", "frame"] = "none"  # over details, under the title, around all
    title_height: float = 0.30  # the largest part of the poster's height that the title takes
    side_by_side: bool = False  # details stand in columns where they are few and short
    prior: float = 0.0  # how readily it is taken when the picture does not decide
    landscape: float = 0.0  # also (or rather) for pictures wider than high

    def mirrored(self) -> Archetype:
        """For scripts that run from right to left."""
        swapped: dict[Align, Align] = {"left": "right", "right": "left", "center": "center"}
        return replace(self, align=swapped[self.align], column=(1 - self.column[1], 1 - self.column[0]))


ARCHETYPES: tuple[Archetype, ...] = (
    Archetype("top-and-bottom", "center", 0.0, 1.0, prior=0.06),
    Archetype("swiss", "left", 0.0, 1.0, rule="hairline", side_by_side=True, title_height=0.36, prior=0.06),
    Archetype("bottom-stack", "left", 1.0, None, rule="accent", prior=0.04),
    Archetype("bottom-center", "center", 1.0, None, prior=0.02),
    Archetype("top-stack", "left", 0.0, None, rule="accent", prior=0.0),
    Archetype("top-center", "center", 0.0, None, prior=0.0),
    Archetype("marquee", "left", 1.0, 0.0, rule="none", title_height=0.36, prior=0.02),
    Archetype("framed", "center", 0.5, None, column=(0.06, 0.94), rule="frame", prior=-0.02),
    Archetype("left-column", "left", 0.5, None, column=(0.0, 0.5), rule="accent", prior=-0.10, landscape=0.16),
    Archetype("right-column", "left", 0.5, None, column=(0.5, 1.0), rule="accent", prior=-0.10, landscape=0.16),
)

_TITLE = 0.40  # largest title size, of the poster's side (`side_of`)
_BODY = 0.040  # body size, likewise
_KICKER = 60  # characters; a longer text never stands above the title
_BRIEF = 5  # lines of details that a title may stand under
_SHRINK = (1.0, 0.88, 0.77, 0.68, 0.6, 0.52, 0.45)  # tried in turn where the texts do not fit


@dataclass(frozen=True)
class _Set:
    """A text that has been measured: where its block (with a button's padding) will stand is decided later."""

    index: int
    text: str
    role: Role
    measured: Measured

    @property
    def pad(self) -> tuple[float, float]:
        return (PILL[0] * self.measured.size, PILL[1] * self.measured.size) if self.role == "cta" else (0.0, 0.0)

    @property
    def width(self) -> float:
        return self.measured.width + 2 * self.pad[0]

    @property
    def height(self) -> float:
        return self.measured.height + 2 * self.pad[1]


def arrange(
    archetype: Archetype, size: tuple[int, int], texts: Sequence[str], roles: Sequence[Role], measurer: Measurer
) -> Layout | None:
    """The layout of the texts in this arrangement, or None where they do not fit at a legible size."""
    for shrink in _SHRINK:
        layout = _arrange(archetype, size, texts, roles, measurer, shrink)
        if layout is not None:
            return layout
    return None


def _arrange(
    kind: Archetype,
    size: tuple[int, int],
    texts: Sequence[str],
    roles: Sequence[Role],
    measurer: Measurer,
    shrink: float,
) -> Layout | None:
    width, height = size
    margin = margin_of(width, height) * (1.15 if kind.rule == "frame" else 1.0)
    inner, tall = width - 2 * margin, height - 2 * margin
    column = Box(margin + kind.column[0] * inner, margin + kind.rows[0] * tall,
                 margin + kind.column[1] * inner, margin + kind.rows[1] * tall)  # fmt: skip
    head, foot = _groups(kind, texts, roles)
    many = len(foot) if kind.side_by_side and 2 <= len(foot) <= 3 else 1
    placed = None
    for columns in dict.fromkeys((many, 1)):
        narrow = (column.width - (columns - 1) * _gutter(column)) / columns
        placed = placed or _measure(kind, column, size, texts, roles, measurer, shrink, narrow, head, foot)
        if placed is not None:
            break
    if placed is None:
        return None
    title = max((item.measured.size for item in placed.values() if item.role == "title"), default=0.0)
    body = shrink * _BODY * side_of(size)
    elements: list[Element] = []
    rules: list[Box] = []
    thickness = max(1.0, round(0.0024 * min(size)))
    top = [placed[i] for i in head]
    head_height, head_offsets = _stack(top, body, title, accent=kind.rule == "accent" and kind.foot is None)
    if not foot:
        if head_height > column.height:
            return None
        y = column.y0 + kind.head * (column.height - head_height)
        elements += _place(top, head_offsets, column, y, kind.align, 0)
        if kind.rule == "accent" and "title" in roles and roles[head[-1]] != "title":
            rules.append(_accent(elements, column, kind.align, max(2.0, 2 * thickness), body))
    else:
        low = [placed[i] for i in foot]
        if (kind.foot or 0.0) < kind.head and sum(item.measured.lines for item in low) > _BRIEF:
            return None
        foot_height = max(item.height for item in low) if columns > 1 else _stack(low, body, title, accent=False)[0]
        line = 1.1 * body + thickness if kind.rule == "hairline" else 0.0
        if head_height + foot_height + line + 2.5 * body > column.height:
            return None
        y_head = column.y0 + kind.head * (column.height - head_height)
        y_foot = column.y0 + (kind.foot or 0.0) * (column.height - foot_height)
        elements += _place(top, head_offsets, column, y_head, kind.align, 0)
        if columns > 1:
            elements += _columns(low, column, y_foot, kind.align)
        else:
            elements += _place(low, _stack(low, body, title, accent=False)[1], column, y_foot, kind.align, 1)
        if kind.rule == "hairline":
            rules.append(Box(column.x0, y_foot - line, column.x1, y_foot - line + thickness))
    if kind.rule == "frame":
        rules += _frame(size, 0.55 * margin, thickness)
    elements.sort(key=lambda element: element.index)
    return Layout(width, height, tuple(elements), tuple(rules), kind.name)


def _groups(kind: Archetype, texts: Sequence[str], roles: Sequence[Role]) -> tuple[list[int], list[int]]:
    """Indices that stand at the head and at the foot; short texts before the title stay above it."""
    every = list(range(len(texts)))
    if "title" not in roles:
        return every, []
    title = list(roles).index("title")
    if any(len(texts[i]) > _KICKER or "\n" in texts[i] for i in range(title)):
        every = [title, *(i for i in every if i != title)]
    if kind.foot is None:
        return every, []
    at = every.index(title)
    head = [*every[: at + 1], *(i for i in every[at + 1 : at + 2] if roles[i] == "subtitle")]
    if kind.foot < kind.head:
        # the reader ends at the bottom, so there the button belongs
        head += [i for i in every if roles[i] == "cta" and i not in head]
    foot = [i for i in every if i not in head]
    return head, foot


def _measure(
    kind: Archetype,
    column: Box,
    size: tuple[int, int],
    texts: Sequence[str],
    roles: Sequence[Role],
    measurer: Measurer,
    shrink: float,
    narrow: float,
    head: list[int],
    foot: list[int],
) -> dict[int, _Set] | None:
    """Every text at its size, those of the foot in `narrow` pixels; None where one does not fit."""
    side = side_of(size)
    least = legible_size(*size)
    placed: dict[int, _Set] = {}
    # titles first: every other size follows from theirs
    for i in sorted(range(len(texts)), key=lambda i: roles[i] != "title"):
        role = roles[i]
        title = max((item.measured.size for item in placed.values() if item.role == "title"), default=0.0)
        body = max(least, shrink * _BODY * side)
        body = min(body, max(least, title / 2.2)) if title else body
        wanted = {
            "title": shrink * _TITLE * side,
            "subtitle": max(body, min(title / 3.0, 1.6 * body)) if title else 1.5 * body,
            # a detail that stands alone with the title is its only companion
            "body": max(body, min(title / 4.0, 1.35 * body)) if len(texts) == 2 and title else body,
            "cta": 1.05 * body,
        }[role]
        limit = kind.title_height * size[1] * max(shrink, 0.6) if role == "title" else column.height
        limit = min(limit, column.height)
        room = narrow if i in foot else column.width
        if role == "cta":
            room -= 2 * PILL[0] * wanted
        elif role == "body" and len(texts[i]) > 60:
            room = min(room, 26 * wanted)  # a line of more than about 60 letters is hard to read
        found = measurer(texts[i], role, room, limit, wanted)
        reads = found is not None and found.lines <= (1 if role == "cta" else 3) and found.size > 0.9 * wanted
        if i in foot and narrow < column.width and not reads:
            return None
        if found is not None and role == "cta" and found.lines > 1 and kind.rows != (0.0, 1.0):
            return None
        if found is None or found.size < least or (role != "title" and found.size < 0.6 * wanted):
            return None
        placed[i] = _Set(i, texts[i], role, found)
    return placed


def _gutter(column: Box) -> float:
    return 0.05 * column.width


def _gap(above: _Set, below: _Set, body: float, title: float) -> float:
    if "cta" in (above.role, below.role):
        return 1.5 * body
    if "title" in (above.role, below.role):
        other = below if above.role == "title" else above
        return max(0.85 * other.measured.size, 0.2 * title)
    if "subtitle" in (above.role, below.role):
        return 1.15 * body
    # paragraphs stand further apart than their own lines
    return (1.4 if max(above.measured.lines, below.measured.lines) > 1 else 0.75) * body


def _stack(items: Sequence[_Set], body: float, title: float, accent: bool) -> tuple[float, list[float]]:
    """The stack's height and each item's top from the stack's top, in pixels."""
    offsets, y = [], 0.0
    for position, item in enumerate(items):
        if position:
            before = items[position - 1]
            y += _gap(before, item, body, title)
            if accent and before.role == "title":
                y += 1.6 * body
        offsets.append(y)
        y += item.height
    return y, offsets


def _place(
    items: Sequence[_Set], offsets: Sequence[float], column: Box, top: float, align: Align, group: int
) -> list[Element]:
    elements = []
    for item, offset in zip(items, offsets, strict=True):
        slack = column.width - item.width
        x = column.x0 + {"left": 0.0, "center": slack / 2, "right": slack}[align] + item.pad[0]
        y = top + offset + item.pad[1]
        box = Box(x, y, x + item.measured.width, y + item.measured.height)
        elements.append(Element(item.index, item.text, item.role, box, align, item.measured.size, group))
    return elements


def _columns(items: Sequence[_Set], column: Box, top: float, align: Align) -> list[Element]:
    step = (column.width + _gutter(column)) / len(items)
    narrow = step - _gutter(column)
    elements = []
    for position, item in enumerate(items):
        slot = position if align != "right" else len(items) - 1 - position
        x0 = column.x0 + slot * step
        cell = Box(x0, top, x0 + narrow, column.y1)
        elements += _place([item], [0.0], cell, top, align, 1)
    return elements


def _accent(elements: Sequence[Element], column: Box, align: Align, thickness: float, body: float) -> Box:
    """A short bar in the gap under the title."""
    ordered = sorted(elements, key=lambda element: element.box.y0)
    at = next(i for i, element in enumerate(ordered) if element.role == "title")
    y = (ordered[at].box.y1 + ordered[at + 1].box.y0 - thickness) / 2
    length = 2.6 * body
    x = {"left": column.x0, "center": (column.x0 + column.x1 - length) / 2, "right": column.x1 - length}[align]
    return Box(x, y, x + length, y + thickness)


def _frame(size: tuple[int, int], inset: float, thickness: float) -> list[Box]:
    x0, y0, x1, y1 = inset, inset, size[0] - inset, size[1] - inset
    return [
        Box(x0, y0, x1, y0 + thickness),
        Box(x0, y1 - thickness, x1, y1),
        Box(x0, y0 + thickness, x0 + thickness, y1 - thickness),
        Box(x1 - thickness, y0 + thickness, x1, y1 - thickness),
    ]
