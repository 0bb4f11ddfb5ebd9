"""A set's posters through the frozen encoders, once, into the cache: for a stage, and for `cache_encoders.py`."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from posterkit.data.cache import EncoderCache
from posterkit.data.dataset import PosterDataset
from posterkit.pipelines.loading import first_line
from posterkit.tasks import TASKS
from posterkit.training.adapters.frozen import Keep
from posterkit.training.data_report import Lost, leave_out
from posterkit.training.fitting import Plan, fit_sample

FAMILIES = {"flux": "postercraft", "qwen": "posteromni"}
CANNOT = "cannot be encoded"
_TOGETHER = 16  # posters in memory while they are encoded
_FAULTS = (OSError, ValueError, KeyError, TypeError)


def check_tasks(dataset: PosterDataset, model: Any) -> None:
    """Raise ValueError where a set holds samples that the model's family does not learn."""
    family = FAMILIES[model.vae.family]
    known = ("text",) if family == "postercraft" else ("text", *TASKS)
    for line, row in zip(dataset.lines, dataset.rows, strict=True):
        if row.get("task") not in known:
            raise ValueError(
                f"{dataset.index}:{line}: {row.get('id')}: holds a sample of {row.get('task')}; {family} learns "
                f"{', '.join(known)}; see data.tasks"
            )


def encode_set(
    model: Any,
    dataset: PosterDataset,
    plans: dict[int, Plan],
    lost: Lost,
    folder: str | Path,
    *,
    keep: Keep = "states",
    option: str = "data.keep=ids",
    part: tuple[int, int] = (0, 1),
    shard: int = 512,
    say: Callable[[str], None] = print,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[EncoderCache, list[int]]:
    """What the encoders say of a set's rows, on disk; encoded is what was not there.

    Args:
        model: an adapter whose encoders are where they work.
        plans: of the rows that are encoded.
        lost: gets what cannot be encoded.
        folder: where caches lie.
        keep: states of the text encoders, or token ids for a step that runs them.
        option: how a user asks for token ids.
        part: as `EncoderCache.fill` takes it.
        progress: as `EncoderCache.fill` takes it.

    Returns:
        The cache, and the numbers of its rows; those that cannot be encoded are left out.

    Raises:
        OSError: the disk is too small; nothing has been written.
    """
    numbers = sorted(plans)
    key = {"family": FAMILIES[model.vae.family], "text": keep, "model": model.fingerprint(keep)}
    cache = EncoderCache(folder, key, [plans[number].name for number in numbers], shard)
    faults: dict[int, str] = {}
    missing = [numbers[place] for place in cache.missing()]
    if missing:
        _check_space(model, dataset, plans, missing, cache.folder, keep, option, say)
    cache.fill(
        lambda places: _encode(model, dataset, plans, [numbers[place] for place in places], keep, faults),
        progress or (lambda done, count: say(f"encoded {done} of {count} posters")),
        part,
    )
    return cache, [*_kept(cache, dataset, numbers, plans, faults, lost)]


@contextlib.contextmanager
def encoders_on(model: Any, device: torch.device) -> Iterator[None]:
    """Autoencoder and frozen text encoders on the device for a while; else they leave its memory to what trains."""
    parts = [model.vae.module, *model.readers]
    before = [next(part.parameters()).device for part in parts]
    try:
        for part in parts:
            part.to(device)
        yield
    finally:
        for part, home in zip(parts, before, strict=True):
            part.to(home)


def _kept(
    cache: EncoderCache, dataset: PosterDataset, numbers: list[int], plans: dict[int, Plan], faults: dict[int, str],
    lost: Lost,
) -> Iterator[int]:  # fmt: skip
    """The rows that are in the cache, which then holds no other place."""
    for place, number in enumerate(numbers):
        if cache.has(place):
            yield number
        else:
            leave_out(lost, CANNOT, dataset, number, faults.get(number, "another process says why"))
    cache.names = [plans[number].name for place, number in enumerate(numbers) if cache.has(place)]


@torch.no_grad()
def _encode(
    model: Any, dataset: PosterDataset, plans: dict[int, Plan], numbers: list[int], keep: Keep, faults: dict[int, str]
) -> list[dict[str, Tensor] | None]:
    """What the encoders say of some rows, many at a time; None, and why, of one that cannot be encoded."""
    if len(numbers) > _TOGETHER:
        parts = [numbers[i : i + _TOGETHER] for i in range(0, len(numbers), _TOGETHER)]
    else:
        try:
            return model.precompute([fit_sample(dataset[number], plans[number].size) for number in numbers], keep)
        except _FAULTS as fault:
            if len(numbers) == 1:
                faults[numbers[0]] = first_line(fault)
                return [None]
        parts = [[number] for number in numbers]
    return [one for part in parts for one in _encode(model, dataset, plans, part, keep, faults)]


def _check_space(
    model: Any, dataset: PosterDataset, plans: dict[int, Plan], missing: list[int], folder: Path, keep: Keep,
    option: str, say: Callable[[str], None],
) -> None:  # fmt: skip
    """Say how much the cache will take, measured on one poster of the set, and end where the disk has less.

    Raises:
        OSError: it has.
    """
    needed = _bytes_of(model, dataset, plans, missing, keep)
    if needed is None:
        return
    free = shutil.disk_usage(folder).free
    say(f"{folder}: {len(missing)} posters to encode, about {_shown(needed)} on disk; {_shown(free)} are free")
    if needed <= free:
        return
    other = "free some, give the cache another place, or take fewer posters"
    if keep == "states" and (smaller := _bytes_of(model, dataset, plans, missing, "ids")):
        other = f"{option} needs about {_shown(smaller)} and runs the frozen text encoders in every step"
    raise OSError(
        f"{folder}: the disk has {_shown(free)} free; what the encoders say of {len(missing)} posters needs about "
        f"{_shown(needed)}; {other}"
    )


def _bytes_of(
    model: Any, dataset: PosterDataset, plans: dict[int, Plan], numbers: list[int], keep: Keep
) -> int | None:
    """Bytes that rows take in the cache, going by the first one that can be encoded; None where none can."""
    faults: dict[int, str] = {}
    for number in numbers[:_TOGETHER]:
        (encoded,) = _encode(model, dataset, plans, [number], keep, faults)
        if encoded:
            return len(numbers) * sum(tensor.nbytes for tensor in encoded.values())
    return None


def _shown(count: float) -> str:
    """Bytes in the largest decimal unit that leaves at least one."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "bytes" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"
