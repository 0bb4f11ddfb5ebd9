"""What a strategy is, and the plain one."""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

from torch import Tensor, nn


class Group(NamedTuple):
    """Parameters that are clipped together.

    Attributes:
        name: as the log calls it.
        rate: learning rate, as a multiple of the run's.
    """

    name: str
    parameters: list[nn.Parameter]
    rate: float = 1.0


class Strategy(Protocol):
    """How far the task's gradient reaches."""

    def velocity(self, *inputs: Any) -> Tensor:
        """The model's velocity `(B, S, C)`, to put a loss on; takes what the adapter's `velocity` takes."""
        ...

    def groups(self) -> list[Group]:
        """Everything that trains."""
        ...

    def report(self) -> dict[str, float]:
        """Numbers for the log, means since the last call."""
        ...


class EndToEnd:
    """The task's gradient reaches every weight that trains."""

    def __init__(self, model: Any) -> None:
        self.model = model

    def velocity(self, *inputs: Any) -> Tensor:
        return self.model.velocity(*inputs)

    def groups(self) -> list[Group]:
        return [Group("all", [p for p in self.model.module.parameters() if p.requires_grad])]

    def report(self) -> dict[str, float]:
        return {}
