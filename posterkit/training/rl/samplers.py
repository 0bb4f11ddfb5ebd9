"""Sampling posters to learn from: rollouts, the flow's ODE, Flow-GRPO's SDE with the same marginals, the policies."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Generic

import torch
from diffusers import FlowMatchEulerDiscreteScheduler
from PIL import Image
from torch import Tensor

from posterkit.pipelines.latents import unpack
from posterkit.pipelines.poster_pipeline import set_timesteps
from posterkit.rewards import RewardResult
from posterkit.rewards.service.pool import Scoring
from posterkit.sizing import Size
from posterkit.training.adapters import Adapter, ConditioningT
from posterkit.training.adapters.autoencoder import PIXELS_AT_ONCE, tensor_to_images
from posterkit.training.loading.batches import Batch
from posterkit.training.loading.encoding import encoders_on
from posterkit.training.lora import Trainable, add_ema_adapter, frozen_adapter, update_ema_adapter
from posterkit.training.losses.grpo import sde_step, step_log_prob
from posterkit.training.rl.settings import RolloutConfig
from posterkit.training.strategies import Strategy

OLD = "old"  # the name of the old policy's LoRA
Velocity = Callable[[Tensor, Tensor, Any], Tensor]  # of noisy tokens (B, S, C), times (B,) and a condition


@dataclass(frozen=True)
class Trajectory:
    """Sampled posters and the states on the way."""

    states: Tensor  # `(T + 1, B, S, C)`, noise first, posters last; of an ODE the posters alone
    log_probs: Tensor | None = None  # `(T, B)`, of each random step under the policy that took it; None for an ODE


@dataclass
class Rollout:
    """The posters of one batch of prompts, K for each prompt in a row: a group.

    It begins as noise; the fields below `size` are filled in as the posters are sampled, decoded and scored.

    Attributes:
        ids, tasks: of the prompt of each poster.
        noise: `(P K, S, C)`.
        times: `(T + 1,)`, those that posters are sampled at and a last 0.
        results: rewards; None where one failed.
    """

    ids: list[str]
    tasks: list[str]
    condition: Any
    noise: Tensor
    times: Tensor
    size: Size
    trajectory: Trajectory = field(init=False)
    images: list[Image.Image] = field(init=False)
    scoring: Scoring = field(init=False)
    results: list[RewardResult | None] = field(init=False)

    @property
    def x0(self) -> Tensor:
        """The posters' tokens `(P K, S, C)`."""
        return self.trajectory.states[-1]

    @property
    def latents(self) -> Tensor:
        """The same as cells `(P K, C, h, w)`."""
        return unpack(self.x0, self.size, 16)


def start_rollout(model: Adapter, prompts: Batch, config: RolloutConfig, generator: torch.Generator) -> Rollout:
    """Noise and condition for K posters of each prompt; of the batch's targets only the size counts."""
    target, condition = model.encode(prompts)
    rows = torch.arange(len(target), device=target.device).repeat_interleave(config.images)
    noise = torch.randn((len(rows), *target.shape[1:]), generator=generator).to(target)
    times = sampling_times(model.parts["scheduler"], config.steps, target.shape[1])
    height, width = next(prompts[name] for name in ("latents", "latents0") if name in prompts).shape[-2:]
    ids, tasks = ([one for one in names for _ in range(config.images)] for names in (prompts.ids, prompts.tasks))
    return Rollout(ids, tasks, condition.take(rows), noise, times, Size(width * 8, height * 8))


def decode(model: Adapter, rollout: Rollout) -> list[Image.Image]:
    """The images of a rollout whose posters have been sampled; few large ones go through the autoencoder together."""
    together = max(1, PIXELS_AT_ONCE // rollout.size.area)
    parts = rollout.latents.split(together)
    return [image for part in parts for image in tensor_to_images(model.vae.decode(part.float()))]


def sampling_times(scheduler: FlowMatchEulerDiscreteScheduler, steps: int, tokens: int) -> Tensor:
    """The times of a sampling run as the pipelines space them, `(steps + 1,)` falling from 1 to 0."""
    own = copy.deepcopy(scheduler)
    set_timesteps(own, steps, tokens, "cpu")
    return torch.as_tensor(own.sigmas).float()


@torch.no_grad()
def sample_ode(velocity: Velocity, start: Rollout) -> Trajectory:
    """Euler's method down the flow."""
    x, times = start.noise, start.times.tolist()
    for now, then in pairwise(times):
        x = x + (then - now) * velocity(x, x.new_full((len(x),), now), start.condition).to(x)
    return Trajectory(x[None])


@torch.no_grad()
def sample_sde(velocity: Velocity, start: Rollout, level: float, generator: torch.Generator) -> Trajectory:
    """Random steps down the flow (Flow-GRPO), with their log-likelihoods.

    Args:
        level: of the steps' noise, `a` in `posterkit.training.losses.grpo`.
    """
    states, log_probs = [start.noise], []
    for now, then in pairwise(start.times.tolist()):
        x, t = states[-1], start.noise.new_full((len(start.noise),), now)
        mean, std = sde_step(x, velocity(x, t, start.condition), t, torch.full_like(t, then - now), level)
        states.append(mean + std * torch.randn(mean.shape, generator=generator).to(mean))
        log_probs.append(step_log_prob(states[-1], mean, std))
    return Trajectory(torch.stack(states), torch.stack(log_probs))


class Policy(Generic[ConditioningT]):
    """A LoRA that learns on a frozen base.

    Velocities are `(B, S, C)`, of noisy tokens `x` `(B, S, C)` at times `t` `(B,)`; only the policy's own has a
    gradient. The reference is the base without a LoRA: the stage before this one. The old policy draws the posters
    that the policy learns from. A guidance-distilled transformer gets `guidance`, others None.
    """

    def __init__(self, model: Adapter[ConditioningT], strategy: Strategy, guidance: float | None = None) -> None:
        self.model, self.strategy, self.guidance = model, strategy, guidance

    def velocity(self, x: Tensor, t: Tensor, condition: ConditioningT) -> Tensor:
        """Of the LoRA that learns."""
        return self.strategy.velocity(x, t, condition, self._guidance(t))

    def old_velocity(self, x: Tensor, t: Tensor, condition: ConditioningT) -> Tensor:
        """Of the old policy."""
        with frozen_adapter(self.model.parts["transformer"], OLD):
            return self.model.velocity(x, t, condition, self._guidance(t))

    def reference_velocity(self, x: Tensor, t: Tensor, condition: ConditioningT) -> Tensor:
        """Of the reference."""
        with frozen_adapter(self.model.parts["transformer"], None):
            return self.model.velocity(x, t, condition, self._guidance(t))

    def add_old(self, trainable: Trainable) -> None:
        """Put an old policy beside the one that learns, equal to it."""
        add_ema_adapter(self.model.parts["transformer"], OLD, "default", trainable)

    def update_old(self, decay: float) -> None:
        """old <- decay old + (1 - decay) policy."""
        update_ema_adapter(self.model.parts["transformer"], OLD, "default", decay)

    @contextlib.contextmanager
    def sampling(self, device: torch.device) -> Iterator[None]:
        """While posters are drawn: no dropout, and the autoencoder on the device; batches hold the words' states."""
        self.model.module.eval()
        with encoders_on(self.model, device, readers=False), torch.no_grad():
            yield
        self.model.module.train()

    def _guidance(self, t: Tensor) -> Tensor | None:
        return None if self.guidance is None else torch.full_like(t, self.guidance)
