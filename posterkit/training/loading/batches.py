"""Batches of a set's encoded posters: encoded once, cached by content, in buckets, read ahead.

batches = encoded_batches(posters, model, run, config.data)
for batch in run.steps(model, batches):
    x0, condition = model.encode(batch)
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from posterkit.datasets.buckets import BucketedLoader
from posterkit.datasets.dataset import PosterDataset
from posterkit.datasets.encoder_cache import EncoderCache
from posterkit.datasets.file_index import FileIndex
from posterkit.datasets.sample_files import Row
from posterkit.schema import PosterSample, Region
from posterkit.training.adapters import Adapter, Encoded
from posterkit.training.loading.data_report import (
    FILE,
    Lost,
    beyond_limit,
    keep_report,
    leave_out,
    report_lines,
    report_of,
)
from posterkit.training.loading.encoding import SetEncoder, check_tasks, encoders_on
from posterkit.training.loading.fitting import Plan, check_area, move_box, plan_sizes
from posterkit.training.loading.prefetch import PrefetchLoader
from posterkit.training.loading.regions import region_shares
from posterkit.training.loading.sets import PosterSet, SetConfig
from posterkit.training.losses import task_group
from posterkit.training.protocols import RunView


class Batch(dict[str, Tensor]):
    """The input of `model.encode` by name, and the samples that it is of.

    Attributes:
        ids: of the samples.
        tasks: of the samples; all are of one task group.
    """

    def __init__(self, tensors: dict[str, Tensor], ids: list[str], tasks: list[str]) -> None:
        super().__init__(tensors)
        self.ids, self.tasks = ids, tasks

    def to(self, device: torch.device) -> Batch:
        return Batch({name: tensor.to(device) for name, tensor in self.items()}, self.ids, self.tasks)


def encoded_batches(
    posters: PosterSet, model: Adapter, run: RunView, config: SetConfig, *, regions: bool = False, name: str = "data"
) -> PrefetchLoader:
    """Endless batches on the run's device; their order follows from the run's seed and can be resumed anywhere.

    Every poster is encoded once and cached on disk under a hash of its content, in the cache that
    `data_tools/cache_encoders.py` fills. A batch holds posters of one size and of one task group. All tasks of the set
    are drawn equally often: an epoch has as many samples of each as the largest one has. Rows that are left out and
    captions that are cut are printed and kept in `run_dir/data_report.json`.

    Args:
        model: an adapter whose text encoders are frozen; with `config.keep` "ids" they stay on the run's device.
        regions: batches have `shares`, `(B, S, 3)`, see `posterkit.training.loading.regions.region_shares`.
        name: of the set's part of the config, for messages.
    Raises as `encode_posters`.
    """
    encoded, lost = encode_posters(posters.train, model, run, config, regions=regions, name=name)
    order = even_tasks([str(encoded.row(place)["task"]) for place in range(len(encoded))])

    def collate(samples: Sequence[list[EncodedPoster]]) -> Batch:
        return collate_rows(model, [poster for (poster,) in samples])

    return batches_of(run, model, encoded, [(place,) for place in order], lost, collate)


def batches_of(
    run: RunView, model: Adapter, encoded: EncodedPosters, samples: Sequence[tuple[int, ...]], lost: Lost,
    collate: Callable[[Sequence[list[EncodedPoster]]], Batch],
) -> PrefetchLoader:  # fmt: skip
    """Endless batches of samples of one or two encoded posters each; the report of the set is printed and kept."""
    dataset, names, sides = encoded.dataset, encoded.cache.names, len(samples[0])
    shapes = [model.bucket(row) for row in encoded.cache.shapes()]
    loader = BucketedLoader(
        samples,
        [(task_group(str(encoded.row(first)["task"])), shapes[first]) for first, *_ in samples],
        run.config.batch_size,
        lambda chosen: collate([[encoded[place] for place in places] for places in chosen]),
        run.config.seed,
        run.accelerator.process_index,
        run.accelerator.num_processes,
    )
    if run.accelerator.is_main_process and not run.config.dry_run:
        overlong = beyond_limit(model, dataset, sorted({encoded.numbers[place] for one in samples for place in one}))
        numbers = [encoded.numbers[first] for first, *_ in samples]
        report = report_of(dataset, loader, numbers, lost, overlong, model.length, model.cuts_long_texts)
        _tell_report(run, {**report, "rows": len(dataset) // sides})
    content = "\n".join(" ".join(names[place] for place in one) for one in samples)
    return PrefetchLoader(loader, run.device, content)


def encode_posters(
    dataset: PosterDataset, model: Adapter, run: RunView, config: SetConfig, *, regions: bool = False,
    name: str = "data", sides: int = 1,
) -> tuple[EncodedPosters, Lost]:  # fmt: skip
    """The encoded posters of a set, and the rows that are left out; see `encoded_batches`.

    `sides` posters make one sample of a batch: two of a pair. ValueError where the model's family does not know a task
    of the set, or nothing is left to train on; OSError where the disk is too small for the encoders' outputs.
    """
    check_tasks(dataset, model)
    part = run.accelerator.process_index, run.accelerator.num_processes
    folder = Path(config.cache or run.folder / "cache")
    memo = FileIndex(folder / "known", dataset, part[0], run.print)
    if part[1] > 1:  # every process reads its part of the pictures
        memo.learn(range(part[0], len(dataset), part[1]))
        run.accelerator.wait_for_everyone()
        memo.load()
    native = model.defaults["native_area"]
    plans, lost = plan_sizes(memo, check_area(config.area or native, native, f"{name}.area"))
    if regions:
        _leave_out_bad_regions(dataset, plans, lost)
    _check_any(run, dataset, len(plans), lost)
    _check_tasks_left(dataset, plans, lost)
    if run.config.dry_run:
        plans = _few(run, dataset, plans, sides)
    encoder = SetEncoder(model, dataset, plans, lost, folder, config.keep)
    with encoders_on(model, run.device):
        numbers = encoder.fill(option=f"{name}.keep=ids", part=part, say=run.print)
    run.accelerator.wait_for_everyone()
    _check_any(run, dataset, len(numbers), lost)
    if not run.config.dry_run:
        _check_tasks_left(dataset, numbers, lost)
    if config.keep == "ids":
        for reader in model.readers:
            reader.to(run.device)
    return EncodedPosters(dataset, encoder.cache, plans, numbers, regions), lost


EncodedPoster = tuple[Row, Encoded, Tensor | None]  # the shares of its text last, where regions are used


class EncodedPosters:
    """The encoded posters of a set by number, with their rows and, for regions, the shares of their text."""

    def __init__(
        self, dataset: PosterDataset, cache: EncoderCache, plans: dict[int, Plan], numbers: list[int], regions: bool
    ) -> None:
        self.dataset, self.cache, self.plans, self.numbers, self.regions = dataset, cache, plans, numbers, regions

    def __len__(self) -> int:
        return len(self.numbers)

    def row(self, place: int) -> Row:
        """As the set's index has it."""
        return self.dataset.rows[self.numbers[place]]

    def __getitem__(self, place: int) -> EncodedPoster:
        """The row, what was encoded, and `(S, 3)` shares.

        Raises:
            ValueError: a region lies off its poster.
        """
        row = self.row(place)
        return row, self.cache[place], self._shares(row, self.plans[self.numbers[place]]) if self.regions else None

    def _shares(self, row: Row, plan: Plan) -> Tensor:
        found = [Region(tuple(one["box"]), one["role"], "") for one in row.get("regions") or ()]
        if plan.size != plan.original:
            moved = [(move_box(region.box, plan.original, plan.size), region.role) for region in found]
            found = [Region(box, role, "") for box, role in moved if box]
        blank = np.broadcast_to(np.uint8(0), (plan.size.height, plan.size.width, 3))  # its size alone is read
        return region_shares(PosterSample(str(row["id"]), str(row["task"]), blank, regions=found))


