"""A supersampled canvas that draws shapes in one of four graphic styles, axes to place them on, and poses."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from random import Random

import numpy as np
from PIL import Image, ImageChops, ImageDraw

from posterkit.synthetic.palettes import RGB, mix

STYLES = ("flat", "gradient", "outlined", "dotted")
Points = np.ndarray  # float (n, 2)
Outline = Points | Sequence[Sequence[float]]
DrawMask = Callable[[ImageDraw.ImageDraw, float, float], None]  # at an offset
_RAMP = Image.linear_gradient("L").crop((0, 0, 1, 256))
_DOT_LUT = [max(0, min(255, (value - 128) * 8)) for value in range(256)]
_ANGLES = np.linspace(0, 2 * math.pi, 48, endpoint=False)
_CIRCLE = np.stack([np.cos(_ANGLES), np.sin(_ANGLES)], axis=-1)


@dataclass(frozen=True)
class Axes:
    """Where an object stands: local units to pixels, turned by `angle` (radians, clockwise), mirrored by `flip`."""

    x: float
    y: float
    scale: float
    angle: float = 0.0
    flip: bool = False

    def points(self, local: Outline) -> Points:
        """Local `(n, 2)` points to pixels."""
        c, s = math.cos(self.angle) * self.scale, math.sin(self.angle) * self.scale
        m = -1.0 if self.flip else 1.0
        return np.asarray(local) @ np.array([[c * m, s * m], [-s, c]]) + (self.x, self.y)

    def at(self, x: float, y: float, scale: float = 1.0, angle: float = 0.0) -> Axes:
        """A frame inside this one."""
        px, py = self.points([(x, y)])[0]
        return Axes(px, py, self.scale * scale, self.angle + (-angle if self.flip else angle), self.flip)


@dataclass(frozen=True)
class Pose:
    """How a subject is shown: turn in radians, mirrored; gaze, arms, and light (dim to bright) in [-1, 1]."""

    turn: float = 0.0
    flip: bool = False
    gaze: float = 0.0
    arms: float = 0.0
    light: float = 0.0

    def lit(self, color: RGB) -> RGB:
        if self.light > 0:
            return mix(color, (255, 248, 236), 0.22 * self.light)
        return mix(color, (18, 16, 34), -0.3 * self.light)


def draw_pose(rng: Random) -> Pose:
    turn, flip = rng.uniform(-0.26, 0.26), rng.random() < 0.5
    return Pose(turn, flip, *(rng.uniform(-1, 1) for _ in range(3)))


def curve(x: np.ndarray, y: np.ndarray) -> Points:
    """Points from their coordinates."""
    return np.stack([x, y], axis=-1)


def mirror(half: Outline) -> Points:
    """A closed outline from its right half, top to bottom."""
    side = np.asarray(half)
    return np.concatenate([side, side[::-1] * (-1, 1)])


def ellipse(x: float = 0, y: float = 0, rx: float = 1, ry: float | None = None) -> Points:
    return _CIRCLE * (rx, rx if ry is None else ry) + (x, y)


def arc(x: float, y: float, r: float, start: float, end: float, n: int = 24) -> Points:
    """Points of an arc, angles in radians clockwise from east."""
    return _unit_arc(start, end, n) * r + (x, y)


@lru_cache(maxsize=1024)
def _unit_arc(start: float, end: float, n: int) -> Points:
    a = np.linspace(start, end, n)
    return np.stack([np.cos(a), np.sin(a)], axis=-1)


def rounded(x0: float, y0: float, x1: float, y1: float, r: float) -> Points:
    """A rectangle with round corners."""
    r = min(r, (x1 - x0) / 2, (y1 - y0) / 2)
    middles = [[x1 - r, y0 + r], [x1 - r, y1 - r], [x0 + r, y1 - r], [x0 + r, y0 + r]]
    return _CORNERS * r + np.repeat(middles, 7, axis=0)


_CORNERS = np.concatenate([_unit_arc(k * math.pi / 2, (k + 1) * math.pi / 2, 7) for k in (-1, 0, 1, 2)])


@lru_cache(maxsize=256)
def leaf(length: float, width: float) -> Points:
    """A leaf from the origin upwards."""
    t = np.linspace(0, 1, 14)
    side = width * np.sin(math.pi * t**0.8)
    return np.concatenate([np.stack([side, -t * length], -1), np.stack([-side, -t * length], -1)[::-1]])


@lru_cache(maxsize=64)
def _glow(strength: float) -> Image.Image:
    """A round light that falls off softly, 64 pixels across."""
    y, x = np.mgrid[-1:1:64j, -1:1:64j]
    return Image.fromarray(np.rint(255 * strength * (1 - np.minimum(1, np.hypot(x, y))) ** 2).astype(np.uint8))


@lru_cache(maxsize=16)
def _dots(width: int, height: int, pitch: float) -> Image.Image:
    """A field of soft dots on a turned grid: bright in the middle of each dot."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    k = 2 * math.pi / pitch
    field = np.cos((x + y) * k * 0.7071) + np.cos((x - y) * k * 0.7071)
    return Image.fromarray((127.5 + 63.7 * field).astype(np.uint8))


