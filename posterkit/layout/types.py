"""Types of a layout: boxes, roles, placed texts, rules. Pixels from the top left, half open."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, Protocol

from posterkit.lettering import Align, Role


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
    """One text with its place.

    Attributes:
        index: which of the brief's texts it is.
        size: the largest font size in pixels; the text is set at the largest size up to it that fits the box.
        group: texts of one group stand together and share a colour.
    """

    index: int
    text: str
    role: Role
    box: Box
    align: Align = "center"
    size: float = float("inf")
    group: int = 0


@dataclass(frozen=True)
class Obstacle:
    """What of a picture texts must not cover: a face, lettering that it has already, or better not: its subject."""

    box: Box
    kind: Literal["face", "lettering", "subject"]


@dataclass(frozen=True)
class Layout:
    """Where everything stands on a canvas of `width` x `height` pixels.

    Attributes:
        elements: one per text, in reading order.
        rules: thin filled rectangles, drawn in the text's colour.
        archetype: which arrangement it follows.
        score: in [0, 1], larger is better; comparable between archetypes for one picture.
    """

    width: int
    height: int
    elements: tuple[Element, ...]
    rules: tuple[Box, ...] = ()
    archetype: str = "boxes"
    score: float = 0.0
    notes: dict[str, float] = field(default_factory=dict)

    def __iter__(self) -> Iterator[Element]:
        return iter(self.elements)

    @property
    def margin(self) -> float:
        """The margin that the archetypes keep free on every side, in pixels."""
        return margin_of(self.width, self.height)


def margin_of(width: int, height: int) -> float:
    """7 % of the short side, in pixels."""
    return 0.07 * min(width, height)


def legible_size(width: int, height: int) -> float:
    """The smallest font size in pixels that still reads on such a poster: 1.6 % of the short side, at least 8."""
    return max(8.0, 0.016 * min(width, height))
