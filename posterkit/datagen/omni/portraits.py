"""Draws a subject alone, in another pose and light and on another ground: the references of id_driven."""

from __future__ import annotations

import math
from random import Random

import numpy as np
from PIL import Image
from scipy import ndimage

from posterkit.datagen.omni.cutouts import cut_subject
from posterkit.datagen.omni.painters import Painter
from posterkit.datagen.omni.posters import CannotBuild, SourcePoster
from posterkit.sizing import Size
from posterkit.synthetic.palettes import NEUTRALS

WINDOW = 8  # pixels of a side; a window of this size that is found again byte for byte is a copy
COPIED = 0.001  # share of such windows that chance may bring
_ODD = (0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9, 0xD6E8FEB86659FD93, 0xA0761D6478BD642F)


def portrait(poster: SourcePoster, number: int, size: Size, rng: Random, painter: Painter) -> Image.Image:
    """One subject of a poster as a picture of its own; CannotBuild where it came out as a copy of the pixels."""
    posed = _posed(cut_subject(poster, number).picture, size, rng)
    posed = _lit(posed, rng)
    canvas = _ground(posed, size, rng)
    x, y = (size.width - posed.width) // 2, (size.height - posed.height) // 2 + round(0.03 * size.height)
    y = min(y, size.height - posed.height)
    made = canvas.copy()
    made.paste(posed, (x, y), posed.getchannel("A"))
    if painter.draws:
        there = np.zeros((size.height, size.width), bool)
        there[y : y + posed.height, x : x + posed.width] = np.asarray(posed.getchannel("A")) > 8
        around = ndimage.distance_transform_edt(~there) > 0.02 * max(size)  # type: ignore[operator]
        rim = np.zeros_like(around)
        rim[1:-1, 1:-1] = True
        if (around & rim).any():
            words = "a plain studio background with a soft shadow, nothing else"
            made = painter(made, around & rim, words, rng.getrandbits(31))
    share = copied_share(np.asarray(made), poster.pixels)
    if share > COPIED:
        raise CannotBuild("a copy", f"{share:.1%} of reference {number} stands in the target, pixel by pixel")
    return made


def _posed(cut: Image.Image, size: Size, rng: Random) -> Image.Image:
    """Mirrored or not, turned, sheared and scaled into about two thirds of the canvas; RGBA, cropped to itself."""
    mirrored = rng.random() < 0.5
    turn = math.radians(rng.choice((-1, 1)) * rng.uniform(6, 18))
    shear, squeeze = rng.uniform(-0.1, 0.1), rng.uniform(0.93, 1.07)
    cos, sin = math.cos(turn), math.sin(turn)
    matrix = np.array([[cos, -sin], [sin, cos]]) @ np.array([[1.0, shear], [0.0, 1.0]]) @ np.diag([squeeze, 1.0])
    matrix = matrix @ np.diag([-1.0 if mirrored else 1.0, 1.0])
    w, h = cut.size
    corners = matrix @ np.array([[-w, w, w, -w], [-h, -h, h, h]]) / 2
    spans = np.ptp(corners, axis=1)
    fit = rng.uniform(0.62, 0.78) * min(size.width / spans[0], size.height / spans[1])
    wide, high = (max(8, math.ceil(float(span) * fit)) for span in spans)
    back = np.linalg.inv(matrix * fit)
    offset = np.array([w, h]) / 2 - back @ np.array([wide, high]) / 2
    # a large cut is reduced first: an affine transform alone samples single pixels
    shrink = min(1.0, 1.3 * fit)
    if shrink < 1:
        cut = cut.resize([max(1, round(side * shrink)) for side in cut.size], Image.Resampling.LANCZOS)
        ratio = np.array([cut.width / w, cut.height / h])
        back, offset = back * ratio[:, None], offset * ratio
    a, b, c, d = (float(value) for value in back.ravel())
    terms = (a, b, float(offset[0]), c, d, float(offset[1]))
    # premultiplied, so that what is transparent does not bleed into the edge
    posed = cut.convert("RGBa").transform((wide, high), Image.Transform.AFFINE, terms, Image.Resampling.BICUBIC)
    return posed.convert("RGBA").crop(posed.getchannel("a").getbbox())


