"""Drawn subjects with an outline, for references of layout_driven and style_driven, and colours to draw them in."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from random import Random

import numpy as np
from PIL import Image
from scipy import ndimage

from posterkit.datagen.omni.cutouts import Cutout
from posterkit.datagen.omni.posters import SourcePoster
from posterkit.metrics.color import border_color, lab_to_srgb, srgb_to_lab
from posterkit.metrics.color import palette as main_colors
from posterkit.schema import Box
from posterkit.synthetic.canvas import Axes, Canvas, Pose, draw_pose
from posterkit.synthetic.palettes import RGB, ColorScheme, distance, mix
from posterkit.synthetic.synthetic_poster import SUBJECTS, SUPERSAMPLE

FLAT = 0.55  # share of pixels without a gradient from which a poster counts as flat art


def draw_motif(rng: Random, colors: ColorScheme, style: str, side: int) -> Cutout:
    """A product, a dish or a mascot in a palette: RGBA, cropped to itself, at most `side` pixels a side."""
    theme = rng.choice(sorted(SUBJECTS))
    plan, pose = SUBJECTS[theme].plan(rng, colors), draw_pose(rng)
    cut = drawn_cutout(partial(SUBJECTS[theme].draw, plan=plan, pose=pose), pose, style, colors.ink, side)
    return Cutout(cut, (0, 0, *cut.size))


def drawn_cutout(draw: Callable[..., None], pose: Pose, style: str, ink: RGB, side: int) -> Image.Image:
    """A drawing as RGBA, cropped to itself, at most `side` pixels a side.

    Args:
        draw: gets the canvas `c` and the axes `f`.
    """
    # drawn on black and on white: where the two differ the ground shows through
    shown = []
    for ground in ((0, 0, 0), (255, 255, 255)):
        canvas = Canvas(side * SUPERSAMPLE, side * SUPERSAMPLE, ground, style, ink)
        half = side * SUPERSAMPLE / 2
        draw(c=canvas, f=Axes(half, half, 0.8 * half, pose.turn, pose.flip))
        shown.append(canvas.finish(SUPERSAMPLE).astype(np.float32))
    dark, light = shown
    alpha = (1 - (light - dark).mean(2) / 255).clip(0, 1)
    pixels = (dark / np.maximum(alpha, 1e-3)[..., None]).clip(0, 255).astype(np.uint8)
    cut = Image.fromarray(pixels).convert("RGBA")
    cut.putalpha(Image.fromarray((alpha * 255).round().astype(np.uint8)))
    return cut.crop(cut.getchannel("A").getbbox())


def palette_of(poster: SourcePoster) -> ColorScheme:
    """The poster's own colours: its border's as ground, then its main ones."""
    pixels = poster.pixels
    colors = [_rgb(color) for color in main_colors(pixels, 7).colors]
    ground = _rgb(border_color(pixels))
    accents = [color for color in colors if distance(color, ground) > 14][:4]
    light = max([ground, *accents], key=sum)
    while len(accents) < 4:  # a poster of two or three colours: their mixtures
        accents.append(mix(accents[0] if accents else light, (20, 20, 24), 0.25 * (len(accents) + 1)))
    return ColorScheme(ground, tuple(accents))


def _rgb(lab: np.ndarray) -> tuple[int, int, int]:
    r, g, b = (round(float(value) * 255) for value in lab_to_srgb(lab))
    return r, g, b


def drawing_style(poster: SourcePoster) -> str:
    """How a motif has to be drawn to look like the poster: its own style where that is known, else flat or shaded."""
    if poster.style in ("flat", "gradient", "outlined", "dotted"):
        return poster.style
    light = srgb_to_lab(poster.pixels)[..., 0]
    return "flat" if float((ndimage.gaussian_gradient_magnitude(light, 1.0) < 0.6).mean()) > FLAT else "gradient"


def duotone(ground: Image.Image, colors: ColorScheme) -> Image.Image:
    """The ground with its light and shade kept and its colours replaced: dark to light over a palette."""
    stops = sorted((colors.ink, colors.bg, colors.paper), key=sum)
    light = np.asarray(ground.convert("L"), np.float32) / 255
    low, high = (float(value) for value in np.percentile(light, (1, 99)))
    # a ground of nearly one tone becomes the palette's background, not one end of its range
    middle, reach = (low + high) / 2, max(0.5, (high - low) / 2 * 1.3)
    at = np.clip((light - middle) / (2 * reach) + 0.5, 0, 1)
    planes = [np.interp(at, (0.0, 0.5, 1.0), [stop[c] for stop in stops]) for c in range(3)]
    return Image.fromarray(np.stack(planes, -1).round().astype(np.uint8))


def recoloured(ground: Image.Image, like: Image.Image) -> Image.Image:
    """The ground in another picture's colours: each share of its light takes what that picture has at that share."""
    pixels = np.asarray(like.resize((128, 128), Image.Resampling.BOX)).reshape(-1, 3).astype(np.float32)
    ordered = pixels[np.argsort(pixels @ (0.299, 0.587, 0.114), kind="stable")]
    colors = ordered.reshape(256, -1, 3).mean(1)
    light = np.asarray(ground.convert("L"))
    counts = np.bincount(light.ravel(), minlength=256)
    ranks = (np.cumsum(counts) - counts / 2) / light.size  # of each level, in the middle of its share
    return Image.fromarray(colors[(255 * ranks).round().astype(int)].round().astype(np.uint8)[light])


def inside(cut: Cutout, box: Box) -> Box:
    """Where a cut goes in a box: as large as fits, standing on its lower edge."""
    w, h = cut.picture.size
    scale = min((box[2] - box[0]) / w, (box[3] - box[1]) / h)
    w, h = max(1, round(w * scale)), max(1, round(h * scale))
    x = (box[0] + box[2] - w) // 2
    return x, box[3] - h, x + w, box[3]
