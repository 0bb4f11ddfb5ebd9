"""How rows get to the maker: in this process, one after the other; batches in other processes take their share."""

from __future__ import annotations

import signal
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import FrameType
from typing import Any, Protocol

from posterkit.batch.claims import FolderClaims
from posterkit.batch.contact_page import write_page
from posterkit.batch.contact_sheet import write_sheet
from posterkit.batch.index import Row, RowIndex
from posterkit.batch.ledger import LEDGER, Ledger, LedgerEntry
from posterkit.batch.results import ResultPlaces
from posterkit.batch.rows import BadRow
from posterkit.batch.shard import WHOLE, Shard
from posterkit.batch.worker import FULL, PNG_ALONE, BatchWorker, DrawnRows, Files, FolderLost, Job, chosen, entry_of
from posterkit.generate.maker import PosterMaker, Prepared, together
from posterkit.generate.metadata import read_record
from posterkit.generate.safety_checks import decisions_of
from posterkit.messages import error_line, routed_warnings
from posterkit.pipelines.registry import family_for
from posterkit.schema import PosterRequest

_NAMED = 100  # failed rows that a result lists
_AHEAD = 2  # groups that are being written while the next is drawn
_WAIT = 0.2  # seconds between looks at rows that another batch makes


@dataclass
class BatchResult:
    """What a run did: rows made now, done before, made by another batch at work, failed; those left, and why."""

    made: int = 0
    before: int = 0
    elsewhere: int = 0
    failures: int = 0
    failed: list[LedgerEntry] = field(default_factory=list)  # the first hundred
    left: int = 0
    full: bool = False  # the disk, so that rows are left
    lost: str = ""  # why nothing can be written in the folder any more, so that rows are left
    sheet: Path | None = None
    page: Path | None = None

    @property
    def settled(self) -> int:
        return self.made + self.before + self.elsewhere + self.failures


class Reporter(Protocol):
    """Shows the progress of a run."""

    def start(self, rows: int) -> None: ...
    def found(self, before: int) -> None: ...
    def row(self, entry: LedgerEntry) -> None: ...
    def stopping(self) -> None: ...


def run_local(
    rows: Sequence[Row],
    maker: PosterMaker,
    out: Path,
    reporter: Reporter,
    seed: int = 0,
    at_once: int = 1,
    files: Files = PNG_ALONE,
    shard: Shard = WHOLE,
    stopped: Callable[[], bool] = lambda: False,
) -> BatchResult:
    """Make every row that is not made yet; one that fails costs only itself, and no file of the user's is replaced.

    Several batches may work in one folder: each row is made by one of them, and a row whose batch was killed by
    another one.

    Args:
        out: the output folder; gets the posters, the ledger and the contact sheet.
        seed: see `make_plan`.
        at_once: rows drawn in one call of the pipeline. Last bits may then depend on which rows these are.
        files: what is written of each poster.
        shard: the part of the rows that is made here.
        stopped: whether to stop after the current posters, as Ctrl-C does.

    Raises:
        ValueError: the model or the reward cannot be found or loaded, nothing can be written in the folder, or the
            ledger's name is that of another file.
        OSError: nobody answers where the reward is served.
    """
    index = rows if isinstance(rows, RowIndex) else RowIndex.of(rows)
    with open_folder(index, maker, out) as claims:
        return BatchRun(index, maker, out, reporter, claims, seed, at_once, files, shard).finished(stopped)


@contextmanager
def open_folder(index: RowIndex, maker: PosterMaker, out: Path) -> Iterator[FolderClaims]:
    """The claims on a folder that can be written, once the models and the reward are known to be there.

    Raises:
        ValueError, OSError: see `run_local`.
    """
    if index.chooses:
        maker.scorer(index.chooses)  # a reward that cannot choose is no row's fault
    _check_models(index, maker)
    try:
        out.mkdir(parents=True, exist_ok=True)
        claims = FolderClaims(out)
    except OSError as error:
        raise ValueError(f"{out}: cannot be written ({error.strerror}); choose another -o") from None
    with claims:
        claims.sweep()
        yield claims


def _check_models(index: RowIndex, maker: PosterMaker) -> None:
    """ValueError where a model cannot be found, which is no row's fault, or draws only a part of the rows."""
    families = {family_for(task).name: task for task in sorted(index.tasks)}
    if len(families) > 1 and maker.settings.model not in (None, "mini"):
        raise ValueError(
            f"--model {maker.settings.model} makes text posters or image tasks; these rows are of both kinds"
        )
    for task in families.values():
        maker.checkpoint(task)


