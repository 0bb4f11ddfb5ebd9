"""Both families' real adapters around tiny parts, and what training by halves is tested with."""

from __future__ import annotations

import copy
from functools import cache
from typing import Any

import tiny_flux
import tiny_qwen
import torch
from torch import nn

from posterkit.training.adapters.autoencoder import Autoencoder
from posterkit.training.adapters.flux import FluxAdapter, FluxCondition
from posterkit.training.adapters.qwen import QwenAdapter, QwenCondition
from posterkit.training.lora import Trainable, set_trainable
from posterkit.training.losses import flow_matching_loss

FAMILIES = ("flux", "qwen", "qwen_2511")
STREAMS = ("hidden_states", "encoder_hidden_states")


@cache
def encoders(family: str) -> tuple[dict, Autoencoder]:
    """Parts that no test here changes."""
    parts = tiny_flux.components() if family == "flux" else tiny_qwen.components()
    return parts, Autoencoder("flux" if family == "flux" else "qwen", parts.pop("vae"))


def adapter(family: str, lora: tuple[str, ...] = (), frozen_text: bool = True):
    """Both families' real adapters around tiny parts: four blocks, of FLUX.1 two of each kind.

    Args:
        lora: target modules of an adapter that trains where the base does not.
    """
    parts, vae = encoders(family)
    parts = dict(parts) if frozen_text else copy.deepcopy(parts)
    torch.manual_seed(0)
    if family == "flux":
        transformer: Any = tiny_flux.transformer(layers=2, single_layers=2)
        kind, defaults = FluxAdapter, {"max_sequence_length": 16}
    else:
        transformer = tiny_qwen.transformer(layers=4, zero_cond_t=family == "qwen_2511")
        kind, defaults = QwenAdapter, {f"{name}_area": 4096 for name in ("native", "reference", "condition")}
    model = kind({**parts, "transformer": transformer}, vae, defaults, frozen_text)
    model.module.requires_grad_(True)
    if lora:
        set_trainable(model.module, Trainable("lora", rank=2, targets=list(lora)))
    return model


def inputs(family: str, seed: int = 0):
    """Noisy tokens, times and condition of two samples, as the adapters' `velocity` takes them."""
    torch.manual_seed(seed)
    x, t = torch.randn(2, 6, 16), torch.rand(2)
    if family == "flux":
        ids = torch.tensor([[0.0, row, column] for row in range(2) for column in range(3)])
        return x, t, FluxCondition(torch.randn(2, 5, 32), torch.randn(2, 32), ids)
    mask = torch.tensor([[True] * 5, [True] * 3 + [False] * 2])
    return x, t, QwenCondition(torch.randn(2, 5, 16), mask, torch.randn(2, 4, 16), [(1, 2, 3), (1, 2, 2)])


def task_loss(v: torch.Tensor) -> torch.Tensor:
    return flow_matching_loss(v, torch.ones_like(v))


def gradients(module: nn.Module) -> dict[str, torch.Tensor]:
    return {name: p.grad.clone() for name, p in module.named_parameters() if p.grad is not None}


def blocks(transformer) -> list[nn.Module]:
    return [*transformer.transformer_blocks, *getattr(transformer, "single_transformer_blocks", [])]


def late_names(transformer, boundary: int) -> set[str]:
    """Names of the weights that the task may reach, from the module tree.

    Nobody reads the text that Qwen-Image's last block makes; what makes it has no gradient in any training.
    """
    parts = {id(p) for part in [*blocks(transformer)[boundary:], transformer.norm_out, transformer.proj_out]
             for p in part.parameters()}  # fmt: skip
    unread = ("transformer_blocks.3.attn.to_add_out", "transformer_blocks.3.txt_mlp")
    return {f"transformer.{name}" for name, p in transformer.named_parameters()
            if id(p) in parts and not name.startswith(unread)}  # fmt: skip
