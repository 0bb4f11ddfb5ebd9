"""Mends layouts: texts fitted, moved off each other and into the margins, near edges joined, underlays wrapped."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations

from posterkit.layout.faults import find_faults, footprint, hard_count
from posterkit.layout.ground import Ground
from posterkit.layout.layout_request import LayoutRequest
from posterkit.layout.slots import set_in_slots
from posterkit.layout.things import place_things
from posterkit.layout.types import Box, Element, Layout, Measurer, margin_of, side_of

_NEAR = 0.008  # of the poster's side: edges nearer than this become one
_SHRINKS = (1.0, 0.85, 0.7, 0.58, 0.48, 0.4)
_ROUNDS = 80
_LOOSE = ("subject", "underlay", "decoration")


def repair(layout: Layout, request: LayoutRequest, measurer: Measurer, ground: Ground) -> Layout:
    """The layout without hard faults, or as it came where that cannot be done; what it returns stays under repair.

    A layout without hard faults keeps its places, but for near edges that are joined.
    """
    if not hard_count(find_faults(layout, request, measurer)):
        return _joined(layout, request, measurer)
    for shrink in _SHRINKS:
        mended = _mended(layout, request, measurer, ground, shrink)
        if not hard_count(find_faults(mended, request, measurer)):
            return _joined(mended, request, measurer)
    return layout


def _mended(layout: Layout, request: LayoutRequest, measurer: Measurer, ground: Ground, shrink: float) -> Layout:
    boxes = {one.index: one.box for one in layout}
    whole = Box(0, 0, *request.size)
    # texts and things that somebody has placed; a button's box has its padding
    slots = [
        wanted.box if wanted.fixed and wanted.box else boxes.get(index, wanted.box or whole)
        for index, wanted in enumerate(request.elements)
    ]
    cta = {one.index: footprint(one) for one in layout if one.role == "cta" and one.index in boxes}
    slots = [cta.get(index, slot) for index, slot in enumerate(slots)]
    elements = list(set_in_slots(request, slots, measurer, shrink=shrink))
    fixed = {index for index, wanted in enumerate(request.elements) if wanted.fixed}
    texts = [one for one in elements if one.is_text]
    things = [_inside(one, request) if one.index not in fixed else one for one in elements if not one.is_text]
    kept = [one for one in things if one.role not in ("underlay", "logo") or one.index in fixed]
    moved = _separated([*texts, *(one for one in kept if one.role not in _LOOSE)], fixed, request)
    loose = [one for one in kept if one.role in _LOOSE]
    mended = replace(layout, elements=tuple(sorted((*moved, *loose), key=lambda one: one.index)), rules=())
    return place_things(mended, request, ground)


def _inside(one: Element, request: LayoutRequest) -> Element:
    """A thing moved onto the canvas, cut where it is larger, and never without an area."""
    w, h = request.size
    least = 0.04 * side_of(request.size)
    wide, high = min(w, max(least, one.box.width)), min(h, max(least, one.box.height))
    x, y = min(max(0.0, one.box.x0), w - wide), min(max(0.0, one.box.y0), h - high)
    return replace(one, box=Box(x, y, x + wide, y + high))


def _separated(elements: list[Element], fixed: set[int], request: LayoutRequest) -> list[Element]:
    """Elements moved up and down until none overlaps, as far as the margins allow; fixed ones stay."""
    margin = margin_of(*request.size)
    low, high = margin, request.height - margin
    at = {one.index: one for one in elements}
    half = 0.5 * request.width * request.height
    for _ in range(_ROUNDS):
        downwards = sorted(at.values(), key=lambda one: (one.box.y0 + one.box.y1, one.index))
        pair = next(
            (
                pair for pair in combinations(downwards, 2)
                if _apart(*pair) > 0 and not all(one.index in fixed for one in pair)
                and not any(one.role == "image" and one.box.area > half for one in pair)
            ), None,
        )  # fmt: skip
        if pair is None:
            break
        above, below = pair
        need = _apart(above, below)
        down = 0.0 if below.index in fixed else min(need, max(0.0, high - footprint(below).y1))
        up = 0.0 if above.index in fixed else min(need - down, max(0.0, footprint(above).y0 - low))
        if down + up < 0.01:
            break
        at[below.index] = replace(below, box=below.box.moved(0, down))
        at[above.index] = replace(above, box=above.box.moved(0, -up))
    return list(at.values())


def _apart(above: Element, below: Element) -> float:
    """How far two elements must move from each other, in pixels; 0 where they stand beside each other or apart."""
    first, second = footprint(above), footprint(below)
    if first.x0 >= second.x1 or second.x0 >= first.x1:
        return 0.0
    sizes = [one.size for one in (above, below) if one.is_text]
    need = first.y1 + ((1.0 if "cta" in (above.role, below.role) else 0.6) * min(sizes) if sizes else 4.0) - second.y0
    return need if need > 0.02 else 0.0


def _joined(layout: Layout, request: LayoutRequest, measurer: Measurer) -> Layout:
    """Texts whose edges or feet are nearly one moved onto one; as it came where that would make a fault."""
    limit = _NEAR * side_of(request.size)
    free = [
        one for one in layout.texts
        if not (one.index < len(request.elements) and request.elements[one.index].fixed)
    ]  # fmt: skip
    right, down = dict.fromkeys((one.index for one in free), 0.0), dict.fromkeys((one.index for one in free), 0.0)
    for align in ("left", "center", "right"):
        right |= _steps({one.index: _anchor(one) for one in free if one.align == align}, limit)
    down |= _steps({one.index: one.box.y1 for one in free if one.role != "title"}, 2 * limit)
    if not any(abs(step) > 1e-6 for step in (*right.values(), *down.values())):
        return layout
    moved = (replace(one, box=one.box.moved(right.get(one.index, 0), down.get(one.index, 0))) for one in layout)
    joined = replace(layout, elements=tuple(moved))
    return layout if hard_count(find_faults(joined, request, measurer)) else joined


def _steps(places: dict[int, float], limit: float) -> dict[int, float]:
    """How far each place goes to the middle one of those that are nearer than `limit` to each other in a chain."""
    order = sorted(places, key=lambda index: places[index])
    steps: dict[int, float] = {}
    while order:
        end = 1
        while end < len(order) and places[order[end]] - places[order[end - 1]] < limit:
            end += 1
        steps |= {index: places[order[end // 2]] - places[index] for index in order[:end]}
        order = order[end:]
    return steps


def _anchor(one: Element) -> float:
    box = footprint(one)
    return {"left": box.x0, "right": box.x1, "center": (box.x0 + box.x1) / 2}[one.align]
