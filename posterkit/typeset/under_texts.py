"""What lies under a PNG poster's texts, kept in the file, so that other words can take their place."""

from __future__ import annotations

import io
import struct

import numpy as np
from PIL import Image

from posterkit.image_io import open_image
from posterkit.typeset.graphics import draw_graphics
from posterkit.typeset.placed_text import Composition

UNDER = b"pkUT"  # a PNG chunk: ancillary, private, gone once another program has changed the pixels
_HEAD = struct.Struct(">2I")  # its left and top edge


def under_texts(poster: Composition) -> bytes | None:
    """The pixels under the texts and buttons, transparent elsewhere; None where there are no texts."""
    ground = ground_of(poster)
    there, drawn = np.asarray(ground), np.asarray(poster.image.convert("RGB"))
    differs = (there != drawn).any(axis=2)
    rows, columns = differs.any(axis=1).nonzero()[0], differs.any(axis=0).nonzero()[0]
    if not len(rows):
        return None
    y0, y1, x0, x1 = rows[0], rows[-1] + 1, columns[0], columns[-1] + 1
    part = differs[y0:y1, x0:x1, None]
    pixels = np.concatenate([np.where(part, there[y0:y1, x0:x1], 0), 255 * part], axis=2).astype(np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG", compress_level=6)
    return _HEAD.pack(int(x0), int(y0)) + stream.getvalue()


def ground_of(poster: Composition) -> Image.Image:
    """All of a poster but its texts and their buttons."""
    ground = poster.background.convert("RGB").copy()
    draw_graphics(ground, poster.graphics)
    for rule, color in poster.rules:
        ground.paste(color, rule.pixels(ground.size))
    return ground


def without_texts(image: Image.Image, under: bytes, name: str) -> Image.Image:
    """A poster's picture as `ground_of` it was.

    Args:
        image: RGB, as the file has it.
        under: the content of its chunk.

    Raises:
        ValueError: the chunk is damaged, or belongs to another picture.
    """
    with open_image(under[_HEAD.size :], name=name, formats=("PNG",)) as part:
        part.load()
        patch = part.convert("RGBA")
    x, y = _HEAD.unpack(under[: _HEAD.size])
    if x + patch.width > image.width or y + patch.height > image.height:
        raise ValueError(f"{name}: what it keeps from under its texts belongs to another picture")
    ground = image.copy()
    ground.paste(patch, (x, y), patch)
    return ground
