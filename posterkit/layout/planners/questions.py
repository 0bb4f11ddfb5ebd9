"""What a language model is asked about a layout, and how its answer is read: numbers on a grid, nothing else.

Labels and texts are the request's; an answer can neither change, lose nor add copy.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from posterkit.layout.exemplars import Exemplar
from posterkit.layout.faults import LayoutFault
from posterkit.layout.ground import Ground
from posterkit.layout.html_form import grid_of, layout_from_html, layout_to_html, off_grid, on_grid
from posterkit.layout.layout_request import LayoutRequest
from posterkit.layout.types import Box
from posterkit.llm.answers import read_answer
from posterkit.llm.client import AnswerError
from posterkit.messages import one_line

SYSTEM = (
    "You are an art director. You place the elements of a poster on a grid of whole cells; l and t count from the top "
    "left corner. Titles are large, texts keep their reading order, edges line up, nothing overlaps, margins stay "
    "free, and nobody covers what the picture shows. You choose numbers only: the texts are given and stay as they "
    'are. Answer with JSON alone: {"reasoning": "...", "boxes": [{"id": 0, "l": 0, "t": 0, "w": 0, "h": 0}, ...]}, '
    "one box for every id."
)
STAGES = {
    "position": "For each id, name its role, its place in the reading order and the zone where it belongs; then give "
    "its l and t. Keep w and h as they are; how sizes go together comes later.",
    "size": "Now give the final w and h, and move boxes so that no two overlap and the gaps between neighbours are at "
    "least {gap} cells. In the examples a title is about {title} of the canvas high.",
    "numbers": "Change single numbers only: make nearly equal edges equal, wrap each underlay round its text, and "
    "leave free what must stay free.",
}
ONE_STAGE = "merged"  # all three in one question: the ablation
_MOST = 8000  # characters of examples
_FAR = 3.0  # times the canvas; a number beyond it is cut
_NUMBER: dict[str, Any] = {"type": "number"}
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "reasoning": {"type": "string"},
        "boxes": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": dict.fromkeys(("id", "l", "t", "w", "h"), _NUMBER),
                "required": ["id", "l", "t", "w", "h"],
            },
        },
    },
    "required": ["boxes"],
}


def asked_ids(request: LayoutRequest, ground: Ground) -> list[int]:
    """The elements that a model places: those that are free, and not what the picture shows itself."""
    shown = ("subject",) if ground.subject_box is not None else ()
    return [i for i, one in enumerate(request.elements) if not one.fixed and one.role not in shown]


def coarse_question(request: LayoutRequest, ground: Ground, exemplars: Sequence[Exemplar]) -> str:
    """A layout from nothing but the request and its exemplars."""
    return "\n".join((*_examples(exemplars), *_wanted(request, ground), "Place every id."))


def stage_question(
    name: str,
    request: LayoutRequest,
    ground: Ground,
    exemplars: Sequence[Exemplar],
    boxes: Sequence[Box],
    faults: Sequence[LayoutFault],
) -> str:
    """One of `STAGES`, or `ONE_STAGE`: the layout so far, what is wrong with it, and what to do now."""
    grid = grid_of(request.size)
    titles = sorted(one.box.height / e.layout.height for e in exemplars for one in e.layout if one.role == "title")
    usual = f"{titles[len(titles) // 2]:.0%}" if titles else "15%"
    task = STAGES[name] if name != ONE_STAGE else "\n".join(STAGES.values())
    task = task.format(gap=max(2, round(0.02 * grid[1])), title=usual)
    cells = request.width / grid[0]
    now = [
        '{{"id": {}, "l": {}, "t": {}, "w": {}, "h": {}}}'.format(i, *on_grid(boxes[i], request.size, grid))
        for i in asked_ids(request, ground)
    ]
    report = [f"- {fault.words}" for fault in faults] or ["- nothing"]
    return "\n".join((
        *_examples(exemplars), *_wanted(request, ground), f"The layout so far: [{', '.join(now)}]",
        f"What is wrong with it (one cell is {cells:.1f} px):", *report, task,
    ))  # fmt: skip


def _examples(exemplars: Sequence[Exemplar]) -> list[str]:
    lines, used = ["Layouts of similar posters:"], 0
    for exemplar in exemplars:
        said = layout_to_html(exemplar.layout)
        if (used := used + len(said)) > _MOST:
            break
        lines += [said, ""]
    return lines if len(lines) > 1 else []


def _wanted(request: LayoutRequest, ground: Ground) -> list[str]:
    grid = grid_of(request.size)
    lines = [f"Now plan a poster on a canvas of {grid[0]} x {grid[1]} cells."]
    if request.description:
        lines.append(f"It shows: {one_line(request.description, 300)}")
    ids = asked_ids(request, ground)
    for index in ids:
        one = request.elements[index]
        said = f"id {index}: {one.role}" + (f" {one_line(one.text, 200)!r}" if one.text else "")
        said += f", {len(one.text)} characters" if one.text else ""
        said += f", {one.aspect:.1f} times as wide as high" if one.aspect else ""
        if one.size:
            said += " of {2} x {3} cells".format(*on_grid(Box(0, 0, *one.size), request.size, grid))
        if one.box:
            said += ", now at l {}, t {}, w {}, h {}".format(*on_grid(one.box, request.size, grid))
        lines.append(said)
    kept = [("stays", one.box) for one in request.elements if one.fixed and one.box]
    kept += [("shows its subject", ground.subject_box)] if ground.subject_box else []
    kept += [(f"has a {thing.kind}", thing.box) for thing in request.avoid if thing.kind != "subject"]
    for what, box in kept:
        if box is not None:
            place = "l {}, t {}, w {}, h {}".format(*on_grid(box, request.size, grid))
            lines.append(f"Keep clear, the picture {what}: {place}")
    for relation in request.relations:
        other = "the canvas" if relation.second is None else f"id {relation.second}"
        lines.append(f"id {relation.first} must be {relation.kind} to {other}")
    return lines


def read_boxes(answer: str, request: LayoutRequest, ground: Ground, model: str) -> tuple[dict[int, Box], str]:
    """The boxes of an answer in pixels by id, and its reasoning; HTML is read as well as JSON.

    Raises:
        AnswerError: one line: no JSON or HTML that fits, or an id is missing.
    """
    grid = grid_of(request.size)
    ids = asked_ids(request, ground)
    found: dict[int, Box] = {}
    words = ""
    try:
        said = read_answer(answer, SCHEMA, model)
        words = one_line(said.get("reasoning", ""), 500)
        for one in said["boxes"]:
            found[round(one["id"])] = _box([one[name] for name in ("l", "t", "w", "h")], request, grid)
    except AnswerError as error:
        if not re.search(r"<div\b", answer):
            raise
        try:
            layout = layout_from_html(answer, request.size, model)
        except ValueError:
            raise error from None
        found = {one.index: one.box for one in layout}
    missing = [index for index in ids if index not in found]
    if missing:
        raise AnswerError(f"{model}: the answer lacks id {missing[0]}; it places {len(found)} of {len(ids)}")
    return {index: found[index] for index in ids}, words


def _box(cells: Sequence[float], request: LayoutRequest, grid: tuple[int, int]) -> Box:
    left, top, wide, high = (
        min(max(value, -_FAR * full), _FAR * full) for value, full in zip(cells, (*grid, *grid), strict=True)
    )
    return off_grid((left, top, max(1.0, wide), max(1.0, high)), request.size, grid)
