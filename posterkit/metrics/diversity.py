"""How far posters for one prompt lie apart."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from posterkit.metrics.color import srgb_to_lab

SIDE = 24  # pixels that posters are compared at: arrangement and colours count, grain does not


def diversity(posters: Sequence[NDArray[np.uint8]]) -> float:
    """Mean distance in CIE Lab over all pairs of posters, each brought to a small square; 0 where all are alike.

    Args:
        posters: uint8 `(H, W, 3)` RGB each.

    Raises:
        ValueError: there are fewer than two.
    """
    if len(posters) < 2:
        raise ValueError(f"diversity takes at least two posters, got {len(posters)}")
    small = [Image.fromarray(poster).resize((SIDE, SIDE), Image.Resampling.BOX) for poster in posters]
    labs = [srgb_to_lab(np.asarray(picture)) for picture in small]
    return float(np.mean([np.linalg.norm(a - b, axis=-1).mean() for a, b in combinations(labs, 2)]))
