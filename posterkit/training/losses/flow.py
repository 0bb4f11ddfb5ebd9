"""Flow matching: x_t = (1 - t) x_0 + t eps, velocity v = eps - x_0, t = 1 is noise."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor


def flow_matching_loss(v: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
    """Mean squared error of the velocity (PosterCraft equation 1).

    Args:
        v, target: velocity, `(B, S, C)`, any float dtype; the loss is computed in float32.
        weight: `(B, S)`, how much a token counts beside the others of its sample; all alike where None.

    Returns:
        Scalar, mean over batch, tokens and channels; the weights of each sample are scaled to a mean of 1.

    Raises:
        ValueError: shapes differ.
    """
    if v.shape != target.shape:
        raise ValueError(f"velocity {tuple(v.shape)} and target {tuple(target.shape)} differ in shape")
    if weight is not None and weight.shape != v.shape[:2]:
        raise ValueError(f"weight {tuple(weight.shape)} is not one for each token of {tuple(v.shape)}")
    error = (v.float() - target.float()).square().mean(-1)
    if weight is not None:
        error = error * (weight / weight.mean(1, keepdim=True))
    return error.mean()


def sample_time(
    batch: int, generator: torch.Generator, density: Literal["uniform", "logit_normal"] = "uniform", shift: float = 1.0
) -> Tensor:
    """Timesteps to train at.

    Args:
        batch: B.
        density: uniform on (0, 1), or sigmoid of a standard normal (SD3 section 3.1).
        shift: moves the mass towards noise, see `shift_time`.

    Returns:
        `(B,)` float32 in (0, 1).
    """
    if density == "uniform":
        t = torch.rand(batch, generator=generator)
    else:
        t = torch.sigmoid(torch.randn(batch, generator=generator))
    return shift_time(t, shift).clamp(1e-4, 1 - 1e-4)


def shift_time(t: Tensor, shift: float) -> Tensor:
    """s t / (1 + (s - 1) t), the resolution shift of SD3 (section 5.3.2); s = 1 changes nothing."""
    return shift * t / (1 + (shift - 1) * t)
