"""TrainState: everything a run needs to go on as if it had never stopped. Safetensors and JSON, nothing pickled."""

from __future__ import annotations

import json
import os
import random
import shutil
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from posterkit.image_io import written_whole
from posterkit.training.sharding import like, whole

STEPS = "steps"  # the folder of the checkpoints before the last one, each named by its step
SEAL = "sealed.json"  # written last; a folder without it, or with another size in it, was torn
KEPT = "kept_in_checkpoints"  # marks a parameter that follows the trained ones without a gradient


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
    folder: Path,
    module: nn.Module,
    optimizer: torch.optim.Optimizer,
    ema: EMA | None,
    record: dict[str, Any],
    main: bool = True,
    keep: int = 1,
) -> None:
    """Write `folder` whole or not at all: to a temporary name, sealed, then renamed; the one before stays until then.

    The record's JSON values are step, sampler position and random state. The `main` process writes: sharded tensors
    are put together in its main memory, file after file, and all the others have to call this too. `keep` checkpoints
    stay, this one among them; the others move to `steps/` beside it.
    """
    previous = folder.with_name(folder.name + ".previous")
    tensors, scalars = _flatten_optimizer(module, optimizer)
    files = {"weights": dict(_changing(module)), "optimizer": tensors, "ema": ema.shadow if ema else {}}
    with written_whole(folder) if main else nullcontext(folder) as temporary:
        if main:
            temporary.mkdir()
        for name, values in files.items():
            if (kept := _put_together(values, main)) or (name == "optimizer" and main):
                save_file(kept, temporary / f"{name}.safetensors")
            del kept
        if not main:
            return
        (temporary / "state.json").write_text(json.dumps({**record, "optimizer": scalars}))
        sizes = {file.name: file.stat().st_size for file in temporary.iterdir()}
        for file in temporary.iterdir():
            _sync(file)
        (temporary / SEAL).write_text(json.dumps(sizes))
        _sync(temporary / SEAL)
        if folder.exists():
            shutil.rmtree(previous, ignore_errors=True)
            folder.rename(previous)
    _retire(previous, keep)


def _retire(previous: Path, keep: int) -> None:
    """Move a checkpoint to those of earlier steps, of which the newest `keep - 1` stay."""
    steps = previous.parent / STEPS
    if keep > 1 and previous.exists() and _whole(previous):
        steps.mkdir(exist_ok=True)
        place = steps / f"{record_of(previous)['step']:07d}"
        shutil.rmtree(place, ignore_errors=True)
        previous.rename(place)
    shutil.rmtree(previous, ignore_errors=True)
    kept = sorted(steps.iterdir()) if steps.is_dir() else []
    for old in kept[: max(0, len(kept) - keep + 1)]:
        shutil.rmtree(old, ignore_errors=True)


def newest_state(folder: Path) -> Path | None:
    """The newest whole checkpoint of a run: `folder`, else the one before it."""
    candidates = (folder, folder.with_name(folder.name + ".previous"))
    return next((candidate for candidate in candidates if _whole(candidate)), None)


def kept_steps(folder: Path) -> dict[int, Path]:
    """The whole checkpoints of a run by their steps, the newest last.

    Args:
        folder: of the newest one.
    """
    steps = folder.parent / STEPS
    earlier = steps.iterdir() if steps.is_dir() else ()
    found = {int(path.name): path for path in earlier if path.name.isdigit() and _whole(path)}
    if (newest := newest_state(folder)) is not None:
        found[record_of(newest)["step"]] = newest
    return dict(sorted(found.items()))


def go_back(folder: Path, step: int) -> None:
    """Make the kept checkpoint of a step the newest one; later ones are dropped.

    Raises:
        ValueError: none of that step is kept.
    """
    kept = kept_steps(folder)
    if step not in kept:
        held = ", ".join(map(str, kept)) or "none"
        raise ValueError(f"{folder.parent}: keeps no checkpoint of step {step}, only of {held}; see keep_last")
    if step == max(kept):
        return
    previous = folder.with_name(folder.name + ".previous")
    if kept[max(kept)] == folder:  # else the newest is `previous` already
        shutil.rmtree(previous, ignore_errors=True)
        folder.rename(previous)
    shutil.rmtree(folder, ignore_errors=True)
    kept[step].rename(folder)
    for later, path in kept.items():
        if later > step:
            shutil.rmtree(previous if later == max(kept) else path)


def _whole(folder: Path) -> bool:
    """Whether a checkpoint was written to its end."""
    if not (folder / SEAL).is_file():
        return False
    sizes = json.loads((folder / SEAL).read_text())
    return all((folder / n).is_file() and (folder / n).stat().st_size == s for n, s in sizes.items())


