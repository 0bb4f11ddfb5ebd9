"""The times of a sampling run: larger posters stay noisy longer; for both pipelines and for training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from diffusers.pipelines.flux.pipeline_flux import calculate_shift, retrieve_timesteps
from torch import Tensor


def set_timesteps(
    scheduler: Any, steps: int, tokens: int, device: torch.device | str, sigmas: Sequence[float] | None = None
) -> Tensor:
    """Set a flow-matching scheduler for a poster, as both stock pipelines do it.

    Args:
        tokens: patch tokens of the poster alone, which shift its times towards noise.
        sigmas: unshifted noise levels, falling; None spaces `steps` of them evenly from 1.

    Returns:
        `(steps,)` in [0, 1000]. `scheduler.sigmas` then holds the times in [0, 1], and a last 0.
    """
    config = scheduler.config
    shift = calculate_shift(
        tokens,
        config.get("base_image_seq_len", 256),
        config.get("max_image_seq_len", 4096),
        config.get("base_shift", 0.5),
        config.get("max_shift", 1.15),
    )
    spaced: Any = np.linspace(1.0, 1 / steps, steps) if sigmas is None else list(sigmas)
    if config.get("use_flow_sigmas", False):
        spaced = None
    timesteps: Any
    timesteps, _ = retrieve_timesteps(scheduler, steps, device, sigmas=spaced, mu=shift)
    return timesteps
