"""From a drawing to the finished poster: enlarge, paste kept pixels back at full resolution, set the texts."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from PIL import Image
from scipy import ndimage

from posterkit.generate.draw import PreparedPoster
from posterkit.generate.record import FinishedPoster, record_of
from posterkit.pipelines.keep import keep_pixels, seam_width
from posterkit.typeset.poster import typeset

Plane = np.ndarray  # (H, W), float32, [0, 1]

_STEP = 4.0  # the most that one sharpening pass enlarges; the second derivatives need a few pixels of edge to see
_REST = 0.62  # a pass stops here below the full size, so that the last resampling leaves edges antialiased
_SOFT = 0.003  # second derivative, in units of the full range per pixel squared, below which nothing is sharpened


def finish(poster: PreparedPoster, drawing: Image.Image, parameters: dict[str, Any]) -> FinishedPoster:
    """Enlarge a drawing, put kept pixels back, set the texts.

    Args:
        parameters: what the pipeline says that it used.
    """
    plan = poster.plan
    image, resampler = enlarge(drawing, plan.finished)
    if poster.canvas is not None and poster.region is not None:
        image = paste_kept(image, poster.canvas, poster.region)
    if poster.things is not None:
        image = Image.alpha_composite(image.convert("RGBA"), poster.things).convert("RGB")
    lettered, notes = None, list(poster.notes)
    if plan.brief is not None:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            lettered = typeset(image, plan.brief)
        notes += [str(warning.message) for warning in caught]
        image = lettered.image.convert("RGB")
    boxes = None if lettered is None else lettered.boxes
    record = record_of(plan, drawing.size, resampler, parameters, boxes, poster.depth)
    return FinishedPoster(plan.request, image, record, drawing, poster.request.seed or 0, lettered, notes)


def enlarge(image: Image.Image, size: tuple[int, int]) -> tuple[Image.Image, str]:
    """Enlarge smooth art so that its edges are as sharp as at full size, without ringing or stairs.

    Less than doubling is Lanczos. More goes through passes of a Mitchell-Netravali cubic (even contours, overshoot
    cut off) and a shock filter that sharpens across edges with curvature motion along them (Alvarez and Mazorra 1994,
    "Signal and image restoration using shock filters and anisotropic diffusion"); smooth gradients stay as they are.

    Args:
        image: mode RGB.
        size: width and height in pixels; smaller than the image is allowed.

    Returns:
        The image at `size`, and the name of the resampler: "none", "lanczos" or "mitchell-shock".
    """
    if image.size == tuple(size):
        return image, "none"
    factor = max(size[0] / image.width, size[1] / image.height)
    if factor < 2:
        return image.resize(size, Image.Resampling.LANCZOS), "lanczos"
    pixels = np.asarray(image.convert("RGB"), dtype=np.float32) / 255
    planes = [_enlarge_plane(pixels[..., channel], size) for channel in range(3)]
    return Image.fromarray((np.stack(planes, axis=-1) * 255).round().clip(0, 255).astype(np.uint8)), "mitchell-shock"


def paste_kept(drawn: Image.Image, canvas: Image.Image, region: Image.Image) -> Image.Image:
    """Put the kept pixels back exactly at full resolution, the seam hidden on the made side.

    Args:
        drawn: mode RGB, the drawing at full size, also where pixels are kept (there it shows what the model thought).
        canvas: mode RGB, same size, the original where pixels are kept.
        region: mode L, same size; 255 = made, 0 = kept.

    Raises:
        ValueError: the three differ in size.
    """
    if not drawn.size == canvas.size == region.size:
        raise ValueError(f"drawing {drawn.size}, canvas {canvas.size} and region {region.size} must be of one size")
    made = region.getbbox()
    if made is None:
        return canvas.copy()
    # a small hole in a big photograph: only its surroundings need arithmetic
    width = seam_width(region.size)
    margin = 3 * width
    x0, y0, x1, y1 = made
    near = (max(0, x0 - margin), max(0, y0 - margin), min(region.width, x1 + margin), min(region.height, y1 + margin))
    pixels = np.asarray(drawn.crop(near), dtype=np.float32) / 255
    joined = keep_pixels(pixels, canvas.crop(near), region.crop(near), width)
    result = canvas.copy()
    result.paste(Image.fromarray((joined * 255).round().astype(np.uint8)), near[:2])
    return result


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
    """Separable Mitchell-Netravali cubic (B = C = 1/3) as two small matrix products, its overshoot cut off."""
    rows = (np.arange(height) * plane.shape[0] // height)[:, None]
    columns = np.arange(width) * plane.shape[1] // width
    low = ndimage.minimum_filter(plane, 3, mode="nearest")[rows, columns]
    high = ndimage.maximum_filter(plane, 3, mode="nearest")[rows, columns]
    return np.clip(_mitchell(plane.shape[0], height) @ plane @ _mitchell(plane.shape[1], width).T, low, high)


def _mitchell(length: int, target: int) -> Plane:
    """The resampling matrix, `(target, length)`; rows sum to 1, the border pixel is repeated outside."""
    centre = (np.arange(target) + 0.5) * length / target - 0.5
    first = np.floor(centre).astype(int) - 1
    matrix = np.zeros((target, length), dtype=np.float32)
    for tap in range(4):
        d = np.abs(centre - (first + tap))
        near = (7 * d**3 - 12 * d**2 + 16 / 3) / 6
        far = (-7 / 3 * d**3 + 12 * d**2 - 20 * d + 32 / 3) / 6
        np.add.at(matrix, (np.arange(target), (first + tap).clip(0, length - 1)), np.where(d < 1, near, far))
    return matrix


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
        around = np.pad(u, 1, mode="edge")
        around = np.stack([around[:-2, 1:-1], around[2:, 1:-1], around[1:-1, :-2], around[1:-1, 2:], u])
        low, high = around.min(axis=0), around.max(axis=0)
        sharpened = u - 0.4 * np.where(speed < 0, speed * (high - u), speed * (u - low))
        u = np.clip(sharpened + 0.25 * along, low, high)
    return u


def _second(u: Plane, dx: Plane, dy: Plane) -> Plane:
    """Second derivative of u along (dx, dy), times the direction's squared length."""
    xx, yy = np.zeros_like(u), np.zeros_like(u)
    xx[:, 1:-1] = u[:, 2:] + u[:, :-2] - 2 * u[:, 1:-1]
    yy[1:-1] = u[2:] + u[:-2] - 2 * u[1:-1]
    xy = np.asarray(np.gradient(np.gradient(u, axis=1), axis=0))
    return dx * dx * xx + 2 * dx * dy * xy + dy * dy * yy
