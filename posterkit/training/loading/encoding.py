"""Encoding a set's posters once by the frozen encoders into the cache, for a stage and for `cache_encoders.py`."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import torch

from posterkit.datasets.dataset import PosterDataset
from posterkit.datasets.encoder_cache import EncoderCache
from posterkit.messages import error_line
from posterkit.pipelines.registry import TEXT
from posterkit.training.adapters import Adapter, Encoded, Keep
from posterkit.training.loading.data_report import Lost, leave_out
from posterkit.training.loading.fitting import Plan, fit_sample

CANNOT = "cannot be encoded"
_TOGETHER = 16  # posters in memory while they are encoded
_FAULTS = (OSError, ValueError, KeyError, TypeError)


def check_tasks(dataset: PosterDataset, model: Adapter, option: str = "data.tasks") -> None:
    """Raise ValueError where a set holds samples that the model's family does not learn.

    Args:
        option: how a user leaves them out.
    """
    known = tuple(dict.fromkeys((TEXT, *model.family.tasks)))  # a model of edits learns rendered text as a filling
    for line, row in zip(dataset.lines, dataset.rows, strict=True):
        if row.get("task") not in known:
            raise ValueError(
                f"{dataset.index}:{line}: {row.get('id')}: holds a sample of {row.get('task')}; "
                f"{model.family.name} learns {', '.join(known)}; see {option}"
            )


def open_cache(
    model: Adapter, plans: dict[int, Plan], folder: str | Path, keep: Keep = "states", shard: int = 512
) -> EncoderCache:
    """The cache of encoded rows, in the order of their numbers.

    Args:
        folder: where caches lie.
        keep: states of the text encoders, or token ids for a step that runs them.
        shard: samples in one file.
    """
    key = {"family": model.family.name, "text": keep, "model": model.fingerprint(keep)}
    return EncoderCache(folder, key, [plans[number].name for number in sorted(plans)], shard)


def encode_set(
    model: Adapter,
    dataset: PosterDataset,
    plans: dict[int, Plan],
    lost: Lost,
    cache: EncoderCache,
    *,
    option: str = "data.keep=ids",
    part: tuple[int, int] = (0, 1),
    say: Callable[[str], None] = print,
    progress: Callable[[int, int], None] | None = None,
) -> list[int]:
    """Encode the rows of a set that are not in the cache yet.

    Args:
        model: an adapter whose encoders are where they work.
        plans: of the rows that are encoded.
        lost: gets the rows that cannot be encoded.
        cache: of `open_cache`; rows that cannot be encoded lose their place in it.
        option: how a user asks for token ids.
        part, progress: as `EncoderCache.fill` takes them.

    Returns:
        The numbers of the rows in the cache, in its order.

    Raises:
        OSError: the disk is too small; nothing has been written.
    """
    numbers, faults = sorted(plans), dict[int, str]()
    missing = [numbers[place] for place in cache.missing()]
    if missing:
        _check_space(model, dataset, plans, missing, cache, option, say)
    cache.fill(
        lambda places: _encode(model, dataset, plans, [numbers[place] for place in places], cache.key["text"], faults),
        progress or (lambda done, count: say(f"encoded {done} of {count} posters")),
        part,
    )
    kept = [number for place, number in enumerate(numbers) if cache.has(place)]
    for number in sorted({*numbers} - {*kept}):
        leave_out(lost, CANNOT, dataset, number, faults.get(number, "another process says why"))
    cache.names = [plans[number].name for number in kept]
    return kept


@contextlib.contextmanager
def encoders_on(model: Adapter, device: torch.device) -> Iterator[None]:
    """Move autoencoder and frozen text encoders to the device for a while; else its memory is for the trained part."""
    parts = [model.vae.module, *model.readers]
    before = [next(part.parameters()).device for part in parts]
    try:
        for part in parts:
            part.to(device)
        yield
    finally:
        for part, home in zip(parts, before, strict=True):
            part.to(home)


@torch.no_grad()
def _encode(
    model: Adapter, dataset: PosterDataset, plans: dict[int, Plan], numbers: list[int], keep: Keep,
    faults: dict[int, str],
) -> Sequence[Encoded | None]:  # fmt: skip
    """Encode rows, many at a time; None for a row that cannot be encoded, with the reason in `faults`."""
    if len(numbers) > _TOGETHER:
        parts = [numbers[i : i + _TOGETHER] for i in range(0, len(numbers), _TOGETHER)]
    else:
        try:
            return model.precompute([fit_sample(dataset[number], plans[number].size) for number in numbers], keep)
        except _FAULTS as fault:
            if len(numbers) == 1:
                faults[numbers[0]] = error_line(fault)
                return [None]
        parts = [[number] for number in numbers]
    return [one for part in parts for one in _encode(model, dataset, plans, part, keep, faults)]


def _check_space(
    model: Adapter, dataset: PosterDataset, plans: dict[int, Plan], missing: list[int], cache: EncoderCache,
    option: str, say: Callable[[str], None],
) -> None:  # fmt: skip
    """Print the size of the cache, estimated from one poster of the set; OSError where the disk has less."""
    keep, free = cache.key["text"], shutil.disk_usage(cache.folder).free
    needed = _bytes_of(model, dataset, plans, missing, keep)
    if needed is None:
        return
    say(f"{cache.folder}: {len(missing)} posters to encode, about {_shown(needed)} on disk; {_shown(free)} are free")
    if needed <= free:
        return
    other = "free some, give the cache another place, or take fewer posters"
    if keep == "states" and (smaller := _bytes_of(model, dataset, plans, missing, "ids")):
        other = f"{option} needs about {_shown(smaller)} and runs the frozen text encoders in every step"
    raise OSError(
        f"{cache.folder}: {_shown(free)} of the disk are free; what the encoders say of {len(missing)} posters needs "
        f"about {_shown(needed)}; {other}"
    )


def _bytes_of(
    model: Adapter, dataset: PosterDataset, plans: dict[int, Plan], numbers: list[int], keep: Keep
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
