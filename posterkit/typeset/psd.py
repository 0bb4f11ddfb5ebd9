"""Photoshop documents in layers of pixels."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from posterkit.typeset.export_options import ExportOptions
from posterkit.typeset.pdf import dots_per_inch
from posterkit.typeset.placed_text import Composition
from posterkit.typeset.raster import masks
from posterkit.typeset.xmp import packet

_LONGEST = 60  # letters of a text in its layer's name
_Layer = tuple[str, tuple[int, int, int], Image.Image, tuple[int, int]]


def to_psd(poster: Composition, options: ExportOptions) -> bytes:
    """The picture, then underlays, rules, buttons and texts, each a layer; the merged picture is the poster's raster.

    Args:
        options: its notes go into the XMP packet.
    """
    from psd_tools import PSDImage
    from psd_tools.api.layers import PixelLayer
    from psd_tools.constants import Resource
    from psd_tools.psd.image_resources import ImageResource, ResoulutionInfo

    document = PSDImage.frompil(poster.image)
    PixelLayer.frompil(poster.picture, document, "picture")
    for name, color, mask, (left, top) in _layers(poster):
        if (inked := mask.getbbox()) is None:
            continue
        alpha = np.asarray(mask.crop(inked))[..., None]
        pixels = np.concatenate([np.full((*alpha.shape[:2], 3), color, np.uint8), alpha], axis=2)
        layer = PixelLayer.fromarray(pixels, document, "text", top + inked[1], left + inked[0])
        layer.name = name  # in Unicode
    inch = dots_per_inch(poster, options) << 16  # in 1/65536, then: pixels an inch, shown in centimetres
    resources = {Resource.RESOLUTION_INFO: ResoulutionInfo(inch, 1, 2, inch, 1, 2).tobytes()}
    if notes := options.notes:
        resources[Resource.XMP_METADATA] = packet(notes, poster.image)
    for key, data in resources.items():
        document.image_resources[key] = ImageResource(key=key, data=data)
    file = io.BytesIO()
    document._record.write(file)  # `save` would draw the merged picture anew from the layers
    return file.getvalue()


def _layers(poster: Composition) -> list[_Layer]:
    """Name, colour, coverage as mode L, left and top edge of each layer over the picture, bottom first."""
    layers: list[_Layer] = [("underlay", color, mask, (0, 0)) for mask, color in poster.underlays]
    for rule, color in poster.rules:
        x0, y0, x1, y1 = rule.pixels(poster.image.size)
        layers.append(("rule", color, Image.new("L", (x1 - x0, y1 - y0), 255), (x0, y0)))
    for placed in poster.boxes:
        words = " ".join(placed.text.split())[:_LONGEST]
        painted = masks(placed, poster.image.size)
        for kind, one in zip(("button", placed.role)[-len(painted) :], painted, strict=True):
            layers.append((f"{kind}: {words}", *one))
    return layers
