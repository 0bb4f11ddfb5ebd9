"""How near pictures are to each other: PSNR, SSIM, texture, the distance that filling is judged by, diversity.

Images are `(H, W, 3)` uint8 RGB of equal size.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import binary_dilation, distance_transform_edt, gaussian_filter

from posterkit.metrics.color import color_histogram_distance, srgb_to_lab

Picture = NDArray[np.uint8]
Array = NDArray[np.float64]

ORIENTATIONS = 9  # bins over half a turn, as in HOG (Dalal and Triggs 2005)
STILL = 0.3  # mean gradient in L per px that is barely seen; it keeps two all but flat regions alike
GRAIN = 1.0  # px; finer texture than this is noise of an autoencoder or a camera, and not counted
SIDE = 24  # px that diversity is measured at: arrangement and colours count, grain does not
FAR = 50.0  # a Lab difference that counts as wholly wrong


def psnr(a: Picture, b: Picture) -> float:
    """Peak signal-to-noise ratio in dB over all channels; infinite for equal images.

    Raises:
        ValueError: the sizes differ.
    """
    _check_sizes(a, b)
    error = np.mean((a.astype(np.float64) - b) ** 2)
    return math.inf if error == 0 else float(10 * np.log10(255.0**2 / error))


def ssim(a: Picture, b: Picture) -> float:
    """Structural similarity, mean over channels, Gaussian window (Wang, Bovik, Sheikh and Simoncelli 2004).

    The window has sigma 1.5 px and is cut at 3.5 sigma; that border is left out of the mean. ValueError where the
    sizes differ, or a side is shorter than the window.
    """
    _check_sizes(a, b)
    sigma, border = 1.5, 5
    if min(a.shape[:2]) <= 2 * border:
        raise ValueError(f"SSIM with sigma {sigma} needs sides above {2 * border} px, got {a.shape[1]}x{a.shape[0]}")
    x, y = a.astype(np.float64), b.astype(np.float64)

    def blur(values: Array) -> Array:
        return gaussian_filter(values, (sigma, sigma, 0), truncate=3.5)

    mean_x, mean_y = blur(x), blur(y)
    var_x, var_y = blur(x * x) - mean_x**2, blur(y * y) - mean_y**2
    covariance = blur(x * y) - mean_x * mean_y
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    luminance = (2 * mean_x * mean_y + c1) / (mean_x**2 + mean_y**2 + c1)
    structure = (2 * covariance + c2) / (var_x + var_y + c2)
    return float((luminance * structure)[border:-border, border:-border].mean())


def orientation_histogram(lightness: Array, region: NDArray[np.bool_] | None = None) -> Array:
    """How much texture of each direction there is: gradient magnitude by gradient direction, per pixel.

    Args:
        lightness: `(H, W)`, Lab L.
        region: `(H, W)`; a pixel counts where its neighbours lie inside too, so that the rim of a region is no edge.

    Returns:
        `(9,)`, L units per px, not normalised: a flat region gives zeros. Bin 0 holds horizontal gradients (upright
        edges), bins go round half a turn; a direction between two bins is shared by both.
    """
    dy, dx = np.gradient(lightness)
    inside = np.ones(lightness.shape, dtype=bool)
    if region is not None:
        inside = region & ~np.asarray(binary_dilation(~region), dtype=bool)
    if not inside.any():
        return np.zeros(ORIENTATIONS)
    magnitude = np.hypot(dx, dy)[inside]
    position = (np.arctan2(dy, dx)[inside] % np.pi) / np.pi * ORIENTATIONS
    low = np.floor(position).astype(int)
    part = position - low
    histogram = np.bincount(low % ORIENTATIONS, magnitude * (1 - part), ORIENTATIONS)
    histogram += np.bincount((low + 1) % ORIENTATIONS, magnitude * part, ORIENTATIONS)
    return histogram / inside.sum()


def orientation_distance(a: Array, b: Array) -> float:
    """Bray-Curtis distance of two orientation histograms, in [0, 1): texture against none is near 1.

    The floor in the denominator (0.3 L per px) keeps two all but flat regions from being called different.
    """
    return float(np.abs(a - b).sum() / (a.sum() + b.sum() + STILL))


def appearance_distance(a: Picture, b: Picture, region: NDArray[np.bool_] | None = None) -> float:
    """How differently two pictures look inside a region, in [0, 3]; 0 = the same.

    The sum of three terms, each in [0, 1]: the mean Lab difference of pixels at the same place (50 units or more count
    as 1), the total variation between Lab colour histograms, and the distance between gradient-orientation histograms
    (of lightness smoothed by 1 px). The first alone, as any pixel error, would reward flat colour: the mean of all
    guesses beats every sharp guess.

    Args:
        region: `(H, W)`, True where it counts; everything when None.

    Raises:
        ValueError: the sizes differ, or the region is empty.
    """
    _check_sizes(a, b)
    inside = np.ones(a.shape[:2], dtype=bool) if region is None else np.asarray(region, dtype=bool)
    if inside.shape != a.shape[:2] or not inside.any():
        raise ValueError(f"the region must be {a.shape[1]}x{a.shape[0]} and not empty, got shape {inside.shape}")
    lab_a, lab_b = srgb_to_lab(a), srgb_to_lab(b)
    pixel = np.minimum(np.linalg.norm(lab_a - lab_b, axis=2)[inside] / FAR, 1).mean()
    histogram = color_histogram_distance(lab_a[inside], lab_b[inside])
    smooth_a, smooth_b = _smoothed(lab_a[..., 0], inside), _smoothed(lab_b[..., 0], inside)
    texture = orientation_distance(orientation_histogram(smooth_a, inside), orientation_histogram(smooth_b, inside))
    return float(pixel) + histogram + texture


def _smoothed(lightness: Array, inside: NDArray[np.bool_]) -> Array:
    """Lightness smoothed by the grain; what lies outside the region does not flow in."""
    weight = gaussian_filter(inside.astype(np.float64), GRAIN)
    return gaussian_filter(np.where(inside, lightness, 0.0), GRAIN) / np.maximum(weight, 1e-6)


def edge_replication(image: Picture, made: NDArray[np.bool_]) -> Picture:
    """Every made pixel in the colour of the nearest kept one.

    Args:
        made: `(H, W)`, True where the picture is to be made.

    Raises:
        ValueError: nothing is kept, or nothing is made.
    """
    if made.all() or not made.any():
        raise ValueError(f"a baseline needs kept and made pixels; {'all' if made.all() else 'none'} are made")
    rows, columns = np.asarray(distance_transform_edt(made, return_distances=False, return_indices=True))
    return image[rows, columns]


def _check_sizes(a: Picture, b: Picture) -> None:
    if a.shape != b.shape:
        raise ValueError(f"the images differ in size: {a.shape[1]}x{a.shape[0]} and {b.shape[1]}x{b.shape[0]}")


def diversity(posters: Sequence[Picture]) -> float:
    """Mean distance in CIE Lab over all pairs of posters, each brought to a small square; 0 where all are alike.

    Args:
        posters: at least two, of any size.

    Raises:
        ValueError: there are fewer than two.
    """
    if len(posters) < 2:
        raise ValueError(f"diversity takes at least two posters, got {len(posters)}")
    small = [Image.fromarray(poster).resize((SIDE, SIDE), Image.Resampling.BOX) for poster in posters]
    labs = [srgb_to_lab(np.asarray(picture)) for picture in small]
    return float(np.mean([np.linalg.norm(a - b, axis=-1).mean() for a, b in combinations(labs, 2)]))
