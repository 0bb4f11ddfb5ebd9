"""Enlarges drawings to the size of the poster, with edges as sharp as at full size."""

# pyright: standard
from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image
from scipy import ndimage, sparse

Plane = np.ndarray  # (H, W), float32, [0, 1]

OWN = "upscaler.safetensors"  # a checkpoint's own upscaler lies in its folder under this name
_STEP = 4.0  # the most that one sharpening pass enlarges; the second derivatives need a few pixels of edge to see
_REST = 0.62  # a pass stops here below the full size, so that the last resampling leaves edges antialiased
_SOFT = 0.003  # second derivative, in units of the full range per pixel squared, below which nothing is sharpened
_LAST = (2.0, 6)  # sigma and rounds of the pass over what a checkpoint's own upscaler leaves a little soft


def enlarge(image: Image.Image, size: tuple[int, int], upscaler: str | None = None) -> tuple[Image.Image, str]:
    """Enlarge a drawing.

    Without an upscaler, less than doubling is Lanczos. More goes through passes of a Mitchell-Netravali cubic (even
    contours, overshoot cut off) and a shock filter that sharpens across edges with curvature motion along them
    (Alvarez and Mazorra 1994, "Signal and image restoration using shock filters and anisotropic diffusion"); smooth
    gradients stay as they are. A checkpoint's own upscaler goes once, the rest as without it, and edges are sharpened
    once more; another one goes as often as it takes.

    Args:
        image: mode RGB.
        size: width and height in pixels; smaller than the image is allowed.
        upscaler: a file of `posterkit.pipelines.upscaler.open_upscaler`.

    Returns:
        The image at `size`, and what enlarged it: "none", "lanczos", "mitchell-shock", or the upscaler's name.

    Raises:
        ValueError: the upscaler cannot be read.
    """
    if image.size == tuple(size):
        return image, "none"
    factor = max(size[0] / image.width, size[1] / image.height)
    if upscaler is not None and factor > 1:
        return _with_upscaler(image, size, upscaler)
    if factor < 2:
        return image.resize(size, Image.Resampling.LANCZOS), "lanczos"
    return _by_planes(image, lambda plane: _enlarge_plane(plane, size)), "mitchell-shock"


def _with_upscaler(image: Image.Image, size: tuple[int, int], upscaler: str) -> tuple[Image.Image, str]:
    from posterkit.pipelines.upscaler import open_upscaler  # torch

    model = open_upscaler(upscaler)
    large = model(image)
    if Path(upscaler).name == OWN:
        large = _by_planes(enlarge(large, size)[0], lambda plane: _shock(plane, *_LAST))
        return large, "upscaler-shock"
    while large.width < size[0] or large.height < size[1]:
        large = model(large)
    return large.resize(size, Image.Resampling.LANCZOS), Path(upscaler).stem


def _by_planes(image: Image.Image, change: Callable[[Plane], Plane]) -> Image.Image:
    pixels = np.asarray(image.convert("RGB"), dtype=np.float32) / 255
    planes = [(change(pixels[..., channel]) * 255).round().clip(0, 255).astype(np.uint8) for channel in range(3)]
    return Image.merge("RGB", [Image.fromarray(plane) for plane in planes])


def _enlarge_plane(plane: Plane, size: tuple[int, int]) -> Plane:
    width, height = size
    while True:
        factor = max(width / plane.shape[1], height / plane.shape[0])
        if factor < 2:
            return _resample(plane, width, height)
        step = min(_STEP, factor * _REST) / factor
        plane = _resample(plane, round(width * step), round(height * step))
        plane = _shock(plane, sigma=step * factor / 2, rounds=max(2, round(2 * step * factor)))


def _resample(plane: Plane, width: int, height: int) -> Plane:
    """Separable Mitchell-Netravali cubic (B = C = 1/3) as two sparse matrix products, its overshoot cut off."""
    rows = np.arange(height) * plane.shape[0] // height
    columns = np.arange(width) * plane.shape[1] // width
    low, high = (_extremes(pick, plane, corners=True)[rows][:, columns] for pick in (np.minimum, np.maximum))
    cubic = _mitchell(plane.shape[0], height) @ (_mitchell(plane.shape[1], width) @ plane.T).T
    return np.minimum(np.maximum(cubic, low), high)


def _extremes(pick: np.ufunc, plane: Plane, corners: bool) -> Plane:
    """The least or greatest of each pixel and its four neighbours, or all eight."""
    found = plane.copy()
    pick(found[1:], plane[:-1], out=found[1:])
    pick(found[:-1], plane[1:], out=found[:-1])
    beside = found.copy() if corners else plane
    pick(found[:, 1:], beside[:, :-1], out=found[:, 1:])
    pick(found[:, :-1], beside[:, 1:], out=found[:, :-1])
    return found


def _mitchell(length: int, target: int) -> sparse.csr_array:
    """The resampling matrix, `(target, length)`; rows sum to 1, the border pixel is repeated outside."""
    centre = (np.arange(target) + 0.5) * length / target - 0.5
    first = np.floor(centre).astype(int) - 1
    taps = first[:, None] + np.arange(4)
    d = np.abs(centre[:, None] - taps)
    near = (7 * d**3 - 12 * d**2 + 16 / 3) / 6
    far = (-7 / 3 * d**3 + 12 * d**2 - 20 * d + 32 / 3) / 6
    weights = np.where(d < 1, near, far).astype(np.float32)
    places = taps.clip(0, length - 1)
    return sparse.csr_array((weights.ravel(), places.ravel(), np.arange(target + 1) * 4), (target, length))


def _shock(u: Plane, sigma: float, rounds: int) -> Plane:
    """Sharpen across edges, smooth along them; every value stays within its four neighbours' range.

    Args:
        sigma: standard deviation in pixels of the Gaussian under which edges are found.
        rounds: explicit time steps.
    """
    for _ in range(rounds):
        smooth = ndimage.gaussian_filter(u, sigma, truncate=2)
        gy, gx = (np.asarray(slope) for slope in np.gradient(smooth))
        squared = gx * gx + gy * gy + 1e-7
        across = _second(smooth, gx, gy) / squared
        speed = across / (np.abs(across) + _SOFT)
        along = _second(u, -gy, gx) / squared  # curvature motion rounds off the stairs
        low, high = (_extremes(pick, u, corners=False) for pick in (np.minimum, np.maximum))
        sharpened = u - 0.4 * speed * np.where(speed < 0, high - u, u - low)
        u = np.minimum(np.maximum(sharpened + 0.25 * along, low), high)
    return u


def _second(u: Plane, dx: Plane, dy: Plane) -> Plane:
    """Second derivative of u along (dx, dy), times the direction's squared length."""
    xx, yy = np.zeros_like(u), np.zeros_like(u)
    xx[:, 1:-1] = u[:, 2:] + u[:, :-2] - 2 * u[:, 1:-1]
    yy[1:-1] = u[2:] + u[:-2] - 2 * u[1:-1]
    xy = np.asarray(np.gradient(np.gradient(u, axis=1), axis=0))
    return dx * dx * xx + 2 * dx * dy * xy + dy * dy * yy
