"""Checks before a run starts: its processes, its folder, the run that is there."""

from __future__ import annotations

import contextlib
import os
import shlex
import sys
from pathlib import Path
from typing import IO, Any

from posterkit.training.config import RunConfig, changed_key, flat
from posterkit.training.errors import WrongCall

try:
    import fcntl
except ImportError:  # Windows has none; a second run in a folder is then not noticed
    fcntl = None

LOCK = ".lock"
_held: dict[Path, IO[str]] = {}  # kept open as long as the process lives: closing one releases its folder


def hold_folder(folder: Path) -> None:
    """Make and hold a run's folder until this process ends, however it ends.

    A record lock on `<folder>/.lock`, not flock: a process that this one has forked does not inherit it and so cannot
    hold it after a `kill -9`. The same process may hold a folder again.

    Raises:
        WrongCall: another process holds it.
        OSError: the folder cannot be made.
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
        raise WrongCall(
            f"{folder}: begun with {key}={before}, now {now}; it would be another run: give the same, or init_from it "
            "in another run_dir"
        )
    if len(record["random"]) != processes:
        raise WrongCall(
            f"{folder}: begun on {len(record['random'])} processes, now on {processes}; start as many, or init_from "
            "it in another run_dir"
        )
