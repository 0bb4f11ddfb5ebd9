"""What every engine does with rows: draw, finish, write; each becomes a line of the ledger."""

from __future__ import annotations

import ctypes
import errno
import os
import time
from collections.abc import Callable, Collection, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from posterkit.batch.ledger import LedgerEntry
from posterkit.generate.choose import Made
from posterkit.generate.maker import PosterMaker, Prepared
from posterkit.generate.metadata import is_foreign, record_id
from posterkit.generate.poster_plan import PosterPlan
from posterkit.generate.record import FinishedPoster
from posterkit.generate.safety_checks import decisions_of
from posterkit.messages import error_line
from posterkit.typeset.export_options import DEFAULTS, ExportOptions

TRIMMED = 8  # rows after which freed memory goes back to the system
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)  # nothing more can be written
_UNSAFE = (errno.EACCES, errno.EPERM, errno.EIO, errno.ESTALE)  # of one file, or of them all


class FolderLost(Exception):
    """Nothing can be written in the output folder any more; the rows that are left are not tried."""


@dataclass(frozen=True)
class Files:
    """What is written of each poster: its result, and the same beside it in other forms."""

    also: tuple[str, ...] = ()  # the endings of the further files, see `posterkit.typeset.exporters.EXPORTERS`
    how: ExportOptions = DEFAULTS

    def beside(self, path: Path) -> list[Path]:
        others = (path.with_suffix(ending) for ending in self.also)
        return [other for other in others if other != path]

    def write(self, poster: FinishedPoster, path: Path, made_as: str, taken: Collection[Path]) -> list[str]:
        """Write them; notes on those that are left out since another file has their name."""
        poster.save(path, how=self.how)
        notes = []
        for other in self.beside(path):
            if other in taken:
                notes.append(f"{other} is another row's result; it is not written beside this poster")
            elif is_foreign(other) or record_id(other) not in (None, made_as):
                notes.append(f"{other} is there already and is another file; it is left as it is")
            else:
                poster.save(other, how=self.how)
        return notes


PNG_ALONE = Files()


@dataclass(frozen=True)
class Job:
    """A row that is to be made."""

    number: int  # of the row, counted from 0
    plan: PosterPlan  # its request's `out` is the name that its poster takes
    taken: frozenset[Path] = frozenset()  # files beside it that are results of other rows
    inputs: tuple[tuple[Path, int, int], ...] = ()  # its files, their sizes and times when it was planned

    @property
    def out(self) -> str:
        assert self.plan.request.out is not None
        return self.plan.request.out


@dataclass(frozen=True)
class DrawnRows:
    """Rows that are drawn, each with what finishes it, or why it cannot be drawn."""

    jobs: Sequence[Job]
    finish: Sequence[Callable[[], Made]]
    seconds: float  # of each
    notes: list[str] = field(default_factory=list)  # how they were drawn, where memory was short


