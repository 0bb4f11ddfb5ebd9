"""Posters for pretraining, encoded once: synthetic ones by their numbers, or a set on disk."""

from __future__ import annotations

import hashlib
import multiprocessing
from collections.abc import Hashable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Literal

import torch

from posterkit.datasets.buckets import BucketedLoader
from posterkit.datasets.dataset import PosterDataset
from posterkit.datasets.encoder_cache import EncoderCache
from posterkit.datasets.processes import begin_worker
from posterkit.schema import PosterSample
from posterkit.synthetic import SyntheticPosters
from posterkit.training.adapters import Adapter, Encoded
from posterkit.training.config import Count, CountOr0, Seed
from posterkit.training.protocols import RunView

APART = 10_000_000  # large synthetic posters are numbered from here on, so that none is a small one too


@dataclass
class DataConfig:
    """
    Attributes:
        path: a set's folder, as the data tools write it; null draws synthetic posters.
        count: synthetic posters in the set; they are encoded once and seen again every epoch.
        seed: which synthetic posters.
        tasks: drawn uniformly.
        sizes: width and height of synthetic targets in pixels, drawn uniformly.
        lettering, captions, shapes: of synthetic posters; see `SyntheticPosters`. Held-out ones have new shapes.
        large, large_sizes: so many more posters of these sizes, at which low noise alone is learnt: what painting over
            a draft needs. A batch of them holds as many tokens as one of the first size in `sizes`.
        cache: folder for the outputs of frozen encoders.
        workers: processes that draw the posters; 0 draws them in this one.
    """

    path: str | None = None
    count: Count = 20000
    seed: Seed = 0
    tasks: list[str] = field(default_factory=lambda: ["text"])
    sizes: list[list] = field(default_factory=lambda: [[128, 192]])
    lettering: bool = True
    captions: Literal["long", "short"] = "long"
    shapes: Count | None = None
    large: CountOr0 = 0
    large_sizes: list[list] = field(default_factory=lambda: [[256, 384]])
    cache: str = "runs/cache"
    workers: CountOr0 = 0


def open_posters(data: DataConfig, split: str) -> PosterDataset | SyntheticPosters:
    """The posters of a split by number: of the set at `data.path`, or synthetic ones."""
    if data.path:
        return PosterDataset(data.path, tasks=data.tasks, split=split)
    kind: dict[str, Any] = {"tasks": tuple(data.tasks), "lettering": data.lettering, "captions": data.captions}
    if split == "heldout":
        return SyntheticPosters(seed=1, split=split, **kind)
    return SyntheticPosters(seed=data.seed, sizes=tuple((w, h) for w, h in data.sizes), shapes=data.shapes, **kind)


def encoded_posters(data: DataConfig, model: Adapter, run: RunView) -> tuple[BucketedLoader[Encoded], set[Hashable]]:
    """Batches of encoded posters; those that are not in the cache yet are encoded now.

    Returns:
        The loader, and the buckets of large posters.
    """
    source = open_posters(data, "train")
    count = run.config.enough(len(source) if isinstance(source, PosterDataset) else data.count)
    large = run.config.enough(data.large)
    draw = _Draw(source, count, data.large_sizes)
    pool = drawing_pool(data.workers)

    @torch.no_grad()
    def encode(indices: Sequence[int]) -> Sequence[Encoded]:
        samples = pool.map(draw, indices, chunksize=8) if pool else map(draw, indices)
        with run.autocast():
            return model.precompute(list(samples))

    part = run.accelerator.process_index, run.accelerator.num_processes
    names = [*(f"{n:08d}" for n in range(count)), *(f"large {n:08d}" for n in range(large))]
    cache: Any = EncoderCache(data.cache, _key(data, source, model, run.config.precision), names)
    cache.fill(encode, lambda done, count: run.print(f"encoded {done} of {count} posters"), part)
    if pool:
        pool.shutdown()
    buckets = [model.bucket(row) for row in cache.shapes()]
    batch = run.config.batch_size
    fewer: dict[Hashable, int] = {
        one: max(1, round(batch * _cells(buckets[0]) / _cells(one))) for one in set(buckets[count:])
    }
    return BucketedLoader(cache, buckets, batch, model.collate, run.config.seed, *part, fewer), set(fewer)


@dataclass(frozen=True)
class _Draw:
    """A poster by its number: first those of the set, then large ones."""

    source: PosterDataset | SyntheticPosters
    count: int
    large_sizes: list[list]

    def __call__(self, index: int) -> PosterSample:
        if index < self.count or isinstance(self.source, PosterDataset):
            return self.source[index]
        width, height = self.large_sizes[(index - self.count) % len(self.large_sizes)]
        return self.source.sample(APART + index - self.count, size=(width, height))


def drawing_pool(workers: int) -> ProcessPoolExecutor | None:
    """Processes that draw posters; None where this process draws them."""
    return ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), begin_worker) if workers else None


def _key(data: DataConfig, source: PosterDataset | SyntheticPosters, model: Adapter, precision: str) -> dict[str, Any]:
    """The key of the cache: everything that decides how a poster of a number is encoded."""
    aside = ("count", "cache", "large", "workers", "shapes")
    key = {name: value for name, value in vars(data).items() if name not in aside}
    drawn = hashlib.sha256(str(data.shapes or "").encode())
    if isinstance(source, PosterDataset):
        drawn.update(source.index.read_bytes())
    else:
        for sample in (source.sample(0, task=task) for task in data.tasks):  # how each task is drawn counts
            drawn.update(b"".join([sample.instruction.encode(), *map(bytes, (sample.target, *sample.references))]))
    return key | {"drawn": drawn.hexdigest()[:16], "model": model.fingerprint(), "precision": precision}


def _cells(bucket: Any) -> int:
    """Latent cells of a sample: of its target, and of its references where it has some."""
    shapes = bucket if isinstance(bucket[0], tuple) else (bucket,)
    return sum(height * width for _, height, width in shapes)
