"""Bucketed batches."""

from __future__ import annotations

import pytest

from posterkit.data.buckets import BucketedLoader


def loader(**options) -> BucketedLoader:
    buckets = ["tall"] * 10 + ["wide"] * 7
    return BucketedLoader(range(17), buckets, 3, sorted, **options)


def test_a_batch_never_mixes_buckets_and_an_epoch_sees_no_sample_twice():
    batches = loader().plan(epoch=0)
    assert len(batches) == 10 // 3 + 7 // 3
    assert all(len({index < 10 for index in batch}) == 1 for batch in batches)
    seen = [index for batch in batches for index in batch]
    assert len(seen) == len(set(seen))


def test_epochs_differ_in_order_and_a_seed_repeats_it():
    assert loader(seed=1).plan(0) != loader(seed=1).plan(1)
    assert loader(seed=1).plan(3) == loader(seed=1).plan(3)


def test_a_restored_position_goes_on_with_the_very_next_batch():
    first = loader()
    stream = iter(first)
    for _ in range(7):  # past the end of the first epoch
        next(stream)
    second = loader()
    second.load_state_dict(first.state_dict())
    assert [next(stream) for _ in range(6)] == [b for b, _ in zip(second, range(6), strict=False)]


def test_two_processes_share_an_epoch_without_overlap_and_a_bucket_at_every_step():
    plans = [iter(loader(rank=rank, world=2)) for rank in (0, 1)]
    steps = [[next(plan) for plan in plans] for _ in range(2)]  # of 10 tall ones 6 fill a step, of 7 wide ones too
    assert all(len({index < 10 for batch in step for index in batch}) == 1 for step in steps)
    flat = [index for step in steps for batch in step for index in batch]
    assert len(flat) == len(set(flat)) == 12


def test_what_no_batch_holds_is_reported():
    assert loader().dropped == {"tall": 1, "wide": 1}


def test_a_set_without_one_whole_batch_is_refused():
    with pytest.raises(ValueError, match="2 samples in buckets of \\[2\\]: none fills a batch of 3"):
        BucketedLoader(range(2), ["a", "a"], 3, list)


def test_processes_take_equally_many_batches_and_too_few_are_refused():
    loaders = [BucketedLoader(list(range(10)), [0] * 10, 2, list, rank=rank, world=2) for rank in range(2)]
    streams = [iter(loader) for loader in loaders]
    for _ in range(3):  # 10 samples make 2 steps of 2 x 2: two wait
        a, b = (next(stream) for stream in streams)
        assert not set(a) & set(b)
        assert loaders[0].state_dict() == loaders[1].state_dict()
    assert loaders[0].state_dict() == {"epoch": 1, "position": 1}
    with pytest.raises(ValueError, match="none fills a batch of 2 for each of 2 process"):
        BucketedLoader([0, 1], [0, 0], 2, list, world=2)
