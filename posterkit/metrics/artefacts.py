"""Visible faults of a picture's pixels: compression blocks, grain, seams, clipped colours, lost levels, smears.

Each measure is in [0, 1], 1 where there is no such fault; pictures are `(H, W, 3)` uint8 RGB at their full size, since
reducing one hides them.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import maximum_filter1d, minimum_filter1d

Picture = NDArray[np.uint8]

BLOCK = 8  # px of a side of JPEG's blocks
SEAM = 0.93  # what one straight line from side to side leaves of the whole
WINDOW = 33  # px over which a smear is wide
THIN = 4  # of so many lines one is looked at, where all say the same
SMALLEST = 64  # px of the shorter side; a smaller picture shows none of this


def artefacts(picture: Picture) -> dict[str, float]:
    """All of them by name; each 1 for a picture under 64 px."""
    if min(picture.shape[:2]) < SMALLEST:
        return dict.fromkeys(_MEASURES, 1.0)
    light = np.asarray(Image.fromarray(picture).convert("L"))
    return {name: measure(light if flat else picture) for name, (measure, flat) in _MEASURES.items()}


def blocks(light: NDArray[np.uint8]) -> float:
    """JPEG's blocks: steps over every eighth line against those over the lines between, on the better of both axes.

    Whatever repeats at 2, 4 or 8 pixels counts too, such as the checks of transposed convolutions.
    """
    ratios = []
    for values in (light, light.T):
        steps = np.minimum(np.abs(np.diff(values.astype(np.int16), axis=1)), 12)
        phases = np.array([steps[:, first::BLOCK].mean() for first in range(BLOCK)])
        ratios.append(phases[-1] / (np.median(phases[:-1]) + 0.05))
    return 1 - _ramp(min(ratios), 1.15, 1.8)


def grain(light: NDArray[np.uint8]) -> float:
    """Noise all over: the standard deviation by the median of Immerkaer's (1996) mask; from 3 levels to 15."""
    values = light.astype(np.int16)
    above, here, below = values[:-2:THIN], values[1:-1:THIN], values[2::THIN]
    rows = above[: len(below)] - 2 * here[: len(below)] + below
    found = np.abs(rows[:, :-2] - 2 * rows[:, 1:-1] + rows[:, 2:])
    return 1 - _ramp(float(np.median(found)) / 6 / 0.6745, 3, 15)


def seams(picture: Picture) -> float:
    """Straight lines from side to side, each one pixel wide: of tiles, bands, bars and stray borders."""
    count = 0
    for values in (picture, picture.swapaxes(0, 1)):
        steps = _over_channels(np.maximum, np.abs(np.diff(values[:, ::THIN].astype(np.int16), axis=0)))
        lines = np.flatnonzero((steps < 3).mean(1) < 0.12)
        near = np.unique(np.concatenate([lines - 2, lines, lines + 2]).clip(0, len(steps) - 1))
        least = np.zeros(len(steps) + 4)  # two lines on either side that are not there
        least[near + 2] = np.percentile(steps[near], 8, axis=1)
        here, beside = least[lines + 2], np.maximum(least[lines], least[lines + 4])
        count += int(((here >= 3) & (here > 2 * beside + 1)).sum())
    return SEAM ** min(count, 8)


def clipping(picture: Picture) -> float:
    """Colours at the end of the range: burnt out beside white, or without any grey in them; from 8 % on."""
    thin = picture[::2, ::2]
    high, low = _over_channels(np.maximum, thin).astype(np.int16), _over_channels(np.minimum, thin)
    burnt = (high >= 254) & (low < 254)
    garish = (high > 100) & (high - low > 0.92 * high)
    return 1 - 0.6 * _ramp(float((burnt | garish).mean()), 0.08, 0.6)


def levels(light: NDArray[np.uint8]) -> float:
    """How many levels of lightness there are: 40 are enough, 8 are a posterised picture."""
    shares = np.bincount(light.ravel(), minlength=256) / light.size
    return _ramp(float((shares > 2e-5).sum()), 4, 40) if (shares > 2e-5).sum() > 2 else 1.0


def smears(light: NDArray[np.uint8]) -> float:
    """Parts that are drawn out along one axis: over 33 px a rise of which no pixel takes more than a tenth."""
    worst = 0.0
    for lines in (light[::THIN], light.T[::THIN]):
        values = np.ascontiguousarray(lines, np.int16)
        rise = maximum_filter1d(values, WINDOW, axis=1) - minimum_filter1d(values, WINDOW, axis=1)
        steps = np.abs(np.diff(values, axis=1, append=values[:, -1:]))
        busy = rise >= 24
        soft = busy & (maximum_filter1d(steps, WINDOW, axis=1) <= 0.1 * rise)
        worst = max(worst, float(soft.sum()) / max(1, int(busy.sum())))
    return 1 - 0.6 * _ramp(worst, 0.07, 0.35)


_MEASURES = {
    "blocks": (blocks, True), "grain": (grain, True), "seams": (seams, False), "clipping": (clipping, False),
    "levels": (levels, True), "smears": (smears, True),
}  # fmt: skip


def _over_channels(extreme: np.ufunc, values: np.ndarray) -> np.ndarray:
    """The extreme of three channels; far quicker than a reduction of so short an axis."""
    return extreme(extreme(values[..., 0], values[..., 1]), values[..., 2])


def _ramp(value: float, low: float, high: float) -> float:
    return float(min(1.0, max(0.0, (value - low) / (high - low))))
