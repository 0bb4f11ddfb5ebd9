"""How rows get to the worker. One engine so far: this process, one group of rows after the other."""

from __future__ import annotations

import json
import signal
import time
import warnings
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from types import FrameType
from typing import Any, Protocol

from posterkit.batch.contact_sheet import Frame, contact_sheet
from posterkit.generate.choose import Scorer, draw_best
from posterkit.generate.metadata import is_foreign, read_record, record_id, write_png
from posterkit.generate.plan import Plan, kind_of
from posterkit.generate.request import Fault, Job
from posterkit.generate.worker import Inputs, Worker, posters_at_once, together
from posterkit.image_io import written_whole
from posterkit.messages import error_line

LEDGER, SHEET = "ledger.jsonl", "contact_sheet.png"
ON_SHEET = 400  # posters; more become stamps


@dataclass
class Entry:
    """A row's line in the ledger; the kept seed and its value where a reward chose from several."""

    row: str
    out: str | None
    id: str | None
    task: str | None
    status: str
    why: str = ""
    seconds: float | None = None
    seed: int | None = None
    value: float | None = None
    notes: list[str] = field(default_factory=list)


@dataclass
class Outcome:
    """What a run did: rows made now, done before, failed, and left because somebody pressed Ctrl-C; its sheet."""

    made: int = 0
    before: int = 0
    failed: list[Entry] = field(default_factory=list)
    left: int = 0
    sheet: Path | None = None


class Reporter(Protocol):
    """Who is told how far a run is."""

    def start(self, rows: int, before: int) -> None: ...
    def row(self, entry: Entry) -> None: ...
    def stopping(self) -> None: ...


def run_local(
    jobs: Sequence[Job | Fault],
    worker: Worker,
    out: Path,
    reporter: Reporter,
    seed: int = 0,
    at_once: int | None = None,
) -> Outcome:
    """Make every row that is not made yet; one that fails costs only itself, and no file of the user's is replaced.

    Args:
        out: the output folder; gets the posters, the ledger and the contact sheet.
        seed: see `make_plan`.
        at_once: posters drawn in one call; None: 8 for a checkpoint that draws small, else 1.

    Raises:
        ValueError: the model or the reward cannot be found or loaded, or the ledger's name is that of another file.
        OSError: nobody answers where the reward is served.
    """
    chosen = {job.task for job in jobs if isinstance(job, Job) and (job.best_of or 1) > 1}
    with Scorer(worker.settings, chosen) if chosen else nullcontext() as scorer:
        return _run(jobs, worker, out, reporter, seed, at_once, scorer)


def _run(
    jobs: Sequence[Job | Fault],
    worker: Worker,
    out: Path,
    reporter: Reporter,
    seed: int,
    at_once: int | None,
    scorer: Scorer | None,
) -> Outcome:
    out.mkdir(parents=True, exist_ok=True)
    ledger = Ledger(out / LEDGER)
    outcome = Outcome()
    entries: list[Entry | None] = [None] * len(jobs)
    pending: list[tuple[int, Plan]] = []
    inputs = {path.resolve() for job in jobs if isinstance(job, Job) for path in (*job.images, job.mask) if path}

    def settle(index: int, entry: Entry) -> None:
        entries[index] = entry
        ledger.add(entry)
        if entry.status == "failed":
            outcome.failed.append(entry)
        else:
            outcome.made += 1
        reporter.row(entry)

    for index, plan in enumerate(_plans(jobs, worker, seed)):
        if isinstance(plan, Entry):
            settle(index, plan)
        elif record_id(out / _name(plan)) == plan.id:
            # a line that a sudden end kept from the ledger is made up for here
            known = ledger.done(plan.id, _name(plan)) or _chosen(_entry(plan, "done"), read_record(out / _name(plan)))
            entries[index] = replace(known, row=plan.job.where)
            outcome.before += 1
        elif why := _in_the_way(out / _name(plan), inputs):
            settle(index, _entry(plan, "failed", why))
        else:
            pending.append((index, plan))

    reporter.start(len(pending), outcome.before)
    if pending:
        for kind in {kind_of(plan.job.task) for _, plan in pending}:
            worker.checkpoint(kind)
        with _until_interrupted(reporter) as interrupted:
            for group in _groups(pending, at_once):
                if interrupted():
                    outcome.left += len(group)
                    continue
                for index, entry in _make(group, worker, out, scorer, at_once or posters_at_once(group[0][1])):
                    settle(index, entry)
    ledger.rewrite([entry for entry in entries if entry is not None])
    done = [(jobs[i], e) for i, e in enumerate(entries) if e is not None and e.status == "done"]
    outcome.sheet = _write_sheet(done, out, inputs)
    return outcome


