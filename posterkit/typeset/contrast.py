"""Readable text on any picture: WCAG contrast against the pixels behind it, colours from the palette, underlays."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image
from scipy import ndimage

from posterkit.layout import Box
from posterkit.prompts import COLORS

Color = tuple[int, int, int]
MINIMUM = 4.5  # WCAG 2.2, success criterion 1.4.3
LARGE = 3.0  # and for large type, which a title is
_TARGET = 4.8  # aimed at, so that rounding and antialiasing never fall below the minimum
_WORST = 1.0  # per cent of the pixels behind a text that may lie below


def linear(srgb: np.ndarray) -> np.ndarray:
    """sRGB 0..255 to linear light 0..1 (IEC 61966-2-1)."""
    if srgb.dtype == np.uint8:
        return _LINEAR[srgb]
    value = np.asarray(srgb, np.float32) / 255
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)


_LINEAR = linear(np.arange(256, dtype=np.float32))


def luminance(srgb: np.ndarray | Color) -> np.ndarray:
    """WCAG relative luminance of `(..., 3)` sRGB 0..255; `(...)` float in [0, 1]."""
    return linear(np.asarray(srgb)) @ np.asarray([0.2126, 0.7152, 0.0722], np.float32)


def ratio(color: Color, behind: np.ndarray) -> np.ndarray:
    """WCAG contrast of a colour against luminances, 1 to 21."""
    own = float(luminance(color))
    return (np.maximum(own, behind) + 0.05) / (np.minimum(own, behind) + 0.05)


def contrast(color: Color, pixels: np.ndarray) -> float:
    """Contrast of a colour against the worst of the pixels `(..., 3)` behind it (the 1st percentile, 1 to 21)."""
    return float(np.percentile(ratio(color, luminance(pixels)), _WORST))


def palette(image: Image.Image, count: int = 6) -> list[Color]:
    """The picture's main colours, the most frequent first (median cut on a reduced copy)."""
    small = image.convert("RGB").resize((64, 64), Image.Resampling.BOX).quantize(count, Image.Quantize.MEDIANCUT)
    table = small.getpalette() or []
    counts = sorted(small.getcolors() or [], reverse=True)
    return [(table[3 * i], table[3 * i + 1], table[3 * i + 2]) for _, i in counts if isinstance(i, int)]


def parse_color(word: str) -> Color | None:
    """A colour word of the brief or `#rrggbb`; None for a word that is neither."""
    match = re.fullmatch(r"#?([0-9a-fA-F]{6})", word.strip())
    if match:
        digits = match.group(1)
        return int(digits[:2], 16), int(digits[2:4], 16), int(digits[4:], 16)
    return COLORS.get(word.strip().lower())


def palette_word(word: str) -> Color:
    """As `parse_color`; ValueError for a word that is no colour."""
    if (color := parse_color(word)) is None:
        raise ValueError(f"unknown colour {word!r}; give a name such as navy, or #rrggbb")
    return color


@dataclass(frozen=True)
class Ink:
    """The colours of a group of texts: the title's, the rest's, and the tint and strength of what lies under them."""

    title: Color
    text: Color
    tint: Color
    alpha: float
    neutrals: tuple[Color, ...] = ()  # the poster's off-white and near black


def choose_ink(image: Image.Image, areas: Sequence[Sequence[Box]], wanted: Sequence[str]) -> list[Ink]:
    """One ink per group of texts: off-white or near black, whichever needs the lighter underlay.

    `areas` are, per group, the boxes of its texts on a picture without any text; the first of the `wanted` colours
    that reads well on the ground colours the title. An ink's `alpha` in [0, 1] is how strongly the tint must cover the
    picture.
    """
    pixels = [[sample(image, box) for box in group] for group in areas]
    light, dark = _neutrals(image)
    needs = {ink: [max((needed_alpha(ink, tint, part) for part in group), default=0.0) for group in pixels]
             for ink, tint in ((light, dark), (dark, light))}  # fmt: skip
    # a pale veil over a photograph looks like fog, a dark one like dusk: the veil counts double under dark text
    costs = {light: needs[light], dark: [2.2 * alpha + 0.02 for alpha in needs[dark]]}
    common = min(costs, key=lambda ink: sum(costs[ink]) + max(costs[ink], default=0.0))
    other = dark if common == light else light
    inks = []
    for position, group in enumerate(pixels):
        # one colour for the whole poster, unless it would put a heavy veil on a group that the other needs none for
        ink = other if costs[common][position] - costs[other][position] > 0.35 else common
        tint = dark if ink == light else light
        alpha = needs[ink][position]
        inks.append(Ink(_accent(wanted, tint, alpha, group) or ink, ink, tint, alpha, (light, dark)))
    return inks


