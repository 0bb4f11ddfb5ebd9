"""What a training strategy is, its config keys, and end-to-end training."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, Protocol

from torch import Tensor, nn

from posterkit.training.config import Positive, RunConfig


@dataclass
class HalvesConfig:
    """Where the transformer is cut and what its first half learns; end_to_end reads none of it.

    Attributes:
        cut: blocks = as many in either half, the first takes the odd one; in both families every block costs the same
            FLOPs for each token, so this halves the work and the activations. parameters = where the blocks' weights
            come nearest to half. double_single = where FLUX.1's double-stream blocks end.
        boundary: number of blocks in the first half, double- and single-stream ones counted as one list; null takes it
            from `cut`.
        target: what the first half's output is to predict: input = the transformer's own embedded input (the paper's),
            anchor = the output of the first half with the weights that the stage began with, frozen = nothing, the
            first half stays as it is (the same as `strategy: frozen_half`).
        weight: of the reconstruction beside the task; the paper takes 10 with an error that is not normalised.
        normalised: divide the error by its target's variance, so that `weight` means the same for every model.
        early_rate: learning rate of the first half and all before it, as a multiple of `learning_rate`.
    """

    cut: Literal["blocks", "parameters", "double_single"] = "blocks"
    boundary: int | None = None
    target: Literal["input", "anchor", "frozen"] = "input"
    weight: Positive = 1.0
    normalised: bool = True
    early_rate: Positive = 1.0


@dataclass
class StrategyConfig(RunConfig):
    """The config of a stage that can train by halves.

    Attributes:
        strategy: end_to_end; lopt = the task trains the second half of the transformer, a reconstruction the first;
            frozen_half = the first half does not train.
        halves: for lopt and frozen_half.
    """

    strategy: Literal["end_to_end", "lopt", "frozen_half"] = "end_to_end"
    halves: HalvesConfig = field(default_factory=HalvesConfig)


class Group(NamedTuple):
    """Parameters that are clipped together."""

    name: str
    parameters: list[nn.Parameter]
    rate: float = 1.0  # learning rate, as a multiple of the run's


class Strategy(Protocol):
    """How far the task's gradient reaches."""

    def velocity(self, *inputs: Any) -> Tensor:
        """The model's velocity `(B, S, C)`, for the loss; takes the arguments of the adapter's `velocity`."""
        ...

    def groups(self) -> list[Group]:
        """All parameters that train."""
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
