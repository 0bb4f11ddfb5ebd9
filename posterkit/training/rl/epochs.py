"""Rollouts: epochs of posters that the model draws in groups, what they are worth, and batches to learn from them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from accelerate.utils import gather_object

from posterkit.metrics.diversity import diversity
from posterkit.metrics.expected_texts import request_from_sample
from posterkit.pipelines.latents import unpack
from posterkit.rewards.service.client import RewardError
from posterkit.rewards.service.pool import RewardPool
from posterkit.schema import PosterRequest
from posterkit.sizing import Size
from posterkit.training.adapters.autoencoder import tensor_to_images
from posterkit.training.errors import RunFailed
from posterkit.training.loading.batches import Batch
from posterkit.training.loading.encoding import encoders_on
from posterkit.training.loading.fitting import fit_sample
from posterkit.training.loading.prefetch import PrefetchLoader
from posterkit.training.loading.sets import PosterSet
from posterkit.training.lora import follow_adapter
from posterkit.training.losses.nft import group_advantages, kept_groups, sampler_decay
from posterkit.training.rl.groups import Drawn, PolicyBatch, Rollout, RolloutConfig, Step, Verdict, best_and_worst
from posterkit.training.rl.samplers import draw, sampling_times, walk
from posterkit.training.rl.velocities import OLD, Velocities
from posterkit.training.run import Run

_TRIES = 10  # epochs in a row without a group to learn from
_TOLD = 3  # posters without a reward that are named


class Rollouts:
    """Endless passes of learning from posters that the model itself draws, an epoch after the other.

    An epoch takes `draws` batches of prompts; each prompt gets K posters from the sampler, in this process, so that no
    group is split. Rewards are asked for as soon as a batch is drawn, and waited for when the epoch is. The random
    numbers of an epoch follow from seed, process and epoch: a run that goes on in the middle of one draws it again.

    Args:
        prompts: encoded batches of the posters' set; only the condition is used.
        sampler: the LoRA that draws; None draws with the base alone, which never changes.
        level: of the noise of random steps, taken by the model as it is, whatever `decay` says; None draws by the ODE.
        gap: learn from the best and the worst poster of each group that lie further apart than this, as pairs.

    Raises:
        RunFailed: no group of many epochs in a row had anything to teach.
    """

    def __init__(
        self, config: RolloutConfig, run: Run, model: Any, posters: PosterSet, prompts: PrefetchLoader,
        rewards: RewardPool, velocities: Velocities, *, sampler: str | None = OLD, level: float | None = None,
        gap: float | None = None,
    ) -> None:  # fmt: skip
        self.config, self.run, self.model, self.prompts, self.rewards = config, run, model, prompts, rewards
        self.sampler, self.level, self.gap = sampler, level, gap
        self.velocity = velocities.old if sampler else velocities.reference
        self.posters = posters.train
        self._number = {str(row["id"]): number for number, row in enumerate(self.posters.rows)}
        self.epoch, self.done, self.followed = 0, 0, 0  # epoch, its passes so far, the epoch that the sampler is of
        self._began = prompts.state_dict()

    def __iter__(self) -> Iterator[Rollout]:
        prompts = iter(self.prompts)
        try:
            while True:
                passes = self._epoch(prompts)
                for rollout in passes[self.done :]:
                    self.done += 1
                    yield rollout
                self.epoch, self.done = self.epoch + 1, 0
                self._began = self.prompts.state_dict()
        finally:
            prompts.close()  # pyright: ignore[reportAttributeAccessIssue] - a generator; its thread reads ahead

    def state_dict(self) -> dict[str, Any]:
        if self.done == self.config.draws * self.config.passes:
            at = {"epoch": self.epoch + 1, "done": 0, "prompts": self.prompts.state_dict()}
        else:
            at = {"epoch": self.epoch, "done": self.done, "prompts": self._began}
        return {**at, "followed": self.followed}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.epoch, self.done, self.followed = state["epoch"], state["done"], state["followed"]
        self._began = state["prompts"]
        self.prompts.load_state_dict(state["prompts"])

    def _epoch(self, prompts: Iterator[Batch]) -> list[Rollout]:
        """All passes of one epoch, batch after batch."""
        if self.sampler and self.followed < self.epoch:
            self.followed = self.epoch
            decay = 0.0 if self.level is not None else sampler_decay(self.run.step, self.config.decay)
            follow_adapter(self.model.parts["transformer"], self.sampler, "default", decay)
        process = self.run.accelerator.process_index
        for attempt in range(_TRIES):
            seed = np.random.SeedSequence((self.run.config.seed, process, self.epoch, attempt)).generate_state(1)
            generator = torch.Generator().manual_seed(int(seed[0]))
            drawn = self._draw(prompts, generator)
            verdict = self._judge(drawn)
            if verdict.per_batch:
                return self._passes(drawn, verdict, generator)
            self.run.print(f"epoch {self.epoch}: no group has anything to teach; others are drawn")
        raise RunFailed(
            f"{_TRIES} epochs in a row had no group to learn from; see rollouts.images, rollouts.least_std, "
            f"{'' if self.gap is None else 'dpo.gap, '}and what the reward says of these posters",
            self.run.accelerator.is_main_process,
        )  # fmt: skip

    def _draw(self, prompts: Iterator[Batch], generator: torch.Generator) -> list[Drawn]:
        module, drawn = self.model.module, []
        module.eval()
        with encoders_on(self.model, self.run.device):
            for _ in range(self.config.draws):
                batch = next(prompts)
                with self.run.log.working():
                    drawn.append(self._draw_batch(batch, generator))
                asked = self._asked(batch.ids, drawn[-1].pictures[0].size)
                drawn[-1].pending = self.rewards.submit(drawn[-1].pictures, asked)
        module.train()
        return drawn

    @torch.no_grad()
    def _draw_batch(self, batch: Batch, generator: torch.Generator) -> Drawn:
        count = self.config.images
        with self.run.autocast():
            target, condition = self.model.encode(batch)
            rows = torch.arange(len(target), device=target.device).repeat_interleave(count)
            condition = condition.take(rows)
            noise = torch.randn((len(rows), *target.shape[1:]), generator=generator).to(target)
            times = sampling_times(self.model.parts["scheduler"], self.config.steps, target.shape[1])
            velocity, walked = partial(self.velocity, condition=condition), None
            if self.level is None:
                x0 = draw(velocity, noise, times)
            else:
                walked = walk(velocity, noise, times, self.level, generator)
                x0 = walked.states[-1]
        cells = next(batch[name] for name in ("latents", "latents0") if name in batch).shape[-2:]
        latents = unpack(x0, Size(cells[1] * 8, cells[0] * 8), 16)
        pictures = tensor_to_images(self.model.vae.decode(latents.float()))
        ids, tasks = ([one for one in names for _ in range(count)] for names in (batch.ids, batch.tasks))
        return Drawn(ids, tasks, x0, latents, condition, times, walked, pictures)

    def _asked(self, ids: Sequence[str], size: tuple[int, int]) -> list[PosterRequest]:
        samples = (fit_sample(self.posters[self._number[one]], Size(*size)) for one in ids)
        return [asked for asked in map(request_from_sample, samples) for _ in range(self.config.images)]

    def _judge(self, drawn: list[Drawn]) -> Verdict:
        fault = ""
        try:
            for one in drawn:
                one.worths = one.pending.result()
        except RewardError as error:
            fault = str(error)
        if faults := [said for said in gather_object([fault]) if said]:
            self.run.stop(faults[0])
        if lost := gather_object([said for one in drawn for said in one.pending.faults]):
            more = f"; and {len(lost) - _TOLD} more" if len(lost) > _TOLD else ""
            told = "; ".join(lost[:_TOLD])
            self.run.print(f"epoch {self.epoch}: posters without a reward are left out: {told}{more}")
        rewards = torch.tensor([worth.value if worth else torch.nan for one in drawn for worth in one.worths])
        everywhere = [torch.tensor(values) for values in gather_object([rewards.tolist()])]
        of_all = torch.cat(everywhere)
        groups = torch.arange(len(of_all)) // self.config.images
        there = ~of_all.isnan()
        advantages, kept = torch.zeros_like(of_all), torch.zeros_like(there)
        if there.any():
            options = self.config.least_std, self.config.most_mean, self.config.strict
            advantages[there] = group_advantages(of_all[there], groups[there], self.config.global_std)
            kept[there] = kept_groups(of_all[there], groups[there], *options)
        if self.gap is not None:
            kept &= best_and_worst(of_all.view(-1, self.config.images), self.gap).flatten()
        first = self.run.accelerator.process_index * len(rewards)
        own = slice(first, first + len(rewards))
        return Verdict(rewards, advantages[own], kept[own], kept.sum().item() / (len(drawn) * len(everywhere)))

    def _passes(self, drawn: list[Drawn], verdict: Verdict, generator: torch.Generator) -> list[Rollout]:
        figures = self._figures(drawn, verdict)
        per_batch, found = len(verdict.rewards) // len(drawn), []
        for number, one in enumerate(drawn):
            own = slice(number * per_batch, (number + 1) * per_batch)
            rows = verdict.kept[own].nonzero().flatten()
            share = len(rows) / verdict.per_batch
            if self.gap is not None:  # of each pair the chosen one, then in the same order the rejected ones
                rows = rows.view(-1, 2)
                rows = torch.where(verdict.rewards[own][rows].diff() > 0, rows.flip(1), rows).T.flatten()
            rows = rows if len(rows) else torch.arange(1 if self.gap is None else 2)
            rows = rows.to(one.x0.device)
            names = ([said[n] for n in rows.tolist()] for said in (one.ids, one.tasks))
            batch = Batch({"latents": one.latents[rows]}, *names)
            lesson = PolicyBatch(batch, one.x0[rows], one.condition.take(rows), share, figures)
            order = torch.stack([torch.randperm(self.config.steps, generator=generator) for _ in rows]).to(rows)
            times, advantages = one.times.to(one.x0), verdict.advantages[own].to(one.x0)[rows]
            for at in order.T[: self.config.passes]:
                now, then, step = times[at], times[at + 1], None
                if one.walk is not None:
                    states = one.walk.states
                    step = Step(states[at, rows], states[at + 1, rows], then - now, one.walk.log_probs[at, rows])
                found.append(Rollout(lesson, now, advantages, step))
        return found

    def _figures(self, drawn: list[Drawn], verdict: Verdict) -> dict[str, float]:
        """What the log is to say of an epoch: rewards and their parts, spread within groups, what was left out."""
        rewards = verdict.rewards
        there = rewards[~rewards.isnan()]
        groups = rewards.view(-1, self.config.images)
        spread = [group[~group.isnan()].std(correction=0).item() for group in groups if (~group.isnan()).any()]
        found = {"reward": there.mean().item(), "reward_std": there.std(correction=0).item(),
                 "reward_std_in_group": float(np.mean(spread)), "kept": verdict.kept.float().mean().item(),
                 "reward_failed": rewards.isnan().float().mean().item()}  # fmt: skip
        worths = [worth for one in drawn for worth in one.worths if worth]
        for name in sorted({name for worth in worths for name in worth.parts}):
            found[f"reward_{name}"] = float(np.mean([w.parts[name] for w in worths if name in w.parts]))
        apart = [
            diversity([np.asarray(picture) for picture in one.pictures[start : start + self.config.images]])
            for one in drawn
            for start in range(0, len(one.pictures), self.config.images)
        ]
        return {**found, "diversity": float(np.mean(apart))}