def brand_ink(
    image: Image.Image, titles: Sequence[Box], others: Sequence[Box], title: Color, text: Color | None
) -> Ink:
    """An ink of given colours, under whichever tint has to cover the picture less.

    `titles` and `others` are boxes of the group's title and its other texts; with no colour, these are off-white or
    near black.
    """
    light, dark = neutrals = _neutrals(image)
    large, small = ([sample(image, box) for box in boxes] for boxes in (titles, others))
    found = []
    for tint, own in ((dark, light), (light, dark)):
        words = text or own
        needs = [needed_alpha(title, tint, part, LARGE + 0.2) for part in large]
        needs += [needed_alpha(words, tint, part) for part in small]
        alpha = max(needs, default=0.0)
        unread = sum(contrast(color, np.asarray([tint], np.uint8)) < least for color, least, boxes in
                     ((title, LARGE, titles), (words, MINIMUM, others)) if boxes)  # fmt: skip
        found.append((unread, alpha if tint == dark else 2.2 * alpha, Ink(title, words, tint, alpha, neutrals)))
    return min(found, key=lambda one: one[:2])[2]


def needed_alpha(color: Color, tint: Color, pixels: np.ndarray, target: float = _TARGET) -> float:
    """How strongly the tint must cover the pixels for the colour to reach the contrast, 0 where it does already."""
    if contrast(color, pixels) >= target:
        return 0.0
    low, high = 0.0, 1.0
    for _ in range(10):
        middle = (low + high) / 2
        if contrast(color, mix(pixels, tint, middle)) >= target:
            high = middle
        else:
            low = middle
    return high


def mix(pixels: np.ndarray, tint: Color, alpha: float | np.ndarray) -> np.ndarray:
    """Pixels `(..., 3)` under a tint, in sRGB as every viewer blends; alpha is a number or `(..., 1)`."""
    return np.asarray(pixels, np.float32) * (1 - alpha) + np.asarray(tint, np.float32) * alpha


def _accent(wanted: Sequence[str], tint: Color, alpha: float, group: Sequence[np.ndarray]) -> Color | None:
    for word in wanted:
        color = parse_color(word)
        if color is not None and all(contrast(color, mix(part, tint, alpha)) >= _TARGET for part in group):
            return color
    return None


def signal_color(image: Image.Image, wanted: Sequence[str], label: Color, ground: np.ndarray) -> Color | None:
    """A colour for a button or an accent bar: the brief's, else the picture's most vivid.

    It carries a label of the given colour at the minimum contrast and stands out from the ground, `(n, 3)`; None where
    no colour does.
    """
    named = [color for word in wanted if (color := parse_color(word)) is not None]
    vivid = [_brought_to(color, label) for color in sorted(palette(image, 12), key=_chroma, reverse=True)[:4]]
    for color in [*named, *(color for color in vivid if _chroma(color) > 70)]:
        apart = float(np.median(ratio(color, luminance(ground))))
        if contrast(label, np.asarray([color], np.uint8)) >= _TARGET and apart >= 2.2:
            return color
    return None


def _chroma(color: Color) -> int:
    return max(color) - min(color)


def _brought_to(color: Color, label: Color) -> Color:
    """The colour, lightened or darkened at the same hue until the label reads on it."""
    light_label = float(luminance(label)) > 0.5
    value = np.asarray(color, np.float32)
    for _ in range(24):
        if contrast(label, value[None]) >= _TARGET:
            break
        value = value * 0.93 if light_label else value + (255 - value) * 0.08
    return _color(value)


def _neutrals(image: Image.Image) -> tuple[Color, Color]:
    """An off-white and a near black, both leaning towards the picture's main hue."""
    pixels = np.asarray(image.convert("RGB").resize((48, 48), Image.Resampling.BOX), np.float32).reshape(-1, 3)
    chroma = pixels.max(1) - pixels.min(1)
    mean = (pixels * (chroma[:, None] + 8)).sum(0) / (chroma + 8).sum()
    hue = mean - mean.mean()
    light = np.clip(np.asarray([251, 250, 247], np.float32) + 0.05 * hue, 0, 255)
    dark = np.clip(np.asarray([17, 17, 20], np.float32) + 0.10 * hue, 6, 40)
    return _color(light), _color(dark)


def _color(value: np.ndarray) -> Color:
    r, g, b = (round(float(v)) for v in value)
    return r, g, b


