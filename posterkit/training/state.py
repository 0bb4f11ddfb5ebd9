"""TrainState: everything a run needs to go on as if it had never stopped. Safetensors and JSON, nothing pickled."""

from __future__ import annotations

import json
import os
import random
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

SEAL = "sealed.json"  # written last; a folder without it, or with another size in it, was torn


class EMA:
    """Exponential moving average of a module's trainable parameters, in float32.

    The decay at step s is `min(decay, (1 + s) / (10 + s))`, so that early averages follow fast.
    """

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.decay = decay
        self.shadow = {n: p.detach().float().clone() for n, p in module.named_parameters() if p.requires_grad}

    @torch.no_grad()
    def update(self, module: nn.Module, step: int) -> None:
        decay = min(self.decay, (1 + step) / (10 + step))
        live = dict(module.named_parameters())
        names = list(self.shadow)
        torch._foreach_lerp_([self.shadow[n] for n in names], [live[n].detach().float() for n in names], 1 - decay)

    @torch.no_grad()
    def swap(self, module: nn.Module) -> None:
        """Exchange the averaged and the live weights; a second call puts them back."""
        live = dict(module.named_parameters())
        for name, shadow in self.shadow.items():
            kept = live[name].detach().float().clone()
            live[name].copy_(shadow)
            shadow.copy_(kept)


def random_state(generator: torch.Generator) -> dict[str, Any]:
    """Every random number generator a run draws from, as JSON values and one tensor each for torch's."""
    version, keys, gauss = random.getstate()
    name, array, position, has_gauss, cached = np.random.get_state()
    return {
        "python": [version, list(keys), gauss],
        "numpy": [name, [int(key) for key in array], int(position), int(has_gauss), float(cached)],
        "torch": torch.get_rng_state().tolist(),
        "run": generator.get_state().tolist(),
    }


def set_random_state(state: dict[str, Any], generator: torch.Generator) -> None:
    version, keys, gauss = state["python"]
    random.setstate((version, tuple(keys), gauss))
    name, array, position, has_gauss, cached = state["numpy"]
    np.random.set_state((name, np.array(array, dtype=np.uint32), position, has_gauss, cached))
    torch.set_rng_state(torch.tensor(state["torch"], dtype=torch.uint8))
    generator.set_state(torch.tensor(state["run"], dtype=torch.uint8))


def save_state(
    folder: Path, module: nn.Module, optimizer: torch.optim.Optimizer, ema: EMA | None, record: dict[str, Any]
) -> None:
    """Write `folder` whole or not at all: to a temporary name, sealed, then renamed; the one before stays until then.

    Args:
        record: JSON values: step, sampler position, random state.
    """
    temporary = folder.with_name(folder.name + ".tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    save_file({n: p.detach().contiguous() for n, p in _trainable(module)}, temporary / "weights.safetensors")
    tensors, scalars = _flatten_optimizer(optimizer)
    save_file(tensors, temporary / "optimizer.safetensors")
    if ema is not None:
        save_file(ema.shadow, temporary / "ema.safetensors")
    (temporary / "state.json").write_text(json.dumps({**record, "optimizer": scalars}))
    sizes = {file.name: file.stat().st_size for file in temporary.iterdir()}
    for file in temporary.iterdir():
        _sync(file)
    (temporary / SEAL).write_text(json.dumps(sizes))
    _sync(temporary / SEAL)
    previous = folder.with_name(folder.name + ".previous")
    if folder.exists():
        shutil.rmtree(previous, ignore_errors=True)
        folder.rename(previous)
    temporary.rename(folder)
    shutil.rmtree(previous, ignore_errors=True)


def newest_state(folder: Path) -> Path | None:
    """The newest whole checkpoint of a run: `folder`, else the one before it."""
    for candidate in (folder, folder.with_name(folder.name + ".previous")):
        if (candidate / SEAL).is_file():
            sizes = json.loads((candidate / SEAL).read_text())
            if all((candidate / n).is_file() and (candidate / n).stat().st_size == s for n, s in sizes.items()):
                return candidate
    return None


def load_state(folder: Path, module: nn.Module, optimizer: torch.optim.Optimizer, ema: EMA | None) -> dict[str, Any]:
    """Put a checkpoint back; returns the record.

    Raises:
        ValueError: the checkpoint has other weights than the model, or no EMA where one is asked for.
    """
    weights = load_file(folder / "weights.safetensors")
    live = dict(_trainable(module))
    if weights.keys() != live.keys():
        odd = sorted(weights.keys() ^ live.keys())[0]
        raise ValueError(f"{folder}: the checkpoint does not fit the model (first difference: {odd})")
    with torch.no_grad():
        for name, value in weights.items():
            live[name].copy_(value)
    record = json.loads((folder / "state.json").read_text())
    _unflatten_optimizer(optimizer, load_file(folder / "optimizer.safetensors"), record["optimizer"])
    if ema is not None:
        if not (folder / "ema.safetensors").is_file():
            raise ValueError(
                f"{folder}: the checkpoint keeps no EMA; go on with ema_decay=0 or start a run of its own"
            )
        for name, value in load_file(folder / "ema.safetensors").items():
            ema.shadow[name].copy_(value)
    return record


def _trainable(module: nn.Module) -> list[tuple[str, Tensor]]:
    return [(name, parameter) for name, parameter in module.named_parameters() if parameter.requires_grad]


def _flatten_optimizer(optimizer: torch.optim.Optimizer) -> tuple[dict[str, Tensor], dict[str, Any]]:
    state = optimizer.state_dict()
    tensors, scalars = {}, {"groups": state["param_groups"], "state": {}}
    for index, values in state["state"].items():
        for key, value in values.items():
            if isinstance(value, Tensor):
                tensors[f"{index}.{key}"] = value.contiguous()
            else:
                scalars["state"][f"{index}.{key}"] = value
    return tensors, scalars


def _unflatten_optimizer(
    optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor], scalars: dict[str, Any]
) -> None:
    state: dict[int, dict[str, Any]] = {}
    for name, value in {**tensors, **scalars["state"]}.items():
        index, key = name.split(".", 1)
        state.setdefault(int(index), {})[key] = value
    optimizer.load_state_dict({"state": state, "param_groups": scalars["groups"]})


def _sync(file: Path) -> None:
    handle = os.open(file, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
