"""Kept pixels: put back what the model was not asked to make, and hide the seam on the side that it made."""

from __future__ import annotations

from typing import Any

import numpy as np
from PIL import Image


def seam_width(size: tuple[int, int]) -> int:
    """How far the seam reaches into the made side, in pixels: a latent cell, or a 32nd of the shorter side."""
    return max(8, min(size) // 32)


def keep_pixels(made: np.ndarray, canvas: Image.Image, region: Image.Image, width: int | None = None) -> np.ndarray:
    """Put the canvas's pixels back where the region is 0, exactly, and fade the step at the seam.

    The model paints the kept part too, only not exactly. How far it is off near the seam (a colour cast, mostly) is
    taken away from the made side as well, fading to nothing over `width` pixels.

    Args:
        made: `(H, W, 3)`, float in [0, 1], what the model drew.
        canvas: RGB, the same size; read where `region` is 0.
        region: mode L, the same size; 255 = made, 0 = kept.
        width: of the seam in pixels; 0 pastes with a hard edge.

    Returns:
        `(H, W, 3)` float32 in [0, 1]; times 255 it is the canvas's bytes where the region is 0.
    """
    from scipy.ndimage import distance_transform_edt, gaussian_filter

    width = seam_width(region.size) if width is None else width
    kept = np.asarray(region) == 0
    distance: Any
    truth = np.asarray(canvas, dtype=np.float32) / 255
    result = made.astype(np.float32)
    if width > 0 and kept.any() and not kept.all():
        distance = distance_transform_edt(~kept)
        near = distance < width
        spread = (width / 2, width / 2)
        known = gaussian_filter(kept.astype(np.float32), spread)
        off = np.where(kept[..., None], truth - result, 0)
        off = np.stack([gaussian_filter(off[..., channel], spread) for channel in range(3)], axis=-1)
        fade = np.where(near, 0.5 + 0.5 * np.cos(np.pi * np.minimum(distance / width, 1)), 0)
        result = np.clip(result + (fade / np.maximum(known, 1e-4))[..., None] * off, 0, 1).astype(np.float32)
    result[kept] = truth[kept]
    return result