def even_tasks(tasks: Sequence[str]) -> list[int]:
    """Sample numbers that repeat samples, so that every task is as frequent as the most frequent one."""
    of_task: dict[str, list[int]] = {}
    for number, task in enumerate(tasks):
        of_task.setdefault(task, []).append(number)
    most, random = max(map(len, of_task.values()), default=0), np.random.default_rng(0)
    even: list[int] = []
    for numbers in of_task.values():
        times, rest = divmod(most, len(numbers))
        even += numbers * times + random.permutation(numbers)[:rest].tolist()
    return sorted(even)


def collate_rows(model: Adapter, rows: list[EncodedPoster]) -> Batch:
    """A batch of encoded posters of one shape."""
    tensors = model.collate([encoded for _, encoded, _ in rows])
    shares = [share for _, _, share in rows if share is not None]
    if shares:
        tensors["shares"] = torch.stack(shares)
    return Batch(tensors, [str(row["id"]) for row, _, _ in rows], [str(row["task"]) for row, _, _ in rows])


def _leave_out_bad_regions(dataset: PosterDataset, plans: dict[int, Plan], lost: Lost) -> None:
    for number, plan in list(plans.items()):
        width, height = plan.original
        for region in dataset.rows[number].get("regions") or ():
            match region.get("box"):
                case [int(x0), int(y0), int(x1), int(y1)] if 0 <= x0 < x1 <= width and 0 <= y0 < y1 <= height:
                    continue
            found = f"{region.get('box')} on {plan.original}"
            leave_out(lost, "have a region that is no box on the poster", dataset, number, found)
            del plans[number]
            break


