"""Flow matching: x_t = (1 - t) x_0 + t eps, velocity v = eps - x_0, t = 1 is noise."""

# pyright: standard
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
    error = velocity_error(v, target)
    if weight is not None:
        _check_weight(weight, v)
        error = error * (weight / weight.mean(1, keepdim=True))
    return error.mean()


def region_weighted_flow_loss(v: Tensor, target: Tensor, weight: Tensor, power: int = 2) -> Tensor:
    """Flow-matching loss with a weight per latent patch (PosterCraft equation 2).

    Args:
        v, target: velocity, `(B, S, C)`, any float dtype; the loss is computed in float32.
        weight: `(B, S)` in [0, 1], pooled by area from pixels; 1 = background; see `training/loading/regions.py`.
        power: 2 takes the paper literally (the weight stands inside the norm), 1 weights the squared error.

    Returns:
        Scalar, mean over batch, patches and channels; not divided by the weights' sum (the paper does not).

    Raises:
        ValueError: shapes differ, a weight lies outside [0, 1], or the power is neither 1 nor 2.
    """
    error = velocity_error(v, target)
    _check_weight(weight, v)
    if power not in (1, 2):
        raise ValueError(f"power must be 1 or 2, got {power}")
    low, high = weight.aminmax()
    if not (low >= 0 and high <= 1):
        raise ValueError(f"weights must lie in [0, 1], found {low.item():g} to {high.item():g}")
    return (error * weight.float() ** power).mean()


def velocity_error(v: Tensor, target: Tensor) -> Tensor:
    """Squared error of each token, `(B, S)` float32, mean over the channels of `(B, S, C)`.

    Raises:
        ValueError: shapes differ.
    """
    if v.shape != target.shape:
        raise ValueError(f"velocity {tuple(v.shape)} and target {tuple(target.shape)} differ in shape")
    return (v.float() - target.float()).square().mean(-1)


def add_noise(x0: Tensor, noise: Tensor, t: Tensor) -> Tensor:
    """x_t = (1 - t) x_0 + t eps for clean tokens and noise `(B, S, C)` and times `(B,)`."""
    t = t.view(-1, *[1] * (x0.ndim - 1))
    return (1 - t) * x0 + t * noise


def sample_time(
    batch: int,
    generator: torch.Generator,
    density: Literal["uniform", "logit_normal"] = "uniform",
    shift: float = 1.0,
    mean: float = 0.0,
    spread: float = 1.0,
) -> Tensor:
    """Timesteps to train at.

    Args:
        density: uniform on (0, 1) as in PosterCraft's stage 1, or sigmoid of a normal (SD3 section 3.1).
        shift: moves the mass towards noise, see `shift_time`.
        mean, spread: of the normal; a mean below 0 moves the mass towards the picture.

    Returns:
        `(B,)` float32 in (0, 1).
    """
    if density == "uniform":
        t = torch.rand(batch, generator=generator)
    else:
        t = torch.sigmoid(mean + spread * torch.randn(batch, generator=generator))
    return shift_time(t, shift).clamp(1e-4, 1 - 1e-4)


def shift_time(t: Tensor, shift: float) -> Tensor:
    """s t / (1 + (s - 1) t), the resolution shift of SD3 (section 5.3.2); s = 1 changes nothing."""
    return shift * t / (1 + (shift - 1) * t)


def _check_weight(weight: Tensor, v: Tensor) -> None:
    if weight.shape != v.shape[:2]:
        raise ValueError(f"weight {tuple(weight.shape)} is not one for each token of {tuple(v.shape)}")
