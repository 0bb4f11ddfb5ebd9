"""How rows get to the maker. One engine so far: this process, one group of rows after the other."""

from __future__ import annotations

import errno
import signal
import time
import warnings
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path
from types import FrameType
from typing import Any, Protocol

from filelock import FileLock, Timeout

from posterkit.batch.contact_sheet import Frame, contact_sheet
from posterkit.batch.ledger import LEDGER, Ledger, LedgerEntry
from posterkit.batch.rows import BadRow
from posterkit.generate.maker import PosterMaker, posters_at_once, together
from posterkit.generate.metadata import is_foreign, read_record, record_id
from posterkit.generate.poster_plan import PosterPlan
from posterkit.generate.record import FinishedPoster, write_png
from posterkit.generate.safety_checks import decisions_of
from posterkit.messages import error_line
from posterkit.pipelines.registry import family_for
from posterkit.schema import PosterRequest
from posterkit.tasks import TEXT

SHEET = "contact_sheet.png"
LOCK = ".posterkit.lock"  # in the output folder, held while a batch writes there
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)  # nothing more can be written
ON_SHEET = 400  # posters; more become stamps
Row = PosterRequest | BadRow
Pending = Sequence[tuple[int, PosterPlan]]


@dataclass(frozen=True)
class Files:
    """What is written of each poster: its result, and the same beside it as `.svg`, `.pdf` or `.psd`."""

    also: tuple[str, ...] = ()  # the endings of the further files
    dpi: int | None = None  # pixels an inch of a PDF or PSD
    results: frozenset[Path] = frozenset()  # of rows, whose place nothing beside another result takes

    def beside(self, path: Path) -> list[Path]:
        others = (path.with_suffix(ending) for ending in self.also)
        return [other for other in others if other != path and other not in self.results]

    def write(self, poster: FinishedPoster, path: Path, made_as: str) -> list[str]:
        """Write them; notes on those that are left out since another file has their name."""
        poster.save(path, self.dpi)
        notes = []
        for other in (path.with_suffix(ending) for ending in self.also if ending != path.suffix):
            if other in self.results:
                notes.append(f"{other} is another row's result; it is not written beside this poster")
            elif is_foreign(other) or record_id(other) not in (None, made_as):
                notes.append(f"{other} is there already and is another file; it is left as it is")
            else:
                poster.save(other, self.dpi)
        return notes


@dataclass
class BatchResult:
    """What a run did: rows made now, done before and failed; those left, and why; its sheet."""

    made: int = 0
    before: int = 0
    failed: list[LedgerEntry] = field(default_factory=list)
    left: int = 0
    full: bool = False  # the disk, so that rows are left; else somebody pressed Ctrl-C
    sheet: Path | None = None


class Reporter(Protocol):
    """Shows the progress of a run."""

    def start(self, rows: int, before: int) -> None: ...
    def row(self, entry: LedgerEntry) -> None: ...
    def stopping(self) -> None: ...


def run_local(
    rows: Sequence[Row],
    maker: PosterMaker,
    out: Path,
    reporter: Reporter,
    seed: int = 0,
    at_once: int | None = None,
    files: Files = Files(),
) -> BatchResult:
    """Make every row that is not made yet; one that fails costs only itself, and no file of the user's is replaced.

    Args:
        out: the output folder; gets the posters, the ledger and the contact sheet.
        seed: see `make_plan`.
        at_once: posters drawn in one call; None: 8 for a checkpoint that draws small, else 1.
        files: what is written of each poster.

    Raises:
        ValueError: the model or the reward cannot be found or loaded, or the ledger's name is that of another file.
        OSError: nobody answers where the reward is served.
    """
    if chosen := {row.task for row in rows if isinstance(row, PosterRequest) and (row.best_of or 1) > 1}:
        maker.scorer(chosen)  # a reward that cannot choose is no row's fault
    out.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(out / LOCK, timeout=0):
            return _Run(rows, maker, out, reporter, at_once, files).finished(seed)
    except Timeout:
        why = "another batch is at work in this folder; wait for it, or choose another -o"
        raise ValueError(f"{out}: {why}") from None


