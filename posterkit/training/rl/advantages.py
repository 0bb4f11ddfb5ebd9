"""From rewards to batches: advantages within groups over all processes, and epochs of drawn posters as a loader."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from accelerate.utils import gather_object
from torch import Tensor

from posterkit.training.adapters import Conditioning
from posterkit.training.errors import RunFailed
from posterkit.training.loading.batches import Batch
from posterkit.training.loading.prefetch import PrefetchLoader
from posterkit.training.losses.nft import group_advantages, kept_groups
from posterkit.training.protocols import LoaderState
from posterkit.training.rl.samplers import Rollout
from posterkit.training.rl.settings import RolloutConfig
from posterkit.training.run import Run

_TRIES = 10  # epochs in a row without a group to learn from
Pairs = Callable[[Tensor, Tensor], Tensor]  # of rewards and of what is kept, (G, K) each, to (2, G, K) bool


@dataclass(frozen=True)
class Advantages:
    """The advantages of an epoch's posters."""

    values: Tensor  # `(B,)` of this process's posters; groups and spread are taken over all processes
    sides: Tensor  # `(1, B)` bool, posters to learn from; of pairs `(2, B)`, the chosen ones and the rejected ones
    per_batch: float  # how many posters are learnt from, mean over the rollouts of all processes


class PolicyBatch(Batch):
    """Posters for one forward pass of learning. As a batch it holds their `latents`.

    Attributes:
        x0: their tokens, `(R, S, C)`; of pairs the chosen ones, then in the same order the rejected ones.
        share: how many there are, as a multiple of the mean over the epoch's batches; 0 for one that stands in where
            no poster is left.
        figures: of the epoch, for the log.
    """

    def __init__(
        self, batch: Batch, x0: Tensor, condition: Conditioning, share: float = 1.0,
        figures: dict[str, float] | None = None,
    ) -> None:  # fmt: skip
        super().__init__(batch, batch.ids, batch.tasks)
        self.x0, self.condition, self.share, self.figures = x0, condition, share, figures or {}


class ScoredBatch(PolicyBatch):
    """Drawn posters with their advantages.

    Attributes:
        t: `(R,)`, for each poster one of the times it was sampled at, in an order of its own.
        advantages: `(R,)`.
        step: the random step from `t` on, where posters were sampled by the SDE.
    """

    def __init__(self, batch: PolicyBatch, t: Tensor, advantages: Tensor, step: Step | None) -> None:
        super().__init__(batch, batch.x0, batch.condition, batch.share, batch.figures)
        self.t, self.advantages, self.step = t, advantages, step


@dataclass(frozen=True)
class Step:
    """One random step of each poster: from `x` at time t over `dt` to `next`, `(R, S, C)` each; `log_prob` `(R,)`."""

    x: Tensor
    next: Tensor
    dt: Tensor
    log_prob: Tensor


def compare_groups(run: Run, rewards: Tensor, config: RolloutConfig, pairs: Pairs | None = None) -> Advantages:
    """Advantages within groups, and which posters are learnt from.

    Of `(B,)` rewards of this process, K of a prompt in a row, nan where there is none. `pairs` makes pairs of the kept
    posters, as `best_and_worst` does; all of them are learnt from where it is None.
    """
    gathered = [torch.tensor(values) for values in gather_object([rewards.tolist()])]
    everywhere = torch.cat(gathered)
    groups, scored = torch.arange(len(everywhere)) // config.images, ~everywhere.isnan()
    advantages, kept = torch.zeros_like(everywhere), torch.zeros_like(scored)
    if scored.any():
        options = config.least_std, config.most_mean, config.strict
        advantages[scored] = group_advantages(everywhere[scored], groups[scored], config.global_std)
        kept[scored] = kept_groups(everywhere[scored], groups[scored], *options)
    sides = kept[None]
    if pairs:
        sides = pairs(everywhere.view(-1, config.images), kept.view(-1, config.images)).flatten(1)
    first = run.accelerator.process_index * len(rewards)
    own = slice(first, first + len(rewards))
    return Advantages(advantages[own], sides[:, own], sides.sum().item() / (config.draws * len(gathered)))


