"""Batches of what the frozen encoders say of a set's posters: encoded once, kept by content, in buckets, in time.

batches = encoded_batches(posters, model, run, config.data)
for batch in run.steps(model, batches):
    x0, condition = model.encode(batch)
"""

from __future__ import annotations

import contextlib
import hashlib
import queue
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from posterkit.data.buckets import BucketedLoader
from posterkit.data.cache import EncoderCache
from posterkit.data.dataset import PosterDataset
from posterkit.data.schema import PosterSample, Region
from posterkit.pipelines.loading import first_line
from posterkit.tasks import TASKS
from posterkit.training.fitting import Plan, fit_sample, move_box, plan_sizes
from posterkit.training.loop import Loader, Run
from posterkit.training.losses import task_group
from posterkit.training.regions import region_shares
from posterkit.training.sets import PosterSet, SetConfig

Lost = dict[str, list[str]]

FAMILIES = {"flux": "postercraft", "qwen": "posteromni"}
_TOGETHER = 16  # posters in memory while they are encoded
_SHOWN = 3  # examples of what was left out, for each reason


class Batch(dict[str, Tensor]):
    """What `model.encode` takes, by name, and whose it is.

    Attributes:
        ids: of the samples.
        tasks: of the samples; all are of one task group.
    """

    def __init__(self, tensors: dict[str, Tensor], ids: list[str], tasks: list[str]) -> None:
        super().__init__(tensors)
        self.ids, self.tasks = ids, tasks

    def to(self, device: torch.device) -> Batch:
        return Batch({name: tensor.to(device) for name, tensor in self.items()}, self.ids, self.tasks)


def encoded_batches(posters: PosterSet, model: Any, run: Run, config: SetConfig, *, regions: bool = False) -> Ahead:
    """Endless batches on the run's device; their order follows from the run's seed and can be resumed anywhere.

    Every poster is encoded once and kept on disk under a hash of its content, in the very cache that
    `data_tools/cache_encoders.py` fills. A batch holds posters of one size and of one task group. All tasks of the set
    are drawn alike often: an epoch has as many samples of each as the largest one has. What is left out is printed.

    Args:
        model: an adapter whose text encoders are frozen.
        regions: batches have `shares`, `(B, S, 3)`, see `posterkit.training.regions.region_shares`.

    Raises:
        ValueError: the model's family does not know a task of the set, or no batch can be filled.
    """
    dataset = posters.train
    family = FAMILIES[model.vae.family]
    _check_tasks(dataset, family)
    plans, lost = plan_sizes(dataset, config.area or model.defaults["native_area"])
    if regions:
        _leave_out_bad_regions(dataset, plans, lost)
    numbers = sorted(plans)
    key = {"family": family, "text": "states", "model": model.fingerprint()}
    cache = EncoderCache(config.cache or run.folder / "cache", key, [plans[number].name for number in numbers])
    part = run.accelerator.process_index, run.accelerator.num_processes
    faults: dict[int, str] = {}
    with encoders_on(model, run.device):
        cache.fill(
            lambda places: _encode(model, dataset, plans, [numbers[place] for place in places], faults),
            lambda done, count: run.print(f"encoded {done} of {count} posters"),
            part,
        )
    run.accelerator.wait_for_everyone()
    for number in (number for place, number in enumerate(numbers) if not cache.has(place)):
        name = str(dataset.rows[number].get("id", number))
        said = faults.get(number, "another process says why").removeprefix(f"{name}: ")
        lost.setdefault("cannot be encoded", []).append(f"{name}: {said}")
    numbers = [number for place, number in enumerate(numbers) if cache.has(place)]
    cache.names = [plans[number].name for number in numbers]
    encoded = EncodedPosters(dataset, cache, plans, numbers, regions)
    order = even_tasks([str(dataset.rows[number]["task"]) for number in numbers])
    shapes = [model.bucket(row) for row in cache.shapes()]
    kinds = [(task_group(dataset.rows[numbers[place]]["task"]), shapes[place]) for place in order]
    loader = BucketedLoader(
        _Order(encoded, order),
        kinds,
        run.config.batch_size,
        lambda rows: _collate(model, rows),
        run.config.seed,
        *part,
    )
    _report(run, dataset, loader, [numbers[place] for place in order], plans, lost)
    return Ahead(loader, run.device, "\n".join(cache.names[place] for place in order))


