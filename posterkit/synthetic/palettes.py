"""Colours of synthetic posters: Lab distance to the shared colour names, designed palettes, jitter."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from random import Random

import numpy as np

from posterkit.prompts import COLORS
from posterkit.synthetic.plans import pick

RGB = tuple[int, int, int]
BORDER = 0.06  # width of the frame that names a background, as a share of the shorter side
NAMES = tuple(COLORS)
# grounds of a subject by itself
NEUTRALS = ((244, 242, 238), (228, 228, 230), (206, 208, 212), (236, 226, 212), (60, 62, 70), (250, 250, 250))

_LINEAR = np.where(
    np.arange(256) <= 10, np.arange(256) / 255 / 12.92, ((np.arange(256) / 255 + 0.055) / 1.055) ** 2.4
).astype(np.float32)
# sRGB to XYZ, each row divided by the D65 white point
_TO_XYZ = np.array(
    [
        [0.4124564 / 0.95047, 0.3575761 / 0.95047, 0.1804375 / 0.95047],
        [0.2126729, 0.7151522, 0.0721750],
        [0.0193339 / 1.08883, 0.1191920 / 1.08883, 0.9503041 / 1.08883],
    ],
    dtype=np.float32,
)


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


def nearest_name(color: np.ndarray) -> str:
    """The colour name nearest to a Lab colour `(3,)`."""
    return NAMES[int(np.argmin(((_NAMED - color) ** 2).sum(axis=-1)))]


def background_name(image: np.ndarray) -> str:
    """The name of a poster's background: nearest to the median Lab of its border. `image`: uint8 `(H, W, 3)`."""
    return nearest_name(border_lab(image))


@lru_cache(maxsize=4096)  # a poster has few colours, each used many times
def lab_of(rgb: RGB) -> tuple[float, float, float]:
    """Lab of one colour; the same as `lab`, quicker for a single one."""
    r, g, b = (_LINEAR_LIST[value] for value in rgb)
    x, y, z = (p * r + q * g + s * b for p, q, s in _TO_XYZ_LIST)
    x, y, z = (v ** (1 / 3) if v > 216 / 24389 else v * (24389 / 27 / 116) + 16 / 116 for v in (x, y, z))
    return 116 * y - 16, 500 * (x - y), 200 * (y - z)


_LINEAR_LIST, _TO_XYZ_LIST = _LINEAR.tolist(), _TO_XYZ.tolist()


@lru_cache(maxsize=4096)  # a poster has few colours, each used many times
def color_name(rgb: RGB) -> str:
    """The name nearest to one colour."""
    here = lab_of(rgb)
    return min(
        NAMES, key=lambda name: sum((p - q) ** 2 for p, q in zip(here, _NAMED_LIST[NAMES.index(name)], strict=True))
    )


def color_names(colors: Iterable[RGB]) -> list[str]:
    """The names nearest to some colours, each once."""
    return list(dict.fromkeys(color_name(color) for color in colors))


def distance(one: RGB, other: RGB) -> float:
    """Lab distance (CIE 1976) of two colours."""
    return sum((p - q) ** 2 for p, q in zip(lab_of(one), lab_of(other), strict=True)) ** 0.5


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


