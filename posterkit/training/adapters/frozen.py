"""Frozen text encoders: what of a text is kept on disk, and how they are run in a step."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Literal

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

Keep = Literal["states", "ids"]
KEEPS = ("states", "ids")


@contextlib.contextmanager
def frozen_forward(device: torch.device) -> Iterator[None]:
    """No gradient, no autocast, PyTorch's own choice of attention, whatever the step around it asks for.

    So a frozen encoder says in a step, bit for bit, what it said when a set was encoded.
    """
    every = [SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION, SDPBackend.CUDNN_ATTENTION, SDPBackend.MATH]
    with torch.no_grad(), torch.autocast(device.type, enabled=False), sdpa_kernel(every):
        yield
