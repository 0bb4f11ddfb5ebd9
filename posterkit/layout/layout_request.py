"""What a planner is asked for: one type for every layout task."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, get_args

from PIL import Image

from posterkit.layout.roles import roles_of
from posterkit.layout.types import Box, Layout, Obstacle
from posterkit.lettering import ALIGNS, ROLES, Align

Task = Literal["gen-t", "gen-ts", "gen-r", "completion", "refinement", "content-aware", "text-to-layout"]
TASKS: tuple[Task, ...] = get_args(Task)
RelationKind = Literal["smaller", "equal", "larger", "top", "bottom", "left", "right", "center"]
RELATIONS: tuple[RelationKind, ...] = get_args(RelationKind)
MOST_ELEMENTS = 100
MOST_PIXELS = 100_000  # a side


@dataclass(frozen=True)
class ElementRequest:
    """One element that a layout must have.

    Attributes:
        role: one of `posterkit.lettering.ROLES` for a text, else one of `posterkit.layout.types.THINGS` or a data
            set's own label.
        text: what a text says.
        box: where it stands already, in pixels: a fixed place, or one to be refined.
        size: width and height in pixels, where they are given and the place is not.
        fixed: the box must stay.
        aspect: width through height, where a thing has a shape of its own.
    """

    role: str
    text: str = ""
    box: Box | None = None
    size: tuple[float, float] | None = None
    fixed: bool = False
    aspect: float | None = None

    @property
    def is_text(self) -> bool:
        return self.role in ROLES


@dataclass(frozen=True)
class Relation:
    """How an element is to another one, or to the canvas: "the first is above (top) the second".

    Attributes:
        first, second: indices of elements; second None is the canvas, in thirds (top, center, bottom).
        kind: of size (equal within 10 % of the area) or of place.
    """

    first: int
    kind: RelationKind
    second: int | None = None

    def holds(self, boxes: Sequence[Box], height: float) -> bool:
        """Whether it holds for boxes on a canvas of a height in pixels."""
        a = boxes[self.first]
        if self.second is None:
            third = 3 * (a.y0 + a.y1) / 2 / height
            return self.kind == ("top" if third < 1 else "center" if third < 2 else "bottom")
        b = boxes[self.second]
        if self.kind in ("smaller", "equal", "larger"):
            ratio = a.area / max(b.area, 1e-9)
            return self.kind == ("smaller" if ratio < 0.9 else "larger" if ratio > 1.1 else "equal")
        if a.y1 <= b.y0:
            return self.kind == "top"
        if a.y0 >= b.y1:
            return self.kind == "bottom"
        return self.kind == ("left" if a.x1 <= b.x0 else "right" if a.x0 >= b.x1 else "center")


@dataclass(frozen=True)
class LayoutRequest:
    """A layout to plan; which fields are filled says which task it is.

        LayoutRequest.of_texts((832, 1216), ["JAZZ NIGHT", "Friday 8 pm"], picture=photo)

    Attributes:
        width, height: of the canvas in pixels.
        elements: what must stand on it; texts first, in reading order.
        relations: what must hold between them.
        content: boxes of what is worth seeing on the picture, where there is no picture.
        avoid: what no text shall cover, as long as there is another place.
        picture: RGB, what the texts stand on.
        description: the poster in words.
        align: of all texts; None leaves it to the planner.
        seed: of planners that draw lots.
    """

    width: int
    height: int
    elements: tuple[ElementRequest, ...]
    relations: tuple[Relation, ...] = ()
    content: tuple[Box, ...] = ()
    avoid: tuple[Obstacle, ...] = ()
    description: str = ""
    align: Align | None = None
    seed: int = 0
    picture: Image.Image | None = field(default=None, compare=False, repr=False)

    @classmethod
    def of_texts(
        cls,
        size: tuple[int, int],
        texts: Sequence[str],
        roles: Sequence[str] | None = None,
        things: Sequence[ElementRequest] = (),
        **fields,
    ) -> LayoutRequest:
        """A request for a brief's texts.

        Args:
            roles: one per text; inferred where not given.
            things: what must stand beside the texts.
            fields: the request's other ones.

        Raises:
            ValueError: there are no texts, one is blank, or a role is unknown.
        """
        assigned = roles_of(texts, roles)
        elements = (ElementRequest(role, text) for role, text in zip(assigned, texts, strict=True))
        return cls(*size, (*elements, *things), **fields)

    @classmethod
    def refining(cls, layout: Layout, **fields) -> LayoutRequest:
        """A request to refine a layout: its elements, each with its box."""
        elements = (ElementRequest(one.role, one.text, one.box) for one in layout)
        return cls(layout.width, layout.height, tuple(elements), **fields)

    @property
    def size(self) -> tuple[int, int]:
        return self.width, self.height

    @property
    def texts(self) -> tuple[str, ...]:
        return tuple(one.text for one in self.elements if one.is_text)

    @property
    def task(self) -> Task:
        """Which of the field's tasks this is; a picture or its content counts for more than what else is given."""
        boxes = [one.box for one in self.elements]
        if self.elements and all(boxes) and not any(one.fixed for one in self.elements):
            return "refinement"
        if any(boxes):
            return "completion"
        if self.picture is not None or self.content:
            return "content-aware"
        if self.relations:
            return "gen-r"
        if any(one.size for one in self.elements):
            return "gen-ts"
        return "text-to-layout" if self.description else "gen-t"

    def check(self) -> None:
        """ValueError where the request contradicts itself: everything that is wrong in one line."""
        faults = []
        if not (1 <= self.width <= MOST_PIXELS and 1 <= self.height <= MOST_PIXELS):
            faults.append(f"the canvas is {self.width}x{self.height}; sides of 1 to {MOST_PIXELS} pixels are planned")
        if not 1 <= len(self.elements) <= MOST_ELEMENTS:
            faults.append(f"{len(self.elements)} elements are asked for; 1 to {MOST_ELEMENTS} are planned")
        if self.align not in (None, *ALIGNS):
            faults.append(f"unknown align {self.align!r}; use {', '.join(ALIGNS)}")
        for number, one in enumerate(self.elements, 1):
            if one.fixed and one.box is None:
                faults.append(f"element {number} is fixed, and has no box")
            if one.is_text and not one.text.strip():
                faults.append(f"element {number} is a {one.role} without a text")
            for box in filter(None, (one.box,)):
                inside = 0 <= box.x0 < box.x1 <= self.width and 0 <= box.y0 < box.y1 <= self.height
                if one.fixed and not inside:
                    sides = ", ".join(f"{side:.0f}" for side in box)
                    faults.append(f"element {number} is fixed at ({sides}), which is not on the canvas")
        for number, relation in enumerate(self.relations, 1):
            ends = [relation.first, *([] if relation.second is None else [relation.second])]
            if not all(0 <= end < len(self.elements) for end in ends) or len(set(ends)) < len(ends):
                faults.append(f"relation {number} names elements {ends}; there are 0 to {len(self.elements) - 1}")
            elif relation.second is None and relation.kind not in ("top", "center", "bottom"):
                faults.append(f"relation {number} is {relation.kind!r} to the canvas; use top, center or bottom")
        faults += _contradictions(self.relations)
        if faults:
            raise ValueError("; ".join(faults))


def _contradictions(relations: Sequence[Relation]) -> list[str]:
    """Pairs of relations that cannot both hold."""
    mirror = {"smaller": "larger", "larger": "smaller", "equal": "equal", "top": "bottom", "bottom": "top",
              "left": "right", "right": "left", "center": "center"}  # fmt: skip
    seen: dict[tuple, tuple[int, str]] = {}
    faults = []
    for number, one in enumerate(relations, 1):
        first, kind, second = one.first, one.kind, one.second
        if second is not None and second < first:
            first, kind, second = second, mirror[kind], first
        about = first, second, kind in ("smaller", "equal", "larger")
        if about in seen and seen[about][1] != kind:
            faults.append(f"relations {seen[about][0]} and {number} contradict each other")
        seen.setdefault(about, (number, kind))
    return faults
