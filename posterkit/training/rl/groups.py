"""Posters of one prompt as a group: how they are drawn, which of them can teach something, a pass of learning."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from PIL import Image
from torch import Tensor

from posterkit.rewards import RewardResult
from posterkit.training.loading.batches import Batch
from posterkit.training.rl.samplers import Walk


@dataclass
class RolloutConfig:
    """How posters are drawn while the model learns, `batch_size` prompts at a time.

    Attributes:
        images: K, posters for each prompt; a forward pass holds `batch_size` times K.
        draws: batches of prompts in an epoch, which is drawn with one sampler.
        updates: optimiser steps that learn from an epoch; `draws` is a multiple of it.
        steps: of sampling.
        guidance: what a guidance-distilled transformer is told, in drawing and in learning; null for others.
        decay: how slowly the sampler follows the model, see `sampler_decay`: 0 at once, 1 and 2 as published.
        global_std: advantages are divided by the spread of all rewards of an epoch, else by each group's own.
        least_std, most_mean: a group whose rewards spread less and whose mean is higher teaches nothing and is left
            out; one whose rewards are all equal always is.
        strict: either of the two is reason enough.
    """

    images: int = 8
    draws: int = 4
    updates: int = 1
    steps: int = 6
    guidance: float | None = None
    decay: Literal[0, 1, 2] = 1
    global_std: bool = True
    least_std: float = 0.05
    most_mean: float = 0.9
    strict: bool = False

    def check(self) -> None:
        """Raise ValueError for values that cannot work."""
        for name in ("draws", "updates"):
            if getattr(self, name) < 1:
                raise ValueError(f"rollouts.{name} must be at least 1, got {getattr(self, name)}")
        for name in ("images", "steps"):
            if getattr(self, name) < 2:
                raise ValueError(f"rollouts.{name} must be at least 2, got {getattr(self, name)}")
        if self.draws % self.updates:
            raise ValueError(
                f"rollouts.draws must be a multiple of rollouts.updates, got {self.draws} and {self.updates}"
            )

    @property
    def passes(self) -> int:
        """Forward passes that learn from each poster: 99 of a hundred of the sampler's times, as published."""
        return max(1, int(0.99 * self.steps))

    @property
    def passes_a_step(self) -> int:
        """Forward passes in one optimiser step."""
        return self.draws // self.updates * self.passes


class PolicyBatch(Batch):
    """Posters for one pass of learning; only such as can teach something. As a batch it holds their `latents`.

    Attributes:
        x0: their tokens, `(R, S, C)`; of pairs the chosen ones, then in the same order the rejected ones.
        condition: theirs, as `model.velocity` takes it.
        share: how many there are, as a multiple of the mean over the epoch's batches; 0 for one that stands in where
            no poster is left.
        figures: of the epoch, for the log.
    """

    def __init__(
        self, batch: Batch, x0: Tensor, condition: Any, share: float = 1.0, figures: dict[str, float] | None = None
    ) -> None:
        super().__init__(batch, batch.ids, batch.tasks)
        self.x0, self.condition, self.share, self.figures = x0, condition, share, figures or {}


class Rollout(PolicyBatch):
    """Posters that the model drew, and what they are worth.

    Attributes:
        t: `(R,)`, for each poster one of the times it was drawn at, in an order of its own.
        advantages: `(R,)`, how much better each is than its group.
        step: the random step that led from `t` on, where posters are drawn in such.
    """

    def __init__(self, lesson: PolicyBatch, t: Tensor, advantages: Tensor, step: Step | None) -> None:
        super().__init__(lesson, lesson.x0, lesson.condition, lesson.share, lesson.figures)
        self.t, self.advantages, self.step = t, advantages, step


@dataclass(frozen=True)
class Step:
    """One random step of each poster: from `x` at time t over `dt` to `next`, `(R, S, C)` each; `log_prob` `(R,)`."""

    x: Tensor
    next: Tensor
    dt: Tensor
    log_prob: Tensor


@dataclass
class Drawn:
    """The posters of one batch of prompts, K of each prompt in a row, and what their reward has to say.

    Attributes:
        x0: `(P K, S, C)`; `latents` are the same as cells `(P K, C, h, w)`.
        times: `(T + 1,)`, those it was drawn at and a last 0.
        pending: what `result()` waits for.
        worths: a `RewardResult` for each, None where the reward failed; there once they have been asked for.
    """

    ids: list[str]
    tasks: list[str]
    x0: Tensor
    latents: Tensor
    condition: Any
    times: Tensor
    walk: Walk | None
    pictures: list[Image.Image]
    pending: Any = None
    worths: list[RewardResult | None] = field(default_factory=list)


def best_and_worst(rewards: Tensor, gap: float) -> Tensor:
    """Where the best and the worst of each group stand; nowhere in a group in which they lie no further apart.

    Args:
        rewards: `(G, K)`, nan where there is none.

    Returns:
        `(G, K)` bool, two or none in each row; of equals the first.
    """
    best, worst = rewards.nan_to_num(-torch.inf).argmax(1), rewards.nan_to_num(torch.inf).argmin(1)
    rows = torch.arange(len(rewards))
    apart = rewards[rows, best] - rewards[rows, worst] > gap  # false for nan
    found = torch.zeros_like(rewards, dtype=torch.bool)
    found[rows, best] = found[rows, worst] = apart
    return found


@dataclass(frozen=True)
class Verdict:
    """What rewards say of an epoch.

    Attributes:
        rewards: `(B,)` of this process's posters, nan where there is none.
        advantages: `(B,)`, over the posters of all processes.
        kept: `(B,)` bool, posters of groups that can teach something.
        per_batch: how many are kept, mean over the batches of all processes.
    """

    rewards: Tensor
    advantages: Tensor
    kept: Tensor
    per_batch: float
