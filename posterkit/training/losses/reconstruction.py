"""What an autoencoder is trained on."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def reconstruction_loss(made: Tensor, target: Tensor, scales: int = 3) -> Tensor:
    """L1 on pixels and on their finite differences, summed over a pyramid of `scales` halvings.

    The differences keep edges and letters sharp where a plain L1 would blur them; no pretrained network is needed.

    Args:
        made, target: images, `(B, 3, H, W)` float in [-1, 1]; H and W divisible by 2 ** (scales - 1).

    Returns:
        Scalar.
    """
    total = made.new_zeros(())
    for _ in range(scales):
        total = total + F.l1_loss(made, target)
        for dim in (2, 3):
            total = total + F.l1_loss(torch.diff(made, dim=dim), torch.diff(target, dim=dim))
        made, target = F.avg_pool2d(made, 2), F.avg_pool2d(target, 2)
    return total / scales
