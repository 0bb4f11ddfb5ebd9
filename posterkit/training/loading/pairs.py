"""Batches of preference pairs from disk: the chosen posters, then in the same order the rejected ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from posterkit.datasets.buckets import BucketedLoader
from posterkit.datasets.dataset import PosterDataset
from posterkit.datasets.pair_dataset import as_samples, pictures_of
from posterkit.training.adapters import Adapter
from posterkit.training.loading.batches import Batch, EncodedPosters, collate_rows, encode_posters, tell_report
from posterkit.training.loading.data_report import Lost, beyond_limit, leave_out, report_of
from posterkit.training.loading.prefetch import PrefetchLoader
from posterkit.training.loading.sets import PosterSet, SetConfig
from posterkit.training.losses import task_group
from posterkit.training.protocols import RunView


class PairedPosters(PosterDataset):
    """The two posters of each pair of candidates as samples of their own: chosen, rejected, chosen, and so on.

    Pairs whose rejected side is the unedited input are for reward models; they are no two posters of one size.

    Raises:
        FileNotFoundError: there is no set.
        ValueError: it holds a row that is no preference pair.
    """

    def __init__(self, config: SetConfig, split: str) -> None:
        assert config.path is not None
        super().__init__(config.path, tasks=config.tasks, split=split)
        for line, row in zip(self.lines, self.rows, strict=True):
            if pictures_of(row) != ("chosen", "rejected"):
                raise ValueError(
                    f"{self.index}:{line}: {row.get('id')}: is no preference pair; data_tools/mine_preferences.py "
                    "writes such a set"
                )
        kept = [n for n, row in enumerate(self.rows) if row.get("kind", "candidates") == "candidates"]
        self.lines = [self.lines[n] for n in kept for _ in range(2)]
        self.rows = [side for n in kept for side in as_samples(self.rows[n])]


def open_pairs(config: SetConfig) -> PosterSet:
    """The pairs at `config.path`; see `PairedPosters`.

    Raises:
        FileNotFoundError: there is no set.
        ValueError: it holds no pair to train on.
    """
    train, heldout = PairedPosters(config, "train"), PairedPosters(config, "heldout")
    if not train.rows:
        raise ValueError(f"{train.index}: there is no pair of candidates to train on")
    return PosterSet(train, heldout)


def pair_batches(posters: PosterSet, model: Adapter, run: RunView, config: SetConfig) -> PrefetchLoader:
    """Endless batches of `batch_size` pairs, `(2B, ...)`, on the run's device; as `encoded_batches`.

    A pair is left out whose sides are the same picture, do not go to one size, or of which one cannot be used.

    Raises:
        ValueError: nothing is left to train on.
        OSError: the disk is too small for what the encoders say.
    """
    encoded, lost = encode_posters(posters.train, model, run, config, sides=2)
    shapes = [model.bucket(row) for row in encoded.cache.shapes()]
    place_of = {number: place for place, number in enumerate(encoded.numbers)}
    pairs: list[tuple[int, int]] = []
    for number in range(0, len(posters.train), 2):
        sides = place_of.get(number), place_of.get(number + 1)
        if sides[0] is None or sides[1] is None:
            continue  # the report names the side that is missing
        if encoded.cache.names[sides[0]] == encoded.cache.names[sides[1]]:
            leave_out(lost, "have the same picture on both sides", posters.train, number, "one content")
        elif shapes[sides[0]] != shapes[sides[1]]:
            leave_out(lost, "have sides of two sizes", posters.train, number, f"{shapes[sides[0]]}")
        else:
            pairs.append((sides[0], sides[1]))
    return two_sided_batches(
        run,
        model,
        encoded,
        pairs,
        lost,
        lambda chosen, rejected: (encoded[chosen], encoded[rejected]),
        lambda found: collate_rows(model, [pair[side] for side in (0, 1) for pair in found]),
        "pairs",
    )


def two_sided_batches(
    run: RunView, model: Adapter, encoded: EncodedPosters, pairs: Sequence[tuple[int, int]], lost: Lost,
    item: Callable[[int, int], Any], collate: Callable[[Sequence[Any]], Batch], what: str,
) -> PrefetchLoader:  # fmt: skip
    """Endless batches of pairs of encoded posters whose set has the two sides of each in a row.

    Args:
        pairs: places of first and second sides.
        lost: what is left out, by single posters; a pair counts once.
        item: what is read of a pair.
        collate: of `batch_size` such items.
        what: pairs are called.

    Raises:
        ValueError: there is no pair.
    """
    dataset = encoded.dataset
    lost = {reason: list({one.line: one for one in found}.values()) for reason, found in lost.items()}
    if not pairs:
        reasons = "; ".join(f"{len(found)} {reason}" for reason, found in sorted(lost.items()))
        raise ValueError(f"{dataset.index}: none of {len(dataset) // 2} {what} is left: {reasons}")
    shapes = [model.bucket(row) for row in encoded.cache.shapes()]
    loader = BucketedLoader(
        _Pairs(pairs, item),
        [(task_group(str(encoded.row(first)["task"])), shapes[first]) for first, _ in pairs],
        run.config.batch_size,
        collate,
        run.config.seed,
        run.accelerator.process_index,
        run.accelerator.num_processes,
    )
    if run.accelerator.is_main_process and not run.config.dry_run:
        overlong = beyond_limit(model, dataset, sorted(encoded.numbers[side] for pair in pairs for side in pair))
        numbers = [encoded.numbers[first] for first, _ in pairs]
        report = report_of(dataset, loader, numbers, lost, overlong, model.length, model.cuts_long_texts)
        tell_report(run, {**report, "rows": len(dataset) // 2})
    names = encoded.cache.names
    return PrefetchLoader(loader, run.device, "\n".join(f"{names[first]} {names[second]}" for first, second in pairs))


class _Pairs(Sequence[Any]):
    def __init__(self, pairs: Sequence[tuple[int, int]], item: Callable[[int, int], Any]) -> None:
        self.pairs, self.item = pairs, item

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, place: int) -> Any:
        return self.item(*self.pairs[place])
