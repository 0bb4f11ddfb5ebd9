"""Tiny FLUX and Qwen adapters, batches for them, LoRAs with values."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tiny_flux
import tiny_qwen
import torch

from posterkit.pipelines.flux_inputs import position_ids
from posterkit.training.adapters.autoencoder import Autoencoder
from posterkit.training.adapters.flux import FluxAdapter, FluxCondition
from posterkit.training.adapters.qwen import QwenAdapter, QwenCondition
from posterkit.training.lora import Trainable, add_adapter, save_adapter
from posterkit.training.losses import add_noise

FILE = "pytorch_lora_weights.safetensors"
SMALL = Trainable("lora", rank=4, alpha=8.0)


def flux(seed: int = 0) -> Any:
    parts = tiny_flux.components(seed)
    return FluxAdapter(parts, Autoencoder("flux", parts.pop("vae")), {"max_sequence_length": 16}, frozen_text=True)


def qwen(seed: int = 0) -> Any:
    parts = tiny_qwen.components(seed=seed)
    areas = {f"{name}_area": 4096 for name in ("native", "reference", "condition")}
    return QwenAdapter(parts, Autoencoder("qwen", parts.pop("vae")), areas, frozen_text=True)


@dataclass
class Batch:
    """Clean tokens, noise, times and a condition of the right kind."""

    x0: torch.Tensor
    noise: torch.Tensor
    t: torch.Tensor
    condition: Any

    @property
    def x(self) -> torch.Tensor:
        return add_noise(self.x0, self.noise, self.t)

    def rows(self, start: int, stop: int) -> Batch:
        parts = (getattr(self, name)[start:stop] for name in ("x0", "noise", "t"))
        condition = copy.copy(self.condition)
        for name in ("prompt", "pooled", "mask", "references"):
            if hasattr(condition, name):
                setattr(condition, name, getattr(condition, name)[start:stop])
        return Batch(*parts, condition)


def batch_for(model: Any, seed: int = 0, size: int = 2) -> Batch:
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=generator)

    x0, noise, t = draw(size, 4, 16), draw(size, 4, 16), torch.rand(size, generator=generator)
    if isinstance(model, FluxAdapter):
        return Batch(x0, noise, t, FluxCondition(draw(size, 5, 32), draw(size, 32), position_ids(2, 2).float()))
    shapes = [(1, 2, 2), (1, 2, 2)]
    mask = torch.ones(size, 5, dtype=torch.bool)
    return Batch(x0, noise, t, QwenCondition(draw(size, 5, 16), mask, draw(size, 4, 16), shapes))


def velocity(model: Any, batch: Batch) -> torch.Tensor:
    return model.velocity(batch.x, batch.t, batch.condition)


def transformer_of(model: Any) -> Any:
    return model.parts["transformer"]


def give_values(transformer: Any, name: str, seed: int) -> None:
    """Values as after a long training: B is zero in a fresh LoRA."""
    torch.manual_seed(seed)
    for path, parameter in transformer.named_parameters():
        if f".{name}." in path:
            torch.nn.init.normal_(parameter, std=0.2)


def expert_files(model: Any, folder: Path) -> dict[str, Path]:
    """Two different LoRAs of the model's base."""
    for seed, name in enumerate(("local", "global")):
        trained = copy.deepcopy(transformer_of(model))
        add_adapter(trained, name, SMALL)
        give_values(trained, name, seed)
        save_adapter(trained, name, folder / name)
    return {name: folder / name for name in ("local", "global")}
