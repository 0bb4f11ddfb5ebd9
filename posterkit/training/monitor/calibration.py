"""How far scores can be trusted: P(chosen) as a reward model says it against how often it is right."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from scipy.optimize import minimize

_SIDE, _LEFT, _TOP, _FOOT = 420, 70, 56, 118  # pixels
_INK, _GRAY, _BLUE = (40, 42, 48), (176, 180, 188), (38, 98, 190)


class Bin(NamedTuple):
    """Pairs whose winner was predicted with about one confidence: its mean, the share that was right, how many."""

    predicted: float
    observed: float
    count: int


class Reliability(NamedTuple):
    """Bins of confidence from 1/2 to 1, and the expected calibration error: their mean distance, weighed by counts."""

    bins: list[Bin]
    ece: float


def reliability(margins: Sequence[float], bins: int = 10) -> Reliability:
    """Hold sigmoid(score of the chosen - score of the rejected) against what was chosen.

    A pair is predicted for the side with the larger score, with a confidence of at least 1/2, and right where that
    side was chosen; a tie is half right.

    Args:
        margins: score differences, chosen less rejected.
        bins: of equal width between 1/2 and 1; empty ones are left out.
    """
    margin = np.asarray(margins, dtype=np.float64)
    confidence = 1 / (1 + np.exp(-np.abs(margin)))
    right = np.where(margin > 0, 1.0, np.where(margin < 0, 0.0, 0.5))
    place = np.minimum(((confidence - 0.5) * 2 * bins).astype(int), bins - 1)
    found = [
        Bin(float(confidence[place == one].mean()), float(right[place == one].mean()), int((place == one).sum()))
        for one in range(bins)
        if (place == one).any()
    ]
    off = sum(one.count * abs(one.predicted - one.observed) for one in found)
    return Reliability(found, off / len(margin) if len(margin) else math.nan)


def chance_of_chosen(chosen: Sequence[float], rejected: Sequence[float]) -> tuple[float, float]:
    """Scale and offset for which sigmoid(scale * score + offset) is the chance that a poster was a chosen one.

    Logistic regression on both sides' scores, with one chosen and one rejected poster more at either end, so that
    scores which tell all pairs apart get no infinite scale; a scale below 0 is 0.
    """
    scores = np.concatenate([chosen, rejected]).astype(np.float64)
    ends = np.array([scores.min(), scores.min(), scores.max(), scores.max()])
    x = np.concatenate([scores, ends])
    y = np.concatenate([np.ones(len(chosen)), np.zeros(len(rejected)), [1, 0, 1, 0]])
    middle, spread = x.mean(), max(float(x.std()), 1e-6)

    def loss(weights: np.ndarray) -> float:
        z = weights[0] * (x - middle) / spread + weights[1]
        return float((np.logaddexp(0, z) - y * z).mean())

    scale, offset = minimize(loss, np.zeros(2), method="L-BFGS-B", bounds=[(0, None), (None, None)]).x
    return float(scale / spread), float(offset - scale * middle / spread)


def draw_reliability(found: Reliability, title: str) -> Image.Image:
    """Predicted confidence against observed frequency, a disc for each bin, as large as its share of the pairs."""
    sheet = Image.new("RGB", (_LEFT + _SIDE + 40, _TOP + _SIDE + _FOOT), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(15)
    total = sum(one.count for one in found.bins) or 1
    low = min([0.5, *(math.floor(one.observed * 10) / 10 for one in found.bins)])

    def at(predicted: float, observed: float) -> tuple[float, float]:
        return _LEFT + (predicted - 0.5) * 2 * _SIDE, _TOP + (1 - (observed - low) / (1 - low)) * _SIDE

    draw.text((_LEFT, 16), title, _INK, ImageFont.load_default(18))
    for tick in range(6):
        x, y = at(0.5 + tick / 10, 1)[0], at(0.5, low + (1 - low) * tick / 5)[1]
        draw.line((x, _TOP, x, _TOP + _SIDE), (232, 234, 238))
        draw.line((_LEFT, y, _LEFT + _SIDE, y), (232, 234, 238))
        draw.text((x, _TOP + _SIDE + 8), f"{0.5 + tick / 10:.1f}", _INK, font, anchor="ma")
        draw.text((_LEFT - 8, y), f"{low + (1 - low) * tick / 5:.2f}", _INK, font, anchor="rm")
    draw.rectangle((_LEFT, _TOP, _LEFT + _SIDE, _TOP + _SIDE), outline=_GRAY)
    draw.line((*at(0.5, 0.5), *at(1, 1)), _GRAY, 2)
    points = [at(one.predicted, one.observed) for one in found.bins]
    draw.line(points, _BLUE, 2)
    for one, (x, y) in zip(found.bins, points, strict=True):
        radius = 4 + 14 * math.sqrt(one.count / total)
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=_BLUE)
        draw.text((x, y), str(one.count), "white", ImageFont.load_default(11), anchor="mm", stroke_width=2,
                  stroke_fill=_BLUE)  # fmt: skip
    foot = _TOP + _SIDE
    draw.text((_LEFT + _SIDE / 2, foot + 34), "predicted P(chosen)", _INK, font, anchor="ma")
    draw.text((_LEFT, foot + 60), "up: how often it was chosen; discs: pairs in a bin", _INK, font)
    draw.text(
        (_LEFT, foot + 84), f"expected calibration error {found.ece:.3f} over {total} held-out pairs", _INK, font
    )
    return sheet
