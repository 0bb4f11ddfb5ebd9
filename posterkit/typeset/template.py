"""A plan as a picture: its texts in real fonts, a block for everything else; it can be layout_driven's reference."""

from __future__ import annotations

from PIL import Image, ImageDraw

from posterkit.layout import Layout
from posterkit.prompts import PosterBrief
from posterkit.typeset.poster import typeset

_GROUND = (250, 250, 247)
_BLOCKS = {"subject": (176, 176, 176), "image": (196, 196, 196), "underlay": (226, 226, 226)}
_OTHER = (150, 150, 150)


def template_picture(plan: Layout, style: str | None = None) -> Image.Image:
    """RGB, of the plan's size; ValueError where a text cannot be set.

    Args:
        style: a pairing of faces, one of `posterkit.lettering.STYLES`.
    """
    image = Image.new("RGB", plan.size, _GROUND)
    pen = ImageDraw.Draw(image)
    for one in sorted(plan.things, key=lambda one: -one.box.area):
        x0, y0, x1, y1 = (round(side) for side in one.box)
        radius = round(0.02 * min(plan.size))
        pen.rounded_rectangle((x0, y0, max(x0, x1 - 1), max(y0, y1 - 1)), radius, fill=_BLOCKS.get(one.role, _OTHER))
    if not plan.texts:
        return image
    return typeset(image, PosterBrief(texts=[one.text for one in plan.texts]), style=style, plan=plan).image.convert(
        "RGB"
    )
