"""Epochs of drawn posters as a loader, so that a run resumes inside an epoch bit for bit."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch

from posterkit.training.errors import RunFailed
from posterkit.training.loading.batches import Batch
from posterkit.training.loading.prefetch import PrefetchLoader
from posterkit.training.rl.advantages import ScoredBatch
from posterkit.training.rl.settings import RolloutConfig
from posterkit.training.run import Run

_TRIES = 10  # epochs in a row without a group to learn from


class Epoch(NamedTuple):
    """An epoch to draw.

    Attributes:
        begins: the run comes from the epoch before; false for the first one, one that is drawn again after a resume,
            and further tries of the same one.
        generator: of all its random numbers, in this process.
    """

    number: int
    begins: bool
    generator: torch.Generator


DrawEpoch = Callable[[Iterator[Batch], Epoch], Sequence[ScoredBatch]]


class EpochLoader:
    """Endless batches to learn from, one epoch of drawn posters after the other.

    The random numbers of an epoch follow from seed, process and epoch: a run that goes on in the middle of one draws
    it again, with the old policy from its checkpoint, and skips the batches that it has learnt from.

    Args:
        prompts: encoded batches of the posters' set; only the condition is used.
        draw: makes the batches of an epoch from its prompts; where all groups are left out it makes none, and others
            are drawn.
        settings: keys that decide which groups are left out, for the message.

    Raises:
        RunFailed: all groups of many epochs in a row were left out.
    """

    def __init__(
        self, run: Run, prompts: PrefetchLoader, config: RolloutConfig, draw: DrawEpoch, settings: Sequence[str]
    ) -> None:
        self.run, self.prompts, self.draw, self.settings = run, prompts, draw, settings
        self.length = config.draws * config.passes
        self.epoch, self.done = 0, 0  # and how many of its batches were handed out
        self._epoch_began = prompts.state_dict()

    def __iter__(self) -> Iterator[ScoredBatch]:
        prompts = iter(self.prompts)
        try:
            while True:
                for batch in self._draw(prompts)[self.done :]:
                    self.done += 1
                    yield batch
                self.epoch, self.done = self.epoch + 1, 0
                self._epoch_began = self.prompts.state_dict()
        finally:
            prompts.close()  # pyright: ignore[reportAttributeAccessIssue] - a generator; its thread reads ahead

    def state_dict(self) -> dict[str, Any]:
        if self.done == self.length:
            return {"epoch": self.epoch + 1, "done": 0, "prompts": self.prompts.state_dict()}
        return {"epoch": self.epoch, "done": self.done, "prompts": self._epoch_began}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.epoch, self.done, self._epoch_began = state["epoch"], state["done"], state["prompts"]
        self.prompts.load_state_dict(state["prompts"])

    def _draw(self, prompts: Iterator[Batch]) -> Sequence[ScoredBatch]:
        accelerator = self.run.accelerator
        for attempt in range(_TRIES):
            key = (self.run.config.seed, accelerator.process_index, self.epoch, attempt)
            seed = int(np.random.SeedSequence(key).generate_state(1)[0])
            begins = self.epoch > 0 and not self.done and not attempt
            if batches := self.draw(prompts, Epoch(self.epoch, begins, torch.Generator().manual_seed(seed))):
                return batches
            self.run.print(f"epoch {self.epoch}: no group has anything to teach; others are drawn")
        raise RunFailed(
            f"{_TRIES} epochs in a row had no group to learn from; see {', '.join(self.settings)}, and "
            "what the reward says of these posters",
            accelerator.is_main_process,
        )
