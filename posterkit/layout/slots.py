"""Sets texts into boxes that somebody has chosen: an exemplar, a model, a user."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import cast

import numpy as np

from posterkit.layout.archetypes import PILL
from posterkit.layout.layout_request import LayoutRequest
from posterkit.layout.types import Align, Box, Element, Measurer, Role, legible_size, margin_of, side_of

# the largest type sizes, as parts of the poster's side, and of the title's size
_LARGEST = {"title": 0.40, "subtitle": 0.09, "body": 0.055, "cta": 0.05}
# sizes below which a text gets a wider place before it gets smaller, as parts of the poster's side
_WANTED = {"title": 0.07, "subtitle": 0.036, "body": 0.028, "cta": 0.028}
_OF_TITLE = {"subtitle": 0.55, "body": 0.42, "cta": 0.42}


def common_align(boxes: Sequence[Box], width: float) -> Align:
    """The alignment that boxes have most nearly; center where they stand about the canvas's middle."""
    if not boxes:
        return "center"
    sides = np.array([(box.x0, (box.x0 + box.x1) / 2, box.x1) for box in boxes]) / width
    apart = np.abs(sides - np.median(sides, axis=0)).mean(0)
    if len(boxes) == 1 or apart[1] <= min(apart[0], apart[2]) + 0.01:
        middle = abs(float(np.median(sides[:, 1])) - 0.5) < 0.04
        if middle or (len(boxes) > 1 and apart[1] < 0.02):
            return "center"
    return "left" if apart[0] <= apart[2] else "right"


def set_in_slots(
    request: LayoutRequest,
    slots: Sequence[Box],
    measurer: Measurer,
    *,
    align: Align | None = None,
    shrink: float = 1.0,
) -> tuple[Element, ...]:
    """The request's elements in boxes, one per element: texts as large as their box and their role let them be.

    A text that does not fit its box at a legible size gets a larger one round the same place.

    Args:
        shrink: of the largest sizes.
    """
    texts = [box for box, one in zip(slots, request.elements, strict=True) if one.is_text]
    align = align or request.align or common_align(texts, request.width)
    side, least = side_of(request.size), legible_size(*request.size)
    caps = {role: max(least, shrink * part * side) for role, part in _LARGEST.items()}
    placed: dict[int, Element] = {}
    for role in ("title", "subtitle", "body", "cta"):
        indices = [index for index, one in enumerate(request.elements) if one.role == role]
        settings = partial(
            _set, request, measurer=measurer, align=align, wanted=max(least, shrink * _WANTED[role] * side)
        )
        made = [settings(index, slots[index], cap=caps[role]) for index in indices]
        if len(made) > 1:  # texts of one role have one size
            common = min(one.size for one in made)
            made = [settings(one.index, slots[one.index], cap=common) for one in made]
        if role == "title" and made:
            caps |= {other: max(least, min(caps[other], part * made[0].size)) for other, part in _OF_TITLE.items()}
        placed |= {one.index: one for one in made}
    for index, one in enumerate(request.elements):
        if not one.is_text:
            placed[index] = Element(index, one.text, one.role, one.box if one.fixed and one.box else slots[index])
    return _grouped([placed[index] for index in range(len(request.elements))])


def _set(
    request: LayoutRequest, index: int, slot: Box, *, measurer: Measurer, align: Align, cap: float, wanted: float
) -> Element:
    """One text in its slot, in a wider one where it would be smaller than `wanted`."""
    one = request.elements[index]
    role, least = cast(Role, one.role), legible_size(*request.size)
    margin = 0.0 if one.fixed else margin_of(*request.size)
    inner = Box(margin, margin, request.width - margin, request.height - margin)
    slot = _clamped(slot, inner)
    pad = PILL if role == "cta" else (0.0, 0.0)
    found = _fitted(one.text, role, slot, cap, pad, measurer, least)
    if found is None or (found[0] < min(cap, wanted) and not one.fixed):
        wide = _widened(slot, inner, align)
        found = _fitted(one.text, role, wide, min(cap, max(wanted, least)), pad, measurer, least) or found
    if found is None:
        found = _fitted(one.text, role, _widened(inner, inner, align), min(cap, 2.2 * least), pad, measurer, least)
    size, wide, high = found or (least, slot.width, slot.height)
    x = {"left": slot.x0 + pad[0] * size, "right": slot.x1 - wide - pad[0] * size,
         "center": (slot.x0 + slot.x1 - wide) / 2}[align]  # fmt: skip
    y = (slot.y0 + slot.y1 - high) / 2
    aside, above = pad[0] * size, pad[1] * size
    room = Box(inner.x0 + aside, inner.y0 + above, inner.x1 - aside, inner.y1 - above)
    box = _clamped(Box(x, y, x + wide, y + high), room)
    return Element(index, one.text, role, box, align, size, index)


def _fitted(
    text: str, role: Role, slot: Box, cap: float, pad: tuple[float, float], measurer: Measurer, least: float
) -> tuple[float, float, float] | None:
    """Size, width and height of a text in a slot, its button's padding taken off; None where it does not fit."""
    size = cap
    for _ in range(12):
        found = measurer(text, role, slot.width - 2 * pad[0] * size, slot.height - 2 * pad[1] * size, size)
        if found is not None and (pad == (0.0, 0.0) or found.size >= 0.97 * size):
            return (found.size, found.width, found.height) if found.size >= least else None
        if pad == (0.0, 0.0) or size <= least:
            return None
        size = max(least, 0.88 * size)
    return None


def _clamped(box: Box, inner: Box) -> Box:
    """Moved into another box; cut where it is larger."""
    wide, high = min(box.width, inner.width), min(box.height, inner.height)
    x = min(max(box.x0, inner.x0), inner.x1 - wide)
    y = min(max(box.y0, inner.y0), inner.y1 - high)
    return Box(x, y, x + wide, y + high)


def _widened(slot: Box, inner: Box, align: Align) -> Box:
    """As wide as the margins let it be from its anchor, and half as high as the canvas, round the same middle."""
    reach = min((slot.x0 + slot.x1) / 2 - inner.x0, inner.x1 - (slot.x0 + slot.x1) / 2)
    x0, x1 = {"left": (slot.x0, inner.x1), "right": (inner.x0, slot.x1),
              "center": ((slot.x0 + slot.x1) / 2 - reach, (slot.x0 + slot.x1) / 2 + reach)}[align]  # fmt: skip
    high = max(slot.height, 0.5 * inner.height)
    y = (slot.y0 + slot.y1 - high) / 2
    return _clamped(Box(x0, y, x1, y + high), inner)


def _grouped(elements: list[Element]) -> tuple[Element, ...]:
    """Texts that stand one below the other with small gaps share a group, and so a colour."""
    groups: dict[int, int] = {}
    texts = sorted((one for one in elements if one.is_text), key=lambda one: one.box.y0)
    number = 0
    for above, one in zip([None, *texts], texts, strict=False):
        if above is not None and one.box.y0 - above.box.y1 > 2.5 * min(one.size, above.size):
            number += 1
        groups[one.index] = number
    return tuple(
        Element(one.index, one.text, one.role, one.box, one.align, one.size, groups.get(one.index, 0))
        for one in elements
    )
