"""The rewards of drawn posters: the pool that scores them, waiting for it, and what the log says of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from accelerate.utils import gather_object
from torch import Tensor

from posterkit.metrics.expected_texts import request_from_sample
from posterkit.metrics.fidelity import diversity
from posterkit.rewards import RewardError
from posterkit.rewards.service.pool import RewardPool
from posterkit.rewards.specs import reach
from posterkit.schema import PosterRequest
from posterkit.training.loading.fitting import fit_sample
from posterkit.training.loading.sets import PosterSet
from posterkit.training.rl.config import RewardSource
from posterkit.training.rl.samplers import Rollout
from posterkit.training.run import Run

Requests = Callable[[Rollout], list[PosterRequest]]  # what was requested of each poster of a rollout
_NAMED = 3  # posters without a reward that are named


def open_rewards(config: RewardSource, run: Run, tasks: Sequence[str]) -> RewardPool:
    """The reward of a stage; its workers end with the run.

    Args:
        tasks: of the posters it will score.

    Raises:
        ValueError: there is no such reward, or it weighs nothing for a task.
        FileNotFoundError: a folder holds no reward model.
        ConnectionError: nobody answers where it is served.
    """
    reach(config.source, config.sources)
    rewards = RewardPool(
        config.source, workers=config.workers, limit=config.limit, tolerated=config.tolerated, fast=config.fast,
        device=config.device, model=config.model, cache=config.cache, sources=config.sources,
        tasks=tasks,
    )  # fmt: skip
    run.afterwards(rewards.close)
    return rewards


def requests_of(posters: PosterSet) -> Requests:
    """A function from a rollout to what was requested of each of its posters."""
    numbers = {str(row["id"]): number for number, row in enumerate(posters.train.rows)}

    def requests(rollout: Rollout) -> list[PosterRequest]:
        samples = {one: fit_sample(posters.train[numbers[one]], rollout.size) for one in dict.fromkeys(rollout.ids)}
        of_prompt = {one: request_from_sample(sample) for one, sample in samples.items()}
        return [of_prompt[one] for one in rollout.ids]

    return requests


def collect_rewards(run: Run, rollouts: Sequence[Rollout], epoch: int) -> Tensor:
    """Wait for the rewards of an epoch's posters.

    Returns:
        `(B,)` of this process; nan where the reward failed, which is printed.

    Raises:
        RunFailed: in some process more posters failed than are tolerated; the run is saved.
    """
    error = ""
    try:
        for rollout in rollouts:
            rollout.results = rollout.scoring.result()
    except RewardError as raised:
        error = str(raised)
    if errors := [one for one in gather_object([error]) if one]:
        run.stop(errors[0])
    if failed := gather_object([line for one in rollouts for line in one.scoring.faults]):
        more = f"; and {len(failed) - _NAMED} more" if len(failed) > _NAMED else ""
        run.print(f"epoch {epoch}: posters without a reward are left out: {'; '.join(failed[:_NAMED])}{more}")
    return torch.tensor([result.value if result else torch.nan for one in rollouts for result in one.results])


def epoch_figures(rollouts: Sequence[Rollout], rewards: Tensor, kept: Tensor, images: int) -> dict[str, float]:
    """What the log says of an epoch: rewards and their parts, spread and diversity within groups, what was left out.

    Args:
        rewards, kept: `(B,)`, of this process.
        images: K, posters of a group.
    """
    scored = rewards[~rewards.isnan()]
    groups = rewards.view(-1, images)
    spread = [group[~group.isnan()].std(correction=0).item() for group in groups if (~group.isnan()).any()]
    figures = {"reward": scored.mean().item(), "reward_std": scored.std(correction=0).item(),
               "reward_std_in_group": float(np.mean(spread)), "kept": kept.float().mean().item(),
               "reward_failed": rewards.isnan().float().mean().item()}  # fmt: skip
    results = [result for one in rollouts for result in one.results if result]
    for name in sorted({name for result in results for name in result.parts}):
        figures[f"reward_{name}"] = float(np.mean([one.parts[name] for one in results if name in one.parts]))
    distances = [
        diversity([np.asarray(image) for image in one.images[start : start + images]])
        for one in rollouts
        for start in range(0, len(one.images), images)
    ]
    return {**figures, "diversity": float(np.mean(distances))}
