"""What is wrong with a layout, found by arithmetic: hard faults that no finished plan may have, and soft ones."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import cast

import numpy as np

from posterkit.layout.archetypes import PILL
from posterkit.layout.ground import Ground
from posterkit.layout.layout_request import LayoutRequest
from posterkit.layout.types import Box, Element, Layout, Measurer, Role, legible_size, margin_of

HARD = ("missing", "outside", "tiny", "overlap", "fit", "fixed", "relation")
_TINY = 1e-3  # of the canvas
_SLACK = 0.51  # pixels that rounding may move an edge by
_COVERED = 0.15  # of the subject, from which texts that lie on it are a fault
_BEHIND = ("subject", "underlay", "decoration")  # what texts may stand on


@dataclass(frozen=True)
class LayoutFault:
    """One fault."""

    kind: str  # one of `HARD`, or "margin", "order", "occlusion", "hierarchy", "underlay"
    elements: tuple[int, ...]  # indices of the elements that have it
    amount: float  # how bad it is, as a share
    words: str  # one line for people and models

    @property
    def hard(self) -> bool:
        return self.kind in HARD


def footprint(element: Element) -> Box:
    """What an element takes of the canvas: a call to action stands in a button, padding and all."""
    if element.role != "cta" or math.isinf(element.size):
        return element.box
    x, y = PILL[0] * element.size, PILL[1] * element.size
    return Box(element.box.x0 - x, element.box.y0 - y, element.box.x1 + x, element.box.y1 + y)


def find_faults(
    layout: Layout, request: LayoutRequest, measurer: Measurer | None = None, ground: Ground | None = None
) -> list[LayoutFault]:
    """The faults of a layout, hard ones first.

    Args:
        measurer: says whether a text fits its box; not looked at without.
        ground: says what of the picture is covered; not looked at without.
    """
    faults = [*_missing(layout, request), *_places(layout, request), *_overlaps(layout)]
    if not any(fault.kind == "missing" for fault in faults):
        boxes = {one.index: one.box for one in layout}
        placed = [boxes[index] for index in range(len(request.elements))]
        faults += [
            LayoutFault("relation", (relation.first,), 1.0, _relation_words(relation, request))
            for relation in request.relations if not relation.holds(placed, request.height)
        ]  # fmt: skip
    if measurer is not None:
        faults += _fits(layout, measurer)
    faults += [*_order(layout), *_hierarchy(layout), *_underlays(layout)]
    if ground is not None and ground.known and layout.texts:
        faults += _occlusion(layout, ground)
    return sorted(faults, key=lambda fault: not fault.hard)


def _missing(layout: Layout, request: LayoutRequest) -> list[LayoutFault]:
    there = {one.index: one for one in layout}
    faults = []
    for index, wanted in enumerate(request.elements):
        one = there.pop(index, None)
        if one is None or (one.role, one.text) != (wanted.role, wanted.text):
            faults.append(
                LayoutFault("missing", (index,), 1.0, f"element {index} ({wanted.role}) is missing or changed")
            )
    return faults + [LayoutFault("missing", (index,), 1.0, f"element {index} was not asked for") for index in there]


def _places(layout: Layout, request: LayoutRequest) -> list[LayoutFault]:
    w, h = layout.size
    margin = margin_of(w, h)
    faults = []
    for one in layout:
        box, name = footprint(one), name_of(one)
        out = max(-box.x0, -box.y0, box.x1 - w, box.y1 - h)
        if out > _SLACK:
            faults.append(
                LayoutFault("outside", (one.index,), out / max(w, h), f"{name} is {out:.0f} px off the canvas")
            )
        elif (
            one.is_text
            and (near := max(margin - box.x0, margin - box.y0, box.x1 - w + margin, box.y1 - h + margin))
            > 0.35 * margin
        ):
            faults.append(
                LayoutFault("margin", (one.index,), near / max(w, h), f"{name} is {near:.0f} px inside the margin")
            )
        if one.box.area < _TINY * w * h and not one.is_text and one.role != "decoration":
            faults.append(LayoutFault("tiny", (one.index,), 1.0, f"{name} is smaller than a thousandth of the canvas"))
        if one.is_text and one.size < 0.98 * legible_size(w, h):
            faults.append(
                LayoutFault("tiny", (one.index,), 1.0, f"{name} is set at {one.size:.0f} px, too small to read")
            )
        if one.index < len(request.elements) and (wanted := request.elements[one.index]).fixed and wanted.box:
            moved = max(abs(a - b) for a, b in zip(one.box, wanted.box, strict=True))
            inside = one.is_text and wanted.box.grown(_SLACK).shared(one.box) >= one.box.area * 0.999
            if moved > _SLACK and not inside:
                faults.append(
                    LayoutFault("fixed", (one.index,), moved / max(w, h), f"{name} has left its fixed place")
                )
    return faults


def _overlaps(layout: Layout) -> list[LayoutFault]:
    faults, half = [], 0.5 * layout.width * layout.height  # a larger picture is the poster's ground
    for a, b in combinations(layout, 2):
        if any(one.role in _BEHIND or (one.role == "image" and one.box.area > half) for one in (a, b)):
            continue
        first, second = footprint(a), footprint(b)
        common = Box(
            max(first.x0, second.x0), max(first.y0, second.y0), min(first.x1, second.x1), min(first.y1, second.y1)
        )
        if min(common.width, common.height) > _SLACK:
            share = common.area / max(1e-9, min(first.area, second.area))
            words = f"{name_of(a)} and {name_of(b)} overlap by {common.width:.0f}x{common.height:.0f} px"
            faults.append(LayoutFault("overlap", (a.index, b.index), share, words))
    return faults


def _fits(layout: Layout, measurer: Measurer) -> list[LayoutFault]:
    faults = []
    least = legible_size(*layout.size)
    for one in layout.texts:
        size = one.size if math.isfinite(one.size) else 1.4 * max(one.box.height, 1.0)
        loose = 0.02 * size + _SLACK
        found = measurer(one.text, cast(Role, one.role), one.box.width + loose, one.box.height + loose, size)
        if found is None or found.size < 0.98 * least:
            words = f"{name_of(one)} does not fit its box at {least:.0f} px, the smallest size that reads"
            faults.append(LayoutFault("fit", (one.index,), 1.0, words))
    return faults


def _order(layout: Layout) -> list[LayoutFault]:
    """Texts after the title that stand above it, or a call to action with details below it."""
    title = next((one for one in layout.texts if one.role == "title"), None)
    if title is None:
        return []
    middle = (title.box.y0 + title.box.y1) / 2
    above = [
        one for one in layout.texts
        if one.role in ("body", "cta") and one.index > title.index and one.box.y1 <= middle
    ]  # fmt: skip
    return [LayoutFault("order", (one.index,), 0.5, f"{name_of(one)} is read before the title") for one in above]


def _hierarchy(layout: Layout) -> list[LayoutFault]:
    title = next((one for one in layout.texts if one.role == "title"), None)
    if title is None or math.isinf(title.size):
        return []
    larger = [
        one for one in layout.texts if one is not title and math.isfinite(one.size) and one.size > 0.8 * title.size
    ]
    return [LayoutFault("hierarchy", (one.index,), one.size / title.size, f"{name_of(one)} is as large as the title")
            for one in larger]  # fmt: skip


def _underlays(layout: Layout) -> list[LayoutFault]:
    faults = []
    for under in (one for one in layout if one.role == "underlay"):
        for one in layout.texts:
            part = under.box.shared(one.box) / max(1e-9, one.box.area)
            if 0.02 < part < 0.98:
                words = f"{name_of(one)} stands half on {name_of(under)}: put it on it or off it"
                faults.append(LayoutFault("underlay", (one.index, under.index), 1 - part, words))
    return faults


def _occlusion(layout: Layout, ground: Ground) -> list[LayoutFault]:
    faults = []
    parts = ground.under(np.array([footprint(one) for one in layout.texts]))["subject"]
    for one, part in zip(layout.texts, parts, strict=True):
        if part > _COVERED:
            faults.append(
                LayoutFault("occlusion", (one.index,), float(part), f"{name_of(one)} covers {part:.0%} of the subject")
            )
        if (bad := ground.hidden(footprint(one))) > 0.05:
            faults.append(LayoutFault("occlusion", (one.index,), bad, f"{name_of(one)} lies on what must stay free"))
    return faults


def _relation_words(relation, request: LayoutRequest) -> str:
    first = f"element {relation.first} ({request.elements[relation.first].role})"
    if relation.second is None:
        return f"{first} is not at the canvas's {relation.kind}"
    return f"{first} is not {relation.kind} to element {relation.second} ({request.elements[relation.second].role})"


def name_of(one: Element) -> str:
    return f"element {one.index} ({one.role})"


def hard_count(faults: Sequence[LayoutFault]) -> int:
    return sum(fault.hard for fault in faults)
