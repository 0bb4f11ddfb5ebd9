"""How good a detector is, and where its threshold lies: AUROC, recall at a false-positive rate, ECE, temperature."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.stats import rankdata


def auroc(scores: Sequence[float], harmful: Sequence[bool]) -> float:
    """The chance that a harmful text scores above a harmless one, ties half (Mann-Whitney); NaN without both kinds."""
    labels = np.asarray(harmful, dtype=bool)
    positives, negatives = int(labels.sum()), int((~labels).sum())
    if not positives or not negatives:
        return float("nan")
    ranks = rankdata(np.asarray(scores, dtype=np.float64))
    return float((ranks[labels].sum() - positives * (positives + 1) / 2) / (positives * negatives))


def threshold_at(scores: Sequence[float], harmful: Sequence[bool], rate: float) -> float:
    """The lowest threshold at which at most a share `rate` of the harmless texts score at or above it."""
    harmless = np.sort(np.asarray(scores, dtype=np.float64)[~np.asarray(harmful, dtype=bool)])[::-1]
    if not harmless.size:
        raise ValueError("a threshold needs harmless texts")
    allowed = int(rate * harmless.size + 1e-9)
    return float(np.nextafter(harmless[allowed], np.inf)) if allowed < harmless.size else 0.0


def recall_at(scores: Sequence[float], harmful: Sequence[bool], rate: float = 0.01) -> float:
    """The share of harmful texts found at the threshold of a false-positive rate."""
    found = np.asarray(scores, dtype=np.float64)[np.asarray(harmful, dtype=bool)]
    return float((found >= threshold_at(scores, harmful, rate)).mean()) if found.size else float("nan")


def expected_calibration_error(probabilities: Sequence[float], harmful: Sequence[bool], bins: int = 10) -> float:
    """The mean gap between stated and observed harm over equal bins, by their share (Guo 2017, equation 3)."""
    stated, observed = np.asarray(probabilities, dtype=np.float64), np.asarray(harmful, dtype=np.float64)
    place = np.minimum((stated * bins).astype(int), bins - 1)
    gaps = [
        abs(stated[place == one].mean() - observed[place == one].mean()) * (place == one).mean()
        for one in range(bins) if (place == one).any()
    ]  # fmt: skip
    return float(sum(gaps))


def temperature_of(logits: Sequence[float], harmful: Sequence[bool]) -> float:
    """The temperature T that makes sigmoid(logit / T) likeliest (Guo 2017, section 4.2), from 0.05 to 20."""
    r, labels = np.asarray(logits, dtype=np.float64), np.asarray(harmful, dtype=np.float64)

    def nll(log_t: float) -> float:
        z = r / np.exp(log_t)
        return float((np.logaddexp(0, z) - labels * z).mean())

    found: Any = minimize_scalar(nll, bounds=(np.log(0.05), np.log(20)), method="bounded")
    return float(np.exp(found.x))
