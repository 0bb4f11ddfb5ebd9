"""`--dry-run`: the trained weights, the memory they take, and one batch as a picture; no step is taken.

The recipe's own forward pass and loss run once, on a real batch; `Run.backward` then ends the program.
"""

from __future__ import annotations

import contextlib
import os
import weakref
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import psutil
import torch
from huggingface_hub import try_to_load_from_cache
from huggingface_hub.errors import HFValidationError
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from posterkit.image_io import written_whole
from posterkit.pipelines.presets import hardware
from posterkit.training.config import RunConfig, flat
from posterkit.training.errors import WrongCall
from posterkit.training.monitor.dry_picture import picture_of_batch
from posterkit.training.monitor.language_plan import language_plan_lines
from posterkit.training.monitor.log import GIB, memory_bytes
from posterkit.training.monitor.memory_plan import plan_lines
from posterkit.training.optimizers import optimizer_bytes
from posterkit.training.protocols import RunView

_ROOM = 0.95  # of a card's memory; the rest is the driver's, and lost between tensors


class SavedForBackward:
    """Measures what autograd holds for the backward pass, while entered.

    `peak` is the largest number of bytes held at one time: storages counted once, weights not at all. A tensor that a
    gradient checkpoint or LoPT gives up during the forward pass counts while it is held.
    """

    def __init__(self, weights: Iterable[Tensor]) -> None:
        self._own = {_local(weight).untyped_storage().data_ptr() for weight in weights}
        self._holders: dict[int, int] = {}
        self._now = self.peak = 0

    @contextlib.contextmanager
    def measuring(self) -> Iterator[None]:
        with torch.autograd.graph.saved_tensors_hooks(self._pack, lambda kept: kept.tensor):
            yield

    def _pack(self, tensor: Tensor) -> _Kept:
        storage = _local(tensor).untyped_storage()
        kept, place, size = _Kept(tensor), storage.data_ptr(), storage.nbytes()
        if place not in self._own:
            self._holders[place] = self._holders.get(place, 0) + 1
            self._now += size if self._holders[place] == 1 else 0
            self.peak = max(self.peak, self._now)
            weakref.finalize(kept, self._drop, place, size)
        return kept

    def _drop(self, place: int, size: int) -> None:
        self._holders[place] -= 1
        self._now -= size if not self._holders[place] else 0


class _Kept:
    """A tensor that autograd holds."""

    def __init__(self, tensor: Tensor) -> None:
        self.tensor = tensor


class DryRun:
    """One batch of a run that takes no step.

    Raises:
        OSError: the picture cannot be written.
    """

    def __init__(self, run: RunView, batch: Any) -> None:
        self.run = run
        self.saved = SavedForBackward(run.model.module.parameters())
        if run.accelerator.is_main_process:
            with written_whole(run.folder / "dry_run.png") as path:
                picture_of_batch(batch, run.model, run.config, run.folder).save(path)

    @contextlib.contextmanager
    def measuring(self) -> Iterator[None]:
        """Around the recipe's forward pass."""
        if self.run.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.run.device)
        with self.saved.measuring():
            yield

    def report(self, loss: Tensor) -> None:
        """Print the weights, the memory and the loss."""
        run = self.run
        lines = ["dry run: no step is taken, no checkpoint is touched", *_parts_lines(run), *self._memory_lines()]
        lines.append(f"loss {loss.item():.4f} on the batch that {run.folder / 'dry_run.png'} shows")
        for line in lines:
            run.print(line)

    def _memory_lines(self) -> list[str]:
        run, machine = self.run, hardware(self.run.device)
        resident, visiting = _frozen_encoders(run)
        needs = memory_needs(run.model.module, run.optimizer, bool(run.ema), self.saved.peak, run.device.type)
        needs["encoders"] = resident + visiting
        total = sum(needs.values())
        if visiting:  # they and what a step holds take turns
            step = needs["gradients"] + needs["activations"]
            total -= min(step, visiting)
        notes = {
            "optimiser": type(run.optimizer).__name__,
            "activations": f"held for backward at the most, {run.config.batch_size} samples, measured",
            "encoders": "on the device only while they encode or draw" if visiting else "",
        }
        lines = [f"memory by part on {machine.name}:"]
        for name, size in needs.items():
            if size:
                lines.append(f"  {name:12s} {size / GIB:9.3f} GiB  {notes.get(name, '')}".rstrip())
        has = machine.memory_gb * 1e9
        free = psutil.virtual_memory().available if machine.device.type != "cuda" else torch.cuda.mem_get_info()[0]
        verdict = "fits" if total <= _ROOM * has else "does NOT fit"
        lines.append(f"  {'together':12s} {total / GIB:9.3f} GiB  {verdict}: there are {has / GIB:.1f} GiB")
        lines.append(
            f"  this process holds {memory_bytes(run.device) / GIB:.2f} GiB now, {free / GIB:.1f} GiB are free"
        )
        return lines


