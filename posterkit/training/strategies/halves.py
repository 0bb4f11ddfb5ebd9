"""A transformer in two halves: where it is cut, and which weights stand on which side."""

from __future__ import annotations

from typing import Any

from diffusers import FluxTransformer2DModel, QwenImageTransformer2DModel
from torch import nn
from torch.distributed.fsdp import FSDPModule

from posterkit.training.adapters import Adapter
from posterkit.training.strategies.config import HalvesConfig
from posterkit.training.strategies.end_to_end import Group

# the lists of blocks in the order of the forward pass; no block reads what another than the one before it made
BLOCKS = {
    FluxTransformer2DModel: ("transformer_blocks", "single_transformer_blocks"),
    QwenImageTransformer2DModel: ("transformer_blocks",),
}


class Halves:
    """The cut of an adapter's transformer.

    Attributes:
        blocks: all of them, in the order of the forward pass.
        boundary: how many of them stand in the first half.

    Raises:
        TypeError: another transformer than the two families', or one that is wrapped (DDP, peft) or sharded.
        ValueError: it cannot be cut there.
    """

    def __init__(self, model: Adapter, config: HalvesConfig) -> None:
        self.model, self.config = model, config
        self.check_plain()
        self.transformer: Any = model.module["transformer"]
        self.blocks = [block for name in BLOCKS[type(self.transformer)] for block in getattr(self.transformer, name)]
        self.boundary = self._boundary()

    def check_plain(self) -> None:
        """Raise TypeError where something wraps the weights that a backward pass inside the forward pass would break.

        DDP and FSDP count on one backward pass after the forward pass. A Run needs neither: it averages gradients
        over processes itself, once a step.
        """
        wrapped = self.model.module
        if isinstance(wrapped, nn.ModuleDict):
            wrapped = wrapped["transformer"]
            if type(wrapped) in BLOCKS and not any(isinstance(part, FSDPModule) for part in wrapped.modules()):
                return
        raise TypeError(
            f"lopt and frozen_half cut {' or '.join(cls.__name__ for cls in BLOCKS)}, neither wrapped nor sharded; "
            f"got {type(wrapped).__name__}; several processes need no wrapper, Run averages their gradients"
        )

    def groups(self) -> list[Group]:
        """What trains before the boundary (embedders, time and text encoders, heads), and what after it."""
        late = [*self.blocks[self.boundary :], self.transformer.norm_out, self.transformer.proj_out]
        ids = {id(parameter) for part in late for parameter in part.parameters()}
        trained = [parameter for parameter in self.model.module.parameters() if parameter.requires_grad]
        return [
            Group("first_half", [p for p in trained if id(p) not in ids], self.config.early_rate),
            Group("second_half", [p for p in trained if id(p) in ids]),
        ]

    def check_trains(self, *names: str) -> None:
        """Raise ValueError where one of these groups has nothing that trains."""
        for group in self.groups():
            if group.name in names and not group.parameters:
                raise ValueError(
                    f"nothing trains in the {group.name.replace('_', ' ')} of the transformer (cut after block "
                    f"{self.boundary} of {len(self.blocks)}); check what the stage trains"
                )

    def _boundary(self) -> int:
        config, count = self.config, len(self.blocks)
        if count < 2:
            raise ValueError(f"a transformer of {count} block has no halves; take strategy end_to_end")
        if config.boundary is not None:
            if not 0 < config.boundary < count:
                raise ValueError(f"halves.boundary must lie in 1..{count - 1}, got {config.boundary}")
            return config.boundary
        if config.cut == "double_single":
            double = len(self.transformer.transformer_blocks)
            if not 0 < double < count:
                raise ValueError("halves.cut is double_single, but the transformer has blocks of one kind only")
            return double
        if config.cut == "parameters":
            sizes = [sum(parameter.numel() for parameter in block.parameters()) for block in self.blocks]
            return min(range(1, count), key=lambda number: (abs(2 * sum(sizes[:number]) - sum(sizes)), -number))
        return (count + 1) // 2
