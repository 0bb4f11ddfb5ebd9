"""Layouts and requests as JSON. Boxes are [x0, y0, x1, y1] in pixels, to the hundredth."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any, TypeVar

from posterkit.documents import read_json
from posterkit.layout.layout_request import (
    MOST_ELEMENTS,
    MOST_PIXELS,
    RELATIONS,
    ElementRequest,
    LayoutRequest,
    Relation,
)
from posterkit.layout.types import Box, Element, Layout, Obstacle, Stage
from posterkit.lettering import ALIGNS
from posterkit.messages import one_line

VERSION = 1
_OBSTACLES = ("face", "lettering", "subject")
Made = TypeVar("Made")


def layout_to_json(layout: Layout, indent: int | None = None) -> str:
    """A layout as JSON, with its score and trace."""
    document = {
        "version": VERSION, "width": layout.width, "height": layout.height, "planner": layout.planner,
        "archetype": layout.archetype, "score": round(layout.score, 4),
        "elements": [
            {
                "index": one.index, "role": one.role, "text": one.text, "box": _sides(one.box), "align": one.align,
                **({"size": round(one.size, 2)} if math.isfinite(one.size) else {}), "group": one.group,
            }
            for one in layout
        ],
        "rules": [_sides(rule) for rule in layout.rules],
        "notes": {name: round(value, 4) for name, value in layout.notes.items()},
        "trace": [
            {
                "name": stage.name, "kept": stage.kept, "score": round(stage.score, 4), "faults": list(stage.faults),
                "boxes": [_sides(box) for box in stage.boxes], "words": stage.words,
            }
            for stage in layout.trace
        ],
    }  # fmt: skip
    return json.dumps(document, ensure_ascii=False, indent=indent)


def layout_from_json(text: str | bytes, what: str = "plan") -> Layout:
    """A layout from JSON; unknown keys are ignored.

    Args:
        what: the document's name, which every error begins with.

    Raises:
        ValueError: one line: it is no JSON, or no layout.
    """
    root = _Reader(read_json(text, what), what)
    if root.number("version", 1, VERSION, VERSION) != VERSION:
        raise ValueError(f"{what}: is of another version than {VERSION}")
    width, height = (int(root.number(side, 1, MOST_PIXELS)) for side in ("width", "height"))
    elements = tuple(
        Element(
            int(one.number("index", 0, MOST_ELEMENTS, position)), one.text("text", ""), one.text("role"),
            one.box("box"), one.choice("align", ALIGNS, "center"), one.number("size", 0, MOST_PIXELS, math.inf),
            int(one.number("group", 0, MOST_ELEMENTS, 0)),
        )
        for position, one in enumerate(root.items("elements"))
    )  # fmt: skip
    if len({one.index for one in elements}) < len(elements):
        raise ValueError(f"{what}: two elements have one index")
    notes = root.value("notes", dict, {})
    stages = tuple(
        Stage(
            one.text("name"), one.value("kept", bool), one.number("score", 0, 1, 0.0),
            tuple(one.list_of("faults", str)), tuple(one.boxes("boxes")), one.text("words", ""),
        )
        for one in root.items("trace")
    )  # fmt: skip
    return Layout(
        width, height, elements, tuple(root.boxes("rules")), root.text("archetype", "boxes"),
        root.number("score", 0, 1, 0.0), {str(name): _Reader(notes, what).number(name) for name in notes},
        root.text("planner", ""), stages,
    )  # fmt: skip


def request_to_json(request: LayoutRequest) -> str:
    """A request as JSON, without its picture; what has its default is left out."""
    elements = []
    for one in request.elements:
        said: dict[str, Any] = {"role": one.role}
        said |= {"text": one.text} if one.text else {}
        said |= {"box": _sides(one.box)} if one.box else {}
        said |= {"size": [round(side, 2) for side in one.size]} if one.size else {}
        said |= {"fixed": True} if one.fixed else {}
        said |= {"aspect": round(one.aspect, 4)} if one.aspect else {}
        elements.append(said)
    document = {
        "version": VERSION, "width": request.width, "height": request.height, "elements": elements,
        "relations": [[one.first, one.kind, one.second] for one in request.relations],
        "content": [_sides(box) for box in request.content],
        "avoid": [{"kind": thing.kind, "box": _sides(thing.box)} for thing in request.avoid],
        "description": request.description, "align": request.align, "seed": request.seed,
    }  # fmt: skip
    return json.dumps({key: value for key, value in document.items() if value not in ([], "", None)},
                      ensure_ascii=False)  # fmt: skip


def request_from_json(text: str | bytes, what: str = "request") -> LayoutRequest:
    """A request from JSON, checked; ValueError as `layout_from_json` and `LayoutRequest.check`."""
    root = _Reader(read_json(text, what), what)
    elements = []
    for one in root.items("elements"):
        size = one.list_of("size", (int, float)) or None
        if size and (len(size) != 2 or not all(0 < side <= MOST_PIXELS for side in size)):
            raise ValueError(f"{one.what}: size is [width, height] in pixels")
        sides = (float(size[0]), float(size[1])) if size else None
        aspect = one.number("aspect", 0.001, 1000, 0.0) or None
        box = one.box("box") if "box" in one.record else None
        elements.append(
            ElementRequest(one.text("role"), one.text("text", ""), box, sides,
                           one.value("fixed", bool, False), aspect)
        )  # fmt: skip
    relations = []
    for said in root.value("relations", list, []):
        whole = isinstance(said, list) and len(said) == 3 and said[1] in RELATIONS
        if not whole or not all(end is None or type(end) is int for end in said[::2]) or said[0] is None:
            raise ValueError(f"{what}: relation {_shown(said)} is not [first, kind, second]")
        relations.append(Relation(*said))
    avoid = tuple(Obstacle(one.box("box"), one.choice("kind", _OBSTACLES)) for one in root.items("avoid"))
    request = LayoutRequest(
        int(root.number("width", 1, MOST_PIXELS)), int(root.number("height", 1, MOST_PIXELS)), tuple(elements),
        tuple(relations), tuple(root.boxes("content")), avoid, root.text("description", ""),
        root.choice("align", ALIGNS, "") or None, int(root.number("seed", 0, 2**63, 0)),
    )  # fmt: skip
    try:
        request.check()
    except ValueError as error:
        raise ValueError(f"{what}: {error}") from None
    return request


def _sides(box: Box) -> list[float]:
    return [round(float(side), 2) for side in box]


class _Reader:
    """The values of one JSON object; every fault is one line that names the object."""

    def __init__(self, record: object, what: str) -> None:
        if not isinstance(record, dict):
            raise ValueError(f"{what}: is {_shown(record)}, not an object")
        self.record, self.what = record, what

    def value(self, key: str, kind: type[Made], default: Made | None = None) -> Made:
        value = self.record.get(key, default)
        if value is None or not isinstance(value, kind):
            lacks = f"lacks {key!r}" if key not in self.record else f"{key} is {_shown(value)}"
            raise ValueError(f"{self.what}: {lacks}")
        return value

    def text(self, key: str, default: str | None = None) -> str:
        text = self.value(key, str, default)
        if not text and default is None:
            raise ValueError(f"{self.what}: {key} is empty")
        return text

    def number(self, key: str, low: float = -math.inf, high: float = math.inf, default: float | None = None) -> float:
        if key not in self.record and default is not None:
            return default
        value = self.record.get(key)
        if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
            found = f"lacks {key!r}" if value is None else f"{key} is {_shown(value)}"
            span = f", {low:g} to {high:g} is read" if math.isfinite(low + high) else ""
            raise ValueError(f"{self.what}: {found}{span}")
        return float(value)

    def choice(self, key: str, known: Sequence[str], default: str | None = None) -> Any:
        word = self.text(key, default)
        if word not in known and word != default:
            raise ValueError(f"{self.what}: unknown {key} {_shown(word)}; use {', '.join(known)}")
        return word

    def list_of(self, key: str, kind: Any) -> list[Any]:
        found = self.value(key, list, [])
        if not all(isinstance(item, kind) and not isinstance(item, bool) for item in found):
            raise ValueError(f"{self.what}: {key} is {_shown(found)}")
        return found

    def items(self, key: str) -> list[_Reader]:
        found = self.value(key, list, [])
        if len(found) > MOST_ELEMENTS:
            raise ValueError(f"{self.what}: {len(found)} {key}; at most {MOST_ELEMENTS} are read")
        return [_Reader(item, f"{self.what}: {key} {number}") for number, item in enumerate(found, 1)]

    def box(self, key: str) -> Box:
        return _box(self.value(key, list), f"{self.what}: {key}")

    def boxes(self, key: str) -> list[Box]:
        return [_box(item, f"{self.what}: {key} {number}") for number, item in enumerate(self.value(key, list, []), 1)]


def _box(sides: Any, what: str) -> Box:
    numbers = isinstance(sides, list) and len(sides) == 4
    if not numbers or any(isinstance(side, bool) or not isinstance(side, int | float) for side in sides):
        raise ValueError(f"{what} is {_shown(sides)}, not [x0, y0, x1, y1] in pixels")
    box = Box(*(float(side) for side in sides))
    if not (box.x0 <= box.x1 and box.y0 <= box.y1) or any(abs(side) > MOST_PIXELS for side in box):
        raise ValueError(f"{what} {_shown(sides)} is no box: x0, y0, x1, y1 from the top left in pixels")
    return box


def _shown(value: object) -> str:
    return one_line(json.dumps(value, ensure_ascii=False, default=str), 60)