def record_of(state: Path) -> dict[str, Any]:
    """The record of a checkpoint: step, config, generators, position in the data."""
    return json.loads((state / "state.json").read_text())


def load_state(folder: Path, module: nn.Module, optimizer: torch.optim.Optimizer, ema: EMA | None) -> dict[str, Any]:
    """Restore a checkpoint; returns the record.

    Raises:
        ValueError: the checkpoint has other weights or another optimiser than the run, or lacks the run's EMA.
    """
    record = record_of(folder)
    _fill(folder / "weights.safetensors", dict(_changing(module)))
    _unflatten_optimizer(folder, module, optimizer, record["optimizer"])
    if ema is not None:
        if not (folder / "ema.safetensors").is_file():
            raise ValueError(
                f"{folder}: the checkpoint keeps no EMA; go on with ema_decay=0 or start a run of its own"
            )
        _fill(folder / "ema.safetensors", ema.shadow)
    return record


@torch.no_grad()
def _fill(file: Path, live: dict[str, Tensor]) -> None:
    """Copy a file's tensors, one after the other, and of sharded ones this process's part."""
    with safe_open(file, framework="pt") as saved:
        names = set(saved.keys())
        shapes = {name: tuple(saved.get_slice(name).get_shape()) for name in names}
        wanted = {name: tuple(tensor.shape) for name, tensor in live.items()}
        if odd := next((n for n in sorted(names | wanted.keys()) if shapes.get(n) != wanted.get(n)), None):
            raise ValueError(f"{file.parent}: the checkpoint does not fit the model (first difference: {odd})")
        for name in names:
            live[name].copy_(like(saved.get_tensor(name), live[name]))


def _put_together(tensors: dict[str, Tensor], main: bool) -> dict[str, Tensor]:
    """Whole tensors for a file, in the main process; sharded ones move to main memory as they come."""
    kept = {}
    for name, tensor in tensors.items():
        value = whole(tensor.detach())
        if main:
            kept[name] = (value.cpu() if isinstance(tensor, DTensor) else value).contiguous()
    return kept


def _changing(module: nn.Module) -> list[tuple[str, Tensor]]:
    return [
        (name, parameter)
        for name, parameter in module.named_parameters()
        if parameter.requires_grad or hasattr(parameter, KEPT)
    ]


def _flatten_optimizer(
    module: nn.Module, optimizer: torch.optim.Optimizer
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors by their parameter's name, so that they outlive another grouping; and what is no tensor."""
    names: dict[Tensor, str] = {parameter: name for name, parameter in module.named_parameters()}
    tensors: dict[str, Tensor] = {}
    scalars: dict[str, Any] = {"kind": type(optimizer).__name__, "state": {}}
    seen: set[int] = set()
    for parameter, values in optimizer.state.items():
        for key, value in values.items():
            if isinstance(value, Tensor):
                place = 0 if isinstance(value, DTensor) else value.data_ptr()
                shared = place in seen  # bitsandbytes' tables, which a file holds once each
                tensors[f"{names[parameter]}:{key}"] = value.clone() if shared and place else value
                seen.add(place)
            else:
                scalars["state"][f"{names[parameter]}:{key}"] = value
    return tensors, scalars


def _unflatten_optimizer(
    folder: Path, module: nn.Module, optimizer: torch.optim.Optimizer, scalars: dict[str, Any]
) -> None:
    names: dict[Tensor, str] = {parameter: name for name, parameter in module.named_parameters()}
    ordered = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    indices = {names[parameter]: index for index, parameter in enumerate(ordered)}
    if scalars["kind"] != type(optimizer).__name__:
        raise ValueError(
            f"{folder}: the optimiser was {scalars['kind']}, here it is {type(optimizer).__name__}; go on on the kind "
            "of machine that the run began on"
        )
    state: dict[int, dict[str, Any]] = {}
    for name, value in scalars["state"].items():
        owner, key = name.rsplit(":", 1)
        state.setdefault(indices[owner], {})[key] = value
    with safe_open(folder / "optimizer.safetensors", framework="pt") as saved:
        for name in saved.keys():  # noqa: SIM118 - a handle is no mapping
            owner, key = name.rsplit(":", 1)
            parameter = ordered[indices[owner]]
            sharded = optimizer.state.get(parameter, {}).get(key, parameter)
            state.setdefault(indices[owner], {})[key] = like(saved.get_tensor(name), sharded)
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
    paged: Any = optimizer
    if getattr(optimizer, "is_paged", False):  # bitsandbytes' own loading forgets that states may move to main memory
        for parameter, values in paged.state.items():
            for key in ("state1", "state2"):
                values[key] = paged.get_state_buffer(parameter, dtype=values[key].dtype).copy_(values[key])


def _sync(file: Path) -> None:
    handle = os.open(file, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
