"""Batches of samples of one shape, in an endless order that follows from a seed and can be resumed anywhere."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from typing import Any, Generic, TypeVar

import numpy as np

Item = TypeVar("Item")


class BucketedLoader(Generic[Item]):
    """Endless batches; every batch holds samples of one bucket, every epoch another order.

    All batches are whole and no sample is lost: what an epoch leaves of a bucket begins the bucket's next batch, in a
    later epoch. In e epochs a sample is drawn e times on average, whatever its bucket's size; a bucket smaller than a
    batch gives one every few epochs, which then holds samples more than once (with other noise each time).
    Processes share a bucket at every step: batches of another size would let one wait for the other.

    Args:
        dataset: anything with `len` and `[index]`.
        buckets: the bucket of each sample (its size, say); batches never mix two.
        batch_size: B, of each process.
        collate: list of samples -> batch.
        seed: the order follows from it and the epoch.
        rank, world: this process takes part `rank` of every `world * B` samples.
        fewer: how many samples a batch of these buckets holds in place of B.

    Raises:
        ValueError: there is no sample.
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
        fewer: Mapping[Hashable, int] | None = None,
    ) -> None:
        self.dataset, self.batch_size, self.collate = dataset, batch_size, collate
        self.seed, self.rank, self.world, self.fewer = seed, rank, world, fewer or {}
        self.members: dict[Hashable, list[int]] = {}
        for index, bucket in enumerate(buckets):
            self.members.setdefault(bucket, []).append(index)
        if not self.members:
            raise ValueError("there is no sample to make batches of")
        self.epoch, self.position = 0, 0

    @property
    def taken(self) -> int:
        """Samples that one step takes at most, in all processes."""
        return self.batch_size * self.world

    def plan(self, epoch: int) -> list[list[int]]:
        """All batches of an epoch, each for all processes together; none where a small set has to wait."""
        batches = [batch for number in range(len(self.members)) for batch in self._of_bucket(number, epoch)]
        order = np.random.default_rng((self.seed, epoch)).permutation(len(batches))
        return [batches[i] for i in order]

    def __iter__(self) -> Iterator[Any]:
        while True:
            plan = self.plan(self.epoch)
            while self.position < len(plan):
                size = len(plan[self.position]) // self.world
                indices = plan[self.position][self.rank * size : (self.rank + 1) * size]
                self.position += 1
                yield self.collate([self.dataset[index] for index in indices])
            self.epoch, self.position = self.epoch + 1, 0

    def state_dict(self) -> dict[str, int]:
        return {"epoch": self.epoch, "position": self.position}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self.epoch, self.position = state["epoch"], state["position"]

    def _of_bucket(self, number: int, epoch: int) -> list[list[int]]:
        """A bucket's batches of one epoch: pieces of its stream, which is one shuffled round of it after another."""
        bucket = list(self.members)[number]
        members, taken = self.members[bucket], self.fewer.get(bucket, self.batch_size) * self.world
        # small buckets must not all wait for the same epoch
        start = int(np.random.default_rng((self.seed, number, 0)).integers(taken))
        first, last = ((start + e * len(members)) // taken for e in (epoch, epoch + 1))
        rounds = range(first * taken // len(members), -(-last * taken // len(members)))
        stream = [
            index
            for round_ in rounds
            for index in np.random.default_rng((self.seed, number, 1, round_)).permutation(members).tolist()
        ]
        skip = first * taken - rounds.start * len(members)
        return [stream[skip + i * taken : skip + (i + 1) * taken] for i in range(last - first)]
