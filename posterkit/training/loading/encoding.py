"""Encoding a set's posters once by the frozen encoders into the cache, for a stage and for `cache_encoders.py`."""

from __future__ import annotations

import contextlib
import math
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import torch
from rich.filesize import decimal

from posterkit.datasets.dataset import PosterDataset
from posterkit.datasets.encoder_cache import EncoderCache
from posterkit.messages import error_line
from posterkit.pipelines.registry import TEXT
from posterkit.training.adapters import Adapter, Encoded, Keep
from posterkit.training.loading.data_report import Lost, leave_out
from posterkit.training.loading.fitting import Plan, fit_sample

CANNOT = "cannot be encoded"
READING = 2 * 10**9  # bytes that text encoders work in beside their weights
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


@contextlib.contextmanager
def encoders_on(model: Adapter, device: torch.device, readers: bool = True) -> Iterator[None]:
    """Move autoencoder and frozen text encoders to the device for a while; else its memory is for the trained part.

    Args:
        readers: whether the text encoders, of which Qwen2.5-VL alone takes 16.6 GB, are to come along.
    """
    parts = [model.vae.module, *(model.readers if readers else ())]
    before = [next(part.parameters()).device for part in parts]
    try:
        for part in parts:
            part.to(device)
        yield
    finally:
        for part, home in zip(parts, before, strict=True):
            part.to(home)


@contextlib.contextmanager
def reading_in_turn(model: Adapter, device: torch.device) -> Iterator[None]:
    """While words are read: the text encoders on the device; where it has no room for both, the transformer waits."""
    encoders = encoders_on(model, device)
    size = sum(weight.nbytes for reader in model.readers for weight in reader.parameters())
    if not model.frozen_text or free_bytes(device) > size + READING:
        with encoders:
            yield
        return
    transformer = model.parts["transformer"]
    transformer.to("cpu")
    with encoders:
        yield
    transformer.to(device)


def free_bytes(device: torch.device) -> float:
    """Memory of a device that is free; of main memory without a limit."""
    if device.type != "cuda":
        return math.inf
    torch.cuda.empty_cache()
    return torch.cuda.mem_get_info(device)[0]


class SetEncoder:
    """Encodes the planned rows of a set into a cache, in the order of their numbers.

    Args:
        plans: of the rows.
        lost: gets the rows that cannot be encoded.
        folder: of caches.
        keep: states of the text encoders, or token ids for a step that runs them.
        shard: samples in one file.
    """

    def __init__(
        self, model: Adapter, dataset: PosterDataset, plans: dict[int, Plan], lost: Lost, folder: str | Path,
        keep: Keep = "states", shard: int = 512,
    ) -> None:  # fmt: skip
        self.model, self.dataset, self.plans, self.lost = model, dataset, plans, lost
        self.keep: Keep = keep
        self.numbers = sorted(plans)
        key = {"family": model.family.name, "text": keep, "model": model.fingerprint(keep)}
        self.cache = EncoderCache(folder, key, [plans[number].name for number in self.numbers], shard)
        self._faults: dict[int, str] = {}

    def fill(
        self, *, option: str = "data.keep=ids", part: tuple[int, int] = (0, 1), say: Callable[[str], None] = print,
        progress: Callable[[int, int], None] | None = None,
    ) -> list[int]:  # fmt: skip
        """Encode the rows that are not in the cache yet; rows that cannot be encoded lose their place in it.

        Args:
            option: how a user asks for token ids.
            part, progress: as `EncoderCache.fill` takes them.

        Returns:
            The numbers of the rows in the cache, in its order.

        Raises:
            OSError: the disk is too small; nothing has been written.
        """
        numbers = self.numbers
        if missing := [numbers[place] for place in self.cache.missing()]:
            self._check_space(missing, option, say)
        self.cache.fill(
            lambda places: self._encode([numbers[place] for place in places], self.keep),
            progress or (lambda done, count: say(f"encoded {done} of {count} posters")),
            part,
        )
        kept = [number for place, number in enumerate(numbers) if self.cache.has(place)]
        for number in sorted({*numbers} - {*kept}):
            leave_out(self.lost, CANNOT, self.dataset, number, self._faults.get(number, "another process says why"))
        self.cache.names = [self.plans[number].name for number in kept]
        return kept

    @torch.no_grad()
    def _encode(self, numbers: list[int], keep: Keep) -> Sequence[Encoded | None]:
        """Encode rows, many at a time; None for a row that cannot be encoded, with the reason in `_faults`."""
        if len(numbers) > _TOGETHER:
            parts = [numbers[i : i + _TOGETHER] for i in range(0, len(numbers), _TOGETHER)]
        else:
            try:
                samples = [fit_sample(self.dataset[number], self.plans[number].size) for number in numbers]
                return self.model.precompute(samples, keep)
            except _FAULTS as fault:
                if len(numbers) == 1:
                    self._faults[numbers[0]] = error_line(fault)
                    return [None]
            parts = [[number] for number in numbers]
        return [one for part in parts for one in self._encode(part, keep)]

    def _check_space(self, missing: list[int], option: str, say: Callable[[str], None]) -> None:
        """Print the size of the cache, estimated from one poster of the set; OSError where the disk has less."""
        folder = self.cache.folder
        free, needed = shutil.disk_usage(folder).free, self._bytes_of(missing, self.keep)
        if needed is None:
            return
        say(f"{folder}: {len(missing)} posters to encode, about {decimal(needed)} on disk; {decimal(free)} are free")
        if needed <= free:
            return
        other = "free some, give the cache another place, or take fewer posters"
        if self.keep == "states" and (smaller := self._bytes_of(missing, "ids")):
            other = f"{option} needs about {decimal(smaller)} and runs the frozen text encoders in every step"
        raise OSError(
            f"{folder}: {decimal(free)} of the disk are free; what the encoders say of {len(missing)} posters needs "
            f"about {decimal(needed)}; {other}"
        )

    def _bytes_of(self, numbers: list[int], keep: Keep) -> int | None:
        """Bytes that rows take in the cache, going by the first one that can be encoded; None where none can."""
        for number in numbers[:_TOGETHER]:
            (encoded,) = self._encode([number], keep)
            if encoded:
                return len(numbers) * sum(tensor.nbytes for tensor in encoded.values())
        return None
