"""Colours of synthetic posters: Lab distance to the shared colour names, designed palettes, jitter."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from random import Random

import numpy as np

from posterkit.prompts import COLORS
from posterkit.synthetic.plans import pick, read_table

RGB = tuple[int, int, int]
BORDER = 0.06  # width of the frame that names a background, as a share of the shorter side
NAMES = tuple(COLORS)
# grounds of a subject by itself
NEUTRALS = ((244, 242, 238), (228, 228, 230), (206, 208, 212), (236, 226, 212), (60, 62, 70), (250, 250, 250))

_LEVEL = np.arange(256) / 255
_LINEAR = np.where(_LEVEL <= 0.04, _LEVEL / 12.92, ((_LEVEL + 0.055) / 1.055) ** 2.4).astype(np.float32)
_XYZ = [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
_TO_XYZ = (np.array(_XYZ) / [[0.95047], [1.0], [1.08883]]).astype(np.float32)  # each row by the D65 white point


def lab(rgb: np.ndarray) -> np.ndarray:
    """CIE Lab (D65) of uint8 sRGB.

    Args:
        rgb: uint8 `(..., 3)`.

    Returns:
        float32 `(..., 3)`: L in [0, 100], a and b about [-110, 110].
    """
    xyz = _LINEAR[rgb] @ _TO_XYZ.T
    f = np.where(xyz > 216 / 24389, np.cbrt(xyz), xyz * (24389 / 27 / 116) + 16 / 116)
    return np.stack([116 * f[..., 1] - 16, 500 * (f[..., 0] - f[..., 1]), 200 * (f[..., 1] - f[..., 2])], axis=-1)


_NAMED = lab(np.array([COLORS[name] for name in NAMES], dtype=np.uint8))


def border_lab(image: np.ndarray) -> np.ndarray:
    """Median Lab of the outer 6 % frame (of the shorter side) of a uint8 `(H, W, 3)` picture: float32 `(3,)`."""
    edge = max(1, round(BORDER * min(image.shape[:2])))
    inner = image[edge:-edge]
    sides = (image[:edge], image[-edge:], inner[:, :edge], inner[:, -edge:])
    return np.median(lab(np.concatenate([side.reshape(-1, 3) for side in sides])), axis=0)


def background_name(image: np.ndarray) -> str:
    """The name of a poster's background: nearest to the median Lab of its border. `image`: uint8 `(H, W, 3)`."""
    return NAMES[int(np.argmin(((_NAMED - border_lab(image)) ** 2).sum(axis=-1)))]


@lru_cache(maxsize=4096)  # a poster has few colours, each used many times
def lab_of(rgb: RGB) -> tuple[float, float, float]:
    """Lab of one colour; the same as `lab`, quicker for a single one."""
    r, g, b = (_LINEAR_LIST[value] for value in rgb)
    x, y, z = (p * r + q * g + s * b for p, q, s in _TO_XYZ_LIST)
    x, y, z = (v ** (1 / 3) if v > 216 / 24389 else v * (24389 / 27 / 116) + 16 / 116 for v in (x, y, z))
    return 116 * y - 16, 500 * (x - y), 200 * (y - z)


_LINEAR_LIST, _TO_XYZ_LIST, _NAMED_LIST = _LINEAR.tolist(), _TO_XYZ.tolist(), _NAMED.tolist()


@lru_cache(maxsize=4096)
def _away_from_names(rgb: RGB) -> tuple[float, ...]:
    """The Lab distance of a colour to each of `NAMES`."""
    return tuple(math.dist(lab_of(rgb), named) for named in _NAMED_LIST)


def color_name(rgb: RGB) -> str:
    """The name nearest to one colour."""
    away = _away_from_names(rgb)
    return NAMES[away.index(min(away))]


def color_names(colors: Iterable[RGB]) -> list[str]:
    """The names nearest to some colours, each once."""
    return list(dict.fromkeys(color_name(color) for color in colors))


def distance(one: RGB, other: RGB) -> float:
    """Lab distance (CIE 1976) of two colours."""
    return math.dist(lab_of(one), lab_of(other))


def mix(one: RGB, other: RGB, share: float) -> RGB:
    """`one` with a share of `other` in [0, 1] mixed in."""
    r, g, b = (round(p + (q - p) * share) for p, q in zip(one, other, strict=True))
    return r, g, b