def memory_needs(
    module: nn.Module, optimizer: torch.optim.Optimizer, ema: bool, activations: int, device: str = "cpu"
) -> dict[str, int]:
    """Bytes that one process needs on its device while it trains, by part; sharded weights count with their own share.

    The optimiser need not have taken a step; blocks that only visit the device do not count. `activations` are the
    bytes that a forward pass holds for the backward pass.
    """
    here = [p for p in module.parameters() if p.device.type == device]
    trained = [_local(p) for group in optimizer.param_groups for p in group["params"] if p.device.type == device]
    return {
        "weights": sum(_local(p).nbytes for p in here),
        "gradients": sum(p.nbytes for p in trained),
        "optimiser": optimizer_bytes(optimizer, device),
        "averages": sum(4 * _local(p).numel() for p in here if p.requires_grad) if ema else 0,
        "activations": activations,
    }


def check_on_disk(config: RunConfig) -> None:
    """Raise WrongCall where a checkpoint or set that a run starts from is missing here; the line names all of them.

    A dry run fetches nothing: the checkpoints of paper size are tens of gigabytes. Of a stage it prints the memory at
    the published sizes first, which needs no checkpoint.
    """
    missing = []
    for key, value in flat(config).items():
        names = key in ("init_from", "autoencoder") or key.endswith(".path") or key.startswith("experts.")
        if not names or not isinstance(value, str) or value.startswith("mini:") or Path(value).exists():
            continue
        try:
            known = (try_to_load_from_cache(value, name) for name in ("model_index.json", "config.json"))
            if any(isinstance(path, str) for path in known):
                continue
            hint = f" (fetch it by: hf download {value})" if key == "init_from" and value.count("/") == 1 else ""
        except HFValidationError:
            hint = ""
        missing.append(f"{key}={value}{hint}")
    if missing:
        if os.environ.get("RANK", "0") == "0":
            for line in plan_lines(config) or language_plan_lines(config):
                print(line, flush=True)
        raise WrongCall(f"a dry run needs what the run starts from, and not on this machine: {'; '.join(missing)}")


def _parts_lines(run: RunView) -> list[str]:
    """Which weights train, part by part."""
    module = run.model.module
    parts = list(module.items()) if isinstance(module, nn.ModuleDict) else [("model", module)]
    stepped = {id(p) for group in run.optimizer.param_groups for p in group["params"]}
    lines = [f"{'what trains':16s} {'parameters':>14s} {'that train':>14s} {'in optimiser':>14s}"]
    for name, part in parts:
        own = list(part.parameters())
        counts = (
            sum(p.numel() for p in own),
            sum(p.numel() for p in own if p.requires_grad),
            sum(p.numel() for p in own if id(p) in stepped),
        )
        kinds = ", ".join(sorted({str(p.dtype).removeprefix("torch.") for p in own}))
        lines.append(f"  {name:14s} {counts[0]:14,} {counts[1]:14,} {counts[2]:14,}  {type(part).__name__}, {kinds}")
    for group in run.groups if len(run.groups) > 1 else []:
        count = sum(p.numel() for p in group.parameters)
        lines.append(f"  {group.name:14s} {'':14s} {count:14,}  at {group.rate:g} times the learning rate")
    return lines


def _frozen_encoders(run: RunView) -> tuple[int, int]:
    """Bytes of the autoencoder and of encoders that do not train: those on the run's device, and the others."""
    model: Any = run.model
    vae = getattr(model, "vae", None)
    parts = [vae.module, *(model.readers if getattr(model, "frozen_text", False) else ())] if vae else []
    sizes = {True: 0, False: 0}
    for part in parts:
        for weight in part.parameters():
            sizes[weight.device.type == run.device.type] += weight.nbytes
    return sizes[True], sizes[False]


def _local(tensor: Tensor) -> Tensor:
    """This process's part of a sharded tensor."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor
