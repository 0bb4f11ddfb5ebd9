"""Who says where the noise is: what learns, what draws, what it started from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from posterkit.training.lora import teacher
from posterkit.training.strategies import Strategy

OLD = "old"  # the LoRA that draws: a slow copy of the one that learns


@dataclass(frozen=True)
class Velocities:
    """Velocities `(B, S, C)` at noisy tokens `(B, S, C)` and times `(B,)`; only the policy's has a gradient.

    Attributes:
        guidance: what a guidance-distilled transformer is told; None for others.
    """

    model: Any
    strategy: Strategy
    guidance: float | None = None

    def policy(self, x: Tensor, t: Tensor, condition: Any) -> Tensor:
        """Of the LoRA that learns."""
        return self.strategy.velocity(x, t, condition, *self._told(t))

    def old(self, x: Tensor, t: Tensor, condition: Any) -> Tensor:
        """Of the sampler."""
        return self._frozen(OLD, x, t, condition)

    def reference(self, x: Tensor, t: Tensor, condition: Any) -> Tensor:
        """Of the base, without any LoRA: the stage before this one."""
        return self._frozen(None, x, t, condition)

    def _frozen(self, lora: str | None, x: Tensor, t: Tensor, condition: Any) -> Tensor:
        with teacher(self.model.parts["transformer"], lora):
            return self.model.velocity(x, t, condition, *self._told(t))

    def _told(self, t: Tensor) -> tuple[Tensor, ...]:
        return () if self.guidance is None else (torch.full_like(t, self.guidance),)
