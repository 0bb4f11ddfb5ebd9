"""Arrangement: where things stand on a poster, whatever they are, and whether a subject is on it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from posterkit.metrics.color import border_color, color_histogram, srgb_to_lab

Picture = NDArray[np.uint8]
Array = NDArray[np.float64]

GRID = (12, 8)  # rows and columns that an arrangement is seen at
OTHER = 12.0  # Lab units from the border colour from which a pixel counts as subject


def arrangement(image: Picture, grid: tuple[int, int] = GRID) -> Array:
    """Where things stand: per cell, how much edge there is and how far the colour is from the border's.

    Colours themselves leave no trace: both maps are standardised, so a red circle and a blue one at one place agree.

    Args:
        image: `(H, W, 3)` uint8.

    Returns:
        `(2, rows, columns)`, each map of mean 0 and standard deviation 1 (0 everywhere where it is constant).
    """
    lab = srgb_to_lab(image)
    dy, dx = np.gradient(lab, axis=(0, 1))
    edges = np.sqrt((dx**2 + dy**2).sum(2))
    contrast = np.linalg.norm(lab - border_color(image), axis=2)
    return np.stack([_standard(_cells(edges, grid)), _standard(_cells(contrast, grid))])


def arrangement_similarity(a: Picture, b: Picture, grid: tuple[int, int] = GRID) -> float:
    """Correlation of two arrangements, mean over both maps, in [-1, 1]; images may differ in size."""
    return float((arrangement(a, grid) * arrangement(b, grid)).mean())


def box_overlap(a: tuple[float, ...], b: tuple[float, ...]) -> float:
    """Intersection over union of two boxes `x0, y0, x1, y1`, in [0, 1]."""
    width = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
    height = max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    both = width * height
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - both
    return both / union if union > 0 else 0.0


def subject_mask(image: Picture) -> NDArray[np.bool_]:
    """Where a picture of a subject on a plain ground differs from its border colour; everything if nothing does."""
    mask = np.linalg.norm(srgb_to_lab(image) - border_color(image), axis=2) > OTHER
    return mask if mask.any() else np.ones_like(mask)


def subject_presence(subject: Picture, poster: Picture, region: NDArray[np.bool_] | None = None) -> float:
    """How much of a subject's colours a poster shows, in [0, 1]: the intersection of Lab colour histograms.

    Args:
        subject: a picture of the subject on a plain ground; only what differs from the ground counts.
        poster: `(H, W, 3)` uint8.
        region: where on the poster to look; everywhere when None.
    """
    own = color_histogram(srgb_to_lab(subject[subject_mask(subject)]))
    shown = color_histogram(srgb_to_lab(poster if region is None else poster[region]))
    return float(np.minimum(own, shown).sum())


def _cells(values: Array, grid: tuple[int, int]) -> Array:
    """Area mean of a map over a grid, whatever the map's size."""
    return np.asarray(Image.fromarray(values.astype(np.float32)).resize((grid[1], grid[0]), Image.Resampling.BOX), dtype=float)


def _standard(values: Array) -> Array:
    spread = values.std()
    return (values - values.mean()) / spread if spread > 1e-6 else np.zeros_like(values)
