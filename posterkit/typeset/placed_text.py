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
    """One text of a brief as it stands on the poster.

    Attributes:
        text: as the brief says it.
        role: title, subtitle, body or cta.
        box: `x0, y0, x1, y1` of its ink in pixels from the top left.
        font: family of the face that sets most of it.
        size: font size in pixels.
        color: sRGB 0..255.
        lines: the text as it is broken.
        contrast: WCAG contrast against the worst of the pixels behind it (1st percentile).
        button: the filled shape under a call to action, and its colour.
        align: which side of its lines stands in one line.
    """

    text: str
    role: Role
    box: Box
    font: str
    size: float
    color: tuple[int, int, int]
    lines: tuple[str, ...]
    contrast: float
    placed_lines: tuple[PlacedLine, ...]
    button: Box | None = None
    button_color: tuple[int, int, int] = (0, 0, 0)
    group: int = 0
    align: Align = "center"

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
    """What a picture is made of; laid over each other its parts are the picture.

    Attributes:
        ground: RGB, what lies under the cut-outs.
        cutouts: a name, and RGBA of the picture's size, bottom first.
        kept: mode L, 255 where a photograph's own pixels stand; None where none do.
    """

    ground: Image.Image
    cutouts: tuple[tuple[str, Image.Image], ...] = ()
    kept: Image.Image | None = None


@dataclass(frozen=True)
class Composition:
    """A picture with its texts set.

    Attributes:
        image: RGB, the size of the picture that came in.
        background: the same without texts, buttons and rules, but with any underlay.
        boxes: the texts in the brief's order.
        rules: thin rectangles with their colours.
        layout: what the planner decided, on the poster once it is cut.
        style: the typographic pairing.
        picture: the picture alone; `background` where there is no underlay.
        underlays: what lies between `picture` and `background`, bottom first.
        sheet: how it is printed and cut; None for a poster of the screen.
        parts: what the picture is made of; None where it is one piece.
        graphics: logos and codes on the background, under the texts.
    """

    image: Image.Image
    background: Image.Image
    boxes: list[PlacedText]
    rules: list[tuple[Box, tuple[int, int, int]]]
    layout: Layout
    style: str
    picture: Image.Image
    underlays: list[Underlay]
    sheet: Sheet | None = None
    parts: PictureParts | None = None
    graphics: tuple[PlacedGraphic, ...] = ()
