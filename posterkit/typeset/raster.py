"""Drawing placed texts into pixels with Pillow."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from posterkit.layout import Box
from posterkit.typeset.fonts import Face
from posterkit.typeset.placed_text import Composition, PlacedText
from posterkit.typeset.shaping import GlyphRun, ShapedLine, has_raqm

_BAND = 256  # rows blended at a time, so that a large poster needs little memory
CORNER = 0.18  # radius of a button's corners, in its height
_SMOOTH = 4  # buttons are drawn this many times larger and reduced


@lru_cache(maxsize=128)
def _pillow_font(face: Face, size: float) -> ImageFont.FreeTypeFont:
    engine = ImageFont.Layout.RAQM if has_raqm() else ImageFont.Layout.BASIC
    return ImageFont.truetype(str(face.path), size, layout_engine=engine)


def draw(canvas: Image.Image, placed: PlacedText) -> None:
    """Draw a text, and its button if it has one, onto an RGB canvas."""
    for color, mask, at in masks(placed, canvas.size):
        canvas.paste(color, at, mask)


def draw_over(ground: Image.Image, poster: Composition, color: Callable[[tuple[int, int, int]], Any]) -> Image.Image:
    """The poster's rules, buttons, texts and codes on `ground`, of any mode, which changes; logos are pictures.

    `color` gives an RGB colour in that mode.
    """
    for graphic in poster.graphics:
        if graphic.panel:
            ground.paste(color(graphic.panel), graphic.box.pixels(ground.size))
        for bar in graphic.bars:
            ground.paste(color((0, 0, 0)), bar.pixels(ground.size))
    for rule, rgb in poster.rules:
        ground.paste(color(rgb), rule.pixels(ground.size))
    for placed in poster.boxes:
        for rgb, mask, at in masks(placed, ground.size):
            ground.paste(color(rgb), at, mask)
    return ground


def masks(
    placed: PlacedText, size: tuple[int, int]
) -> list[tuple[tuple[int, int, int], Image.Image, tuple[int, int]]]:
    """What a text paints on a canvas of this size, bottom first: its button if it has one, then its letters.

    Returns:
        The colour, its coverage as mode L, and the left and top edge of that, in pixels.
    """
    found = []
    if placed.button is not None:
        at = round(placed.button.x0), round(placed.button.y0)
        found.append((placed.button_color, _rounded(placed.button), at))
    x0, y0, x1, y1 = Box(*placed.box).grown(0.3 * placed.size).pixels(size)
    mask = Image.new("L", (x1 - x0, y1 - y0), 0)
    pen = ImageDraw.Draw(mask)
    for line in placed.placed_lines:
        for run in line.line.runs:
            _draw_run(pen, run, line.x + run.x * placed.size - x0, line.baseline - y0, placed.size)
    return [*found, (placed.color, mask, (x0, y0))]


def draw_line(
    canvas: Image.Image, line: ShapedLine, at: tuple[float, float], size: float, color: tuple[int, int, int]
) -> None:
    """Draw one line whose origin lies at `at`, in pixels from the top left, onto an RGB canvas."""
    mask = Image.new("L", (math.ceil((line.right + 0.4) * size) + 1, math.ceil(2 * size)), 0)
    pen = ImageDraw.Draw(mask)
    for run in line.runs:
        _draw_run(pen, run, run.x * size, 1.4 * size, size)
    canvas.paste(color, (round(at[0]), round(at[1] - 1.4 * size)), mask)


def lettering(
    lines: Sequence[ShapedLine], size: float, align: float = 0.0, leading: float = 1.2
) -> tuple[Image.Image, list[tuple[int, int, int, int]]]:
    """Lines of text by themselves.

    Args:
        lines: shaped, top to bottom.
        size: font size in pixels.
        align: 0 sets them left, 0.5 centred, 1 right.
        leading: from baseline to baseline, in em.

    Returns:
        The ink as mode L, cropped to itself, and the box of each line's ink on it, in pixels.
    """
    widest, pad = max(line.ink for line in lines) * size, math.ceil(0.3 * size)
    first = pad + lines[0].top * size
    height = first + ((len(lines) - 1) * leading + lines[-1].bottom) * size + pad
    mask = Image.new("L", (math.ceil(widest) + 2 * pad, math.ceil(height)), 0)
    pen = ImageDraw.Draw(mask)
    boxes = []
    for number, line in enumerate(lines):
        left, baseline = pad + (widest - line.ink * size) * align, first + number * leading * size
        for run in line.runs:
            _draw_run(pen, run, left + (run.x - line.left) * size, baseline, size)
        sides = left, baseline - line.top * size, left + line.ink * size, baseline + line.bottom * size
        boxes.append((*map(math.floor, sides[:2]), *map(math.ceil, sides[2:])))
    x, y, right, bottom = mask.getbbox() or (0, 0, *mask.size)
    inside = [(max(0, a - x), max(0, b - y), min(c, right) - x, min(d, bottom) - y) for a, b, c, d in boxes]
    return mask.crop((x, y, right, bottom)), inside


def _draw_run(pen: ImageDraw.ImageDraw, run: GlyphRun, x: float, y: float, size: float) -> None:
    font = _pillow_font(run.face, size)
    if not has_raqm():
        pen.text((x, y), run.text, fill=255, font=font, anchor="ls")
        return
    direction, language = "rtl" if run.rtl else "ltr", run.language or None
    if not run.tracking:
        pen.text((x, y), run.text, fill=255, font=font, anchor="ls", direction=direction, language=language,
                 features=["lnum"])  # fmt: skip
        return
    for letter, at in run.letters():
        pen.text((x + at * size, y), letter, fill=255, font=font, anchor="ls", direction=direction,
                 language=language, features=["-liga", "-clig", "lnum"])  # fmt: skip


def corner(button: Box) -> float:
    """Radius of a button's corners in pixels."""
    return CORNER * button.height


def _rounded(box: Box) -> Image.Image:
    width, height = (max(1, round(side)) for side in (box.width, box.height))
    large = Image.new("L", (width * _SMOOTH, height * _SMOOTH), 0)
    shape = (0, 0, width * _SMOOTH - 1, height * _SMOOTH - 1)
    ImageDraw.Draw(large).rounded_rectangle(shape, corner(box) * _SMOOTH, fill=255)
    return large.resize((width, height), Image.Resampling.BOX)


def tinted(image: Image.Image, layers: list[tuple[np.ndarray, tuple[int, int, int]]]) -> Image.Image:
    """The picture under tints: `(H, W, 1)` strengths in [0, 1], each with its colour."""
    if not layers:
        return image.copy()
    source = np.asarray(image)
    out = np.empty_like(source)
    # a fixed noise of a quarter step keeps wide gradients from showing bands, and every pixel within one level of
    # what a program gets that lays the same tints over the picture
    random = np.random.default_rng(0)
    for y in range(0, len(source), _BAND):
        pixels = source[y : y + _BAND].astype(np.float32)
        for strength, color in layers:
            part = strength[y : y + _BAND]
            pixels = pixels * (1 - part) + np.asarray(color, np.float32) * part
        noise = 0.25 + 0.5 * random.random(pixels.shape[:2], np.float32)[..., None]
        out[y : y + _BAND] = np.floor(pixels + noise).clip(0, 255)
    return Image.fromarray(out)
