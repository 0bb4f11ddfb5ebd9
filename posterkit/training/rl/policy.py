"""The three policies of stage 3 on one transformer: the trained one, the old one, the reference."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Generic

import torch
from torch import Tensor

from posterkit.training.adapters import Adapter, ConditioningT
from posterkit.training.loading.encoding import encoders_on
from posterkit.training.lora import Trainable, add_ema_adapter, frozen_adapter, update_ema_adapter
from posterkit.training.strategies import Strategy

OLD = "old"  # the name of the old policy's LoRA


class Policy(Generic[ConditioningT]):
    """A LoRA that learns on a frozen base.

    Velocities are `(B, S, C)`, of noisy tokens `x` `(B, S, C)` at times `t` `(B,)`; only the policy's own has a
    gradient. The reference is the base without a LoRA: the stage before this one. The old policy draws the posters
    that the policy learns from.

    Args:
        guidance: the scale given to a guidance-distilled transformer; None for others.
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
        """While posters are drawn: no dropout, and the frozen encoders on the device."""
        self.model.module.eval()
        with encoders_on(self.model, device), torch.no_grad():
            yield
        self.model.module.train()

    def _guidance(self, t: Tensor) -> Tensor | None:
        return None if self.guidance is None else torch.full_like(t, self.guidance)
