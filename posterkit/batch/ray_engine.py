"""Batches on Ray Data: a fixed pool of actors, each with a model of its own; the driver plans and keeps the ledger."""

from __future__ import annotations

import errno
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from posterkit.batch.claims import FolderClaims
from posterkit.batch.engines import BatchResult, BatchRun, Reporter, open_folder
from posterkit.batch.index import Parse, Row, RowIndex
from posterkit.batch.ledger import LedgerEntry
from posterkit.batch.rows import BadRow
from posterkit.batch.shard import WHOLE, Shard
from posterkit.batch.worker import FULL, PNG_ALONE, BatchWorker, Files, FolderLost, Job, chosen, entry_of, input_stamps
from posterkit.generate.maker import PosterMaker
from posterkit.generate.metadata import read_record, record_id

TOLERATED = 20  # blocks that may fail for the cluster's own reasons before the run ends
_BLOCKS = 1000  # a row each, or a thousandth of the rows


@dataclass(frozen=True)
class RayPool:
    """The pool that makes a batch's rows."""

    actors: int = 2  # how many, each with its own model; fixed, since pools with cards do not grow and shrink well
    cards: float = 0.0  # of each, may be a part of one
    cores: float = 1.0  # of each. One of the cluster's has to stay free, or Ray has none to read rows with
    address: str | None = None  # of a running cluster; None starts one on this machine


def run_ray(
    rows: Sequence[Row],
    settings: dict[str, Any],
    out: Path,
    reporter: Reporter,
    seed: int = 0,
    files: Files = PNG_ALONE,
    shard: Shard = WHOLE,
    pool: RayPool = RayPool(),
) -> BatchResult:
    """As `posterkit.batch.engines.run_local`, by a pool of Ray's; the same rows become the same bytes.

    An actor that dies is started anew and its row made again. All pending rows are in the driver's memory, about a
    kilobyte each.

    Args:
        settings: of `PosterMaker`.
        out: a folder that every machine of the cluster can write under this name.

    Raises:
        ValueError: Ray is not installed; and as `run_local`.
    """
    try:
        import ray  # noqa: F401  # pyright: ignore[reportMissingImports] - an extra
    except ImportError:
        raise ValueError('--engine ray needs pip install "posterkit[batch]"') from None
    index = rows if isinstance(rows, RowIndex) else RowIndex.of(rows)
    with PosterMaker(**settings) as maker, open_folder(index, maker, out) as claims:
        return _RayRun(pool, settings, index, maker, out, reporter, claims, seed, 1, files, shard).finished()


class _RayRun(BatchRun):
    """The driver's side: rows are planned here, made in the pool, and settled here."""

    def __init__(self, pool: RayPool, settings: dict[str, Any], *of_any: Any) -> None:
        super().__init__(*of_any)
        self.pool, self.settings = pool, settings
        self.pending: list[dict[str, Any]] = []

    def make(self, jobs: Sequence[Job], interrupted: Any) -> None:
        for job in jobs:
            row = self.index[job.number]
            self.pending.append({
                "number": job.number, "name": row.id, "first": getattr(row, "out", None), "out": job.out,
                "taken": [str(path) for path in job.taken], "raw": self.index.raw(job.number),
            })  # fmt: skip

    def flush(self, interrupted: Any) -> None:
        rows, self.pending = self.pending, []
        if not rows or interrupted():
            return
        import torch

        made_with = (self.settings, self.index.parse, str(self.out), self.worker.files, self.seed)
        with _dataset(rows, self.pool, made_with, torch.get_num_threads()) as results:
            for result in results:
                said = json.loads(result["said"])
                if "full" in said:
                    raise OSError(errno.ENOSPC, said["full"])
                if "lost" in said:
                    raise FolderLost(said["lost"])
                if "busy" in said:
                    self.busy.append(result["number"])
                else:
                    self.settle_made(result["number"], LedgerEntry(**said))
                if interrupted():
                    return


@contextmanager
def _dataset(
    rows: list[dict[str, Any]], pool: RayPool, made_with: tuple[Any, ...], threads: int
) -> Iterator[Iterator[dict[str, Any]]]:
    """The pool's results, each as soon as it is there."""
    import ray  # pyright: ignore[reportMissingImports]
    import ray.data  # pyright: ignore[reportMissingImports]

    started = not ray.is_initialized()
    cores = None if pool.address else round(pool.actors * pool.cores) + 1
    ray.init(pool.address, num_cpus=cores, include_dashboard=False, log_to_driver=False, ignore_reinit_error=True)
    try:
        context = ray.data.DataContext.get_current()
        context.enable_progress_bars = False
        context.max_errored_blocks = TOLERATED
        items = [{"row": json.dumps(row)} for row in rows]
        made = ray.data.from_items(items, override_num_blocks=min(len(items), _BLOCKS)).map_batches(
            RayWorker, compute=ray.data.ActorPoolStrategy(size=min(pool.actors, len(items))), batch_size=1,
            num_cpus=pool.cores, num_gpus=pool.cards, fn_constructor_args=(*made_with, threads),
        )  # fmt: skip
        yield iter(made.iter_rows())
    finally:
        if started:
            ray.shutdown()


class RayWorker:
    """One actor: makes rows with its own maker.

    Args:
        settings: of the maker.
        parse: makes a row's request, see `RowIndex`.
        threads: of PyTorch; Ray's own number would sum in another order, and change last bits.
    """

    def __init__(
        self, settings: dict[str, Any], parse: Parse, out: str, files: Files, seed: int, threads: int
    ) -> None:
        import torch

        torch.set_num_threads(threads)
        self.maker, self.parse, self.out, self.seed = PosterMaker(**settings), parse, Path(out), seed
        self.worker = BatchWorker(self.maker, self.out, files)
        self.claims = FolderClaims(self.out)

    def __call__(self, block: dict[str, Any]) -> dict[str, list[Any]]:
        rows = [json.loads(row) for row in block["row"]]
        return {"number": [row["number"] for row in rows], "said": [json.dumps(self._said(row)) for row in rows]}

    def _said(self, row: dict[str, Any]) -> dict[str, Any]:
        """A row's line, or why there is none: another batch makes it, or nothing can be written any more."""
        if not self.claims.take(row["out"]):
            return {"busy": True}
        try:
            return asdict(self._entry(row))
        except FolderLost as error:
            return {"lost": str(error)}
        except OSError as error:
            if error.errno not in FULL:
                raise
            return {"full": str(error)}
        finally:
            self.claims.give_back(row["out"])

    def _entry(self, row: dict[str, Any]) -> LedgerEntry:
        request = self.parse(row["raw"], row["name"])
        if isinstance(request, BadRow):
            return LedgerEntry(request.id, None, None, None, "failed", request.why)
        plan = self.maker.plan(replace(request, out=row["first"]), self.seed)
        plan = replace(plan, request=replace(plan.request, out=row["out"]))
        if record_id(self.out / row["out"]) == plan.id:  # by an actor that died before it could say so
            return chosen(entry_of(plan, "done"), read_record(self.out / row["out"]))
        job = Job(row["number"], plan, frozenset(map(Path, row["taken"])), input_stamps(plan))
        (drawn,) = self.worker.draw([job], self.worker.prepare([job]))
        ((_, entry),) = self.worker.finish(drawn)
        return entry