_DESIGNED = """
black   16161A F2C14E E4572E F4F1EA 3A3A46 | 17151C 8E5CD9 F06C9B 4CC9F0 2A2636 | 141A1C 2A9D8F E9C46A F4A261 23363A
black   1A1718 D7263D F5EFE6 8C8C8C 3B2A2C | 15181D 5FA8D3 CAE9FF F6AE2D 27425A
white   F6F4F0 D7263D 1B1B1E F2C14E 2B59C3 | F7F5EE 1F7A8C F4A261 264653 BFDBD5 | F8F6F2 FF7F50 2E4057 66A182 F2D7B6
white   F5F3EF 6A4C93 F7B2BD 2B2D42 8AC6D0 | F6F5F1 2F6B3C E9B44C 9B2915 B8CDAB
gray    888A8E F6F4F0 F2C14E 2B2D33 C8553D | 85888F F3E9DC E8505B 14213D B8BCC4 | 8C8E90 FFD166 1F2A33 F7F7F2 3E7CB1
gray    868A8C F7D9C4 2A3D45 DDE5D8 C44536 | 8A8C92 FBF1E0 32305A F49D6E B9C4CC
red     CC2C2C F7E7CE 1D1D24 F4B942 8F1A1F | C8312F FFF3E2 16325C F2A65A 7A1420 | D12F33 F6D6AD 2F1B25 FFFFFF F08A5D
red     C42B33 F3C6C0 23395B F9E4B7 6F1320 | CA2F2E FFD9A0 3B1430 F6F1E7 1F6F78
orange  EE822A FFF1DC 2A2140 C8361D FFD07A | EC8430 1F3A4D FCEBCB B23A1E 2A9D8F | F08A34 3B1F2B FFE2B3 DB3A34 F7F3E9
orange  E97F2F F9F3E3 264653 8A2B0E F6BD60 | EF8630 5A2A6B FFEBC9 FFC65C 2B1B3F
yellow  F6CE40 1D1D24 E4572E FFFFFF 2E86AB | F4CB45 2F2A5A D7263D FFF6DA 1B998B | F7D04A EF5B5B 20639B 3C2A21 FFF4D2
yellow  F3C93C 264653 2A9D8F E76F51 FFFBEB | F5CC42 7A3E9D 2C1A47 F4845F FFF8E1
brown   784C2E F4E3C1 E3A857 3A2014 C75B39 | 764A30 F2D0A9 D99A6C 2B1810 8DA47E | 7B4E30 F7EBDA F29F4B 40241A 9C2F1F
brown   74492D F6E7CF E8B07A 2F1C13 5F9A9B | 784B31 FFD98E F9EFE0 35201A E0705A
green   3A8E4A F6EFD6 F2C14E 17402A E8604C | 3C8C50 FDF5DF F7A072 1C3B2A B5D99C | 3F9150 FFE8A3 FFFFFF 14342B F26157
green   388A4C F4D6CC 11324D F9F0DA 9CCB86 | 3B8D4D FFC857 FFF6E4 123524 F4899B
teal    208C90 FDF0D5 F4A259 123C4A E4572E | 238A8C FFE3C8 F76C5E 0F3B45 A7DAD3 | 1F8F94 FFD166 FFF8E7 173F5F ED6A5A
teal    258B90 F7C8D0 F6F1E9 1B3A4B F2B134 | 228C8E F9E2AE 5B2A5C FFF7EA F5866B
blue    2C62C4 FFD23F FFF7E6 12264F EE6055 | 2F64C0 F7E9D7 F78154 132A5E 8FB8F6 | 2A60C8 F9C9D4 FFFFFF 0F2350 FFC145
blue    3066BE F4F1DE F2545B 152B55 9AD1D4 | 2D63C2 FFE0A3 FF8C69 16224F E9F1FF
navy    1A2656 F6C453 F4EBDD E4572E 3D55A5 | 1C2858 F7A1B5 FCE4D8 7A5BB5 39508E | 1A2A5A 4FB0AE F4E9CD F28F3B 2F4A86
navy    182454 E63946 F1FAEE A8DADC 457B9D | 1B2757 FFB570 FFF0DA D95D7A 46407E
purple  743E9E FFD166 F9EBFF 32174D F46B8B | 723F9A F8B195 F6E7D8 2E1A47 B98BD9 | 7840A0 8CE0D6 FFF3F9 33184F F7B538
purple  6F3C9A FF8FA3 FFE5D9 2B1644 A678D6 | 753F9C F4E27A FFF8EE 30154A 5CC8D7
pink    EE96B6 C2185B FFF3EC 3E1F47 F6C453 | F09AB8 1F4E79 FFF7F0 D6336C FBD7E3 | EC98B4 2F6B5E FFE9D6 8C1C4B F7D08A
pink    EF9DBB E4572E FFF5E4 4A2545 FFD9E5 | ED97B5 5B3A8E FFF1E6 2B1D4E F9D65C
beige   E4D0AC C8553D 2F3E46 588B8B F7EFE0 | E6D2AE 1D3557 D1495B EDAE49 FBF4E4 | E2CEA8 3A5A40 A44A3F F19953 F8F1DF
beige   E5D1B0 5B3A29 D4785C 7D9D9C FFF8EA | E3CFAB 6B2D5C 2A6F6B E07A5F FAF3E3
"""


DESIGNED: dict[str, list[tuple[RGB, ...]]] = {name: [] for name in NAMES}
for _name, _rows in (line.split(maxsplit=1) for line in _DESIGNED.strip().splitlines()):
    DESIGNED[_name] += [tuple((p[0], p[1], p[2]) for p in map(bytes.fromhex, row.split())) for row in _rows.split("|")]


def _jitter(color: RGB, turn: float, lift: float, fade: float) -> RGB:
    """Turn the hue a little, lift or sink the lightness, fade the saturation, in YIQ-like opponent axes."""
    r, g, b = color
    y = 0.299 * r + 0.587 * g + 0.114 * b
    u, v = (b - y) * 0.564 * fade, (r - y) * 0.713 * fade
    u, v = u - v * turn, v + u * turn
    y += lift
    return (
        min(255, max(0, round(y + 1.402 * v))),
        min(255, max(0, round(y - 0.344 * u - 0.714 * v))),
        min(255, max(0, round(y + 1.772 * u))),
    )


def _margin(color: RGB, name: str) -> float:
    """How much nearer a colour is to its name than to any other, in Lab units; negative when it is not."""
    here = lab_of(color)
    gaps = [sum((p - q) ** 2 for p, q in zip(here, there, strict=True)) ** 0.5 for there in _NAMED_LIST]
    own = gaps[NAMES.index(name)]
    return min(gap for other, gap in zip(NAMES, gaps, strict=True) if other != name) - own


_NAMED_LIST = _NAMED.tolist()


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
