"""Saving what a stage trained as a folder that stock diffusers opens."""

from __future__ import annotations

import hashlib
import inspect
import json
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import torch
from diffusers import DiffusionPipeline
from transformers import PreTrainedConfig, PreTrainedTokenizerBase

from posterkit.training.config import check_keys


def check_model(model: dict[str, Any], classes: dict[str, type]) -> None:
    """Raise ValueError for a key that a part's class does not know; the libraries themselves drop or keep it silently.

    Args:
        model: config values of each part.
        classes: for each part (`text_encoder.text_config` for a part's part) its diffusers class, or its transformers
            config class.
    """
    for path, cls in classes.items():
        values = model
        for name in path.split("."):
            values = values.get(name, {})
        known = cls().to_dict() if issubclass(cls, PreTrainedConfig) else inspect.signature(cls.__init__).parameters
        parts = {inner.removeprefix(f"{path}.") for inner in classes if inner.startswith(f"{path}.")}
        check_keys(values, {*known, *parts}, f"model: {path}")


def pipeline_defaults(pipe: DiffusionPipeline) -> dict[str, Any]:
    """The numbers that a checkpoint carries in its pipeline config."""
    return {name: value for name, value in pipe.config.items() if isinstance(value, (int, float, bool))}


def save_pipeline(pipe: DiffusionPipeline, folder: str | Path) -> None:
    """Write a pipeline with its weights in bfloat16, rounded from the live ones, which stay as they are.

    Every text encoder's config says float32, because transformers would load the dtype it finds and diffusers float32.
    """
    live = {n: c for n, c in pipe.components.items() if isinstance(c, torch.nn.Module)}
    kept = {name: [tensor.detach().clone() for tensor in _tensors(module)] for name, module in live.items()}
    try:
        for module in live.values():
            torch.nn.Module.to(module, torch.bfloat16)  # diffusers' own warns of float32 parts, though there are none
        pipe.save_pretrained(folder, safe_serialization=True)
    finally:
        for name, module in live.items():
            for tensor, value in zip(_tensors(module.float()), kept[name], strict=True):
                tensor.data.copy_(value)
    for name in live:
        path = Path(folder) / name / "config.json"
        config = json.loads(path.read_text())
        config.pop("_name_or_path", None)  # where it lay on the machine that trained it
        if "dtype" in config or "torch_dtype" in config:
            config.pop("torch_dtype", None)
            config["dtype"] = "float32"
        path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")


def _tensors(module: torch.nn.Module) -> Iterator[torch.Tensor]:
    """Parameters and all buffers, also those that no state dict holds (a rotary embedding's frequencies)."""
    return chain(module.parameters(), module.buffers())


def hash_weights(digest: Any, module: torch.nn.Module) -> None:
    """Add a module's weights to a hash, by name; bfloat16 counts as the float32 it equals."""
    for name, tensor in sorted(module.state_dict().items()):
        digest.update(name.encode() + tensor.float().cpu().numpy().tobytes())


def fingerprint(
    parts: dict[str, Any], defaults: dict[str, Any], autoencoder: str, frozen: Sequence[torch.nn.Module] = ()
) -> str:
    """A hash of what decides how samples are encoded: tokenizers, the picture processor, areas, the autoencoder.

    Args:
        frozen: text encoders whose states are kept instead of token ids.
    """
    kept = {name: value for name, value in sorted(defaults.items()) if name.endswith(("_area", "_length", "_edges"))}
    digest = hashlib.sha256(f"{autoencoder} {kept}".encode())
    for name, part in sorted(parts.items()):
        if isinstance(part, PreTrainedTokenizerBase):
            digest.update(f"{name} {sorted(part.get_vocab().items())}".encode())
        elif name == "processor":
            digest.update(part.image_processor.to_json_string().encode())
    for module in frozen:
        digest.update(f"{type(module).__name__} {module.dtype}".encode())
        hash_weights(digest, module)
    return digest.hexdigest()[:16]
