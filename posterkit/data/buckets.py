"""Batches of samples of one shape, in an endless order that follows from a seed and can be resumed anywhere."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import Any, Generic, TypeVar

import numpy as np

Item = TypeVar("Item")


class BucketedLoader(Generic[Item]):
    """Endless batches; every batch holds samples of one bucket, every epoch another order.

    Args:
        dataset: anything with `len` and `[index]`.
        buckets: the bucket of each sample (its size, say); batches never mix two.
        batch_size: B; what is left of a bucket at the end of an epoch waits for another epoch's order.
        seed: the order follows from it and the epoch.
        collate: list of samples -> batch.
        rank, world: this process takes every `world`-th batch.

    Raises:
        ValueError: no bucket holds a whole batch.
    """

    def __init__(
        self,
        dataset: Sequence[Item],
        buckets: Sequence[Hashable],
        batch_size: int,
        collate: Callable[[list[Item]], Any],
        seed: int = 0,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        self.dataset, self.batch_size, self.collate = dataset, batch_size, collate
        self.seed, self.rank, self.world = seed, rank, world
        self.members: dict[Hashable, list[int]] = {}
        for index, bucket in enumerate(buckets):
            self.members.setdefault(bucket, []).append(index)
        if all(len(indices) < batch_size for indices in self.members.values()):
            largest = max((len(indices) for indices in self.members.values()), default=0)
            raise ValueError(f"no bucket holds a batch of {batch_size} samples; the largest holds {largest}")
        self.epoch, self.position = 0, 0

    @property
    def dropped(self) -> dict[Hashable, int]:
        """Samples of each bucket that no batch of an epoch holds, where there are any."""
        return {bucket: n for bucket, m in self.members.items() if (n := len(m) % self.batch_size)}

    def plan(self, epoch: int) -> list[list[int]]:
        """All batches of an epoch, for every process."""
        random = np.random.default_rng((self.seed, epoch))
        batches = []
        for indices in self.members.values():
            order = random.permutation(indices).tolist()
            batches += [
                order[i : i + self.batch_size] for i in range(0, len(order) - self.batch_size + 1, self.batch_size)
            ]
        return [batches[i] for i in random.permutation(len(batches))]

    def __iter__(self) -> Iterator[Any]:
        while True:
            mine = self.plan(self.epoch)[self.rank :: self.world]
            while self.position < len(mine):
                indices = mine[self.position]
                self.position += 1
                yield self.collate([self.dataset[index] for index in indices])
            self.epoch, self.position = self.epoch + 1, 0

    def state_dict(self) -> dict[str, int]:
        return {"epoch": self.epoch, "position": self.position}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self.epoch, self.position = state["epoch"], state["position"]