def _few(run: RunView, dataset: PosterDataset, plans: dict[int, Plan], sides: int) -> dict[int, Plan]:
    """The rows that a dry run encodes: enough for one batch of the most frequent size and task."""
    kinds = Counter((plan.size, dataset.rows[number]["task"]) for number, plan in plans.items())
    most = kinds.most_common(1)[0][0]
    alike = [number for number, plan in plans.items() if (plan.size, dataset.rows[number]["task"]) == most]
    chosen = alike[: run.config.enough(len(alike) // sides) * sides]
    samples = len(even_tasks([str(dataset.rows[number]["task"]) for number in plans])) // sides
    taken = run.config.batch_size * run.accelerator.num_processes
    run.print(
        f"{dataset.index}: {len(plans)} posters of {len(dataset)} rows, an epoch is {samples / taken:.0f} batches of "
        f"{taken}; {len(chosen)} of {most[0]}, {most[1]}, are looked at"
    )
    return {number: plans[number] for number in chosen}


def _check_any(run: RunView, dataset: PosterDataset, count: int, lost: Lost) -> None:
    """Raise ValueError, after the report, where no row is left."""
    if count:
        return
    if run.accelerator.is_main_process:
        _tell_report(run, report_of(dataset, None, [], lost))
    reason, found = max(lost.items(), key=lambda item: len(item[1]))
    first = found[0]
    raise ValueError(
        f"{dataset.index}:{first.line}: {first.id}: {reason} ({first.found}), and so on: none of {len(dataset)} rows "
        f"is left to train on; {run.folder / FILE} names all"
    )


def _check_tasks_left(dataset: PosterDataset, numbers: Iterable[int], lost: Lost) -> None:
    """Raise ValueError where every row of a task was left out: a run would learn fewer tasks than it was given."""
    left = {str(dataset.rows[number]["task"]) for number in numbers}
    for task in dict.fromkeys(str(row.get("task")) for row in dataset.rows):
        if task in left:
            continue
        of_task = {line for line, row in zip(dataset.lines, dataset.rows, strict=True) if row.get("task") == task}
        reason, first = next((reason, one) for reason, rows in lost.items() for one in rows if one.line in of_task)
        raise ValueError(
            f"{dataset.index}:{first.line}: {first.id}: {reason} ({first.found}), and so on: none of {len(of_task)} "
            f"rows of {task} is left to train on; mend them, or leave the task out by data.tasks"
        )


def _tell_report(run: RunView, report: dict[str, Any]) -> None:
    """Print the report of a set, and keep it in the run folder."""
    for line in report_lines(report, keep_report(report, run.folder)):
        run.print(line)