class Ledger:
    """One JSON line per row. Appended while a run goes on, put in the rows' order at its end."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._known: dict[tuple[str, str], Entry] = {}
        if path.is_file():
            # a sudden end may tear the last line in the middle of a letter
            for line in path.read_text(encoding="utf-8", errors="replace").split("\n"):
                self._remember(line)

    def done(self, row_id: str, out: str) -> Entry | None:
        """The line of a poster that was made before."""
        return self._known.get((row_id, out))

    def add(self, entry: Entry) -> None:
        with self.path.open("a", encoding="utf-8") as file:
            file.write(_line(entry))

    def rewrite(self, entries: Sequence[Entry]) -> None:
        with written_whole(self.path) as temporary:
            temporary.write_text("".join(_line(entry) for entry in entries), encoding="utf-8")

    def _remember(self, line: str) -> None:
        try:
            entry = Entry(**json.loads(line))
        except json.JSONDecodeError:
            return  # a half-written last line; the poster's own metadata decides
        except TypeError:
            raise ValueError(f"{self.path}: is no ledger of posterkit; choose another -o") from None
        if entry.status == "done" and entry.id and entry.out:
            self._known[entry.id, entry.out] = entry


def _plans(jobs: Sequence[Job | Fault], worker: Worker, seed: int) -> Iterator[Plan | Entry]:
    kinds = {kind_of(job.task) for job in jobs if isinstance(job, Job)}
    if len(kinds) > 1 and worker.settings.model not in (None, "mini"):
        raise ValueError(
            f"--model {worker.settings.model} makes text posters or image tasks; these rows are of both kinds"
        )
    for kind in kinds:
        worker.checkpoint(kind)  # a model that cannot be found is no row's fault
    for job in jobs:
        if isinstance(job, Fault):
            yield Entry(job.where, None, None, None, "failed", job.why)
            continue
        try:
            yield worker.plan(job, seed)
        except ValueError as error:
            yield Entry(job.where, job.out, None, job.task, "failed", str(error))


def _groups(pending: Sequence[tuple[int, Plan]], at_once: int | None) -> Iterator[list[tuple[int, Plan]]]:
    """Rows that go through the pipeline together; text rows first, so that each model is loaded once."""
    groups: dict[Any, list[tuple[int, Plan]]] = {}
    for index, plan in sorted(pending, key=lambda item: (kind_of(item[1].job.task) != "text", item[0])):
        groups.setdefault(together(plan), []).append((index, plan))
    for group in groups.values():
        plan = group[0][1]
        size = max(1, (at_once or posters_at_once(plan)) // plan.best_of)
        for first in range(0, len(group), size):
            yield group[first : first + size]


def _make(
    group: Sequence[tuple[int, Plan]], worker: Worker, out: Path, scorer: Scorer | None, at_once: int
) -> Iterator[tuple[int, Entry]]:
    """Draw and write a group; where the group fails its rows are tried one by one, poster by poster."""
    began = time.perf_counter()
    ready: list[tuple[int, Plan, Inputs]] = []
    for index, plan in group:
        try:
            ready.append((index, plan, worker.read(plan)))
        except ValueError as error:
            yield index, _entry(plan, "failed", str(error), time.perf_counter() - began)
    if not ready:
        return
    worker.pipeline(kind_of(ready[0][1].job.task))  # outside the rows' own troubles
    try:
        drawn = draw_best(worker, [(plan, inputs) for _, plan, inputs in ready], scorer, at_once)
    except Exception as error:
        if len(ready) * min(at_once, ready[0][1].best_of) == 1:
            index, plan, _ = ready[0]
            yield index, _entry(plan, "failed", error_line(error), time.perf_counter() - began)
            return
        for index, plan, _ in ready:
            yield from _make([(index, plan)], worker, out, scorer, 1)
        return
    seconds = (time.perf_counter() - began) / len(ready)
    for (index, plan, _), poster in zip(ready, drawn, strict=True):
        if isinstance(poster, Exception):
            yield index, _entry(plan, "failed", error_line(poster), seconds)
            continue
        try:
            poster.save(out / _name(plan))
        except (OSError, ValueError) as error:
            yield index, _entry(plan, "failed", f"{out / _name(plan)}: cannot be written ({error})", seconds)
            continue
        entry = _chosen(_entry(plan, "done", seconds=seconds), poster.record)
        entry.notes = poster.notes
        yield index, entry


def _in_the_way(target: Path, inputs: Collection[Path]) -> str | None:
    """Why a file must not be replaced: it is the user's own."""
    if target.exists() and target.resolve() in inputs:
        return f"its result {target} is an input of this run; choose another -o or out"
    if is_foreign(target):
        return f"its result {target} is there already and is no poster of posterkit; choose another -o or out"
    return None


def _write_sheet(done: Sequence[tuple[Job | Fault, Entry]], out: Path, inputs: Collection[Path]) -> Path | None:
    frames = [
        Frame(out / entry.out, Path(entry.out).stem, _under(entry, job), job.images)
        for job, entry in done[:ON_SHEET]
        if entry.out and isinstance(job, Job)
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
    asked = False

    def ask(number: int, frame: FrameType | None) -> None:
        nonlocal asked
        if asked:
            raise KeyboardInterrupt
        asked = True
        reporter.stopping()

    previous = signal.signal(signal.SIGINT, ask)
    try:
        yield lambda: asked
    finally:
        signal.signal(signal.SIGINT, previous)


def _name(plan: Plan) -> str:
    assert plan.job.out is not None
    return plan.job.out


def _entry(plan: Plan, status: str, why: str = "", seconds: float | None = None) -> Entry:
    rounded = None if seconds is None else round(seconds, 3)
    return Entry(plan.job.where, plan.job.out, plan.id, plan.job.task, status, why, rounded)


def _chosen(entry: Entry, record: dict[str, Any]) -> Entry:
    chosen = record.get("chosen", {})
    return replace(entry, seed=chosen.get("seed"), value=chosen.get("value"))


def _under(entry: Entry, job: Job) -> str:
    """What stands under a poster's name on the sheet."""
    task = (entry.task or "").replace("_", " ")
    return task if entry.value is None else f"{task}, best of {job.best_of}: {entry.value:.2f}"


def _line(entry: Entry) -> str:
    return json.dumps(asdict(entry)) + "\n"  # in ASCII, since a file name need not be UTF-8
