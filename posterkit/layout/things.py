"""Places what is no text: the subject where there is something to see, a logo in a calm corner, an underlay."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np

from posterkit.layout.faults import footprint
from posterkit.layout.ground import Ground
from posterkit.layout.layout_request import ElementRequest, LayoutRequest
from posterkit.layout.types import Box, Element, Layout, margin_of, side_of

_LOGO = 0.17  # of the poster's side: the longer side of a logo
_LOGO_SHRINKS = (1.0, 0.75, 0.55, 0.4)
_GAP = 0.03  # of the poster's side, between a thing and a text
_PAD = 0.5  # of the margin, of an underlay round its texts
_LEAST = 0.004  # of the canvas; no picture is smaller


def place_things(layout: Layout, request: LayoutRequest, ground: Ground) -> Layout:
    """The layout with every thing of the request: fixed ones where they are, then subjects, pictures, logos, the rest.

    A thing for which nothing is free gets a small place in the calmest corner, and the overlap is a fault.
    """
    placed = [one for one in layout if one.index < len(request.elements)]
    there = {one.index for one in placed}
    missing = [(i, one) for i, one in enumerate(request.elements) if i not in there]
    for index, wanted in sorted(missing, key=lambda one: (not one[1].fixed, _order(one[1].role))):
        box = wanted.box if wanted.fixed and wanted.box else _place(wanted, placed, request, ground)
        placed.append(Element(index, wanted.text, wanted.role, box, group=0))
    placed.sort(key=lambda one: one.index)
    return replace(layout, elements=tuple(placed))


def _order(role: str) -> int:
    known = ("underlay", "logo", "subject", "image", "decoration")
    return known.index(role) if role in known else len(known)


def _place(wanted: ElementRequest, placed: list[Element], request: LayoutRequest, ground: Ground) -> Box:
    if wanted.role == "underlay":
        return _underlay(placed, request)
    if wanted.role == "subject" and not wanted.size and (shown := ground.subject_box) is not None:
        return shaped(shown, wanted.aspect)
    if wanted.role in ("logo", "decoration"):
        return _logo(wanted, placed, request, ground)
    free = _largest_free(placed, request)
    if wanted.size:
        return _centered(free, *wanted.size)
    return shaped(free, wanted.aspect)


def _underlay(placed: list[Element], request: LayoutRequest) -> Box:
    """Round the call to action, else round the last texts; one that has an underlay already is passed over."""
    taken = [one.box for one in placed if one.role == "underlay"]
    texts = [one for one in placed if one.role in ("cta", "body", "subtitle", "title")]
    bare = [one for one in texts if not any(box.shared(one.box) > 0.9 * one.box.area for box in taken)]
    if not bare:
        return Box(0, 0, request.width, request.height)
    chosen = next((one for one in bare if one.role == "cta"), None) or max(bare, key=lambda one: one.index)
    group = [one for one in bare if one.group == chosen.group and one.role == chosen.role]
    boxes = [footprint(one) for one in group]
    pad = _PAD * margin_of(*request.size)
    hull = Box(min(b.x0 for b in boxes), min(b.y0 for b in boxes), max(b.x1 for b in boxes), max(b.y1 for b in boxes))
    hull = hull if chosen.role == "cta" else hull.grown(pad)
    return Box(max(0.0, hull.x0), max(0.0, hull.y0), min(request.width, hull.x1), min(request.height, hull.y1))


def _logo(wanted: ElementRequest, placed: list[Element], request: LayoutRequest, ground: Ground) -> Box:
    """In a corner or at the middle of an edge, on the margins, where it covers least; smaller if nothing is free."""
    w, h = request.size
    margin, side = margin_of(w, h), side_of(request.size)
    aspect = wanted.aspect or 2.0
    blocked = [footprint(one).grown(_GAP * side) for one in placed if one.role not in ("subject", "underlay")]
    texts = [one for one in placed if one.is_text]
    centered = bool(texts) and sum(one.align == "center" for one in texts) > len(texts) / 2
    best: tuple[float, Box] | None = None
    for shrink in _LOGO_SHRINKS if not wanted.size else (1.0,):
        long = shrink * _LOGO * side
        wide, high = wanted.size or (long * min(1.0, aspect), long / max(1.0, aspect))
        for column, row in product((0.0, 1.0, 0.5), (0.0, 1.0, 0.25, 0.75, 0.5)):
            x = margin + column * (w - 2 * margin - wide)
            y = margin + row * (h - 2 * margin - high)
            box = Box(x, y, x + wide, y + high)
            shared = sum(box.shared(other) for other in blocked) / box.area
            under = ground.under(np.array([box]))
            corner = (0.0 if (column == 0.5) == centered else 0.2) if row in (0.0, 1.0) else 0.6
            cost = 10 * shared + float(under["covered"][0] + under["unrest"][0]) + corner + 0.3 * (1 - shrink)
            if best is None or cost < best[0] - 1e-9:
                best = cost, box
        if best is not None and best[0] < 2:
            break
    assert best is not None
    return best[1]


def _largest_free(placed: list[Element], request: LayoutRequest) -> Box:
    """The largest rectangle between the margins that no text, logo or picture stands in."""
    w, h = request.size
    margin, gap = margin_of(w, h), _GAP * side_of(request.size)
    taken = [footprint(one).grown(gap) for one in placed if one.role not in ("underlay", "decoration")]
    xs = sorted({margin, w - margin, *(min(max(x, margin), w - margin) for box in taken for x in (box.x0, box.x1))})
    ys = sorted({margin, h - margin, *(min(max(y, margin), h - margin) for box in taken for y in (box.y0, box.y1))})
    best = Box(margin, margin, margin, margin)
    for (i, x0), (j, y0) in product(enumerate(xs[:-1]), enumerate(ys[:-1])):
        for x1 in reversed(xs[i + 1 :]):
            for y1 in reversed(ys[j + 1 :]):
                if (x1 - x0) * (y1 - y0) <= best.area:
                    break
                box = Box(x0, y0, x1, y1)
                if not any(box.overlaps(other) for other in taken):
                    best = box
                    break
    if best.area < _LEAST * w * h:
        side = (_LEAST * w * h) ** 0.5 * 1.1
        return Box(w - margin - side, h - margin - side, w - margin, h - margin)
    return best


def shaped(box: Box, aspect: float | None) -> Box:
    """The largest box of a width through height within another, round the same middle."""
    if not aspect:
        return box
    wide = min(box.width, box.height * aspect)
    return _centered(box, wide, wide / aspect)


def _centered(box: Box, wide: float, high: float) -> Box:
    x, y = (box.x0 + box.x1 - wide) / 2, (box.y0 + box.y1 - high) / 2
    return Box(x, y, x + wide, y + high)