@dataclass
class _Run:
    """One run over the rows while it goes on."""

    rows: Sequence[Row]
    maker: PosterMaker
    out: Path
    reporter: Reporter
    at_once: int | None
    files: Files

    def __post_init__(self) -> None:
        requests = [row for row in self.rows if isinstance(row, PosterRequest)]
        self.files = replace(self.files, results=frozenset(self.out / row.out for row in requests if row.out))
        self.inputs = {path.resolve() for row in requests for path in _files(row)}
        self.ledger = Ledger(self.out / LEDGER)
        self.result = BatchResult()
        self.entries: list[LedgerEntry | None] = [None] * len(self.rows)

    def finished(self, seed: int) -> BatchResult:
        """Make what is to be made, put the ledger in order, lay out the sheet."""
        with _disk_may_fill(self.result):
            pending = self._pending(seed)
            self.reporter.start(len(pending), self.result.before)
            if pending:
                self._make(pending)
        self.result.left = sum(entry is None for entry in self.entries)
        known = [entry for entry in self.entries if entry is not None]
        with _disk_may_fill(self.result):
            self.ledger.rewrite(known)
            done = [
                (row, one) for row, one in zip(self.rows, self.entries, strict=True) if one and one.status == "done"
            ]
            self.result.sheet = _write_sheet(done, self.out, self.inputs)
        return self.result

    def _pending(self, seed: int) -> list[tuple[int, PosterPlan]]:
        """The rows that are not made yet, each with the name that its poster takes."""
        taken = {row.out.lower(): row.id for row in self.rows if isinstance(row, PosterRequest) and row.out}
        pending: list[tuple[int, PosterPlan]] = []
        for index, plan in enumerate(_plans(self.rows, self.maker, seed)):
            if isinstance(plan, LedgerEntry):
                self._settle(index, plan)
                continue
            name, made = _place(plan, self.out, taken, self.inputs, self.files)
            taken[name.lower()] = plan.request.id
            plan = replace(plan, request=replace(plan.request, out=name))
            if made:
                # a line that a sudden end kept from the ledger is made up for here
                known = self.ledger.done(plan.id, name)
                known = known or _chosen(_entry(plan, "done"), read_record(self.out / name))
                self.entries[index] = replace(known, row=plan.request.id)
                self.result.before += 1
            elif why := _in_the_way(self.out / name, self.inputs):
                self._settle(index, _entry(plan, "failed", why))
            else:
                pending.append((index, plan))
        return pending

    def _make(self, pending: Pending) -> None:
        with _until_interrupted(self.reporter) as interrupted:
            for group in _groups(pending, self.at_once):
                if interrupted():
                    return
                at_once = self.at_once or posters_at_once(group[0][1])
                for index, entry in _make(group, self.maker, self.out, at_once, self.files):
                    row = self.rows[index]
                    if entry.status == "done" and isinstance(row, PosterRequest) and row.out != entry.out:
                        entry.notes.append(f"{row.out} is another poster; this one is {entry.out}")
                    self._settle(index, entry)

    def _settle(self, index: int, entry: LedgerEntry) -> None:
        self.entries[index] = entry
        self.ledger.add(entry)
        if entry.status == "failed":
            self.result.failed.append(entry)
        else:
            self.result.made += 1
        self.reporter.row(entry)


@contextmanager
def _disk_may_fill(result: BatchResult) -> Iterator[None]:
    """A full disk ends the work under it and is noted; every other error goes on."""
    try:
        yield
    except OSError as error:
        if error.errno not in FULL:
            raise
        result.full = True


def _place(
    plan: PosterPlan, out: Path, taken: Collection[str], inputs: Collection[Path], files: Files
) -> tuple[str, bool]:
    """The name that a poster takes, and whether it is there already.

    Its own name; -2, -3 behind it where another poster has that already, so that no poster is ever written over.
    """
    first = Path(_name(plan))
    for number in count(1):
        name = first.as_posix() if number == 1 else first.with_stem(f"{first.stem}-{number}").as_posix()
        if number > 1 and name.lower() in taken:
            continue
        found = record_id(out / name)
        if found == plan.id:
            return name, all(is_foreign(path) or record_id(path) is not None for path in files.beside(out / name))
        if found is None or (out / name).resolve() in inputs:
            return name, False
    raise AssertionError


def _plans(rows: Sequence[Row], maker: PosterMaker, seed: int) -> Iterator[PosterPlan | LedgerEntry]:
    families = {family_for(row.task).name: row.task for row in rows if isinstance(row, PosterRequest)}
    if len(families) > 1 and maker.settings.model not in (None, "mini"):
        raise ValueError(
            f"--model {maker.settings.model} makes text posters or image tasks; these rows are of both kinds"
        )
    for task in families.values():
        maker.checkpoint(task)  # a model that cannot be found is no row's fault
    for row in rows:
        if isinstance(row, BadRow):
            yield LedgerEntry(row.id, None, None, None, "failed", row.why)
            continue
        try:
            yield maker.plan(row, seed)
        except ValueError as error:
            yield LedgerEntry(row.id, row.out, None, row.task, "failed", str(error), safety=decisions_of(error))


