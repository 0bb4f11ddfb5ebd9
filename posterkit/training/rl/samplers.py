"""From noise to posters in latent space: the flow's ODE, and Flow-GRPO's random walk with the same marginals."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from posterkit.pipelines.timesteps import set_timesteps
from posterkit.training.losses.grpo import sde_step, step_log_prob

Velocity = Callable[[Tensor, Tensor], Tensor]  # of noisy tokens (B, S, C) and times (B,)


@dataclass(frozen=True)
class Walk:
    """How posters came about in random steps.

    Attributes:
        states: `(T + 1, B, S, C)`, noise first, posters last.
        log_probs: `(T, B)`, how likely each step was under the model that took it.
    """

    states: Tensor
    log_probs: Tensor


def sampling_times(scheduler: Any, steps: int, tokens: int) -> Tensor:
    """`(steps + 1,)` falling from 1 to 0: the times of a sampling run, as the pipelines space them.

    Args:
        scheduler: of the checkpoint; it stays as it is.
        tokens: patch tokens of a poster.
    """
    own = copy.deepcopy(scheduler)
    set_timesteps(own, steps, tokens, "cpu")
    return own.sigmas.float()


@torch.no_grad()
def draw(velocity: Velocity, noise: Tensor, times: Tensor) -> Tensor:
    """Euler's method down the flow; returns finished posters `(B, S, C)`.

    Args:
        noise: `(B, S, C)`, standard normal.
        times: `(T + 1,)`, from 1 to 0.
    """
    x = noise
    for now, then in zip(times[:-1].tolist(), times[1:].tolist(), strict=True):
        x = x + (then - now) * velocity(x, x.new_full((len(x),), now)).to(x)
    return x


@torch.no_grad()
def walk(velocity: Velocity, noise: Tensor, times: Tensor, level: float, generator: torch.Generator) -> Walk:
    """Random steps down the flow (Flow-GRPO), and how likely each was.

    Args:
        noise, times: as for `draw`.
        level: of the steps' noise, `a` in `posterkit.training.losses.grpo`.
        generator: of the steps' noise, on the CPU.
    """
    states, log_probs = [noise], []
    for now, then in zip(times[:-1].tolist(), times[1:].tolist(), strict=True):
        t = noise.new_full((len(noise),), now)
        mean, std = sde_step(states[-1], velocity(states[-1], t), t, torch.full_like(t, then - now), level)
        states.append(mean + std * torch.randn(mean.shape, generator=generator).to(mean))
        log_probs.append(step_log_prob(states[-1], mean, std))
    return Walk(torch.stack(states), torch.stack(log_probs))
