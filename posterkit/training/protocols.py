"""Protocols between the parts of training: the model that a run trains, its batches, and the run itself."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import torch
from accelerate import Accelerator
from torch import nn

from posterkit.training.config import RunConfig
from posterkit.training.state import EMA
from posterkit.training.strategies import Group

if TYPE_CHECKING:
    from posterkit.training.monitor.log import RunLog


LoaderState = dict[str, Any]  # JSON values


class TrainedModel(Protocol):
    """What a run trains: `module` holds every weight, `save` writes a folder that diffusers or transformers opens."""

    @property
    def module(self) -> nn.Module: ...
    def save(self, folder: Path) -> None: ...


class Loader(Protocol):
    """Endless batches, with a position that can be saved."""

    def __iter__(self) -> Iterator[Any]: ...
    def state_dict(self) -> LoaderState: ...
    def load_state_dict(self, state: LoaderState) -> None: ...


class RunView(Protocol):
    """The members of a `Run` that data loading and monitors read; see there."""

    config: RunConfig
    folder: Path
    accelerator: Accelerator
    device: torch.device
    generator: torch.Generator
    sharded: bool
    step: int
    log: RunLog
    model: TrainedModel
    optimizer: torch.optim.Optimizer
    groups: list[Group]
    ema: EMA | None

    def autocast(self) -> AbstractContextManager[None]: ...
    def averaged(self, model: TrainedModel) -> AbstractContextManager[None]: ...
    def print(self, text: str) -> None: ...
