"""From boxes with roles to a weight for each patch token (PosterCraft section 3.2, region-aware calibration)."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from posterkit.schema import PosterSample
from posterkit.sizing import check_on_grid

PATCH = 16  # pixels a token is wide: 2 x 2 latent cells of 8 pixels
ROLES = ("major", "minor")


def region_shares(sample: PosterSample) -> Tensor:
    """How much of each patch token's pixels the text boxes cover.

    Shares, not weights, are cached, so that other weights need no other cache. Pooling by area commutes with weighing
    pixels, so `region_weights` of these is exactly the pooled pixel map.

    Returns:
        `(S, 3)` float32 in [0, 1]: covered by major text only, by minor text only, by both; tokens row by row.

    Raises:
        ValueError: the target's sides are no multiples of 16, a role is neither major nor minor, or a box is empty or
            lies off the target.
    """
    height, width = sample.target.shape[:2]
    check_on_grid(width, height)
    covered = {role: np.zeros((height, width), dtype=bool) for role in ROLES}
    for number, region in enumerate(sample.regions):
        where = f"sample {sample.id}: regions[{number}]"
        if region.role not in ROLES:
            raise ValueError(f"{where} has the role {region.role!r}; accepted are {' and '.join(ROLES)}")
        x0, y0, x1, y1 = region.box
        if not (0 <= x0 < x1 <= width and 0 <= y0 < y1 <= height):
            raise ValueError(f"{where} is {region.box}; its target is {width}x{height}, a box is x0, y0, x1, y1")
        covered[region.role][y0:y1, x0:x1] = True
    major, minor = covered["major"], covered["minor"]
    masks = np.stack([major & ~minor, minor & ~major, major & minor])
    pooled = masks.reshape(3, height // PATCH, PATCH, width // PATCH, PATCH).mean((2, 4), dtype=np.float32)
    return torch.from_numpy(pooled.reshape(3, -1).T.copy())


def region_weights(shares: Tensor, major: float = 0.6, minor: float = 0.2) -> Tensor:
    """Weights for `region_weighted_flow_loss`: the area mean of the pixel map 0.6 / 0.2 / 1.0.

    Args:
        shares: `(..., S, 3)` of `region_shares`.
        major, minor: a pixel's weight in a box, 1 elsewhere; where boxes of both roles overlap the smaller one counts.

    Returns:
        `(..., S)` float32.
    """
    less = torch.tensor([1 - major, 1 - minor, 1 - min(major, minor)])
    return 1 - shares.float() @ less.to(shares.device)