def best_and_worst(rewards: Tensor, kept: Tensor, gap: float) -> Tensor:
    """The best and the worst poster of each group, where they lie further apart than `gap`: `(2, G, K)` bool.

    Of `(G, K)` rewards, nan where there is none, and `(G, K)` bool kept; of groups that are left out no pair is made,
    of equals the first counts.
    """
    best, worst = rewards.nan_to_num(-torch.inf).argmax(1), rewards.nan_to_num(torch.inf).argmin(1)
    rows = torch.arange(len(rewards))
    apart = rewards[rows, best] - rewards[rows, worst] > gap  # false for nan
    sides = torch.zeros((2, *rewards.shape), dtype=torch.bool)
    sides[0, rows, best] = sides[1, rows, worst] = apart
    return sides & kept


def policy_batches(
    rollouts: Sequence[Rollout], advantages: Advantages, config: RolloutConfig, figures: dict[str, float],
    generator: torch.Generator,
) -> Iterator[ScoredBatch]:  # fmt: skip
    """The batches of an epoch: each rollout's posters `config.passes` times, their times in a random order.

    With `config.micro_batch` the posters of a rollout go through in as many parts in every process, however many are
    left; a part weighs as many posters as it has, so that the gradient is that of the whole.
    """
    parts = (tensor.split(tensor.shape[-1] // len(rollouts), -1) for tensor in (advantages.sides, advantages.values))
    for rollout, sides, values in zip(rollouts, *parts, strict=True):
        chosen = torch.stack([side.nonzero().flatten() for side in sides])  # of pairs both sides, column by column
        order = torch.stack([torch.randperm(config.steps, generator=generator) for _ in chosen.flatten()] or [
            torch.randperm(config.steps, generator=generator)
        ])  # fmt: skip
        count = config.parts(pairs=len(sides) == 2, posters=sides.shape[1])
        for columns in torch.arange(chosen.shape[1]).tensor_split(count):
            rows, numbers = chosen[:, columns].flatten(), torch.arange(chosen.numel()).view_as(chosen)[:, columns]
            share = count * len(rows) / advantages.per_batch
            if not len(rows):  # every process takes as many passes
                rows, numbers = torch.arange(sides.shape[1])[: config.micro_batch], torch.zeros(1, dtype=torch.long)
            batch = _rows_of(rollout, rows, share, figures)
            orders = order[numbers.flatten()].expand(len(rows), -1)
            yield from _passes(batch, rollout, rows, orders, values, config.passes)


def _rows_of(rollout: Rollout, rows: Tensor, share: float, figures: dict[str, float]) -> PolicyBatch:
    """Some posters of a rollout."""
    names = ([said[n] for n in rows.tolist()] for said in (rollout.ids, rollout.tasks))
    rows = rows.to(rollout.x0.device)
    batch = Batch({"latents": rollout.latents[rows]}, *names)
    return PolicyBatch(batch, rollout.x0[rows], rollout.condition.take(rows), share, figures)


def _passes(
    batch: PolicyBatch, rollout: Rollout, rows: Tensor, order: Tensor, values: Tensor, passes: int
) -> Iterator[ScoredBatch]:
    """The same posters at several of the times that they were sampled at."""
    rows, order = rows.to(rollout.x0.device), order.to(rollout.x0.device)
    times, values = rollout.times.to(rollout.x0), values.to(rollout.x0)[rows]
    states, log_probs = rollout.trajectory.states, rollout.trajectory.log_probs
    for at in order.T[:passes]:
        step = None
        if log_probs is not None:
            step = Step(states[at, rows], states[at + 1, rows], times[at + 1] - times[at], log_probs[at, rows])
        yield ScoredBatch(batch, times[at], values, step)


class Epoch(NamedTuple):
    """An epoch to draw, with the generator of all its random numbers in this process.

    `begins`: the run comes from the epoch before; false for the first one, one that is drawn again after a resume, and
    further tries of the same one.
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

    def state_dict(self) -> LoaderState:
        if self.done == self.length:
            return {"epoch": self.epoch + 1, "done": 0, "prompts": self.prompts.state_dict()}
        return {"epoch": self.epoch, "done": self.done, "prompts": self._epoch_began}

    def load_state_dict(self, state: LoaderState) -> None:
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
