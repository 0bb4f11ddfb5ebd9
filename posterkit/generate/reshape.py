"""A picture in another shape: empty ground is cut, edges go on."""

# pyright: standard
from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image

from posterkit.metrics.fidelity import edge_replication
from posterkit.schema import Box
from posterkit.sizing import Size

_MARGIN = 0.05  # around what a picture shows, as a share of its shorter side


def window_of(picture: tuple[int, int], aspect: float, blocks: Sequence[tuple[int, ...]]) -> Box:
    """The part of a picture in the wanted shape that holds all blocks, as much of the picture as can be.

    It has another shape where the picture is too small for it.

    Args:
        aspect: wanted width over height.
        blocks: boxes of what stays whole, in pixels; at least one.
    """
    width, height = picture
    left, top, right, bottom = zip(*blocks, strict=True)
    x0, y0, x1, y1 = min(left), min(top), max(right), max(bottom)
    margin = round(_MARGIN * min(width, height))
    wide = min(width, max(round(height * aspect), x1 - x0 + 2 * margin))
    high = min(height, max(round(width / aspect), y1 - y0 + 2 * margin))
    x = min(max(0, (x0 + x1 - wide) // 2), width - wide)
    y = min(max(0, (y0 + y1 - high) // 2), height - high)
    return x, y, x + wide, y + high


def continued(part: Image.Image, size: Size) -> Image.Image:
    """A picture in the middle of a larger one, whose edges go on to its borders; mode RGB."""
    canvas = np.zeros((size.height, size.width, 3), np.uint8)
    made = np.ones(canvas.shape[:2], bool)
    x, y = (size.width - part.width) // 2, (size.height - part.height) // 2
    where = np.s_[y : y + part.height, x : x + part.width]
    canvas[where], made[where] = np.asarray(part.convert("RGB")), False
    return Image.fromarray(edge_replication(canvas, made) if made.any() else canvas)
