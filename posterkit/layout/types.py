"""Types of a layout: boxes, roles, placed elements, rules. Pixels from the top left, half open."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Literal, NamedTuple, Protocol

from posterkit.lettering import ROLES, Align, Role

THINGS = ("subject", "logo", "underlay", "image", "decoration")  # roles of what is no text


class Box(NamedTuple):
    """A rectangle `x0, y0, x1, y1` in pixels from the top left; x1 and y1 lie just outside."""

    x0: float
    y0: float
    x1: float
    y1: float

    @property
    def width(self) -> float:
        return self.x1 - self.x0

    @property
    def height(self) -> float:
        return self.y1 - self.y0

    def moved(self, dx: float, dy: float) -> Box:
        return Box(self.x0 + dx, self.y0 + dy, self.x1 + dx, self.y1 + dy)

    def grown(self, by: float) -> Box:
        return Box(self.x0 - by, self.y0 - by, self.x1 + by, self.y1 + by)

    def holds(self, other: Box, loose: float = 1.0) -> bool:
        """Whether another box lies in it, give or take `loose` pixels."""
        grown = self.grown(loose)
        inside = grown.x0 <= other.x0 and grown.y0 <= other.y0
        return inside and other.x1 <= grown.x1 and other.y1 <= grown.y1

    @property
    def area(self) -> float:
        return max(0.0, self.width) * max(0.0, self.height)

    def shared(self, other: Box) -> float:
        """The area that both cover, in square pixels."""
        wide, high = min(self.x1, other.x1) - max(self.x0, other.x0), min(self.y1, other.y1) - max(self.y0, other.y0)
        return max(0.0, wide) * max(0.0, high)

    def scaled(self, x: float, y: float) -> Box:
        return Box(self.x0 * x, self.y0 * y, self.x1 * x, self.y1 * y)

    def overlaps(self, other: Box) -> bool:
        return self.x0 < other.x1 and other.x0 < self.x1 and self.y0 < other.y1 and other.y0 < self.y1

    def pixels(self, size: tuple[int, int]) -> tuple[int, int, int, int]:
        """Whole pixels that the box touches, cut to a canvas of `size` (width, height)."""
        x0, y0 = max(0, int(self.x0)), max(0, int(self.y0))
        return x0, y0, min(size[0], max(x0 + 1, -int(-self.x1 // 1))), min(size[1], max(y0 + 1, -int(-self.y1 // 1)))


@dataclass(frozen=True)
class Measured:
    """How large a text is once set: `size` is the font size, all in pixels; `width` and `height` are of its ink."""

    size: float
    width: float
    height: float
    lines: int


class Measurer(Protocol):
    """Sets a text as large as fits into `width` x `height` pixels, but at most `size`; None if it cannot fit."""

    def __call__(self, text: str, role: Role, width: float, height: float, size: float) -> Measured | None: ...


@dataclass(frozen=True)
class Element:
    """One text or thing with its place."""

    index: int  # which of the request's elements it is; a brief's texts come first, in their order
    text: str  # empty for things
    role: str  # one of `posterkit.lettering.ROLES` for a text, else one of `THINGS` or a data set's own label
    box: Box
    align: Align = "center"
    size: float = float("inf")  # the largest font size in pixels, if the box is large enough for it
    group: int = 0  # texts of one group stand together and share a colour

    @property
    def is_text(self) -> bool:
        return self.role in ROLES


@dataclass(frozen=True)
class Obstacle:
    """What texts must not cover: a face, lettering of the picture, a logo or code; or better not: its subject."""

    box: Box
    kind: Literal["face", "lettering", "subject", "graphic"]


@dataclass(frozen=True)
class Stage:
    """One step of a planner that plans in steps."""

    name: str  # of the step
    kept: bool  # its result was taken; else the layout before it stayed
    score: float = 0.0  # of its result, in [0, 1]
    faults: tuple[str, ...] = ()  # what was wrong with its result, a line each
    boxes: tuple[Box, ...] = ()  # of its result, one per element; empty where there was none
    words: str = ""  # what the model said of it, or why there is no result


@dataclass(frozen=True)
class Layout:
    """Where everything stands on a canvas of `width` x `height` pixels."""

    width: int
    height: int
    elements: tuple[Element, ...]  # one per text and thing, texts in reading order
    rules: tuple[Box, ...] = ()  # thin filled rectangles, drawn in the text's colour
    archetype: str = "boxes"  # which arrangement it follows
    score: float = 0.0  # in [0, 1], larger is better; comparable between layouts of one planner for one picture
    notes: dict[str, float] = field(default_factory=dict)  # the score's terms
    planner: str = ""  # who made it
    trace: tuple[Stage, ...] = ()  # the planner's steps

    def __iter__(self) -> Iterator[Element]:
        return iter(self.elements)

    @property
    def size(self) -> tuple[int, int]:
        return self.width, self.height

    @property
    def texts(self) -> tuple[Element, ...]:
        return tuple(element for element in self.elements if element.is_text)

    @property
    def things(self) -> tuple[Element, ...]:
        return tuple(element for element in self.elements if not element.is_text)

    @property
    def margin(self) -> float:
        """The margin that the archetypes keep free on every side, in pixels."""
        return margin_of(self.width, self.height)

    def scaled_to(self, width: int, height: int) -> Layout:
        """The same layout on another canvas; boxes follow its sides, type sizes the smaller of the two scales."""
        if (width, height) == self.size:
            return self
        x, y = width / self.width, height / self.height
        elements = (replace(one, box=one.box.scaled(x, y), size=one.size * min(x, y)) for one in self.elements)
        rules = tuple(rule.scaled(x, y) for rule in self.rules)
        stages = (replace(stage, boxes=tuple(box.scaled(x, y) for box in stage.boxes)) for stage in self.trace)
        return replace(self, width=width, height=height, elements=tuple(elements), rules=rules, trace=tuple(stages))

    def framed(self, width: int, height: int, x: float, y: float) -> Layout:
        """The same layout as part of a larger canvas, its top left corner at `x`, `y`."""
        elements = tuple(replace(one, box=one.box.moved(x, y)) for one in self.elements)
        rules = tuple(rule.moved(x, y) for rule in self.rules)
        return replace(self, width=width, height=height, elements=elements, rules=rules, trace=())


def margin_of(width: int, height: int) -> float:
    """7 % of the short side, in pixels."""
    return 0.07 * min(width, height)


def legible_size(width: int, height: int) -> float:
    """The smallest font size in pixels that still reads on such a poster: 1.6 % of the short side, at least 8."""
    return max(8.0, 0.016 * min(width, height))


def side_of(size: tuple[int, int]) -> float:
    """What type sizes follow, in pixels: the short side, and more on banners, whose height says little."""
    return max(min(size), 0.8 * (size[0] * size[1]) ** 0.5)
