"""Photoshop documents: pixels in layers, and texts that stay texts."""

from __future__ import annotations

import io
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from PIL import Image

from posterkit.typeset.export_options import ExportOptions
from posterkit.typeset.pdf import dots_per_inch
from posterkit.typeset.placed_text import Composition, PlacedText
from posterkit.typeset.psd_type import TypeColumn, type_columns, type_setting
from posterkit.typeset.raster import masks
from posterkit.typeset.xmp import packet

_LONGEST = 60  # letters of a text in its layer's name
_GUIDE = 32  # parts of a pixel in which guides are counted


@dataclass(frozen=True)
class PixelPart:
    """One layer over the picture: what it covers in which colour, and the text that it is, if it is one."""

    name: str
    color: tuple[int, int, int]
    mask: Image.Image  # mode L
    at: tuple[int, int]  # its left and top edge
    text: tuple[PlacedText, TypeColumn] | None = None


def to_psd(poster: Composition, options: ExportOptions) -> bytes:
    """The picture in its parts, then underlays, rules, buttons and live texts, each a layer.

    The merged picture is the poster's raster, and so are the layers laid over each other, within one level.

    Args:
        options: its notes go into the XMP packet.
    """
    from psd_tools import PSDImage
    from psd_tools.api.layers import PixelLayer
    from psd_tools.psd.image_resources import ImageResource

    document = PSDImage.frompil(poster.image)
    _add_picture(document, poster)
    for mask, color in poster.underlays:
        add_part(document, PixelPart("underlay", color, mask, (0, 0)))
    for one in poster.graphics:
        name = f"{one.role}: {one.says}"[:_LONGEST]
        at = round(one.box.x0), round(one.box.y0)
        PixelLayer.fromarray(np.asarray(one.image()), document, "graphic", at[1], at[0]).name = name
    for part in _parts(poster):
        add_part(document, part)
    for key, data in _resources(poster, options).items():
        document.image_resources[key] = ImageResource(key=key, data=data)
    file = io.BytesIO()
    document._record.write(file)  # `save` would draw the merged picture anew from the layers
    return file.getvalue()


def add_part(document: Any, part: PixelPart) -> Any:
    """Lay a part over the other layers; the layer, or None where the part covers nothing."""
    from psd_tools.api.layers import PixelLayer
    from psd_tools.constants import Tag

    if (inked := part.mask.getbbox()) is None:
        return None
    alpha = np.asarray(part.mask.crop(inked))[..., None]
    pixels = np.concatenate([np.full((*alpha.shape[:2], 3), part.color, np.uint8), alpha], axis=2)
    layer = PixelLayer.fromarray(pixels, document, "text", part.at[1] + inked[1], part.at[0] + inked[0])
    layer.name = part.name  # in Unicode
    if part.text is not None:
        layer._record.tagged_blocks.set_data(Tag.TYPE_TOOL_OBJECT_SETTING, **type_setting(*part.text))
    return layer


def text_parts(placed: PlacedText, size: tuple[int, int]) -> list[PixelPart]:
    """The layers of a text on a canvas of this size, bottom first: its button, then its words."""
    words = " ".join(placed.text.split())[:_LONGEST]
    parts = []
    if placed.button is not None:
        parts.append(PixelPart(f"button: {words}", *masks(placed, size)[0]))
    for column in type_columns(placed):
        lines = tuple(at for at in column.lines if at is not None)
        (own,) = masks(replace(placed, placed_lines=lines, button=None), size)
        parts.append(PixelPart(f"{placed.role}: {words}", *own, (placed, column)))
    return parts


def _add_picture(document: Any, poster: Composition) -> None:
    """The picture as one layer, or its ground, its kept pixels under their mask, and its cut-outs."""
    from psd_tools.api.layers import PixelLayer

    parts = poster.parts
    PixelLayer.frompil(parts.ground if parts else poster.picture, document, "picture")
    if parts is None:
        return
    if parts.kept is not None and (box := parts.kept.getbbox()):
        own = PixelLayer.frompil(parts.ground.crop(box), document, "kept pixels", box[1], box[0])
        own.create_mask(parts.kept.crop(box))
    for name, image in parts.cutouts:
        if box := image.getchannel("A").getbbox():
            PixelLayer.fromarray(np.asarray(image.crop(box)), document, name, box[1], box[0])


def _resources(poster: Composition, options: ExportOptions) -> dict[Any, bytes]:
    """Resolution, guides at the cut and round the safe area, and what the file says of itself."""
    from psd_tools.constants import Resource
    from psd_tools.psd.image_resources import GridGuidesInfo, ResoulutionInfo

    inch = dots_per_inch(poster, options) << 16  # in 1/65536, then: pixels an inch, shown in centimetres
    found = {Resource.RESOLUTION_INFO: ResoulutionInfo(inch, 1, 2, inch, 1, 2).tobytes()}
    if sheet := poster.sheet:
        edges = {edge for edge in (sheet.bleed_pixels, sheet.bleed_pixels + sheet.safe_pixels) if edge}
        guides = [
            (_GUIDE * place, direction)  # 0 is upright, 1 level
            for direction, side in enumerate(poster.image.size)
            for edge in sorted(edges)
            for place in (edge, side - edge)
        ]
        grid = 576  # eighteen points, as Photoshop begins with
        found[Resource.GRID_AND_GUIDES_INFO] = GridGuidesInfo(1, grid, grid, guides).tobytes()
    if options.notes:
        found[Resource.XMP_METADATA] = packet(options.notes, poster.image)
    return found


def _parts(poster: Composition) -> list[PixelPart]:
    """The layers of rules, buttons and texts, bottom first."""
    parts = []
    for rule, color in poster.rules:
        x0, y0, x1, y1 = rule.pixels(poster.image.size)
        parts.append(PixelPart("rule", color, Image.new("L", (x1 - x0, y1 - y0), 255), (x0, y0)))
    for placed in poster.boxes:
        parts += text_parts(placed, poster.image.size)
    return parts