def luminance(rgb: Sequence[int]) -> float:
    """WCAG relative luminance in [0, 1]."""
    return 0.2126 * _LINEAR_LIST[rgb[0]] + 0.7152 * _LINEAR_LIST[rgb[1]] + 0.0722 * _LINEAR_LIST[rgb[2]]


def contrast(one: float, other: float) -> float:
    """WCAG contrast ratio of two luminances, 1 to 21."""
    return (max(one, other) + 0.05) / (min(one, other) + 0.05)


@dataclass(frozen=True)
class ColorScheme:
    """A background, four accents (the first is the hero) and what follows from them."""

    bg: RGB
    accents: tuple[RGB, ...]

    @property
    def colors(self) -> tuple[RGB, ...]:
        return (self.bg, *self.accents)

    @cached_property
    def ink(self) -> RGB:
        """A dark colour of the family."""
        dark = min(self.colors, key=luminance)
        return dark if lab_of(dark)[0] < 30 else mix(dark, (16, 14, 20), 0.7)

    @cached_property
    def paper(self) -> RGB:
        """A light colour of the family."""
        light = max(self.colors, key=luminance)
        return light if lab_of(light)[0] > 86 else mix(light, (252, 248, 240), 0.75)

    @cached_property
    def strong(self) -> tuple[RGB, ...]:
        """The accents that stand out from the background, the hero first."""
        return tuple(c for c in self.accents if distance(c, self.bg) > 30) or (self.ink, self.paper)

    def away(self, *others: RGB, least: float = 28) -> RGB:
        """The first colour of the family at least that far from the background and from `others`."""
        taken = (self.bg, *others)
        pool = (*self.accents, self.ink, self.paper)
        return next(
            (c for c in pool if all(distance(c, o) >= least for o in taken)),
            max(pool, key=lambda c: min(distance(c, o) for o in taken)),
        )

    def with_background(self, color: RGB) -> ColorScheme:
        """The same family on another of its colours."""
        return ColorScheme(color, tuple(c for c in (*self.accents, self.bg) if c != color))


DESIGNED: dict[str, list[tuple[RGB, ...]]] = {name: [] for name in NAMES}
for _name, _rows in read_table("palettes"):
    DESIGNED[_name] += [tuple((p[0], p[1], p[2]) for p in map(bytes.fromhex, row.split())) for row in _rows.split("|")]


def _jitter(color: RGB, turn: float, lift: float, fade: float) -> RGB:
    """Turn the hue a little, lift or sink the lightness, fade the saturation, in YIQ-like opponent axes."""
    r, g, b = color
    y = 0.299 * r + 0.587 * g + 0.114 * b
    u, v = (b - y) * 0.564 * fade, (r - y) * 0.713 * fade
    u, v = u - v * turn, v + u * turn
    y += lift
    r, g, b = (min(255, max(0, round(v))) for v in (y + 1.402 * v, y - 0.344 * u - 0.714 * v, y + 1.772 * u))
    return r, g, b


def _margin(color: RGB, name: str) -> float:
    """How much nearer a colour is to its name than to any other, in Lab units; negative when it is not."""
    away = dict(zip(NAMES, _away_from_names(color), strict=True))
    return min(gap for other, gap in away.items() if other != name) - away[name]


def draw_palette(rng: Random, name: str | None = None) -> ColorScheme:
    """A designed palette with a little jitter on a background of that name; without one, every name alike often."""
    name = name or pick(rng, NAMES)
    rows = DESIGNED[name]
    bg, *accents = pick(rng, rows)
    turn, lift, fade = rng.uniform(-0.12, 0.12), rng.uniform(-9, 9), rng.uniform(0.85, 1.1)
    bg = _jitter(bg, turn * 0.8, lift, fade)
    for _ in range(8):  # a background between two names would make the caption a guess
        if _margin(bg, name) > 14:
            break
        bg = mix(bg, COLORS[name], 0.3)
    if rng.random() < 0.4:
        accents[1], accents[2] = accents[2], accents[1]
    return ColorScheme(bg, tuple(_jitter(c, turn, rng.uniform(-6, 6), fade) for c in accents))


def subject_colors(rng: Random, palette: ColorScheme) -> list[RGB]:
    """Three colours apart from one another and from the background; the first stands out most."""
    found: list[RGB] = []
    pool = [*palette.accents, palette.paper, palette.ink]
    if rng.random() < 0.5:
        pool[0], pool[1] = pool[1], pool[0]
    for gap in (30, 15, 0):
        for color in pool:
            if color not in found and all(distance(color, q) > gap for q in (palette.bg, *found)):
                found.append(color)
    return found[:3]
