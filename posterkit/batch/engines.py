"""How rows get to the maker. One engine so far: this process, one group of rows after the other."""

from __future__ import annotations

import json
import signal
import time
import warnings
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from types import FrameType
from typing import Any, Protocol

from posterkit.batch.contact_sheet import Frame, contact_sheet
from posterkit.batch.rows import BadRow
from posterkit.generate.maker import PosterMaker, posters_at_once, together
from posterkit.generate.metadata import is_foreign, read_record, record_id
from posterkit.generate.plan import PosterPlan
from posterkit.generate.record import write_png
from posterkit.image_io import written_whole
from posterkit.messages import error_line
from posterkit.pipelines.registry import family_for
from posterkit.schema import PosterRequest
from posterkit.tasks import TEXT

LEDGER, SHEET = "ledger.jsonl", "contact_sheet.png"
ON_SHEET = 400  # posters; more become stamps


@dataclass
class LedgerEntry:
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
class BatchResult:
    """What a run did: rows made now, done before, failed, and left because somebody pressed Ctrl-C; its sheet."""

    made: int = 0
    before: int = 0
    failed: list[LedgerEntry] = field(default_factory=list)
    left: int = 0
    sheet: Path | None = None


class Reporter(Protocol):
    """Shows the progress of a run."""

    def start(self, rows: int, before: int) -> None: ...
    def row(self, entry: LedgerEntry) -> None: ...
    def stopping(self) -> None: ...


def run_local(
    rows: Sequence[PosterRequest | BadRow],
    maker: PosterMaker,
    out: Path,
    reporter: Reporter,
    seed: int = 0,
    at_once: int | None = None,
) -> BatchResult:
    """Make every row that is not made yet; one that fails costs only itself, and no file of the user's is replaced.

    Args:
        out: the output folder; gets the posters, the ledger and the contact sheet.
        seed: see `make_plan`.
        at_once: posters drawn in one call; None: 8 for a checkpoint that draws small, else 1.

    Raises:
        ValueError: the model or the reward cannot be found or loaded, or the ledger's name is that of another file.
        OSError: nobody answers where the reward is served.
    """
    if chosen := {row.task for row in rows if isinstance(row, PosterRequest) and (row.best_of or 1) > 1}:
        maker.scorer(chosen)  # a reward that cannot choose is no row's fault
    out.mkdir(parents=True, exist_ok=True)
    ledger = Ledger(out / LEDGER)
    outcome = BatchResult()
    entries: list[LedgerEntry | None] = [None] * len(rows)
    pending: list[tuple[int, PosterPlan]] = []
    inputs = {path.resolve() for row in rows if isinstance(row, PosterRequest) for path in _files(row)}

    def settle(index: int, entry: LedgerEntry) -> None:
        entries[index] = entry
        ledger.add(entry)
        if entry.status == "failed":
            outcome.failed.append(entry)
        else:
            outcome.made += 1
        reporter.row(entry)

    for index, plan in enumerate(_plans(rows, maker, seed)):
        if isinstance(plan, LedgerEntry):
            settle(index, plan)
        elif record_id(out / _name(plan)) == plan.id:
            # a line that a sudden end kept from the ledger is made up for here
            known = ledger.done(plan.id, _name(plan)) or _chosen(_entry(plan, "done"), read_record(out / _name(plan)))
            entries[index] = replace(known, row=plan.request.id)
            outcome.before += 1
        elif why := _in_the_way(out / _name(plan), inputs):
            settle(index, _entry(plan, "failed", why))
        else:
            pending.append((index, plan))

    reporter.start(len(pending), outcome.before)
    if pending:
        with _until_interrupted(reporter) as interrupted:
            for group in _groups(pending, at_once):
                if interrupted():
                    outcome.left += len(group)
                    continue
                for index, entry in _make(group, maker, out, at_once or posters_at_once(group[0][1])):
                    settle(index, entry)
    ledger.rewrite([entry for entry in entries if entry is not None])
    done = [(rows[i], e) for i, e in enumerate(entries) if e is not None and e.status == "done"]
    outcome.sheet = _write_sheet(done, out, inputs)
    return outcome