class BatchWorker:
    """Makes rows with one maker; the same row becomes the same bytes, whatever stands beside it.

    Args:
        out: the output folder.
        at_once: rows drawn in one call of the pipeline; more than one may change last bits.
    """

    def __init__(self, maker: PosterMaker, out: Path, files: Files = PNG_ALONE, at_once: int = 1) -> None:
        self.maker, self.out, self.files, self.at_once = maker, out, files, at_once
        self._written_rows = 0

    def prepare(self, jobs: Sequence[Job]) -> list[Prepared]:
        """Read the rows' pictures."""
        return self.maker.prepare([job.plan for job in jobs])

    def draw(self, jobs: Sequence[Job], prepared: Sequence[Prepared]) -> list[DrawnRows]:
        """Draw rows that go together; where that fails, one by one.

        Raises:
            ValueError: the model cannot be loaded, which is no row's fault.
        """
        began = time.perf_counter()
        self.maker.pipeline(jobs[0].plan.request.task)
        notes: list[str] = []
        try:
            if len(jobs) > 1:
                finish = self.maker.draw(prepared, self.at_once)
            else:
                finish, notes = self._drawn(prepared)
        except Exception as error:
            if len(jobs) > 1:
                return [drawn for job, one in zip(jobs, prepared, strict=True) for drawn in self.draw([job], [one])]
            finish = [_failing(error)]
        return [DrawnRows(jobs, finish, (time.perf_counter() - began) / len(jobs), notes)]

    def finish(self, drawn: DrawnRows) -> list[tuple[Job, LedgerEntry]]:
        """Typeset, check and write rows; what became of each.

        Raises:
            OSError: the disk is full.
            FolderLost: nothing can be written in the output folder any more.
        """
        found = []
        for job, finish in zip(drawn.jobs, drawn.finish, strict=True):
            found.append((job, self._written(job, finish, drawn)))
            self._written_rows += 1
            if self._written_rows % TRIMMED == 0:
                trim_memory()
        return found

    def _drawn(self, prepared: Sequence[Prepared]) -> tuple[list[Callable[[], Made]], list[str]]:
        """Draw one row; its candidates one by one where they fail together, and in less memory where it is full.

        Raises:
            OutOfMemory: nothing helped.
        """
        from posterkit.pipelines.out_of_memory import TILES, free_memory, in_tiles, is_out_of_memory, offload

        (row,) = prepared
        plan = None if isinstance(row, ValueError) else row.plan
        several = plan is not None and plan.best_of > 1
        tries: list[tuple[int | None, int | None, bool]] = [(None, None, False), *[(1, None, False)] * several]
        tries += [*((1, side, False) for side in TILES), (1, TILES[-1], True)]
        said, why = [], ""
        for number, (at_once, side, move) in enumerate(tries):
            pipe = plan and self.maker.pipeline(plan.request.task)
            if move and not (pipe and offload(pipe, self.maker.settings.device)):
                continue
            said = [f"in tiles of {side} pixels"] * bool(side) + ["with layers taking turns on the card"] * move
            with in_tiles(pipe, side) if pipe and side else nullcontext():
                try:
                    return self.maker.draw(prepared, at_once), said
                except Exception as error:
                    if not is_out_of_memory(error) and not (several and number == 0):
                        raise
                    why = error_line(error)
            free_memory()  # the error has gone, and with it what it held
        raise OutOfMemory(f"memory is full, even {' and '.join(said)}: {why}")

    def _written(self, job: Job, finish: Callable[[], Made], drawn: DrawnRows) -> LedgerEntry:
        began, plan = time.perf_counter(), job.plan
        try:
            poster = finish()
        except Exception as error:
            poster = error
        if isinstance(poster, FinishedPoster) and (gone := _changed(job)):
            poster = ValueError(f"{gone} changed while the poster was made; the same command makes it anew")
        if isinstance(poster, Exception):
            seconds = drawn.seconds + time.perf_counter() - began
            return replace(entry_of(plan, "failed", error_line(poster), seconds), safety=decisions_of(poster))
        if drawn.notes:
            how = " and ".join(drawn.notes)
            poster.record["drawn"]["memory"] = how
            poster.notes.append(f"memory was short; {job.out} was drawn {how}")
        try:
            notes = self.files.write(poster, self.out / job.out, plan.id, job.taken)
        except (OSError, ValueError) as error:
            if isinstance(error, OSError):
                self._check_folder(error)
            seconds = drawn.seconds + time.perf_counter() - began
            return entry_of(plan, "failed", f"{self.out / job.out}: cannot be written ({error})", seconds)
        entry = chosen(entry_of(plan, "done", seconds=drawn.seconds + time.perf_counter() - began), poster.record)
        entry.notes, entry.safety = [*poster.notes, *notes], decisions_of(poster)
        return entry

    def _check_folder(self, error: OSError) -> None:
        """Raise where it is not one file that cannot be written but all of them."""
        if error.errno in FULL:
            raise error
        if error.errno in _UNSAFE and not os.access(self.out, os.W_OK | os.X_OK):
            raise FolderLost(f"{self.out}: cannot be written any more ({error.strerror})") from error


def trim_memory() -> None:
    """Give what was freed back to the system: the C library keeps it in pieces, more with each picture (glibc)."""
    with suppress(AttributeError, OSError, TypeError):  # another library, or a system without one
        ctypes.CDLL(None).malloc_trim(0)


class OutOfMemory(Exception):
    """A poster does not fit into memory, whatever is done."""


def input_stamps(plan: PosterPlan) -> tuple[tuple[Path, int, int], ...]:
    """The files of a row with their sizes and times of change."""
    found = []
    for path in plan.request.files():
        state = path.stat()
        found.append((path, state.st_size, state.st_mtime_ns))
    return tuple(found)


def entry_of(plan: PosterPlan, status: str, why: str = "", seconds: float | None = None) -> LedgerEntry:
    """The line of a row."""
    rounded = None if seconds is None else round(seconds, 3)
    return LedgerEntry(plan.request.id, plan.request.out, plan.id, plan.request.task, status, why, rounded)


def chosen(entry: LedgerEntry, record: dict[str, Any]) -> LedgerEntry:
    """The line with what a reward chose."""
    kept = record.get("chosen", {})
    return replace(entry, seed=kept.get("seed"), value=kept.get("value"))


def _changed(job: Job) -> Path | None:
    """An input that is not what it was when the row was planned: its hash stands in the poster's record."""
    for path, size, time_ns in job.inputs:
        try:
            state = path.stat()
        except OSError:
            return path
        if (state.st_size, state.st_mtime_ns) != (size, time_ns):
            return path
    return None


def _failing(error: Exception) -> Callable[[], Made]:
    line = error  # kept without its frames, which hold tensors
    line.__traceback__ = None
    return lambda: line
