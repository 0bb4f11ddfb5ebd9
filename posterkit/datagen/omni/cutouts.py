"""Takes a poster apart: the background without subjects and texts, and cutouts of these to paste elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from PIL import Image
from scipy import ndimage

from posterkit.datagen.omni.painters import Painter
from posterkit.datagen.omni.posters import SourcePoster
from posterkit.layout import Box as Area
from posterkit.pipelines.segmenters import Box
from posterkit.typeset.contrast import contrast, needed_alpha, sample, underlay
from posterkit.typeset.raster import tinted

GROUND = "the empty background, nothing on it"  # prompt of a painter where something was taken off
BUTTON = 0.65  # share of a text's box that differs from the painted ground, from which it has a ground of its own
LEGIBLE = 2.5  # WCAG contrast below which a text is given a veil; posters of all kinds have texts at 3
Color = tuple[int, int, int]


@dataclass(frozen=True)
class Cutout:
    """A part of a poster: RGBA, the box where it stood, and the colour of a text that has no ground of its own."""

    picture: Image.Image
    box: Box
    ink: Color | None = None


def grown(mask: np.ndarray, share: float) -> np.ndarray:
    """`(H, W)` bool: a mask and what lies within a share of the longer side around it."""
    return ndimage.distance_transform_edt(~mask) <= share * max(mask.shape)  # type: ignore[operator]


def text_area(poster: SourcePoster, boxes: Sequence[Box]) -> np.ndarray:
    """`(H, W)` bool: text boxes with a margin of a quarter of their height."""
    area = np.zeros((poster.picture.height, poster.picture.width), bool)
    for x0, y0, x1, y1 in boxes:
        pad = max(3, round(0.25 * min(x1 - x0, y1 - y0)))
        area[max(0, y0 - pad) : y1 + pad, max(0, x0 - pad) : x1 + pad] = True
    return area


@lru_cache(2)
def background_of(poster: SourcePoster, painter: Painter, seed: int) -> Image.Image:
    """The poster with subjects and texts painted over."""
    hole = text_area(poster, [text.box for text in poster.texts or ()])
    for subject in poster.subjects:
        hole |= grown(subject.mask > 0, 0.02)
    return painter(poster.picture, hole, GROUND, seed)


def cut_subject(poster: SourcePoster, number: int) -> Cutout:
    """A subject with soft edges, cropped to its box."""
    subject = poster.subjects[number]
    soft = ndimage.gaussian_filter(subject.mask.astype(np.float32), 1.0)
    # the outermost pixels show the ground's colour
    alpha = np.where(subject.mask > 0, np.clip(2 * soft - 255, 0, 255), 0)
    return Cutout(_with_alpha(poster.picture, alpha).crop(subject.box), subject.box)


def cut_text(poster: SourcePoster, box: Box, ground: Image.Image) -> Cutout:
    """A text's ink alone: what differs most from the ground behind it, in the box; with a button of its own, both."""
    apart = np.abs(np.asarray(poster.picture.crop(box), np.float32) - np.asarray(ground.crop(box), np.float32)).max(2)
    most = max(12.0, float(np.percentile(apart, 96)))
    alpha = np.clip((apart / most - 0.3) / 0.4, 0, 1)
    pixels = np.asarray(poster.picture.crop(box))
    solid = alpha >= 0.99
    if alpha.mean() > BUTTON:
        return Cutout(_with_alpha(Image.fromarray(pixels), np.full(alpha.shape, 255.0)), box)
    ink = np.median(pixels[solid], axis=0) if solid.any() else np.median(pixels.reshape(-1, 3), axis=0)
    # half-covered pixels are part ground; the ink's own colour takes their place
    colored = np.where(solid[..., None], pixels, ink).astype(np.uint8)
    r, g, b = (round(float(value)) for value in ink)
    return Cutout(_with_alpha(Image.fromarray(colored), alpha * 255), box, (r, g, b))


def _with_alpha(picture: Image.Image, alpha: np.ndarray) -> Image.Image:
    layered = picture.convert("RGBA")
    layered.putalpha(Image.fromarray(alpha.round().clip(0, 255).astype(np.uint8)))
    return layered


def paste(canvas: Image.Image, cut: Cutout, box: Box) -> None:
    """Put something on an RGB canvas, resized to a box."""
    size = (max(1, box[2] - box[0]), max(1, box[3] - box[1]))
    piece = cut.picture if cut.picture.size == size else cut.picture.resize(size, Image.Resampling.LANCZOS)
    canvas.paste(piece, box[:2], piece.getchannel("A"))


def veiled(canvas: Image.Image, boxes: Sequence[Box], ink: Color) -> Image.Image:
    """The canvas with a soft veil behind texts of a colour, as strong as they need to be read; none where they do."""
    tint: Color = (16, 16, 20) if sum(ink) > 382 else (250, 249, 246)
    areas = [Area(*(float(side) for side in box)) for box in boxes]
    areas = [area for area in areas if contrast(ink, sample(canvas, area)) < LEGIBLE]
    alpha = max((needed_alpha(ink, tint, sample(canvas, area)) for area in areas), default=0.0)
    return tinted(canvas, [(underlay(canvas.size, areas, alpha), tint)]) if alpha > 0 else canvas


def reshaped(ground: Image.Image, size: tuple[int, int], painter: Painter, seed: int) -> Image.Image:
    """A ground in another shape: scaled to lie between cut and contained, what is then missing painted on."""
    cover, contain = (pick(size[0] / ground.width, size[1] / ground.height) for pick in (max, min))
    scale = (cover * contain) ** 0.5
    scaled = ground.resize([max(1, round(side * scale)) for side in ground.size], Image.Resampling.LANCZOS)
    x, y = ((whole - part) // 2 for whole, part in zip(size, scaled.size, strict=True))
    canvas = Image.new("RGB", size)
    canvas.paste(scaled, (x, y))
    hole = np.ones((size[1], size[0]), bool)
    hole[max(0, y) : y + scaled.height, max(0, x) : x + scaled.width] = False
    return painter(canvas, hole, GROUND, seed) if hole.any() else canvas
