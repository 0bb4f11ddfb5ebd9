"""Losses of autoencoders and upscalers."""

# pyright: standard
from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

# brightness, red against blue, green against magenta; each about of unit variance over posters
OPPONENT = ((0.75, 0.75, 0.75), (1.6, 0.0, -1.6), (-1.75, 3.5, -1.75))


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


def color_anchor(latents: Tensor, pictures: Tensor) -> Tensor:
    """Squared distance of the first three latent channels from the mean colours of the pixels under each cell.

    A diffusion model weighs all latent channels alike. Left to itself an autoencoder spends them on detail, and a
    small error in latents is a wrong colour in the picture; with the anchor it costs what the eye sees.

    Args:
        latents: `(B, C, h, w)`, C at least 3.
        pictures: `(B, 3, H, W)` float in [-1, 1], H / h = W / w an integer.

    Returns:
        Scalar, over brightness, red against blue and green against magenta, each scaled to about unit variance.
    """
    rows, columns = latents.shape[-2:]
    colors = F.adaptive_avg_pool2d(pictures, (rows, columns))
    target = torch.einsum("oc,bchw->bohw", torch.tensor(OPPONENT).to(colors), colors)
    return F.mse_loss(latents[:, :3].float(), target)
