"""How a picture is drawn: flat, in gradients, outlined or in halftone dots."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from posterkit.metrics.color import srgb_to_lab

DrawingStyle = Literal["flat", "gradient", "outlined", "halftone"]

_SIDE = 256  # pixels of the shorter side that lines and dots are looked for at
_OUTLINED = 0.3  # share of the edges that a thin dark line runs along
_DOTS = 60  # specks of a dot's size
_SLOPE = 0.05  # share of the areas' insides where colour changes slowly


def drawing_style(image: NDArray[np.uint8]) -> DrawingStyle:
    """The style that a picture `(H, W, 3)` is drawn in, by its edges, its specks and its slopes.

    Outlines and dots are told reliably; flat art with a glow passes for a gradient.
    """
    picture = Image.fromarray(image)
    scale = _SIDE / min(picture.size)
    small = picture.resize([round(side * scale) for side in picture.size], Image.Resampling.BOX)
    lab = srgb_to_lab(np.asarray(small))
    light = lab[..., 0]
    steps = sum(ndimage.gaussian_gradient_magnitude(lab[..., channel], 1) ** 2 for channel in range(3)) ** 0.5
    edges = steps > 8
    lines = (ndimage.grey_closing(light, 5) - light > 12) & (light < 38)
    beside = np.asarray(ndimage.binary_dilation(lines, iterations=2), dtype=bool)
    if (edges & beside).sum() > _OUTLINED * max(1, edges.sum()):
        return "outlined"
    around = np.stack([ndimage.median_filter(lab[..., channel], 9) for channel in range(3)], axis=-1)
    labels, count = ndimage.label(np.abs(lab - around).max(-1) > 5)  # type: ignore[misc]
    sizes = np.bincount(labels.ravel(), minlength=count + 1)[1:]
    if ((sizes >= 4) & (sizes <= 40)).sum() > _DOTS:
        return "halftone"
    inside = ndimage.distance_transform_edt(steps < 4) > 4  # type: ignore[operator]
    slow = inside & (steps > 0.06) & (steps < 1.5)
    return "gradient" if slow.sum() > _SLOPE * max(1, inside.sum()) else "flat"