class Ledger:
    """One JSON line per row. Appended while a run goes on, put in the rows' order at its end."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._known: dict[tuple[str, str], LedgerEntry] = {}
        if path.is_file():
            # a sudden end may tear the last line in the middle of a letter
            for line in path.read_text(encoding="utf-8", errors="replace").split("\n"):
                self._remember(line)

    def done(self, row_id: str, out: str) -> LedgerEntry | None:
        """The line of a poster that was made before."""
        return self._known.get((row_id, out))

    def add(self, entry: LedgerEntry) -> None:
        with self.path.open("a", encoding="utf-8") as file:
            file.write(_line(entry))

    def rewrite(self, entries: Sequence[LedgerEntry]) -> None:
        with written_whole(self.path) as temporary:
            temporary.write_text("".join(_line(entry) for entry in entries), encoding="utf-8")

    def _remember(self, line: str) -> None:
        try:
            entry = LedgerEntry(**json.loads(line))
        except json.JSONDecodeError:
            return  # a half-written last line; the poster's own metadata decides
        except TypeError:
            raise ValueError(f"{self.path}: is no ledger of posterkit; choose another -o") from None
        if entry.status == "done" and entry.id and entry.out:
            self._known[entry.id, entry.out] = entry


def _plans(
    rows: Sequence[PosterRequest | BadRow], maker: PosterMaker, seed: int
) -> Iterator[PosterPlan | LedgerEntry]:
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
            yield LedgerEntry(row.id, row.out, None, row.task, "failed", str(error))


def _groups(pending: Sequence[tuple[int, PosterPlan]], at_once: int | None) -> Iterator[list[tuple[int, PosterPlan]]]:
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
    group: Sequence[tuple[int, PosterPlan]], maker: PosterMaker, out: Path, at_once: int
) -> Iterator[tuple[int, LedgerEntry]]:
    """Make and write a group; where the group fails its rows are tried one by one, poster by poster."""
    began = time.perf_counter()
    plans = [plan for _, plan in group]
    maker.pipeline(plans[0].request.task)  # outside the rows' own troubles
    try:
        made = maker.make(plans, at_once)
    except Exception as error:
        if len(group) * min(at_once, plans[0].best_of) == 1:
            yield group[0][0], _entry(plans[0], "failed", error_line(error), time.perf_counter() - began)
            return
        for one in group:
            yield from _make([one], maker, out, 1)
        return
    seconds = (time.perf_counter() - began) / len(group)
    for (index, plan), poster in zip(group, made, strict=True):
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


def _files(row: PosterRequest) -> list[Path]:
    return [Path(source) for source in (*row.images, row.mask) if isinstance(source, str | Path)]


def _in_the_way(target: Path, inputs: Collection[Path]) -> str | None:
    """Why a file must not be replaced: it is the user's own."""
    if target.exists() and target.resolve() in inputs:
        return f"its result {target} is an input of this run; choose another -o or out"
    if is_foreign(target):
        return f"its result {target} is there already and is no poster of posterkit; choose another -o or out"
    return None


def _write_sheet(
    done: Sequence[tuple[PosterRequest | BadRow, LedgerEntry]], out: Path, inputs: Collection[Path]
) -> Path | None:
    frames = [
        Frame(out / entry.out, Path(entry.out).stem, _under(entry, row), _files(replace(row, mask=None)))
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


def _under(entry: LedgerEntry, row: PosterRequest) -> str:
    """What stands under a poster's name on the sheet."""
    task = (entry.task or "").replace("_", " ")
    return task if entry.value is None else f"{task}, best of {row.best_of}: {entry.value:.2f}"


def _line(entry: LedgerEntry) -> str:
    return json.dumps(asdict(entry)) + "\n"  # in ASCII, since a file name need not be UTF-8