def _lit(cut: Image.Image, rng: Random) -> Image.Image:
    """Another exposure, contrast and colour temperature, and light from one side."""
    pixels = np.asarray(cut.convert("RGB"), np.float32) / 255
    gain, gamma = rng.choice((-1, 1)) * rng.uniform(0.06, 0.16) + 1, math.exp(rng.uniform(-0.2, 0.2))
    warmth, angle = rng.choice((-1, 1)) * rng.uniform(0.02, 0.07), rng.uniform(0, 2 * math.pi)
    y, x = np.mgrid[-0.5 : 0.5 : pixels.shape[0] * 1j, -0.5 : 0.5 : pixels.shape[1] * 1j]
    light = 1 + rng.uniform(0.15, 0.35) * (x * math.cos(angle) + y * math.sin(angle))
    lit = pixels**gamma * gain * light[..., None] * (1 + warmth, 1.0, 1 - warmth)
    made = Image.fromarray((lit.clip(0, 1) * 255).round().astype(np.uint8)).convert("RGBA")
    made.putalpha(cut.getchannel("A"))
    return made


def _ground(posed: Image.Image, size: Size, rng: Random) -> Image.Image:
    """A neutral that the subject stands out from, lighter above, with a soft shadow at the subject's foot."""
    pixels = np.asarray(posed)
    own = pixels[pixels[..., 3] > 200][:, :3] if (pixels[..., 3] > 200).any() else pixels[..., :3].reshape(-1, 3)
    mean = own.mean(0)
    pool = [tone for tone in NEUTRALS if np.abs(mean - tone).max() > 40] or list(NEUTRALS)
    tone = np.asarray(rng.choice(pool), np.float32)
    y, x = np.mgrid[0 : 1 : size.height * 1j, 0 : 1 : size.width * 1j]
    shade = 1.04 - 0.1 * y
    foot = 0.5 + posed.height / size.height / 2 + 0.01
    wide = 0.5 * posed.width / size.width
    shade -= 0.35 * np.exp(-(((x - 0.5) / wide) ** 2 + ((y - foot) / 0.035) ** 2))
    return Image.fromarray((tone * shade[..., None]).clip(0, 255).astype(np.uint8))


def copied_share(picture: np.ndarray, other: np.ndarray) -> float:
    """The share of a picture's windows that stand in another one, pixel by pixel, at whatever place; in [0, 1].

    Windows of nearly one colour do not count; 0 where none counts.
    """
    (own, counts), (theirs, count_too) = _windows(picture), _windows(other)
    return float(np.isin(own[counts], theirs[count_too]).mean()) if counts.any() else 0.0


def _windows(pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A hash of every window, and whether it shows more than about one colour; `(H - w + 1, W - w + 1)` each."""
    # a polynomial in two odd numbers, summed over columns, then over rows, all modulo 2^64
    mixed = pixels.astype(np.uint64) @ np.array([_ODD[0], _ODD[1], _ODD[2]], np.uint64)
    for axis, base in ((1, _ODD[3]), (0, _ODD[4])):
        length = mixed.shape[axis] - WINDOW + 1
        total = np.zeros_like(mixed.take(range(length), axis))
        for step in range(WINDOW):
            part = mixed[:, step : step + length] if axis else mixed[step : step + length]
            total = total * np.uint64(base) + part
        mixed = total
    green = pixels[..., 1]
    spread = ndimage.maximum_filter(green, WINDOW).astype(int) - ndimage.minimum_filter(green, WINDOW)
    first = WINDOW // 2  # the filters' windows are centred; these begin at the pixel
    return mixed, spread[first : first + mixed.shape[0], first : first + mixed.shape[1]] > 12