class Canvas:
    """A picture in the making, in pixels of the supersampled size.

    Attributes:
        image: RGB.
        w, h: size in pixels.
        s: root of the area, the unit for lengths that must not change with the aspect ratio.
        style: one of `STYLES`.
        ink: the outline's colour.
        quiet: the area, in pixels, that text will need; small and busy things keep out of it.
    """

    def __init__(self, width: int, height: int, color: RGB, style: str = "flat", ink: RGB = (20, 20, 24)) -> None:
        self.image = Image.new("RGB", (width, height), color)
        self.draw = ImageDraw.Draw(self.image)
        self.w, self.h, self.s = width, height, math.sqrt(width * height)
        self.style, self.ink = style, ink
        self.line = max(1, round(self.s * 0.011))
        self.quiet: tuple[float, float, float, float] | None = None

    def is_quiet(self, x: float, y: float, r: float) -> bool:
        """Whether a thing of radius r at (x, y) would stand where text will."""
        if self.quiet is None:
            return False
        x0, y0, x1, y1 = self.quiet
        return x0 - r < x < x1 + r and y0 - r < y < y1 + r

    @property
    def floor(self) -> float:
        """Where busy ground ends: the top of a quiet area in the lower part, else the canvas' lower edge."""
        if self.quiet is None or self.quiet[1] + self.quiet[3] < 1.4 * self.h:
            return float(self.h)
        return min(float(self.h), self.quiet[1])

    def polygon(self, points: Points, color: RGB, shade: bool = True, outline: bool = True) -> None:
        """Fill a polygon in the canvas' style."""
        flat = points.ravel().tolist()
        self.draw.polygon(flat, fill=color)
        if shade and self.style in ("gradient", "dotted"):
            box = (*points.min(axis=0), *points.max(axis=0))
            self._shade(box, color, lambda d, dx, dy: d.polygon((points - (dx, dy)).ravel().tolist(), 255))
        if outline and self.style == "outlined":
            self.draw.line(flat + flat[:4], fill=self.ink, width=self.line, joint="curve")

    def shape(self, axes: Axes, local: Outline, color: RGB) -> None:
        """Fill a polygon of local points in the canvas' style."""
        self.polygon(axes.points(local), color)

    def part(self, axes: Axes, local: Outline, color: RGB) -> None:
        """The same without a shade."""
        self.polygon(axes.points(local), color, shade=False)

    def detail(self, axes: Axes, local: Outline, color: RGB) -> None:
        """The same with neither shade nor outline."""
        self.polygon(axes.points(local), color, shade=False, outline=False)

    def disc(self, x: float, y: float, r: float, color: RGB, shade: bool = True, outline: bool = True) -> None:
        """Fill a circle in the canvas' style."""
        box = (x - r, y - r, x + r, y + r)
        outlined = outline and self.style == "outlined"
        self.draw.ellipse(box, fill=color, outline=self.ink if outlined else None, width=self.line if outlined else 0)
        if shade and self.style in ("gradient", "dotted"):
            self._shade(box, color, lambda d, dx, dy: d.ellipse((x - r - dx, y - r - dy, x + r - dx, y + r - dy), 255))

    def rect(self, x0: float, y0: float, x1: float, y1: float, color: RGB, shade: bool = True) -> None:
        """Fill a rectangle in the canvas' style."""
        self.polygon(np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]]), color, shade)

    def stroke(self, points: Points, width: float, color: RGB) -> None:
        """A line with round ends and joints."""
        flat = points.ravel().tolist()
        self.draw.line(flat, fill=color, width=max(1, round(width)), joint="curve")
        r = width / 2
        for x, y in (points[0], points[-1]):
            self.draw.ellipse((x - r, y - r, x + r, y + r), fill=color)

    def path(self, axes: Axes, local: Outline, width: float, color: RGB) -> None:
        """A line with round ends and joints through local points; its width in local units too."""
        self.stroke(axes.points(local), width * axes.scale, color)

    def ring(self, x: float, y: float, r: float, width: float, color: RGB) -> None:
        """A circle's line of a width, inside radius r."""
        self.draw.ellipse((x - r, y - r, x + r, y + r), outline=color, width=max(1, round(width)))

    def glow(self, x: float, y: float, rx: float, ry: float, color: RGB, strength: float) -> None:
        """A soft light: full `strength` in [0, 1] at the centre, nothing at the radii."""
        x0, y0 = max(0, int(x - rx)), max(0, int(y - ry))
        x1, y1 = min(self.w, int(x + rx) + 1), min(self.h, int(y + ry) + 1)
        if x1 <= x0 or y1 <= y0:
            return
        left, right = ((side - x) * (31.5 / rx) + 32 for side in (x0, x1))
        top, bottom = ((side - y) * (31.5 / ry) + 32 for side in (y0, y1))
        box = (max(0.0, left), max(0.0, top), min(64.0, right), min(64.0, bottom))
        mask = _glow(strength).resize((x1 - x0, y1 - y0), Image.Resampling.BILINEAR, box=box)
        self.image.paste(color, (x0, y0, x1, y1), mask)

    def vertical(self, top: RGB, bottom: RGB, y0: float = 0, y1: float | None = None) -> None:
        """A vertical gradient over the full width."""
        a, b = max(0, int(y0)), min(self.h, int(self.h if y1 is None else y1))
        if b <= a:
            return
        t = (np.arange(a, b, dtype=np.float32)[:, None] - y0) / max(1.0, (self.h if y1 is None else y1) - y0)
        rows = np.asarray(top, np.float32) + t * (np.asarray(bottom, np.float32) - np.asarray(top, np.float32))
        column = Image.fromarray(np.rint(rows).astype(np.uint8)[:, None])
        self.image.paste(column.resize((self.w, b - a), Image.Resampling.NEAREST), (0, a))

    def finish(self, factor: int) -> np.ndarray:
        """The picture reduced by the supersampling factor: uint8 `(H, W, 3)`."""
        return np.asarray(self.image.reduce(factor))

    def _shade(self, box: Sequence[float], color: RGB, draw_mask: DrawMask) -> None:
        x0, y0 = max(0, int(box[0])), max(0, int(box[1]))
        x1, y1 = min(self.w, int(box[2]) + 1), min(self.h, int(box[3]) + 1)
        if (x1 - x0) * (y1 - y0) < 0.008 * self.s**2 or x1 <= x0 or y1 <= y0:
            return
        mask = Image.new("L", (x1 - x0, y1 - y0), 0)
        draw_mask(ImageDraw.Draw(mask), x0, y0)
        tone = _RAMP.resize(mask.size, Image.Resampling.BILINEAR)
        if self.style == "dotted":
            dots = _dots(self.w, self.h, self.s * 0.042).crop((x0, y0, x1, y1))
            tone = ImageChops.add(tone, dots, 2.4, 0).point(_DOT_LUT)
        shade = mix(color, self.ink, 0.3 if self.style == "dotted" else 0.45)
        self.image.paste(shade, (x0, y0), ImageChops.multiply(mask, tone))
