"""Bucketed batches."""

from __future__ import annotations

import itertools
from collections import Counter

import pytest

from posterkit.datasets.buckets import BucketedLoader


def loader(**options) -> BucketedLoader:
    buckets = ["tall"] * 10 + ["wide"] * 7
    return BucketedLoader(range(17), buckets, 3, sorted, **options)


def seen(made: BucketedLoader, epochs: range) -> Counter[int]:
    return Counter(index for epoch in epochs for batch in made.plan(epoch) for index in batch)


def test_a_batch_never_mixes_buckets_and_is_always_whole():
    for epoch in range(6):
        batches = loader().plan(epoch)
        assert len(batches) in (3 + 2, 4 + 2, 3 + 3, 4 + 3)  # 10 / 3 and 7 / 3, what is left waits for the next epoch
        assert all(len({index < 10 for index in batch}) == 1 and len(batch) == 3 for batch in batches)


@pytest.mark.parametrize("seed", range(5))
def test_every_sample_is_drawn_alike_often_and_none_is_lost(seed):
    # in 3 epochs 30 tall and 21 wide samples make 10 and 7 whole batches of 3
    assert seen(loader(seed=seed), range(3)) == dict.fromkeys(range(17), 3)
    assert seen(loader(seed=seed), range(3, 6)) == dict.fromkeys(range(17), 3)


def test_an_epoch_of_whole_batches_sees_every_sample_once():
    made = BucketedLoader(range(24), [0] * 16 + [1] * 8, 4, list, seed=3)
    assert all(seen(made, range(epoch, epoch + 1)) == dict.fromkeys(range(24), 1) for epoch in range(4))


def test_a_bucket_smaller_than_a_batch_gives_one_every_few_epochs():
    made = BucketedLoader(range(17), ["large"] * 16 + ["lonely"], 4, list)
    lonely = [epoch for epoch in range(40) if any(16 in batch for batch in made.plan(epoch))]
    assert len(lonely) == 10 and {b - a for a, b in itertools.pairwise(lonely)} == {4}
    assert all([16] * 4 in made.plan(epoch) for epoch in lonely)


def test_small_buckets_do_not_all_wait_for_the_same_epoch():
    made = BucketedLoader(range(60), list(range(60)), 6, list)
    counts = [len(made.plan(epoch)) for epoch in range(6)]
    assert sum(counts) == 60 and max(counts) < 25


def test_epochs_differ_in_order_and_a_seed_repeats_it():
    assert loader(seed=1).plan(0) != loader(seed=1).plan(3)
    assert loader(seed=1).plan(3) == loader(seed=1).plan(3)
    assert loader(seed=1).plan(3) != loader(seed=2).plan(3)


def test_a_restored_position_goes_on_with_the_very_next_batch():
    first = loader()
    stream = iter(first)
    for _ in range(7):  # past the end of the first epoch
        next(stream)
    second = loader()
    second.load_state_dict(first.state_dict())
    assert [next(stream) for _ in range(6)] == [b for b, _ in zip(second, range(6), strict=False)]


def test_processes_share_a_bucket_at_every_step_and_halve_what_one_would_take():
    whole = iter(BucketedLoader(range(17), ["tall"] * 10 + ["wide"] * 7, 6, list))
    loaders = [loader(rank=rank, world=2) for rank in (0, 1)]
    for made in loaders:
        made.collate = list
    for _, *parts in zip(range(9), *loaders, strict=False):
        assert parts[0] + parts[1] == next(whole)
        assert len({index < 10 for part in parts for index in part}) == 1
        assert loaders[0].state_dict() == loaders[1].state_dict()


def test_a_set_smaller_than_a_batch_of_all_processes_still_trains():
    stream = iter(BucketedLoader(range(2), ["a", "a"], 3, list, rank=1, world=2))
    assert all(set(next(stream)) == {0, 1} for _ in range(3))
    with pytest.raises(ValueError, match="no sample"):
        BucketedLoader([], [], 1, list)
