"""What helps where memory is full while a poster is drawn: smaller tiles, then offloading."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from posterkit.pipelines.presets import group_offload, hardware, tile

TILES = (512, 256)  # pixels a side, the first that is tried first; the model's own tiles are left out where smaller
_ON_CPU = ("can't allocate memory", "not enough memory")
_KEPT = ("use_tiling", "tile_sample_min_height", "tile_sample_min_width", "tile_sample_stride_height",
         "tile_sample_stride_width", "tile_sample_min_size", "tile_latent_min_size")  # fmt: skip


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that a card, or main memory, is full."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in _ON_CPU)


def free_memory() -> None:
    """Give what nobody uses back to the card."""
    gc.collect()
    torch.cuda.empty_cache()  # nothing where no card is in use


@contextmanager
def in_tiles(pipe: Any, side: int) -> Iterator[None]:
    """The pipeline's pictures are encoded and decoded in tiles while the block lasts; their seams are blended."""
    before = {name: getattr(pipe.vae, name) for name in _KEPT if hasattr(pipe.vae, name)}
    tile(pipe.vae, side)
    try:
        yield
    finally:
        for name, value in before.items():
            setattr(pipe.vae, name, value)


def offload(pipe: Any, device: str | None) -> bool:
    """Let layers and blocks take turns on the card from now on; False where there is no card, or they do already."""
    card = hardware(device).device
    hooks = getattr(pipe.transformer, "_diffusers_hook", None)
    if card.type != "cuda" or (hooks is not None and hooks.get_hook("group_offloading") is not None):
        return False
    pipe.remove_all_hooks()
    pipe.to("cpu")
    group_offload(pipe, card)
    return True