class EncodedPosters:
    """The encoded posters of a set by number, with their ids, tasks and, where asked for, the shares of their text."""

    def __init__(
        self, dataset: PosterDataset, cache: EncoderCache, plans: dict[int, Plan], numbers: list[int], regions: bool
    ) -> None:
        self.dataset, self.cache, self.plans, self.numbers, self.regions = dataset, cache, plans, numbers, regions

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, place: int) -> tuple[dict[str, Any], dict[str, Tensor], Tensor | None]:
        """The row, what was encoded, and `(S, 3)` shares.

        Raises:
            ValueError: a region lies off its poster.
        """
        row = self.dataset.rows[self.numbers[place]]
        return row, self.cache[place], self._shares(row, self.plans[self.numbers[place]]) if self.regions else None

    def _shares(self, row: dict[str, Any], plan: Plan) -> Tensor:
        found = [Region(tuple(one["box"]), one["role"], "") for one in row.get("regions") or ()]
        if plan.size != plan.original:
            moved = [(move_box(region.box, plan.original, plan.size), region.role) for region in found]
            found = [Region(box, role, "") for box, role in moved if box]
        blank = np.broadcast_to(np.uint8(0), (plan.size.height, plan.size.width, 3))  # its size alone is read
        return region_shares(PosterSample(str(row["id"]), str(row["task"]), blank, regions=found))


