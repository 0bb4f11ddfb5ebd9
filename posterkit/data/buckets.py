"""Batches of samples of one shape, in an endless order that follows from a seed and can be resumed anywhere."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import Any, Generic, TypeVar

import numpy as np

Item = TypeVar("Item")


class BucketedLoader(Generic[Item]):
    """Endless batches; every batch holds samples of one bucket, every epoch another order.

    Processes share a bucket at every step: batches of another size would let one wait for the other.

    Args:
        dataset: anything with `len` and `[index]`.
        buckets: the bucket of each sample (its size, say); batches never mix two.
        batch_size: B, of each process; what an epoch leaves of a bucket waits for another one's order.
        seed: the order follows from it and the epoch.
        collate: list of samples -> batch.
        rank, world: this process takes part `rank` of every `world * B` samples.

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
        if all(len(indices) < batch_size * world for indices in self.members.values()):
            sizes = sorted((len(indices) for indices in self.members.values()), reverse=True)
            raise ValueError(
                f"{sum(sizes)} samples in buckets of {sizes[:8]}: none fills a batch of {batch_size} "
                f"for each of {world} process(es)"
            )
        self.epoch, self.position = 0, 0

    @property
    def dropped(self) -> dict[Hashable, int]:
        """Samples of each bucket that no batch of an epoch holds, where there are any."""
        taken = self.batch_size * self.world
        return {bucket: n for bucket, m in self.members.items() if (n := len(m) % taken)}

    def plan(self, epoch: int) -> list[list[int]]:
        """All batches of an epoch, each for all processes together."""
        random = np.random.default_rng((self.seed, epoch))
        taken, batches = self.batch_size * self.world, []
        for indices in self.members.values():
            order = random.permutation(indices).tolist()
            batches += [order[i : i + taken] for i in range(0, len(order) - taken + 1, taken)]
        return [batches[i] for i in random.permutation(len(batches))]

    def __iter__(self) -> Iterator[Any]:
        mine = slice(self.rank * self.batch_size, (self.rank + 1) * self.batch_size)
        while True:
            plan = self.plan(self.epoch)
            while self.position < len(plan):
                indices = plan[self.position][mine]
                self.position += 1
                yield self.collate([self.dataset[index] for index in indices])
            self.epoch, self.position = self.epoch + 1, 0

    def state_dict(self) -> dict[str, int]:
        return {"epoch": self.epoch, "position": self.position}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self.epoch, self.position = state["epoch"], state["position"]