def sample(image: Image.Image, box: Box) -> np.ndarray:
    """The pixels of a box, `(n, 3)` uint8, thinned to a few thousand."""
    cut = np.asarray(image.crop(box.pixels(image.size))).reshape(-1, 3)
    return cut[:: max(1, len(cut) // 6000)]


def underlay(size: tuple[int, int], boxes: Sequence[Box], alpha: float) -> np.ndarray:
    """How strongly a tint lies on each pixel so that it is at least `alpha` behind every box and fades away softly.

    Texts near the top or the bottom get a gradient that runs in from that edge over the whole width, as in film
    posters; texts in the middle or in a column get a soft glow.

    Args:
        size: width and height in pixels.
        boxes: of one group of texts.

    Returns:
        `(H, W, 1)` float32 in [0, 1].
    """
    width, height = size
    x0, y0 = min(b.x0 for b in boxes), min(b.y0 for b in boxes)
    x1, y1 = max(b.x1 for b in boxes), max(b.y1 for b in boxes)
    reach = max(0.26 * height, 0.6 * (y1 - y0))
    y = np.arange(height, dtype=np.float32)[:, None]
    near_top, near_bottom = y0 < 0.2 * height, y1 > 0.8 * height
    if near_top and y1 < 0.66 * height:
        ramp = _run_in((y - y1) / reach, y1 / reach)
    elif near_bottom and y0 > 0.34 * height:
        ramp = _run_in((y0 - y) / reach, (height - y0) / reach)
    elif x1 - x0 < 0.56 * width and (x0 < 0.2 * width or x1 > 0.8 * width):
        x = np.arange(width, dtype=np.float32)[None]
        left = x0 < 0.2 * width
        ramp = _run_in(((x - x1) if left else (x0 - x)) / (0.3 * width), (x1 if left else width - x0) / (0.3 * width))
    elif near_top and near_bottom:
        ramp = np.ones((1, 1), np.float32)
    else:
        ramp = _glow(size, boxes)
    return np.broadcast_to(np.minimum(alpha * ramp, max(alpha, 0.9)), (height, width))[..., None].astype(np.float32)


def panel(size: tuple[int, int], boxes: Sequence[Box], alpha: float) -> np.ndarray:
    """As `underlay`, with a hard edge: a band from side to side, to the nearer edge of the poster where one is near.

    It hides what texts had to be set on, so it looks like a caption and not like a shadow.
    """
    width, height = size
    x0, y0 = min(b.x0 for b in boxes), min(b.y0 for b in boxes)
    x1, y1 = max(b.x1 for b in boxes), max(b.y1 for b in boxes)
    pad = max(0.035 * min(size), 2.0)
    band = Box(x0 - pad, y0 - pad, x1 + pad, y1 + pad)
    near = 0.12 * min(size)
    if band.width > 0.55 * width:
        band = band._replace(x0=0.0, x1=float(width))
    band = Box(
        0.0 if band.x0 < near else band.x0, 0.0 if band.y0 < near else band.y0,
        float(width) if band.x1 > width - near else band.x1, float(height) if band.y1 > height - near else band.y1,
    )  # fmt: skip
    left, top, right, bottom = band.pixels(size)
    strength = np.zeros((height, width, 1), np.float32)
    strength[top:bottom, left:right] = alpha
    return strength


def _run_in(outside: np.ndarray, depth: float) -> np.ndarray:
    """1 at the text's inner edge (`outside` = 0), fading to 0 at 1, and a fifth stronger towards the poster's edge."""
    return _ease(1 - outside) * (1 + 0.2 * np.clip(-outside / max(depth, 1e-6), 0, 1))


def _ease(value: np.ndarray) -> np.ndarray:
    value = np.clip(value, 0, 1)
    return value * value * (3 - 2 * value)


def _glow(size: tuple[int, int], boxes: Sequence[Box]) -> np.ndarray:
    """1 within the boxes, fading out around them; worked out at an eighth of the size, where it is just as smooth."""
    width, height = (max(8, side // 8) for side in size)
    distance = np.ones((height, width), bool)
    for box in boxes:
        x0, y0, x1, y1 = Box(*(side / 8 for side in box)).grown(1.5).pixels((width, height))
        distance[y0:y1, x0:x1] = False
    far = np.asarray(ndimage.distance_transform_edt(distance), np.float32)
    small = ndimage.gaussian_filter(_ease(1 - (far - 2) / (0.14 * min(width, height))), 1.0)
    wide = np.asarray(Image.fromarray(small).resize(size, Image.Resampling.BICUBIC))
    return np.clip(wide / 0.98, 0, 1)
