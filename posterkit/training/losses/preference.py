"""Losses on preference pairs: Diffusion-DPO for flow matching (PosterCraft 3.3), Bradley-Terry (PosterOmni 3.4)."""

# pyright: standard
from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from posterkit.training.losses.flow import velocity_error


def dpo_loss(v: Tensor, reference: Tensor, target: Tensor, beta: float) -> tuple[Tensor, dict[str, float]]:
    """Diffusion-DPO with the velocity's error in place of the likelihood (Flow-GRPO's offline baseline).

        L = -log sigmoid(-(beta / 2) ((e_w - e_w_ref) - (e_l - e_l_ref))),    e = mean over elements of |v - target|^2

    Both sides of a pair share one time and one noise. ln 2 where the model is its reference.

    Args:
        v, reference: velocity of the model and of its frozen reference at the same noisy tokens, `(2B, S, C)`, any
            float dtype: B chosen posters, then the B rejected ones in the same order. The loss is computed in
            float32, and no gradient reaches the reference.
        target: noise - x_0, likewise.
        beta: how far the model may leave its reference; the smaller, the farther. It goes with a mean over elements:
            100 in Flow-GRPO for SD3.5 at 512 x 512, while values such as 2500 belong to other bases.

    Returns:
        Scalar, mean over pairs; and figures: `accuracy`, the share of pairs that the model has moved towards the
        chosen side; `chosen_error` and `rejected_error`, e of either side. Where the chosen side's error rises,
        beta is too small or the learning rate too high.

    Raises:
        ValueError: shapes differ, rows are no pairs, or beta is not positive.
    """
    if len(v) % 2 or not len(v):
        raise ValueError(f"rows must be chosen posters, then as many rejected ones; found {len(v)} rows")
    if beta <= 0:
        raise ValueError(f"beta must be positive, got {beta}")
    errors = velocity_error(v, target).flatten(1).mean(1)
    chosen, rejected = errors.chunk(2)
    won, lost = (errors - velocity_error(reference.detach(), target).flatten(1).mean(1)).chunk(2)
    behind = won - lost
    figures = {
        "accuracy": (behind < 0).float().mean().item(),
        "chosen_error": chosen.mean().item(),
        "rejected_error": rejected.mean().item(),
    }
    return -F.logsigmoid(-beta / 2 * behind).mean(), figures


def bradley_terry_loss(chosen: Tensor, rejected: Tensor) -> tuple[Tensor, dict[str, float]]:
    """-log sigmoid(r(chosen) - r(rejected)): the chance that the better poster wins (PosterOmni section 3.4).

    Args:
        chosen, rejected: scores `(B,)`, any float dtype; the loss is computed in float32.

    Returns:
        Scalar, mean over pairs; and figures: `accuracy`, the share of pairs in the right order (a tie is half right),
        and `margin`, the mean difference.

    Raises:
        ValueError: shapes differ.
    """
    if chosen.shape != rejected.shape or chosen.ndim != 1:
        raise ValueError(f"scores must be two vectors of one length, found {[*chosen.shape]} and {[*rejected.shape]}")
    margin = chosen.float() - rejected.float()
    right = (margin > 0).float() + 0.5 * (margin == 0)
    return -F.logsigmoid(margin).mean(), {"accuracy": right.mean().item(), "margin": margin.mean().item()}
