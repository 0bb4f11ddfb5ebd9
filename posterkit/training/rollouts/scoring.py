"""What drawn posters are worth: which reward, and where it runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from posterkit.rewards.opening import RULES, open_reward
from posterkit.training.loop import Run


@dataclass
class RewardSource:
    """
    Attributes:
        source: a reward's spec, see `posterkit.rewards.opening.open_reward`.
    """

    source: str = RULES

    def check(self) -> None:
        """Raise ValueError for values that cannot work."""


class _Now:
    def __init__(self, found: list[Any]) -> None:
        self._found = found

    def result(self) -> list[Any]:
        return self._found


class _InProcess:
    def __init__(self, reward: Any) -> None:
        self.reward = reward

    def submit(self, images: Any, rows: Any) -> _Now:
        return _Now(self.reward(images, rows))


def open_rewards(config: RewardSource, run: Run) -> Any:
    """The reward of a stage."""
    return _InProcess(open_reward(config.source))
