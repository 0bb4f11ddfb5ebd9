"""What a planner is asked and should answer, made of planned requests: the coarse question and the three stages.

Questions and answers have the forms that every language model gets (`posterkit.layout.planners.questions`). A stage's
question shows a good layout that was spoilt in what the stage mends.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from random import Random

from posterkit.datagen.planned_requests import PlannedRequest
from posterkit.layout.faults import find_faults, footprint
from posterkit.layout.ground import Ground
from posterkit.layout.html_form import grid_of, on_grid
from posterkit.layout.layout_request import LayoutRequest
from posterkit.layout.planners.questions import ONE_STAGE, STAGES, asked_ids, coarse_question, stage_question
from posterkit.layout.retrieval import ExemplarIndex
from posterkit.layout.similarity import labelled, ltsim_distance
from posterkit.layout.types import Box, Layout

KINDS = ("coarse", *STAGES, ONE_STAGE)
_RETRIEVED = 10  # exemplars, of which some are shown
_AS_SHOWN = 0.7  # of coarse answers are the good layout that is most like the exemplar shown first


@dataclass(frozen=True)
class Conversation:
    """A question about a layout and its answer."""

    kind: str  # one of `KINDS`
    question: str
    answer: str
    request: LayoutRequest  # what the question is of, to read answers by


def conversation(
    planned: PlannedRequest, kind: str, index: ExemplarIndex, exemplars: int, rng: Random
) -> Conversation:
    """One conversation about a planned request.

    Args:
        exemplars: how many the question shows.
        rng: chooses exemplars and layout, and spoils it.
    """
    request = planned.request
    ground = Ground(request)
    if kind == "coarse":
        found = index.for_request(request, _RETRIEVED)
        shown = rng.sample(found, min(exemplars, len(found)))
        target = rng.choice(planned.layouts)
        if shown and rng.random() < _AS_SHOWN:
            like = labelled(shown[0].layout)
            target = min(planned.layouts, key=lambda layout: ltsim_distance(labelled(layout), like))
        question = coarse_question(request, ground, shown)
        return Conversation(kind, question, answer(target, request, ground, arrangement(target)), request)
    target = rng.choice(planned.layouts)
    spoilt = _SPOILS[kind](target, asked_ids(request, ground), rng)
    shown = index.like(spoilt, exemplars)
    faults = find_faults(spoilt, request, None, ground)
    question = stage_question(kind, request, ground, shown, [footprint(one) for one in spoilt], faults)
    words = zones(target, request, ground) if kind == "position" else ""
    return Conversation(kind, question, answer(target, request, ground, words), request)


def answer(layout: Layout, request: LayoutRequest, ground: Ground, words: str) -> str:
    """A layout as a model's answer; without reasoning where there are no words."""
    grid, boxes = grid_of(request.size), {one.index: footprint(one) for one in layout}
    said = [
        dict(zip(("id", "l", "t", "w", "h"), (at, *on_grid(boxes[at], request.size, grid)), strict=True))
        for at in asked_ids(request, ground)
    ]
    return json.dumps({"reasoning": words, "boxes": said} if words else {"boxes": said})


def arrangement(layout: Layout) -> str:
    """How a layout is arranged, in two words: "head-and-foot; left"."""
    texts = sorted(layout.texts, key=lambda one: one.role != "title")
    return f"{layout.archetype}; {texts[0].align}" if texts else layout.archetype


def zones(layout: Layout, request: LayoutRequest, ground: Ground) -> str:
    """The ninth of the canvas in which each element stands, in the order of ids: "top-left; middle-center"."""
    boxes = {one.index: one.box for one in layout}
    found = []
    for at in asked_ids(request, ground):
        x, y = (boxes[at].x0 + boxes[at].x1) / 2 / layout.width, (boxes[at].y0 + boxes[at].y1) / 2 / layout.height
        rows, columns = ("top", "middle", "bottom"), ("left", "center", "right")
        found.append(f"{rows[min(2, max(0, int(3 * y)))]}-{columns[min(2, max(0, int(3 * x)))]}")
    return "; ".join(found)


def _positions_spoilt(layout: Layout, ids: Sequence[int], rng: Random) -> Layout:
    """Some elements elsewhere, or all, or two texts in each other's place."""
    boxes = {one.index: one.box for one in layout}
    some = [at for at in ids if rng.random() < rng.uniform(0.3, 1.0)] or [rng.choice(ids)] if ids else []
    if rng.random() < 0.3:
        together = rng.gauss(0, 0.12), rng.gauss(0, 0.15)
        moves = dict.fromkeys(ids, together)
    else:
        moves = {at: (rng.gauss(0, 0.12), rng.gauss(0, 0.15)) for at in some}
    if len(ids) > 1 and rng.random() < 0.25:
        first, second = rng.sample(list(ids), 2)
        down = boxes[second].y0 - boxes[first].y0
        moves |= {first: (0.0, down / layout.height), second: (0.0, -down / layout.height)}
    return _with(layout, {at: boxes[at].moved(x * layout.width, y * layout.height) for at, (x, y) in moves.items()})


def _sizes_spoilt(layout: Layout, ids: Sequence[int], rng: Random) -> Layout:
    """Some elements larger or smaller, and a little elsewhere."""
    boxes = {}
    for one in layout:
        if one.index in ids and rng.random() < 0.6:
            wide, high = (side * math.exp(rng.gauss(0, 0.3)) for side in (one.box.width, one.box.height))
            x = {"left": one.box.x0, "right": one.box.x1 - wide,
                 "center": (one.box.x0 + one.box.x1 - wide) / 2}[one.align]  # fmt: skip
            x, y = x + rng.gauss(0, 0.02) * layout.width, one.box.y0 + rng.gauss(0, 0.02) * layout.height
            boxes[one.index] = Box(x, y, x + wide, y + high)
    return _with(layout, boxes)


def _numbers_spoilt(layout: Layout, ids: Sequence[int], rng: Random) -> Layout:
    """Edges off by a cell or two."""
    cell = max(layout.size) / 160
    boxes = {}
    for one in layout:
        if one.index in ids and rng.random() < 0.7:
            x0, y0, x1, y1 = (side + rng.gauss(0, 1.2) * cell for side in one.box)
            boxes[one.index] = Box(x0, y0, max(x0 + cell, x1), max(y0 + cell, y1))
    return _with(layout, boxes)


def _all_spoilt(layout: Layout, ids: Sequence[int], rng: Random) -> Layout:
    return _positions_spoilt(_sizes_spoilt(layout, ids, rng), ids, rng)


_SPOILS = {
    "position": _positions_spoilt, "size": _sizes_spoilt, "numbers": _numbers_spoilt, ONE_STAGE: _all_spoilt,
}  # fmt: skip


def _with(layout: Layout, boxes: Mapping[int, Box]) -> Layout:
    """The layout with other boxes, moved onto the canvas; type sizes follow their heights."""
    elements = []
    for one in layout:
        box = boxes.get(one.index, one.box)
        wide, high = min(box.width, layout.width), min(box.height, layout.height)
        x, y = min(max(0.0, box.x0), layout.width - wide), min(max(0.0, box.y0), layout.height - high)
        size = one.size * high / max(1.0, one.box.height)
        elements.append(replace(one, box=Box(x, y, x + wide, y + high), size=size))
    return replace(layout, elements=tuple(elements))