class BatchRun:
    """One run over a shard's rows while it goes on."""

    def __init__(
        self, index: RowIndex, maker: PosterMaker, out: Path, reporter: Reporter, claims: FolderClaims, seed: int,
        at_once: int, files: Files, shard: Shard,
    ) -> None:  # fmt: skip
        self.index, self.maker, self.out, self.reporter, self.claims = index, maker, out, reporter, claims
        self.seed, self.shard = seed, shard
        self.rows = index.count(shard)
        self.worker = BatchWorker(maker, out, files, at_once)
        self.places = ResultPlaces(index, out, files)
        self.ledger = Ledger(out / LEDGER, claims, index)
        self.result = BatchResult()
        self.busy: list[int] = []  # rows that another batch makes
        self._ended: OSError | FolderLost | None = None  # what ended the writing

    def finished(self, stopped: Callable[[], bool] = lambda: False) -> BatchResult:
        """Make what is to be made, put the ledger in order, lay out the sheet."""
        self.reporter.start(self.rows)
        with self._until_full(), routed_warnings(), _until_interrupted(self.reporter, stopped) as interrupted:
            for window in self.index.windows(self.shard):
                self.make(self._planned(window), interrupted)
            self.flush(interrupted)
            while self.busy and not interrupted():
                busy, self.busy = self.busy, []
                before = self.result.settled
                self.make(self._planned(busy), interrupted)
                self.flush(interrupted)
                if self.result.settled == before:
                    time.sleep(_WAIT)
        self.result.left = self.rows - self.result.settled
        with self._until_full():
            self.ledger.rewrite()
            with self.claims.writing_ledger():
                self.result.sheet = write_sheet(self.index, self.ledger, self.out)
                self.result.page = write_page(self.ledger, self.out)
        return self.result

    def _planned(self, numbers: Iterable[int]) -> list[Job]:
        """The rows that are not made yet; what needs no model is settled."""
        jobs, before = [], self.result.before
        for number in numbers:
            job = self._plan(number)
            if isinstance(job, LedgerEntry):
                self._settle(number, job)
            elif job is not None:
                jobs.append(job)
        if found := self.result.before - before:
            self.reporter.found(found)
        return jobs

    def _plan(self, number: int) -> Job | LedgerEntry | None:
        """A row that is to be made, its line where it cannot be; None where it is made already."""
        row = self.index[number]
        if isinstance(row, BadRow):
            return LedgerEntry(row.id, None, None, None, "failed", row.why)
        try:
            job, made = self.places.job(number, self.maker.plan(row, self.seed))
        except (ValueError, OSError) as error:
            said = error_line(error)
            return LedgerEntry(row.id, row.out, None, row.task, "failed", said, safety=decisions_of(error))
        if made:
            self._note_made(job)
            return None
        why = self.places.in_the_way(job)
        return entry_of(job.plan, "failed", why) if why else job

    def _note_made(self, job: Job) -> None:
        """A poster that is there already: its line, made up for where a sudden end kept it from the ledger."""
        news = self.ledger.news(job.plan.request.id)
        known = self.ledger.done(job.plan.id, job.out)
        known = known or chosen(entry_of(job.plan, "done"), read_record(self.out / job.out))
        self.ledger.note(replace(known, row=job.plan.request.id), job.number)
        if news:
            self.result.elsewhere += 1
            self.reporter.row(news)
        else:
            self.result.before += 1

    def make(self, jobs: Sequence[Job], interrupted: Any) -> None:
        """Draw one group after the other, while the one before is written and the pictures of the next are read."""
        with _thread() as reader, _thread() as writer:
            waiting: deque[tuple[list[Job], Future[list[Prepared]]]] = deque()
            writing: deque[Future[list[tuple[Job, LedgerEntry]]]] = deque()
            groups = self._claimed(jobs)
            while not interrupted():
                while len(waiting) < 2 and (group := next(groups, None)):
                    waiting.append((group, reader.submit(self.worker.prepare, group)))
                if not waiting:
                    break
                group, prepared = waiting.popleft()
                for drawn in self.worker.draw(group, prepared.result()):
                    writing.append(writer.submit(self._written, drawn))
                while writing and (writing[0].done() or len(writing) > _AHEAD):
                    self._settle_all(writing.popleft().result())
            for job in (job for group, _ in waiting for job in group):
                self.claims.give_back(job.out)
            while writing:
                self._settle_all(writing.popleft().result())

    def _written(self, drawn: DrawnRows) -> list[tuple[Job, LedgerEntry]]:
        """Rows finished and written; none once the disk was full or the folder gone."""
        if self._ended is None:
            try:
                return self.worker.finish(drawn)
            except (OSError, FolderLost) as error:
                self._ended = error
        raise self._ended

    def _claimed(self, jobs: Sequence[Job]) -> Iterator[list[Job]]:
        """Rows that go through the pipeline together and that no other batch makes; those of one picture are one."""
        groups: dict[Any, dict[str, list[Job]]] = {}
        for job in jobs:
            groups.setdefault(together(job.plan), {}).setdefault(job.plan.drawing, []).append(job)
        for group in groups.values():
            claimed: list[list[Job]] = []
            for picture in group.values():
                if ours := [job for job in picture if self._claim(job)]:
                    claimed.append(ours)
                if claimed and len(claimed) >= max(1, self.worker.at_once // claimed[0][0].plan.best_of):
                    yield [job for one in claimed for job in one]
                    claimed = []
            if claimed:
                yield [job for one in claimed for job in one]

    def _claim(self, job: Job) -> bool:
        """Whether the row is ours to make; one that another batch has settled meanwhile is settled here too."""
        if not self.claims.take(job.out):
            self.busy.append(job.number)
            return False
        now, made = self.places.job(job.number, job.plan)
        news = self.ledger.news(job.plan.request.id)
        if not made and now.out == job.out and (news is None or news.status == "done"):
            return True
        self.claims.give_back(job.out)
        if made:
            self._note_made(now)
        elif news is not None and news.status == "failed":
            self.ledger.note(news, job.number)
            self._count(news)
        else:  # another poster has taken the name
            self.busy.append(job.number)
        return False

    def flush(self, interrupted: Any) -> None:
        """Make what `make` has put off; nothing here."""

    def _settle_all(self, entries: Iterable[tuple[Job, LedgerEntry]]) -> None:
        for job, entry in entries:
            self.settle_made(job.number, entry)
            self.claims.give_back(job.out)

    def settle_made(self, number: int, entry: LedgerEntry) -> None:
        """Write the line of a row that was made, or could not be."""
        row = self.index[number]
        if entry.status == "done" and isinstance(row, PosterRequest) and row.out != entry.out:
            entry.notes.append(f"{row.out} is another poster; this one is {entry.out}")
        self._settle(number, entry)

    def _settle(self, number: int, entry: LedgerEntry) -> None:
        self.ledger.add(entry, number)
        self._count(entry)

    def _count(self, entry: LedgerEntry) -> None:
        if entry.status == "failed":
            self.result.failures += 1
            if len(self.result.failed) < _NAMED:
                self.result.failed.append(entry)
        else:
            self.result.made += 1
        self.reporter.row(entry)

    @contextmanager
    def _until_full(self) -> Iterator[None]:
        """A full disk, or a folder that is gone, ends the work under it and is noted; every other error goes on."""
        try:
            yield
        except FolderLost as error:
            self.result.lost = str(error)
        except OSError as error:
            if error.errno not in FULL:
                raise
            self.result.full = True
        except sqlite3.OperationalError as error:
            if "full" not in str(error):
                raise
            self.result.full = True


@contextmanager
def _thread() -> Iterator[ThreadPoolExecutor]:
    """A thread for one thing after the other; what has not begun when the block ends is left."""
    pool = ThreadPoolExecutor(1)
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


@contextmanager
def _until_interrupted(reporter: Reporter, stopped: Callable[[], bool]) -> Iterator[Any]:
    """The first Ctrl-C, or SIGTERM, asks to stop after the current posters, the second stops at once."""
    stopping = False

    def ask(number: int, frame: FrameType | None) -> None:
        nonlocal stopping
        if stopping:
            raise KeyboardInterrupt
        stopping = True
        reporter.stopping()

    if threading.current_thread() is not threading.main_thread():
        yield stopped
        return
    previous = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: stopping or stopped()
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