def _groups(pending: Pending, at_once: int | None) -> Iterator[list[tuple[int, PosterPlan]]]:
    """Rows that go through the pipeline together; text rows first, so that each model is loaded once."""
    groups: dict[Any, list[tuple[int, PosterPlan]]] = {}
    for index, plan in sorted(pending, key=lambda item: (item[1].request.task != TEXT, item[0])):
        groups.setdefault(together(plan), []).append((index, plan))
    for group in groups.values():
        plan = group[0][1]
        size = max(1, (at_once or posters_at_once(plan)) // plan.best_of)
        for first in range(0, len(group), size):
            yield group[first : first + size]


def _make(
    group: Pending, maker: PosterMaker, out: Path, at_once: int, files: Files
) -> Iterator[tuple[int, LedgerEntry]]:
    """Make and write a group; where the group fails its rows are tried one by one, poster by poster."""
    began = time.perf_counter()
    plans = [plan for _, plan in group]
    maker.pipeline(plans[0].request.task)  # outside the rows' own troubles
    try:
        made = maker.make(plans, at_once)
    except Exception as error:
        if isinstance(error, OSError) and error.errno in FULL:
            raise
        if len(group) * min(at_once, plans[0].best_of) == 1:
            yield group[0][0], _entry(plans[0], "failed", error_line(error), time.perf_counter() - began)
            return
        for one in group:
            yield from _make([one], maker, out, 1, files)
        return
    seconds = (time.perf_counter() - began) / len(group)
    for (index, plan), poster in zip(group, made, strict=True):
        if isinstance(poster, Exception):
            failed = _entry(plan, "failed", error_line(poster), seconds)
            yield index, replace(failed, safety=decisions_of(poster))
            continue
        try:
            notes = files.write(poster, out / _name(plan), plan.id)
        except (OSError, ValueError) as error:
            if isinstance(error, OSError) and error.errno in FULL:
                raise
            yield index, _entry(plan, "failed", f"{out / _name(plan)}: cannot be written ({error})", seconds)
            continue
        entry = _chosen(_entry(plan, "done", seconds=seconds), poster.record)
        entry.notes, entry.safety = [*poster.notes, *notes], decisions_of(poster)
        yield index, entry


def _files(row: PosterRequest) -> list[Path]:
    return [Path(source) for source in (*row.images, row.mask) if isinstance(source, str | Path)]


def _in_the_way(target: Path, inputs: Collection[Path]) -> str | None:
    """Why a file must not be replaced: it is the user's own."""
    if target.exists() and target.resolve() in inputs:
        return f"its result {target} is an input of this run; choose another -o or out"
    if is_foreign(target):
        return f"its result {target} is there already and is no poster of posterkit; choose another -o or out"
    return None


def _write_sheet(done: Sequence[tuple[Row, LedgerEntry]], out: Path, inputs: Collection[Path]) -> Path | None:
    frames = [
        Frame(out / entry.out, Path(entry.out).stem, _under(entry, row, out), _files(replace(row, mask=None)))
        for row, entry in done[:ON_SHEET]
        if entry.out and isinstance(row, PosterRequest)
    ]
    if not frames:
        return None
    if (out / SHEET).resolve() in inputs or is_foreign(out / SHEET):
        warnings.warn(f"{out / SHEET} is a file of yours; no contact sheet is written", stacklevel=2)
        return None
    write_png(contact_sheet(frames), out / SHEET)
    return out / SHEET


@contextmanager
def _until_interrupted(reporter: Reporter) -> Iterator[Any]:
    """The first Ctrl-C asks to stop after the current posters, the second stops at once."""
    stopping = False

    def ask(number: int, frame: FrameType | None) -> None:
        nonlocal stopping
        if stopping:
            raise KeyboardInterrupt
        stopping = True
        reporter.stopping()

    previous = signal.signal(signal.SIGINT, ask)
    try:
        yield lambda: stopping
    finally:
        signal.signal(signal.SIGINT, previous)


def _name(plan: PosterPlan) -> str:
    assert plan.request.out is not None
    return plan.request.out


def _entry(plan: PosterPlan, status: str, why: str = "", seconds: float | None = None) -> LedgerEntry:
    rounded = None if seconds is None else round(seconds, 3)
    return LedgerEntry(plan.request.id, plan.request.out, plan.id, plan.request.task, status, why, rounded)


def _chosen(entry: LedgerEntry, record: dict[str, Any]) -> LedgerEntry:
    chosen = record.get("chosen", {})
    return replace(entry, seed=chosen.get("seed"), value=chosen.get("value"))


def _under(entry: LedgerEntry, row: PosterRequest, out: Path) -> str:
    """What stands under a poster's name on the sheet: its task, and what it was painted over."""
    said = (entry.task or "").replace("_", " ")
    if Path(entry.out or "").suffix == ".png":
        strength = read_record(out / str(entry.out)).get("row", {}).get("strength")
        said += f", {100 * strength:g} % over a draft" if strength else ", from noise"
    return said if entry.value is None else f"{said}, best of {row.best_of}: {entry.value:.2f}"
