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
        rank, world: this process takes every `world`-th batch; all take equally many, what is left over waits too.

    Raises:
        ValueError: there is no whole batch for every process.
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
        batches = sum(len(indices) // batch_size for indices in self.members.values())
        if batches < world:
            sizes = sorted((len(indices) for indices in self.members.values()), reverse=True)
            raise ValueError(
                f"{sum(sizes)} samples in buckets of {sizes[:8]} make {batches} batches of {batch_size}; "
                f"{world} process(es) need at least {world}"
            )
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
            plan = self.plan(self.epoch)
            mine = plan[self.rank : len(plan) // self.world * self.world : self.world]
            while self.position < len(mine):
                indices = mine[self.position]
                self.position += 1
                yield self.collate([self.dataset[index] for index in indices])
            self.epoch, self.position = self.epoch + 1, 0

    def state_dict(self) -> dict[str, int]:
        return {"epoch": self.epoch, "position": self.position}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self.epoch, self.position = state["epoch"], state["position"]
