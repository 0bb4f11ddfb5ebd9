"""What drawn posters are worth: which reward, and where it runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from posterkit.rewards.opening import RULES, reach
from posterkit.rewards.service.pool import RewardPool
from posterkit.training.run import Run


@dataclass
class RewardSource:
    """
    Attributes:
        source: a reward's spec, see `posterkit.rewards.opening.open_reward`: rules, a sum of parts such as
            text:0.6+aesthetics:0.4, a YAML file of weights for each task, a model's folder, an endpoint, or
            reward+http://host:port.
        sources: of parts that a model is to judge in place of the rules.
        model: its name at an endpoint.
        device: where models run.
        fast: OCR at its fast setting.
        cache: a folder that keeps what was said of posters; null keeps nothing, since no poster is drawn twice.
        workers: processes that score while the next posters are drawn; 0 scores in this one.
        limit: seconds that one poster may take.
        tolerated: share of the last posters whose reward may fail; beyond it the run stops.
    """

    source: str = RULES
    sources: dict[str, Any] = field(default_factory=dict)
    model: str | None = None
    device: str = "cpu"
    fast: bool = False
    cache: str | None = None
    workers: int = 1
    limit: float = 60.0
    tolerated: float = 0.1

    def check(self) -> None:
        """Raise ValueError for values that cannot work."""
        if self.workers < 0 or self.limit <= 0 or not 0 <= self.tolerated <= 1:
            raise ValueError("reward takes workers of at least 0, a limit above 0 and tolerated in [0, 1]")


def open_rewards(config: RewardSource, run: Run, tasks: Sequence[str]) -> RewardPool:
    """The reward of a stage; its workers end with the run.

    Args:
        tasks: that it will be asked about.

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
