"""What the command line shows while it works, on stderr."""

from __future__ import annotations

import datetime
import io
import logging
import os
import sys
import time
import warnings
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Self

from rich.console import Console, RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from posterkit.messages import printable

if TYPE_CHECKING:
    from posterkit.batch.ledger import LedgerEntry


def note(line: str) -> None:
    """One line on stderr that is no error."""
    Console(stderr=True).print(
        printable(f"posterkit: note: {line}"), style="yellow", markup=False, highlight=False, soft_wrap=True
    )


def set_up_messages(debug: bool) -> None:
    """Libraries keep quiet; warnings of ours are one line each."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a file name need not be UTF-8
    if not debug:
        os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
        os.environ.setdefault("DIFFUSERS_VERBOSITY", "error")
        os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
        warnings.filterwarnings("ignore", category=FutureWarning)
        warnings.filterwarnings("ignore", category=DeprecationWarning)

    class Notes(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            note(record.getMessage())

    ours = logging.getLogger("posterkit")
    ours.handlers, ours.propagate = [Notes()], False
    if not debug:
        warnings.showwarning = lambda message, *rest, **more: note(str(message))


class _Bar:
    """A progress bar on stderr while a block lasts."""

    _words = ""
    _kind: type[Progress] = Progress

    def __enter__(self) -> Self:
        console = Console(stderr=True)
        columns = (
            TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
            TextColumn("left"), TimeRemainingColumn(),
        )  # fmt: skip
        self._progress = self._kind(*columns, console=console, transient=True, disable=not console.is_terminal)
        self._task = self._progress.add_task(self._words, total=None)
        self._progress.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._progress.stop()


class Steps(_Bar):
    """The bar of one poster: it waits while the model loads, then counts denoising steps."""

    _words = "loading the model"

    def begin(self, words: str, total: int) -> None:
        self._progress.reset(self._task, total=total, description=words)

    def step(self, done: int) -> None:
        self._progress.update(self._task, completed=done)


class Counting(_Bar):
    """The bar of rows: how many are done, and of how many."""

    _words = "rows"

    def __call__(self, done: int, count: int) -> None:
        self._progress.update(self._task, completed=done, total=count)


class _Board(Progress):
    """A bar under a table of numbers."""

    numbers: Mapping[str, str] = {}

    def get_renderables(self) -> Iterator[RenderableType]:
        if self.numbers:
            table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0))
            for name in self.numbers:
                table.add_column(name, style="dim")
            table.add_row(*self.numbers.values())
            yield table
        yield self.make_tasks_table(self.tasks)


class BatchProgress(_Bar):
    """The board of a batch: made, failed, left, how fast and how long still; with a line for each row that fails."""

    _words = "reading rows"
    _kind = _Board

    def start(self, rows: int) -> None:
        self._counts = {"made": 0, "before": 0, "failed": 0}
        self._rows, self._began, self._paced = rows, 0.0, 0
        self._progress.reset(self._task, total=rows, description="posters")
        self._show()

    def found(self, before: int) -> None:
        self._counts["before"] += before
        self._progress.advance(self._task, before)
        self._show()

    def row(self, entry: LedgerEntry) -> None:
        if entry.status == "failed":
            self._say(f"posterkit: {entry.row}: {_without_name(entry.why, entry.row)}")
        for line in entry.notes:
            self._say(f"posterkit: note: {line}")
        self._counts["failed" if entry.status == "failed" else "made"] += 1
        if entry.status != "failed":
            self._paced += 1
            self._began = self._began or time.monotonic()  # the first took the model's loading along
        self._progress.advance(self._task)
        self._show()

    def numbers(self) -> dict[str, str]:
        """What the table says."""
        left = self._rows - sum(self._counts.values())
        found = {"made": str(self._counts["made"])}
        found |= {"made before": str(self._counts["before"])} if self._counts["before"] else {}
        found |= {"failed": str(self._counts["failed"]), "left": str(left)}
        if self._paced > 1 and (passed := time.monotonic() - self._began) > 0:
            pace = (self._paced - 1) / passed
            still = f"{datetime.timedelta(seconds=round(left / pace))}"
            found |= {"a minute": f"{60 * pace:.1f}", "time left": still}
        return found

    def _show(self) -> None:
        assert isinstance(self._progress, _Board)
        self._progress.numbers = self.numbers()

    def stopping(self) -> None:
        self._say("posterkit: finishing the current posters; Ctrl-C once more stops at once")

    def _say(self, line: str) -> None:
        self._progress.console.print(printable(line), markup=False, highlight=False, soft_wrap=True)


def _without_name(why: str, row: str) -> str:
    """A reason often begins with its file; the line has the row's name already."""
    head, _, rest = why.partition(": ")
    return rest if rest and head.endswith(row) else why
