"""LoRAs on disk: diffusers' own file format, and the name of the base that a LoRA was trained on."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from diffusers import FluxTransformer2DModel, QwenImageTransformer2DModel
from diffusers.loaders.lora_base import LORA_ADAPTER_METADATA_KEY, LORA_WEIGHT_NAME_SAFE
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from posterkit.documents import read_json
from posterkit.pipelines.lora_weights import BASE_METADATA, linear_layers, other_base

Transformer = FluxTransformer2DModel | QwenImageTransformer2DModel
_NAME_KEY = "posterkit_name"
_PREFIX = "transformer."


@dataclass(frozen=True)
class LoraFile:
    """A LoRA as it lies on disk.

    Attributes:
        weights: `<layer>.lora_A.weight` `(rank, in)`, `<layer>.lora_B.weight` `(out, rank)` and, of a DoRA,
            `<layer>.lora_magnitude_vector` `(out,)`; layers as the transformer names them.
        config: peft's values (`r`, `lora_alpha`, `target_modules`, `use_dora`); empty for a file of another tool.
        base: what it was trained on, see `base_of`; empty for a file of another tool.
        name: its name in training, an expert's task group; empty for a file of another tool.
    """

    weights: dict[str, Tensor]
    config: dict[str, Any]
    base: dict[str, Any]
    name: str = ""

    @property
    def scale(self) -> float:
        """What B A is multiplied with; 1 where the file does not say."""
        return self.config["lora_alpha"] / self.config["r"] if self.config else 1.0

    @property
    def layers(self) -> list[str]:
        """The layers that it changes."""
        return sorted(key.removesuffix(".lora_A.weight") for key in self.weights if key.endswith(".lora_A.weight"))


def write_lora(lora: LoraFile, folder: str | Path) -> None:
    """Write `pytorch_lora_weights.safetensors`, which both stock pipelines and ours load; dtypes stay as they are."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    config = {f"{_PREFIX}{key}": value for key, value in lora.config.items()}
    metadata = {
        "format": "pt",
        LORA_ADAPTER_METADATA_KEY: json.dumps(config, sort_keys=True),
        BASE_METADATA: json.dumps(lora.base, sort_keys=True),
        _NAME_KEY: lora.name,
    }
    weights = {f"{_PREFIX}{key}": value.detach().contiguous().cpu() for key, value in lora.weights.items()}
    save_file(weights, folder / LORA_WEIGHT_NAME_SAFE, metadata)


def read_lora(source: str | Path) -> LoraFile:
    """Read a LoRA from its file or folder; FileNotFoundError where there is none.

    ValueError where it is no safetensors file, cut short, or holds no LoRA of a transformer or one with parts missing.
    """
    path = Path(source)
    path = path / LORA_WEIGHT_NAME_SAFE if path.is_dir() else path
    if not path.is_file():
        raise FileNotFoundError(f"{path}: there is no such LoRA")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            weights = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - a handle is no mapping
    except SafetensorError as fault:
        raise ValueError(f"{path}: not a safetensors file ({fault})") from None
    try:
        config, base = (read_json(metadata.get(key, "{}")) for key in (LORA_ADAPTER_METADATA_KEY, BASE_METADATA))
    except ValueError as fault:
        raise ValueError(f"{path}: its metadata is not JSON ({fault})") from None
    if not isinstance(config, dict) or not isinstance(base, dict):
        raise ValueError(f"{path}: its metadata must be keys and values")
    lora = LoraFile(_of_transformer(weights), _of_transformer(config), base, metadata.get(_NAME_KEY, ""))
    if not lora.layers:
        raise ValueError(f"{path}: holds no {_PREFIX}*.lora_A.weight, so no LoRA in diffusers' format")
    for layer in lora.layers:
        if fault := _fault_of_layer(lora, layer):
            raise ValueError(f"{path}: {layer}: {fault}")
    return lora


def _fault_of_layer(lora: LoraFile, layer: str) -> str | None:
    """What is wrong with a layer's parts; they must be `(rank, in)`, `(out, rank)` and, of a DoRA, `(out,)`."""
    dora = lora.config.get("use_dora", any(key.endswith("lora_magnitude_vector") for key in lora.weights))
    names = ["lora_A.weight", "lora_B.weight", *(["lora_magnitude_vector"] if dora else [])]
    parts = [lora.weights.get(f"{layer}.{name}") for name in names]
    for part, name in zip(parts, names, strict=True):
        if part is None:
            return f"has no {name}"
    shapes = [tuple(part.shape) for part in parts if part is not None]
    fits = [len(shape) for shape in shapes] == [2, 2, 1][: len(shapes)] and shapes[0][0] == shapes[1][1]
    if fits and all(shape[0] == shapes[1][0] for shape in shapes[2:]):
        return None
    return f"its parts have the shapes {', '.join(map(str, shapes))}, no {'DoRA' if dora else 'LoRA'}'s"


def check_base(transformer: Transformer, lora: LoraFile, source: str | Path) -> None:
    """Raise ValueError where a LoRA was trained on another base, or its layers are not this one's."""
    if difference := other_base(transformer, lora.base):
        raise ValueError(f"{source}: a LoRA of another base, {difference}")
    here = linear_layers(transformer)
    for target in lora.config.get("target_modules", ()):
        for layer in here:
            if (layer == target or layer.endswith(f".{target}")) and layer not in lora.layers:
                raise ValueError(f"{source}: a LoRA of {target} that has no {layer}: of another base, or cut short")
    for layer in lora.layers:
        if layer not in here:
            raise ValueError(
                f"{source}: a LoRA of another base: {type(transformer).__name__} has no linear layer {layer}"
            )
        found = lora.weights[f"{layer}.lora_B.weight"].shape[0], lora.weights[f"{layer}.lora_A.weight"].shape[1]
        expected = here[layer].out_features, here[layer].in_features
        if found != expected:
            raise ValueError(f"{source}: a LoRA of another base: its {layer} is {found}, here it is {expected}")


def _of_transformer(values: dict[str, Any]) -> dict[str, Any]:
    return {key.removeprefix(_PREFIX): value for key, value in values.items() if key.startswith(_PREFIX)}
