"""Requests with several good plans each, for planners that learn: drawn pictures, plans of the grammar.

Plans are chosen by where the subject truly stands; the request says where it seems to, as a planner will see it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from random import Random

from posterkit.datagen.layout_requests import DrawnRequest, draw_request, words_in
from posterkit.documents import read_json, read_lines
from posterkit.image_io import written_whole
from posterkit.layout import Box, ElementRequest, Layout, LayoutRequest
from posterkit.layout.faults import find_faults, footprint, hard_count
from posterkit.layout.ground import Ground
from posterkit.layout.json_form import layout_from_json, layout_to_json, request_from_json, request_to_json
from posterkit.layout.planners.grammar import GrammarPlanner
from posterkit.layout.similarity import labelled, ltsim_distance
from posterkit.layout.types import Obstacle, legible_size
from posterkit.typeset.line_breaking import measure

_SCALE = 0.2  # of the pictures; saliency looks at 96 pixels
_CANDIDATES, _KEPT = 10, 4  # layouts of one request
_WORSE = 0.04  # than the best, of the score; a layout below it is no example
_NEAR = 0.02  # LTSim's distance, below which two layouts are one
_ON_SUBJECT = 0.4  # of the score, taken off a layout whose texts all stand on the true subject


@dataclass(frozen=True)
class PlannedRequest:
    """A request without its picture, and good layouts of it, the best first."""

    request: LayoutRequest
    layouts: tuple[Layout, ...]


def planned_requests(count: int, first: int = 0, split: str = "train") -> Iterator[PlannedRequest]:
    """Requests in all shapes, some without a picture, and their plans; the same for the same arguments.

    Args:
        first: of their seeds.
        split: as of `draw_request`.
    """
    for seed in range(first, first + count):
        drawn = _varied(seed, split)
        made = _good_layouts(drawn)
        if made:
            yield PlannedRequest(seen_request(drawn.request), tuple(made))


def seen_request(request: LayoutRequest) -> LayoutRequest:
    """The request with what its picture shows in place of the picture."""
    box = Ground(request).subject_box if request.picture is not None else None
    if box is None:
        return replace(request, picture=None)
    return replace(request, picture=None, content=(box,), avoid=(Obstacle(box, "subject"),))


def _varied(seed: int, split: str) -> DrawnRequest:
    """Of any shape; texts of any length; a third without a picture, then with a subject to place."""
    rng = Random(f"planned request {split} {seed}")
    aspect = 2 ** rng.uniform(-1.0, 0.9)
    size = (round(1024 * aspect**0.5), round(1024 * aspect**-0.5)) if rng.random() < 0.6 else None
    drawn = draw_request(seed, split, size, _SCALE)
    elements = list(drawn.request.elements)
    if rng.random() < 0.5:
        elements = [
            replace(one, text=words_in(rng, drawn.language, len(one.text) * 2 ** rng.uniform(-1, 1)))
            if one.role in ("title", "subtitle", "body") else one
            for one in elements
        ]  # fmt: skip
    elements += [ElementRequest("underlay")] if rng.random() < 0.15 else []
    if rng.random() < 0.35:
        elements.append(ElementRequest("subject"))
        return replace(drawn, request=replace(drawn.request, elements=tuple(elements), picture=None))
    return replace(drawn, request=replace(drawn.request, elements=tuple(elements)))


def _good_layouts(drawn: DrawnRequest) -> list[Layout]:
    request = drawn.request
    measurer = partial(measure, style="modern", least=legible_size(*request.size))
    try:
        made = GrammarPlanner().candidates(request, measurer, _CANDIDATES)
    except ValueError:  # its texts do not fit
        return []
    worth = {}
    for number, layout in enumerate(made):
        if not hard_count(find_faults(layout, request, measurer)):
            hidden = on_subject(layout, drawn.subject) if request.picture and drawn.subject else 0.0
            worth[number] = layout.score - _ON_SUBJECT * hidden
    kept: list[Layout] = []
    for number in sorted(worth, key=lambda number: -worth[number]):
        new = all(ltsim_distance(labelled(made[number]), labelled(other)) > _NEAR for other in kept)
        if new and worth[number] > max(worth.values()) - _WORSE:
            kept.append(replace(made[number], notes={}, rules=()))
    return kept[:_KEPT]


def on_subject(layout: Layout, subject: Box) -> float:
    """The part of the texts' area that stands on the true subject."""
    boxes = [footprint(one) for one in layout.texts]
    return sum(box.shared(subject) for box in boxes) / max(1e-9, sum(box.area for box in boxes))


def write_planned(planned: Iterator[PlannedRequest], path: Path) -> int:
    """Write planned requests to a JSON lines file, whole, and say how many."""
    count = 0
    with written_whole(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        for one in planned:
            count += 1
            layouts = ", ".join(layout_to_json(layout) for layout in one.layouts)
            file.write(f'{{"request": {request_to_json(one.request)}, "layouts": [{layouts}]}}\n')
    return count


def read_planned(path: Path) -> list[PlannedRequest]:
    """The planned requests of a file; ValueError names the line that is none."""
    found = []
    for number, line in read_lines(path):
        what = f"{path}:{number}"
        row = read_json(line, what)
        if not isinstance(row, dict) or not isinstance(row.get("layouts"), list) or not row["layouts"]:
            raise ValueError(f'{what}: is no planned request; {{"request": ..., "layouts": [...]}} is read')
        layouts = tuple(layout_from_json(json.dumps(one), what) for one in row["layouts"])
        found.append(PlannedRequest(request_from_json(json.dumps(row.get("request")), what), layouts))
    return found
