"""Arrangement of things on a poster, overlap of boxes, and how much of a subject a poster shows."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from posterkit.metrics.color import border_color, color_histogram, named_shares, srgb_to_lab
from posterkit.prompts import COLORS

Picture = NDArray[np.uint8]
Array = NDArray[np.float64]

GRID = (12, 8)  # rows and columns that an arrangement is seen at
ENOUGH = 0.1  # the part of a poster that a subject has to fill to be wholly there
STEP = 5.0  # Lab units from which two neighbours make an edge
REACH = 1 / 32  # distance of a pair of pixels, of the longer side
OTHER = 12.0  # Lab units from the border colour from which a pixel counts as subject


def arrangement(image: Picture) -> Array:
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
    return np.stack([_standard(_cells(edges)), _standard(_cells(contrast))])


def arrangement_similarity(a: Picture, b: Picture) -> float:
    """Correlation of two arrangements, mean over both maps, in [-1, 1]; images may differ in size."""
    return float((arrangement(a) * arrangement(b)).mean())


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


def box_of(mask: NDArray[np.bool_]) -> tuple[int, int, int, int]:
    """The box around what is True in `(H, W)`, x0, y0, x1, y1, half open; something must be."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


class ColorSignature(NamedTuple):
    """What a picture is made of, wherever it stands: its Lab colour histogram, and which colour lies beside which."""

    colors: Array
    edges: Array


def color_signature(image: Picture, mask: NDArray[np.bool_] | None = None) -> ColorSignature:
    """The make-up of a picture, or of the part of it where `mask`, `(H, W)`, is True."""
    lab = srgb_to_lab(image)
    return ColorSignature(color_histogram(lab if mask is None else lab[mask]), color_edges(lab, mask))


def subject_presence(subject: ColorSignature, poster: ColorSignature) -> float:
    """How much of a subject, given without its ground, a poster shows; in [0, 1].

    The mean of two shares: of the subject's Lab colour histogram, and of its edges between named colours. A tenth of
    the poster in the subject's make-up is enough for a full share, so that neither the size of the subject nor what
    else is on the poster counts.
    """
    colors = np.minimum(subject.colors, poster.colors / ENOUGH).sum()
    total = subject.edges.sum()
    edges = np.minimum(subject.edges, poster.edges / ENOUGH).sum() / total if total > 0 else colors
    return float(colors + edges) / 2


def color_edges(lab: Array, mask: NDArray[np.bool_] | None = None) -> Array:
    """Which named colours lie beside which: a colour co-occurrence histogram without its diagonal.

    Of `(H, W, 3)` Lab, where pairs with both pixels inside `(H, W)` mask count: `(14, 14)`, symmetric, per pixel.
    """
    step = max(1, round(max(lab.shape[:2]) * REACH))
    inside = np.ones(lab.shape[:2], dtype=bool) if mask is None else mask
    edges = np.zeros((len(COLORS), len(COLORS)))
    for a, b in ((np.s_[step:], np.s_[:-step]), (np.s_[:, step:], np.s_[:, :-step])):
        counts = inside[a] & inside[b] & (np.linalg.norm(lab[a] - lab[b], axis=2) > STEP)
        one, other = named_shares(lab[a][counts]), named_shares(lab[b][counts])
        products = one[:, :, None] * other[:, None, :]
        # two pixels alike leave nothing here, however their colour is shared between names
        edges += np.abs(products - products.swapaxes(1, 2)).sum(0) / 2
    return edges / max(1, inside.sum())


def _cells(values: Array) -> Array:
    """Area mean of a map over the grid, whatever the map's size."""
    small = Image.fromarray(values.astype(np.float32)).resize((GRID[1], GRID[0]), Image.Resampling.BOX)
    return np.asarray(small, dtype=float)


def _standard(values: Array) -> Array:
    spread = values.std()
    return (values - values.mean()) / spread if spread > 1e-6 else np.zeros_like(values)
