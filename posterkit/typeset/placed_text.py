"""A composition: a picture, its texts in their final places and rules, to be written as pixels, SVG, PDF or PSD."""

from __future__ import annotations

from dataclasses import dataclass, replace

from PIL import Image

from posterkit.layout import Box, Layout, Role
from posterkit.lettering import Align
from posterkit.paper import Sheet
from posterkit.typeset.graphics import PlacedGraphic
from posterkit.typeset.shaping import ShapedLine

Underlay = tuple[Image.Image, tuple[int, int, int]]  # coverage as mode L, and colour


@dataclass(frozen=True)
class PlacedLine:
    """A line whose origin lies at `x`, `baseline`, in pixels from the top left."""

    line: ShapedLine
    x: float
    baseline: float


@dataclass(frozen=True)
class PlacedText:
    """One text of a brief as it stands on the poster."""

    text: str  # as the brief says it
    role: Role  # title, subtitle, body or cta
    box: Box  # `x0, y0, x1, y1` of its ink in pixels from the top left
    font: str  # family of the face that sets most of it
    size: float  # font size in pixels
    color: tuple[int, int, int]  # sRGB 0..255
    lines: tuple[str, ...]  # the text as it is broken
    contrast: float  # WCAG contrast against the worst of the pixels behind it (1st percentile)
    placed_lines: tuple[PlacedLine, ...]
    button: Box | None = None  # the filled shape under a call to action, and its colour
    button_color: tuple[int, int, int] = (0, 0, 0)
    group: int = 0
    align: Align = "center"  # which side of its lines stands in one line

    def moved(self, x: float, y: float) -> PlacedText:
        """The same text elsewhere."""
        lines = tuple(PlacedLine(at.line, at.x + x, at.baseline + y) for at in self.placed_lines)
        button = self.button.moved(x, y) if self.button else None
        return replace(self, box=self.box.moved(x, y), placed_lines=lines, button=button)

    def line_boxes(self) -> list[Box]:
        """The ink of each line, a little grown: the pixels that a reader sees the letters against."""
        return [
            Box(
                at.x + at.line.left * self.size,
                at.baseline - max(at.line.top, 0.5) * self.size,
                at.x + at.line.right * self.size,
                at.baseline + at.line.bottom * self.size,
            ).grown(0.06 * self.size)
            for at in self.placed_lines
        ]


@dataclass(frozen=True)
class PictureParts:
    """What a picture is made of; laid over each other its parts are the picture."""

    ground: Image.Image  # RGB, what lies under the cut-outs
    cutouts: tuple[tuple[str, Image.Image], ...] = ()  # a name, and RGBA of the picture's size, bottom first
    kept: Image.Image | None = None  # mode L, 255 where a photograph's own pixels stand; None where none do


@dataclass(frozen=True)
class Composition:
    """A picture with its texts set."""

    image: Image.Image  # RGB, the size of the picture that came in
    background: Image.Image  # the same without texts, buttons and rules, but with any underlay
    boxes: list[PlacedText]  # the texts in the brief's order
    rules: list[tuple[Box, tuple[int, int, int]]]  # thin rectangles with their colours
    layout: Layout  # what the planner decided, on the poster once it is cut
    style: str  # the typographic pairing
    picture: Image.Image  # the picture alone; `background` where there is no underlay
    underlays: list[Underlay]  # what lies between `picture` and `background`, bottom first
    sheet: Sheet | None = None  # how it is printed and cut; None for a poster of the screen
    parts: PictureParts | None = None  # what the picture is made of; None where it is one piece
    graphics: tuple[PlacedGraphic, ...] = ()  # logos and codes on the background, under the texts
