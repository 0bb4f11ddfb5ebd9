"""Rates and means with their intervals."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Estimate:
    """A mean with its interval (of 95 % where nothing else is said) over `count` samples."""

    mean: float
    low: float
    high: float
    count: int


def bootstrap(values: Sequence[float], rounds: int = 2000, seed: int = 0, level: float = 0.95) -> Estimate:
    """The mean and its percentile-bootstrap interval (Efron 1979); the same values always give the same interval.

    Args:
        level: how often the interval holds the truth; 1 - 0.05 / m for one of m comparisons (Bonferroni).

    Raises:
        ValueError: there are no values.
    """
    sample = np.asarray(values, dtype=np.float64)
    if not sample.size:
        raise ValueError("an estimate needs at least one value")
    drawn = np.random.default_rng(seed).integers(0, sample.size, (rounds, sample.size))
    outside = 50 * (1 - level)
    low, high = np.percentile(sample[drawn].mean(1), [outside, 100 - outside])
    return Estimate(float(sample.mean()), float(low), float(high), sample.size)


def cluster_bootstrap(
    clusters: int, statistic: Callable[[np.ndarray], float], rounds: int = 1000, seed: int = 0
) -> Estimate | None:
    """A statistic of samples that come in clusters, with its percentile-bootstrap 95 % interval.

    Whole clusters are drawn, since samples of one question or of one prompt are not independent.

    Args:
        clusters: how many there are.
        statistic: of the clusters with these numbers `(n,)`, one of which may stand there several times; nan where
            they hold nothing that it is of.

    Returns:
        None where the statistic of all clusters is nan.
    """
    found = statistic(np.arange(clusters)) if clusters else float("nan")
    if np.isnan(found):
        return None
    draws = np.random.default_rng(seed).integers(0, clusters, (rounds, clusters))
    low, high = np.nanpercentile([statistic(drawn) for drawn in draws], [2.5, 97.5])
    return Estimate(float(found), float(low), float(high), clusters)
