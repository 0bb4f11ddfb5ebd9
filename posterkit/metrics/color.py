"""Colour: CIE Lab, named colours, palettes and the distances between them.

Images are `(H, W, 3)` uint8 RGB. Lab is float64, D65 white, L in [0, 100], a and b about -110..110; one unit is about
one just noticeable difference (CIE 1976).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.optimize import linprog

from posterkit.prompts import COLORS

Array = NDArray[np.float64]

# IEC 61966-2-1: linear sRGB to XYZ, and the D65 white of the 2 degree observer
RGB_TO_XYZ = np.array([[0.412453, 0.357580, 0.180423], [0.212671, 0.715160, 0.072169], [0.019334, 0.119193, 0.950227]])
WHITE = np.array([0.95047, 1.0, 1.08883])
HISTOGRAM_STEP = 20.0  # Lab units between the nodes of the colour histogram
NAME_WIDTH = 10.0  # Lab units over which one colour name gives way to another
FRAME = 0.06  # the border of a poster: this part of each side


class Palette(NamedTuple):
    """Colours with their shares, the largest share first."""

    colors: Array  # `(K, 3)` Lab
    weights: Array  # `(K,)`, positive, sum 1


def srgb_to_lab(rgb: NDArray) -> Array:
    """sRGB to CIE Lab (CIE 15:2004).

    Args:
        rgb: `(..., 3)`, uint8 in [0, 255] or float in [0, 1].

    Raises:
        ValueError: the last axis is not 3.
    """
    linear = _three(_LINEAR[rgb] if rgb.dtype == np.uint8 else _linear(np.asarray(rgb, np.float64)))
    lab = linear @ RGB_TO_XYZ.T  # XYZ first; both arrays are filled anew, since fresh memory costs most here
    lab /= WHITE
    dark = lab <= (6 / 29) ** 3
    f = np.cbrt(lab, out=linear)
    np.copyto(f, lab * (29 / 6) ** 2 / 3 + 4 / 29, where=dark)
    x, y, z = np.moveaxis(f, -1, 0)
    lab[..., 0] = 116 * y - 16
    lab[..., 1] = 500 * (x - y)
    lab[..., 2] = 200 * (y - z)
    return lab


def lab_to_srgb(lab: NDArray) -> Array:
    """CIE Lab to sRGB in [0, 1]; colours outside the gamut are clipped.

    Raises:
        ValueError: the last axis is not 3.
    """
    lightness, a, b = np.moveaxis(_three(lab), -1, 0)
    y = (lightness + 16) / 116
    f = np.stack([y + a / 500, y, y - b / 200], axis=-1)
    xyz = np.where(f > 6 / 29, f**3, 3 * (6 / 29) ** 2 * (f - 4 / 29)) * WHITE
    linear = np.clip(xyz @ np.linalg.inv(RGB_TO_XYZ).T, 0, 1)
    return np.where(linear > 0.0031308, 1.055 * linear ** (1 / 2.4) - 0.055, linear * 12.92)


def nearest_color_name(lab: NDArray) -> str:
    """The name in `posterkit.prompts.COLORS` nearest in Lab (CIE 1976 difference).

    Args:
        lab: `(3,)`.
    """
    distances = np.linalg.norm(_NAMED - np.asarray(lab, dtype=np.float64), axis=1)
    return list(COLORS)[int(distances.argmin())]


def border_color(image: NDArray[np.uint8]) -> Array:
    """Median Lab, channel by channel, of the outer frame: 6 % of each side, at least one pixel.

    Args:
        image: `(H, W, 3)` uint8.

    Returns:
        `(3,)` Lab.
    """
    height, width = image.shape[:2]
    mask = np.ones((height, width), dtype=bool)
    dy, dx = max(1, round(height * FRAME)), max(1, round(width * FRAME))
    mask[dy:-dy, dx:-dx] = False
    return np.median(srgb_to_lab(image[mask]), axis=0)


def palette(image: NDArray[np.uint8], k: int = 6, keep: NDArray[np.bool_] | None = None) -> Palette:
    """The main colours of an image: k-means in Lab, deterministic.

    Args:
        image: `(H, W, 3)` uint8; reduced to at most 64 px a side, since a palette needs no more.
        k: at most so many colours; fewer come back where the image has fewer.
        keep: `(H, W)`; only these pixels count.

    Raises:
        ValueError: no pixel is left to count.
    """
    pixels = srgb_to_lab(_reduced(image, keep))
    if not len(pixels):
        raise ValueError("a palette needs at least one pixel, and the mask keeps none")
    centres = _spread_seeds(pixels, k)
    for _ in range(20):
        nearest = _nearest(pixels, centres)
        moved = np.stack([pixels[nearest == i].mean(0) for i in np.flatnonzero(np.bincount(nearest))])
        if moved.shape == centres.shape and np.allclose(moved, centres, atol=1e-3):
            break
        centres = moved
    counts = np.bincount(_nearest(pixels, centres), minlength=len(centres))
    order = np.argsort(-counts, kind="stable")
    order = order[counts[order] > 0]
    return Palette(centres[order], counts[order] / counts.sum())


def palette_distance(a: Palette, b: Palette) -> float:
    """Earth mover's distance between two weighted palettes, in Lab units: how far colour must move on average.

    Solved exactly as a transport problem (Rubner, Tomasi and Guibas 2000).
    """
    cost = np.linalg.norm(a.colors[:, None] - b.colors[None], axis=2)
    rows, columns = cost.shape
    leaving = np.kron(np.eye(rows), np.ones(columns))
    arriving = np.kron(np.ones(rows), np.eye(columns))
    # one constraint follows from the others; leaving it out keeps rounding from making the system infeasible
    solved = linprog(
        cost.ravel(), A_eq=np.vstack([leaving, arriving])[:-1], b_eq=np.concatenate([a.weights, b.weights])[:-1],
        bounds=(0, None), method="highs",
    )  # fmt: skip
    return float(solved.fun)


def color_histogram(lab: NDArray) -> Array:
    """A three-dimensional Lab histogram with trilinear bins, so that a small shift of colour is a small change.

    Of `(..., 3)`: `(6, 11, 11)`, sum 1; the nodes lie 20 units apart (L from 0, a and b from -100).
    """
    shape = (6, 11, 11)
    points = (_three(lab).reshape(-1, 3) - [0, -100, -100]) / HISTOGRAM_STEP
    points = np.clip(points, 0, np.array(shape) - 1)
    low = np.minimum(points.astype(int), np.array(shape) - 2)
    part = points - low
    histogram = np.zeros(np.prod(shape))
    for corner in np.ndindex(2, 2, 2):
        share = np.prod(np.where(corner, part, 1 - part), axis=1)
        cell = np.ravel_multi_index(tuple((low + corner).T), shape)
        histogram += np.bincount(cell, share, histogram.size)
    return histogram.reshape(shape) / max(1, len(points))


def color_histogram_distance(a: NDArray, b: NDArray) -> float:
    """Total variation between the colour histograms of two sets of Lab pixels, in [0, 1]; 1 = no colour in common."""
    return float(np.abs(color_histogram(a) - color_histogram(b)).sum() / 2)


def named_shares(lab: NDArray) -> Array:
    """How much of each named colour there is in a colour: shares that fall with the squared Lab difference.

    Args:
        lab: `(..., 3)`.

    Returns:
        `(..., 14)`, the order of `COLORS`, sum 1; a colour halfway between two names belongs to both.
    """
    gaps = ((_three(lab)[..., None, :] - _NAMED) ** 2).sum(-1)
    shares = np.exp(-(gaps - gaps.min(-1, keepdims=True)) / (2 * NAME_WIDTH**2))
    return shares / shares.sum(-1, keepdims=True)


def _linear(values: Array) -> Array:
    """Light from sRGB values in [0, 1] (IEC 61966-2-1)."""
    return np.where(values > 0.04045, ((np.maximum(values, 0) + 0.055) / 1.055) ** 2.4, values / 12.92)


_LINEAR = _linear(np.arange(256) / 255.0)  # of 8-bit values: a look-up costs far less than a power


def _three(values: NDArray) -> Array:
    values = np.asarray(values, dtype=np.float64)
    if values.shape[-1] != 3:
        raise ValueError(f"colours need a last axis of 3, got shape {values.shape}")
    return values


def _reduced(image: NDArray[np.uint8], keep: NDArray[np.bool_] | None) -> NDArray[np.uint8]:
    """Pixels `(P, 3)` of the image at no more than 64 px a side; with a mask, whole pixels only, never mixed ones."""
    if keep is not None:
        pixels = image[keep]
        return pixels[:: max(1, len(pixels) // 4096)]
    height, width = image.shape[:2]
    scale = min(1.0, 64 / max(height, width))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BOX)).reshape(-1, 3)


def _nearest(pixels: Array, centres: Array) -> NDArray[np.intp]:
    # |p - c|^2 without |p|^2, which is the same for every centre
    return ((centres**2).sum(1) - 2 * pixels @ centres.T).argmin(1)


def _spread_seeds(pixels: Array, k: int) -> Array:
    """Seeds for k-means: the fullest cell of a coarse grid, then again and again the cell that is full and far."""
    cells, inverse, counts = np.unique(
        np.round(pixels / 8).astype(int), axis=0, return_inverse=True, return_counts=True
    )
    sums = np.zeros(cells.shape)
    np.add.at(sums, inverse.ravel(), pixels)
    means = sums / counts[:, None]
    chosen = [int(counts.argmax())]
    while len(chosen) < min(k, len(means)):
        gap = ((means[:, None] - means[chosen][None]) ** 2).sum(2).min(1)
        chosen.append(int((counts * gap).argmax()))
    return means[chosen]


_NAMED = srgb_to_lab(np.array(list(COLORS.values()), dtype=np.uint8))
