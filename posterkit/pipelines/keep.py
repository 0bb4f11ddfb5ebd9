"""Kept pixels: put back what the model was not asked to make, and hide the seam on the side that it made."""

from __future__ import annotations

from typing import Any

import numpy as np
from PIL import Image

CELLS = 64  # a side of the grid on which a colour cast is spread


def seam_width(size: tuple[int, int]) -> int:
    """How far the seam reaches into the made side, in pixels: a latent cell, or a 32nd of the shorter side."""
    return max(8, min(size) // 32)


def keep_pixels(made: np.ndarray, canvas: Image.Image, region: Image.Image, width: int | None = None) -> np.ndarray:
    """Put the canvas's pixels back where the region is 0, exactly, and hide the step at the seam.

    The model paints the kept part too, only not exactly. How far it is off there is taken away from the made side too:
    its colour cast everywhere (see `color_cast`), what remains at the seam fading to nothing over `width` pixels.

    Args:
        made: `(H, W, 3)`, float in [0, 1], what the model drew.
        canvas: RGB, the same size; read where `region` is 0.
        region: mode L, the same size; 255 = made, 0 = kept.
        width: of the seam in pixels; 0 pastes with a hard edge and corrects nothing.

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
        result = result + color_cast(truth - result, kept)
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


def color_cast(off: np.ndarray, kept: np.ndarray) -> np.ndarray:
    """How far the model is off in colour: measured where pixels are kept, spread over the made area like a soap film.

    The membrane of Poisson image editing (Perez, Gangnet and Blake 2003, section 2), on a grid of at most 64 cells a
    side: a cast has no detail.

    Args:
        off: `(H, W, 3)`, truth less drawing; read where `kept`.
        kept: `(H, W)` bool, neither all nor nothing.

    Returns:
        `(H, W, 3)` float32, smooth.
    """
    from scipy.ndimage import gaussian_filter
    from scipy.sparse import identity, kron
    from scipy.sparse.linalg import splu

    height, width = kept.shape
    scale = min(1.0, CELLS / max(kept.shape))
    columns, rows = max(2, round(width * scale)), max(2, round(height * scale))

    def resized(plane: np.ndarray, size: tuple[int, int], how: Image.Resampling) -> np.ndarray:
        return np.asarray(Image.fromarray(plane.astype(np.float32)).resize(size, how))

    share = resized(kept, (columns, rows), Image.Resampling.BOX)
    values = [resized(off[..., c] * kept, (columns, rows), Image.Resampling.BOX) for c in range(3)]
    blurred = gaussian_filter(share, 1)
    film = np.stack([gaussian_filter(value, 1) for value in values], axis=-1) / np.maximum(blurred, 1e-3)[..., None]
    free = (share < min(0.5, share.max())).ravel()
    if free.any():
        # each free cell is the mean of its neighbours: the graph Laplacian of the grid is zero there
        down, across = (np.diff(np.eye(n), axis=0) for n in (rows, columns))
        laplacian: Any = kron(down.T @ down, identity(columns)) + kron(identity(rows), across.T @ across)
        laplacian = laplacian.tocsc()
        flat = film.reshape(-1, 3)
        flat[free] = splu(laplacian[free][:, free]).solve(-(laplacian[free][:, ~free] @ flat[~free]))
    planes = [resized(film[..., c], (width, height), Image.Resampling.BICUBIC) for c in range(3)]
    return np.stack(planes, axis=-1)
