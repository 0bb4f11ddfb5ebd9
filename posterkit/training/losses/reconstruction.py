"""What an autoencoder is trained on."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def reconstruction_loss(made: Tensor, target: Tensor, scales: int = 3, edges: float = 0.25) -> Tensor:
    """Squared and absolute error of pixels plus the absolute error of their finite differences, over a pyramid.

    The square pulls wrong colours in fast, the differences keep edges and letters sharp; no pretrained network is
    needed. Differences weigh little: in flat areas their gradient is noise that would drown the colours.

    Args:
        made, target: images, `(B, 3, H, W)` float in [-1, 1]; H and W divisible by 2 ** (scales - 1).
        scales: levels of the pyramid, each half the one before; their losses are averaged.
        edges: weight of the differences, for each of the two directions.

    Returns:
        Scalar.
    """
    total = made.new_zeros(())
    for _ in range(scales):
        total = total + 2 * F.mse_loss(made, target) + F.l1_loss(made, target)
        for dim in (2, 3):
            total = total + edges * F.l1_loss(torch.diff(made, dim=dim), torch.diff(target, dim=dim))
        made, target = F.avg_pool2d(made, 2), F.avg_pool2d(target, 2)
    return total / scales