class Ahead:
    """A loader whose next batches a thread reads and moves to the device while the model works on this one.

    Its position is that of the batches which were handed out, not of those which were read.

    Args:
        loader: batches of CPU tensors.
        content: what the positions mean; a run does not go on over another set.
        depth: batches read ahead.
    """

    def __init__(self, loader: BucketedLoader, device: torch.device, content: str, depth: int = 2) -> None:
        self.loader, self.device, self.depth = loader, device, depth
        self.content = hashlib.sha256(content.encode()).hexdigest()[:16]
        self._position = loader.state_dict()

    def __iter__(self) -> Iterator[Batch]:
        ready: queue.Queue[tuple[Any, dict[str, int]]] = queue.Queue(self.depth)
        ended = threading.Event()
        self.loader.load_state_dict(self._position)

        def read() -> None:
            try:
                for batch in self.loader:
                    item = batch.to(self.device), self.loader.state_dict()
                    while not ended.is_set():
                        with contextlib.suppress(queue.Full):
                            ready.put(item, timeout=0.1)
                            break
                    if ended.is_set():
                        return
            except BaseException as fault:  # to be raised where the batch is asked for
                ready.put((fault, {}))

        reader = threading.Thread(target=read, daemon=True)
        reader.start()
        try:
            while True:
                batch, position = ready.get()
                if isinstance(batch, BaseException):
                    raise batch
                self._position = position
                yield batch
        finally:
            ended.set()
            reader.join()  # a thread inside torch when Python ends takes the program down

    def state_dict(self) -> dict[str, Any]:
        return {**self._position, "content": self.content}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on at a position.

        Raises:
            SystemExit: it is one of another set.
        """
        if state.get("content") != self.content:
            raise SystemExit("posterkit: the set is not the one that this run began with; take another run_dir")
        self._position = {name: state[name] for name in ("epoch", "position")}


class Mixture:
    """Batches of a second loader between those of the first, evenly spread: text rendering beside the tasks.

    Which loader a step takes hangs on its number alone, so that all processes take the same one.

    Args:
        share: of steps that take the second loader, in [0, 1].
    """

    def __init__(self, first: Loader, second: Loader, share: float) -> None:
        if not 0 <= share <= 1:
            raise ValueError(f"a share lies in [0, 1], got {share}")
        self.first, self.second, self.share = first, second, share
        self.step = 0

    def __iter__(self) -> Iterator[Any]:
        loaders = iter(self.first), iter(self.second)
        while True:
            takes_second = int((self.step + 1) * self.share + 1e-9) > int(self.step * self.share + 1e-9)
            self.step += 1
            yield next(loaders[takes_second])

    def state_dict(self) -> dict[str, Any]:
        return {"step": self.step, "first": self.first.state_dict(), "second": self.second.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.step = state["step"]
        self.first.load_state_dict(state["first"])
        self.second.load_state_dict(state["second"])


def even_tasks(tasks: Sequence[str], seed: int = 0) -> list[int]:
    """Sample numbers in which every task stands as often as the most frequent one: the others are repeated.

    Every sample is repeated alike often, but for a rest that is drawn.
    """
    of_task: dict[str, list[int]] = {}
    for number, task in enumerate(tasks):
        of_task.setdefault(task, []).append(number)
    most, random = max(map(len, of_task.values()), default=0), np.random.default_rng(seed)
    even: list[int] = []
    for numbers in of_task.values():
        times, rest = divmod(most, len(numbers))
        even += numbers * times + random.permutation(numbers)[:rest].tolist()
    return sorted(even)


@contextlib.contextmanager
def encoders_on(model: Any, device: torch.device) -> Iterator[None]:
    """Autoencoder and frozen text encoders on the device for a while; else they leave its memory to what trains."""
    parts = [model.vae.module, *model.readers]
    before = [next(part.parameters()).device for part in parts]
    try:
        for part in parts:
            part.to(device)
        yield
    finally:
        for part, home in zip(parts, before, strict=True):
            part.to(home)


class _Order(Sequence[Any]):
    """A data set in another order, some of it more than once."""

    def __init__(self, dataset: EncodedPosters, order: list[int]) -> None:
        self.dataset, self.order = dataset, order

    def __len__(self) -> int:
        return len(self.order)

    def __getitem__(self, place: int) -> Any:
        return self.dataset[self.order[place]]


def _check_tasks(dataset: PosterDataset, family: str) -> None:
    known = ("text",) if family == "postercraft" else ("text", *TASKS)
    for task in sorted({str(row.get("task")) for row in dataset.rows}):
        if task not in known:
            raise ValueError(
                f"{dataset.index}: holds samples of {task}; {family} learns {', '.join(known)}; see data.tasks"
            )


@torch.no_grad()
def _encode(
    model: Any, dataset: PosterDataset, plans: dict[int, Plan], numbers: list[int], faults: dict[int, str]
) -> list[dict[str, Tensor] | None]:
    """What the encoders say of some rows, many at a time; None, and why, of one that cannot be encoded."""
    if len(numbers) > _TOGETHER:
        parts = [numbers[i : i + _TOGETHER] for i in range(0, len(numbers), _TOGETHER)]
    else:
        try:
            return model.precompute([fit_sample(dataset[number], plans[number].size) for number in numbers])
        except (OSError, ValueError, KeyError, TypeError) as fault:
            if len(numbers) == 1:
                faults[numbers[0]] = first_line(fault)
                return [None]
        parts = [[number] for number in numbers]
    return [one for part in parts for one in _encode(model, dataset, plans, part, faults)]


def _collate(model: Any, rows: list[tuple[dict[str, Any], dict[str, Tensor], Tensor | None]]) -> Batch:
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
            said = f"{dataset.rows[number].get('id', number)}: {region.get('box')} on {plan.original}"
            lost.setdefault("a region is no box on the poster", []).append(said)
            del plans[number]
            break


def _report(
    run: Run, dataset: PosterDataset, loader: BucketedLoader, numbers: list[int], plans: dict[int, Plan], lost: Lost
) -> None:
    """How many posters each bucket holds, and what no step will see and why.

    Args:
        numbers: rows in the loader's order.
    """
    run.print(f"{dataset.index}: {len(dataset)} rows, {len(loader.plan(0))} batches an epoch")
    counts: Counter[str] = Counter()
    waiting: Counter[str] = Counter()
    for kind, members in loader.members.items():
        rows = [numbers[place] for place in members]
        name = f"{plans[rows[0]].size} {task_group(dataset.rows[rows[0]]['task'])}"
        if len(members) < loader.batch_size * loader.world:
            lost.setdefault("their bucket fills no batch", []).extend(str(dataset.rows[row].get("id")) for row in rows)
        else:
            counts[name] += len(members)
            waiting[name] += loader.dropped.get(kind, 0)
    for name, count in sorted(counts.items()):
        run.print(f"  {name}: {count} posters" + (f", {waiting[name]} wait in each epoch" if waiting[name] else ""))
    for reason, found in sorted(lost.items()):
        more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
        run.print(f"  left out, {reason}: {len(found)} ({'; '.join(found[:_SHOWN])}{more})")
