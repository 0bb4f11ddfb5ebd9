"""Blocks whose weights stay in main memory and visit the card, so that all weights of FLUX.1 train on one card.

A block's weights, gradients and optimiser states lie in main memory, pinned where there is a card. For a forward pass
its weights are copied to the device, matrices in the pass's own dtype, and freed after it; gradient checkpointing
copies them again for the backward pass, and gradients go back as they arise. The numbers are those of a block that
stays. Run on a CPU by the same code; not yet run on a GPU.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

SWAPPED = "posterkit_swapped"  # marks a block


def blocks_of(transformer: Any) -> list[nn.Module]:
    """A transformer's blocks in the order in which they are used."""
    return [part for part in transformer.modules() if type(part).__name__ in transformer._repeated_blocks]


def swap_blocks(transformer: Any, count: int) -> None:
    """Let the first blocks of a transformer visit the device of their inputs; `move` leaves them in main memory.

    Raises:
        ValueError: there are fewer blocks.
    """
    blocks = blocks_of(transformer)
    if count > len(blocks):
        raise ValueError(f"trainable.swap is {count}; {type(transformer).__name__} has {len(blocks)} blocks")
    for block in blocks[:count]:
        _let_visit(block)


def is_swapped(module: nn.Module) -> bool:
    """Whether a module has blocks that visit."""
    return any(hasattr(part, SWAPPED) for part in module.modules())


def move(module: nn.Module, device: torch.device) -> None:
    """Move a module to a device, but for blocks that visit it: those are pinned, where it is a card."""
    if not hasattr(module, SWAPPED):
        for part in module.children():
            move(part, device)
        module._apply(lambda tensor: tensor.to(device), recurse=False)
    elif device.type == "cuda":
        module._apply(Tensor.pin_memory)


def _let_visit(block: Any) -> None:
    own, visits = block.forward, False

    def forward(*args: Any, **named: Any) -> Any:
        nonlocal visits
        if visits:
            return own(*args, **named)
        device = next(one.device for one in (*args, *named.values()) if isinstance(one, Tensor))
        tensors = {**dict(block.named_parameters()), **dict(block.named_buffers())}
        there = {name: _at(value, device) for name, value in tensors.items()}
        visits = True
        try:
            return functional_call(block, there, args, named)
        finally:
            visits = False

    block.forward = forward
    setattr(block, SWAPPED, True)


def _at(value: Tensor, device: torch.device) -> Tensor:
    """A weight's copy at the device; a matrix in the dtype that autocast would bring it to in every use."""
    copy = value.to(device, non_blocking=True)
    if value.ndim > 1 and torch.is_autocast_enabled(device.type):
        copy = copy.to(torch.get_autocast_dtype(device.type))
    return copy
