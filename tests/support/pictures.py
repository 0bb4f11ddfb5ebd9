"""Pictures that tests work on."""

from __future__ import annotations

import numpy as np


def grain(width: int, height: int, seed: int = 0) -> np.ndarray:
    """`(height, width, 3)`, uint8."""
    ramp = np.linspace(60, 190, width)[None, :, None] + np.linspace(-30, 30, height)[:, None, None]
    noise = np.random.default_rng(seed).normal(0, 8, (height, width, 3))
    return (ramp + noise).clip(0, 255).astype(np.uint8)
