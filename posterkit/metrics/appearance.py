"""How a poster looks: colour, order, balance, sharpness, tones, legibility of its texts; and how it is drawn."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from posterkit.layout import Box, saliency
from posterkit.metrics.arrangement import OTHER
from posterkit.metrics.artefacts import artefacts
from posterkit.metrics.color import (
    FRAME,
    Palette,
    border_color,
    named_shares,
    nearest_color_name,
    palette,
    srgb_to_lab,
)
from posterkit.metrics.text_regions import DetectedText
from posterkit.prompts import COLORS
from posterkit.typeset.contrast import luminance, ratio

Array = NDArray[np.float64]
DrawingStyle = Literal["flat", "gradient", "outlined", "halftone"]

SMALL, MEDIUM, LARGE = 96, 256, 1024  # px; the longer side at which colour, edges and sharpness are measured
ENHANCED = 7.0  # WCAG 2.2, success criterion 1.4.6
EDGE = 4.0  # Lab units of lightness a pixel, at the medium size, from which there is an edge
NOTHING = 0.02  # floor of a measure, so that one at 0 does not cancel the others
PICTURE = 0.05  # share of the poster beside the texts from which on there is a picture
CROWDED = 0.4, 0.8  # share of the poster that boxes of texts take: from which on they crowd it, and leave nothing
MARGIN = 0.02  # of the shorter side; a text that stands nearer to the edge looks cut off
_SIDE = 256  # pixels of the shorter side that lines and dots are looked for at
_OUTLINED = 0.3  # share of the edges that a thin dark line runs along
_DOTS = 60  # specks of a dot's size
_SLOPE = 0.05  # share of the areas' insides where colour changes slowly


@dataclass(frozen=True)
class TextAppearance:
    """How one text stands on its ground."""

    text: str
    box: tuple[int, int, int, int]
    role: str
    color: str
    contrast: float  # WCAG's of ink and ground, 1 to 21; a tenth of the ground around it may lie below
    busy: float  # how much edge there is around it, in [0, 1]
    margin: float  # from the nearest edge of the poster, as a part of the shorter side


class Appearance:
    """Measures of one poster, RGB; each is computed on first access."""

    def __init__(self, poster: Image.Image, texts: Sequence[DetectedText] = ()) -> None:
        self.poster, self._texts = poster, texts

    @cached_property
    def pixels(self) -> NDArray[np.uint8]:
        """At most 96 px a side: grain is gone, colours and large shapes are left."""
        return _reduced(self.poster, SMALL)

    @cached_property
    def _lab(self) -> Array:
        return srgb_to_lab(self.pixels)

    @cached_property
    def _medium_pixels(self) -> NDArray[np.uint8]:
        return _reduced(self.poster, MEDIUM)

    @cached_property
    def _medium_lab(self) -> Array:
        return srgb_to_lab(self._medium_pixels)

    @cached_property
    def _edges(self) -> Array:
        """Gradient of lightness at 256 px, Lab units a pixel."""
        dy, dx = np.gradient(self._medium_lab[..., 0])
        return np.hypot(dx, dy)

    @cached_property
    def palette(self) -> Palette:
        """Its six main colours."""
        return palette(self.pixels)

    @cached_property
    def background(self) -> str:
        """The name of the largest colour that reaches its border: by its share of the whole times of the border."""
        edge = max(1, round(FRAME * min(self.pixels.shape[:2])))
        rim = np.ones(self.pixels.shape[:2], bool)
        rim[edge:-edge, edge:-edge] = False
        return list(COLORS)[int((self.shares * named_shares(self._lab[rim]).mean(0)).argmax())]

    @cached_property
    def shares(self) -> Array:
        """`(14,)`: the part of it in each of `posterkit.prompts.COLORS`, sum 1."""
        return named_shares(self._lab.reshape(-1, 3)).mean(0)

    @cached_property
    def lightness(self) -> float:
        """Mean Lab lightness, 0 to 100."""
        return float(self._lab[..., 0].mean())

    @cached_property
    def chroma(self) -> float:
        """Mean Lab chroma; about 10 is muted, 35 vivid."""
        return float(np.hypot(self._lab[..., 1], self._lab[..., 2]).mean())

    @cached_property
    def flat(self) -> float:
        """The part of it without any gradient, in [0, 1]: drawn areas have none, photographs everywhere some."""
        return float((self._edges < 0.35).mean())

    @cached_property
    def _saliency(self) -> Array:
        return saliency(self.poster).astype(np.float64) ** 2

    @cached_property
    def weight(self) -> tuple[float, float]:
        """Where what catches the eye has its centre, 0 to 1 from the left and from the top."""
        return _centre(self._saliency)

    @cached_property
    def subject(self) -> tuple[float, float]:
        """The same without the texts that were read: about where the picture's main motif is."""
        seen = self._saliency.copy()
        for x0, y0, x1, y1 in (text.box for text in self._texts):
            down, across = seen.shape[0] / self.poster.height, seen.shape[1] / self.poster.width
            seen[int(y0 * down) : math.ceil(y1 * down), int(x0 * across) : math.ceil(x1 * across)] = 0
        return _centre(seen)

    @cached_property
    def tones(self) -> float:
        """Range of lightness that large areas use: 85 Lab units from the 2nd to the 98th percentile are full."""
        low, high = np.percentile(self._lab[..., 0], [2, 98])
        return ramp(high - low, 0, 85)

    @cached_property
    def color(self) -> float:
        """Half colourfulness (Hasler and Suesstrunk 2003; 80 is full), half harmony: few hues with most of the chroma.

        Harmony is the part of all chroma within 20 degrees of two complementary or three neighbouring hues, as in the
        templates of Cohen-Or et al. (2006); a picture without chroma is harmonious.
        """
        red, green, blue = np.moveaxis(self.pixels.astype(np.float64), -1, 0)
        rg, yb = red - green, (red + green) / 2 - blue
        strength = np.hypot(rg.std(), yb.std()) + 0.3 * np.hypot(rg.mean(), yb.mean())
        a, b = self._lab[..., 1].ravel(), self._lab[..., 2].ravel()
        hue = ((np.degrees(np.arctan2(b, a)) % 360) // 20).astype(int)
        amount = np.bincount(hue, np.hypot(a, b), 18)
        near = amount + np.roll(amount, 1) + np.roll(amount, -1)
        best = max(float((near + np.roll(near, turn)).max()) for turn in (4, 5, 6, 7, 8, 9))
        harmony = best / amount.sum() if amount.sum() > 2 * len(a) else 1.0
        return (ramp(float(strength), 0, 80) + float(min(1.0, harmony))) / 2

    @cached_property
    def order(self) -> float:
        """How little clutter there is: 1 without any edge, 0 where half of the poster is edges."""
        return 1 - ramp(float((self._edges > EDGE).mean()), 0, 0.5)

    @cached_property
    def balance(self) -> float:
        """Half visual weight in the middle from left to right, half quiet margins; 0 where there is nothing to see."""
        if float(self._edges.max()) < EDGE:
            return 0.0
        middle = 1 - ramp(abs(self.weight[0] - 0.5), 0, 0.35)
        y, x = (max(1, round(side * 0.03)) for side in self._edges.shape)
        rim = np.ones(self._edges.shape, bool)
        rim[y:-y, x:-x] = False
        return (middle + 1 - ramp(float((self._edges[rim] > EDGE).mean()), 0, 0.6)) / 2

    @cached_property
    def sharpness(self) -> float:
        """How much of its rise an edge makes within one pixel: 14 % (blurred) is 0, 34 % (crisp) is 1; no edge, 0."""
        light = _reduced(self.poster.convert("L"), LARGE)
        if min(light.shape) < 9:
            return 0.0
        rise = _window(light, np.maximum) - _window(light, np.minimum)
        strong = rise > 40
        if strong.sum() < 0.001 * light.size:
            return 0.0
        middle = light.astype(np.int16)
        dx, dy = (middle[4:-4, 5:-3] - middle[4:-4, 3:-5])[strong], (middle[5:-3, 4:-4] - middle[3:-5, 4:-4])[strong]
        steep = np.hypot(dx.astype(np.float32), dy) / 2 / rise[strong]
        return ramp(float(np.percentile(steep, 90)), 0.14, 0.34)

    @cached_property
    def texts(self) -> tuple[TextAppearance, ...]:
        """How each text stands on its ground."""
        return tuple(self._look(text) for text in self._texts)

    @cached_property
    def legibility(self) -> float | None:
        """Mean over texts of how far their contrast is on the way to WCAG's enhanced 7; None where none was read."""
        if not self.texts:
            return None
        return float(np.mean([ramp(look.contrast, 1, ENHANCED) for look in self.texts]))

    @cached_property
    def soundness(self) -> float:
        """How far its pixels are without blocks, grain, seams, clipping, lost levels and smears; their product."""
        return math.prod(artefacts(np.asarray(self.poster)).values())

    @cached_property
    def picture_share(self) -> float:
        """The share of it that stands out from its border and is not text."""
        shown = np.linalg.norm(self._medium_lab - border_color(self._medium_pixels), axis=2) > OTHER
        scale = shown.shape[1] / self.poster.width
        for x0, y0, x1, y1 in (text.box for text in self._texts):
            shown[int(y0 * scale) : math.ceil(y1 * scale) + 1, int(x0 * scale) : math.ceil(x1 * scale) + 1] = False
        return float(shown.mean())

    @cached_property
    def picture(self) -> float:
        """Whether there is a picture beside the texts, and room for it."""
        lettered = sum((box[2] - box[0]) * (box[3] - box[1]) for box in (text.box for text in self._texts))
        room = 1 - ramp(lettered / math.prod(self.poster.size), *CROWDED)
        return ramp(self.picture_share, 0, PICTURE) * room

    def parts(self) -> dict[str, float]:
        """The measures that make up the aesthetics, by name; legibility only where there is text."""
        names = ("color", "order", "balance", "sharpness", "tones", "soundness", "picture")
        found = {name: getattr(self, name) for name in names}
        return found if self.legibility is None else {**found, "legibility": self.legibility}

    @property
    def aesthetics(self) -> float:
        """The geometric mean of the measures, times soundness, and half of it without a picture; in [0, 1].

        What fails in one of them is no good poster.
        """
        values = {name: max(NOTHING, value) for name, value in self.parts().items()}
        soundness, picture = values.pop("soundness"), values.pop("picture")
        mean = math.exp(sum(map(math.log, values.values())) / len(values))
        return float(min(1.0, mean * soundness * (1 + picture) / 2))

    def _look(self, seen: DetectedText) -> TextAppearance:
        size = self.poster.size
        box = Box(*seen.box)
        height = min(box.width, box.height)
        x0, y0, x1, y1 = box.grown(max(2, 0.2 * height)).pixels(size)
        area = np.asarray(self.poster.crop((x0, y0, x1, y1)))
        inside = np.zeros(area.shape[:2], bool)
        inside[seen.box[1] - y0 : seen.box[3] - y0, seen.box[0] - x0 : seen.box[2] - x0] = True
        ring = area[~inside] if not inside.all() else area[[0, -1]].reshape(-1, 3)
        lab = srgb_to_lab(area[inside])
        far = np.linalg.norm(lab - np.median(srgb_to_lab(ring), axis=0), axis=1)
        # a tenth of a text's box is the core of its letters, whatever the face
        ink = np.median(area[inside][far >= np.percentile(far, 90)], axis=0)
        color = (int(ink[0]), int(ink[1]), int(ink[2]))
        contrast = float(np.percentile(ratio(color, luminance(ring)), 10))
        light = np.asarray(Image.fromarray(area).convert("L"), np.float32)
        dy, dx = np.gradient(light)
        steep = np.hypot(dx, dy)
        busy = ramp(float(steep[~inside].mean()) if not inside.all() else 0.0, 3, 20)
        margin = min(seen.box[0], seen.box[1], size[0] - seen.box[2], size[1] - seen.box[3]) / min(size)
        name = nearest_color_name(srgb_to_lab(np.asarray(color, np.uint8)))
        return TextAppearance(seen.text, seen.box, seen.role, name, contrast, busy, margin)


def drawing_style(image: NDArray[np.uint8]) -> DrawingStyle:
    """The style that a picture `(H, W, 3)` is drawn in, by its edges, its specks and its slopes.

    Outlines and dots are told reliably; flat art with a glow passes for a gradient.
    """
    picture = Image.fromarray(image)
    scale = _SIDE / min(picture.size)
    small = picture.resize([round(side * scale) for side in picture.size], Image.Resampling.BOX)
    lab = srgb_to_lab(np.asarray(small))
    light = lab[..., 0]
    steps = sum(ndimage.gaussian_gradient_magnitude(lab[..., channel], 1) ** 2 for channel in range(3)) ** 0.5
    edges = steps > 8
    lines = (ndimage.grey_closing(light, 5) - light > 12) & (light < 38)
    beside = np.asarray(ndimage.binary_dilation(lines, iterations=2), dtype=bool)
    if (edges & beside).sum() > _OUTLINED * max(1, edges.sum()):
        return "outlined"
    around = np.stack([ndimage.median_filter(lab[..., channel], 9) for channel in range(3)], axis=-1)
    labels, count = ndimage.label(np.abs(lab - around).max(-1) > 5)  # type: ignore[misc]
    sizes = np.bincount(labels.ravel(), minlength=count + 1)[1:]
    if ((sizes >= 4) & (sizes <= 40)).sum() > _DOTS:
        return "halftone"
    inside = ndimage.distance_transform_edt(steps < 4) > 4  # type: ignore[operator]
    slow = inside & (steps > 0.06) & (steps < 1.5)
    return "gradient" if slow.sum() > _SLOPE * max(1, inside.sum()) else "flat"


def _centre(seen: Array) -> tuple[float, float]:
    total = float(seen.sum())
    if total < 1e-9:
        return 0.5, 0.5
    h, w = seen.shape
    x, y = (seen.sum(0) @ (np.arange(w) + 0.5)) / total / w, (seen.sum(1) @ (np.arange(h) + 0.5)) / total / h
    return float(x), float(y)


def _reduced(poster: Image.Image, side: int) -> NDArray[np.uint8]:
    scale = min(1.0, side / max(poster.size))
    size = max(2, round(poster.width * scale)), max(2, round(poster.height * scale))
    return np.asarray(poster if size == poster.size else poster.resize(size, Image.Resampling.BOX))


def _window(values: NDArray[np.uint8], extreme: np.ufunc) -> NDArray[np.uint8]:
    """The extreme of each 9x9 window, in steps that double; `(H - 8, W - 8)`."""
    for _ in range(2):
        for step in (1, 2, 4, 1):
            values = extreme(values[step:], values[:-step])
        values = values.T
    return values


def ramp(value: float, low: float, high: float) -> float:
    """How far a value is on the way from low to high, in [0, 1]; `low` may be the larger one."""
    return float(min(1.0, max(0.0, (value - low) / (high - low))))
