"""Checks of a run: its processes, its folder, the run that is there; and the report of a batch that ends it."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import sys
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import IO, Any, NamedTuple

import torch
from torch import Tensor

from posterkit.image_io import written_whole
from posterkit.training.config import EXTENDED, RunConfig, changed_key, flat, rate_at
from posterkit.training.errors import WrongCall
from posterkit.training.sharding import whole
from posterkit.training.state import EMA

try:
    import fcntl
except ImportError:  # Windows has none; a second run in a folder is then not noticed
    fcntl = None

LOCK = ".lock"
BAD_BATCH = "bad_batch.json"
_SHOWN = 4  # ids of a bad batch in the line
_held: dict[Path, IO[str]] = {}  # kept open as long as the process lives: closing one releases its folder


def hold_folder(folder: Path) -> None:
    """Make and hold a run's folder until this process ends, however it ends; WrongCall where another process holds it.

    A record lock on `<folder>/.lock`, not flock: a process that this one has forked does not inherit it and so cannot
    hold it after a `kill -9`. The same process may hold a folder again.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = (folder / LOCK).resolve()
    if fcntl is None or path in _held:
        return
    file = path.open("a+", encoding="utf-8")
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.seek(0)
        owner = file.read().strip()
        file.close()
        raise WrongCall(
            f"{folder}: another run is at work in this folder{f' (process {owner})' if owner else ''}; "
            "wait for it, or take another run_dir"
        ) from None
    with contextlib.suppress(OSError):  # on a full disk the lock holds without a name
        file.truncate(0)
        file.write(f"{os.getpid()} on {os.uname().nodename}\n")
        file.flush()
    _held[path] = file


def check_processes(requested: int | None, started: int) -> None:
    """Compare the processes that train together with the requested ones.

    On a CPU, or on a machine with one card, accelerate's launcher starts one process where several were requested, and
    prints nothing; the environment then holds only an address for processes to meet at.

    Args:
        requested: the config's `processes`.
        started: processes that found one another.

    Raises:
        WrongCall: the numbers differ; the line holds the command that starts them.
    """
    world = os.environ.get("WORLD_SIZE", "")
    if requested is not None:
        said, expected = f"processes is {requested}", requested
    elif world.isdigit() and int(world) > 1:
        said, expected = f"the launcher started {world} processes", int(world)
    elif not world and "ACCELERATE_MIXED_PRECISION" in os.environ and "MASTER_ADDR" in os.environ:
        said, expected = "accelerate launch was asked for several processes", None
    else:
        return
    if started == expected or (expected is None and started > 1):
        return
    alone = "one trains here, alone" if started == 1 else f"{started} train together"
    command = f"torchrun --standalone --nproc-per-node {expected or 'N'} {shlex.join(sys.argv)}"
    raise WrongCall(
        f"{said}, but {alone}; start them by: {command if expected != 1 else 'python ' + shlex.join(sys.argv)}"
    )


def check_same_run(folder: Path, record: dict[str, Any], config: RunConfig, processes: int) -> None:
    """Raise WrongCall where a checkpoint's record is that of another run than `config` on so many processes."""
    if (key := changed_key(record["config"], config)) is not None:
        before, now = record["config"].get(key), flat(config).get(key)
        longer = ", or extend=true to go on with it so" if key.rpartition(".")[2] in EXTENDED else ""
        raise WrongCall(
            f"{folder}: begun with {key}={before}, now {now}; it would be another run: give the same, or init_from it "
            f"in another run_dir{longer}"
        )
    if record["step"] > config.max_steps:
        raise WrongCall(f"{folder}: has taken {record['step']} steps already; max_steps={config.max_steps} is fewer")
    if len(record["random"]) != processes:
        raise WrongCall(
            f"{folder}: begun on {len(record['random'])} processes, now on {processes}; start as many, or init_from "
            "it in another run_dir"
        )


def extension_line(record: dict[str, Any], config: RunConfig) -> str | None:
    """What an extended run does otherwise from here on; None where nothing changes."""
    now, before = flat(config), {**flat(type(config)()), **record["config"]}
    changed = [key for key in now if key.rpartition(".")[2] in EXTENDED and now[key] != before.get(key)]
    if not changed:
        return None
    said = ", ".join(f"{key} {before.get(key)} -> {now[key]}" for key in changed)
    known = {key: before[key] for key in ("max_steps", "learning_rate", "schedule", "warmup_steps")}
    rates = [rate_at(one, record["step"]) for one in (replace(config, **known), config)]
    return f"extended at step {record['step']}: {said}; the rate there was {rates[0]:.3g} and is {rates[1]:.3g}"


class BatchFault(NamedTuple):
    """The fault of one process, such as `the loss is nan`, with the ids and tasks of the batch's samples."""

    said: str
    ids: list[str]
    tasks: list[str]
    process: int


def all_finite(weights: Iterable[Tensor], optimizer: torch.optim.Optimizer, ema: EMA | None) -> bool:
    """Whether weights, optimiser and averages hold neither nan nor inf."""
    kept = [value for of_one in optimizer.state.values() for value in of_one.values() if isinstance(value, Tensor)]
    tensors = [*weights, *kept, *(ema.shadow.values() if ema else ())]
    return all(bool(whole(torch.isfinite(one.detach()).all())) for one in tensors if one.is_floating_point())


def write_bad_batch(
    folder: Path, step: int, position: dict[str, Any], faults: Sequence[BatchFault], saved: str, main: bool
) -> str:
    """Write `bad_batch.json`; returns the line that says what happened and how to continue.

    A resumed run takes the same steps and meets the batch again, unless `skip` leaves it out. `position` is the
    loader's before the step, `saved` a clause about the saved state.
    """
    ids = [name for fault in faults for name in fault.ids]
    if main:
        found = {"step": step, "position": position, "faults": [fault._asdict() for fault in faults]}
        with written_whole(folder / BAD_BATCH) as path:
            path.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    more = f" and {len(ids) - _SHOWN} more" if len(ids) > _SHOWN else ""
    batch = f"the batch {', '.join(ids[:_SHOWN])}{more}" if ids else "a batch whose samples have no names"
    way_out = f"; with skip=[{ids[0]}], or another of the ids in {BAD_BATCH}, it is left out" if ids else ""
    return f"{folder}: step {step}: {faults[0].said} on {batch}; {saved}; the same command meets it again{way_out}"
