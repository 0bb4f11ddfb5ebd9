"""What the command line shows while it works, on stderr."""

from __future__ import annotations

import io
import logging
import os
import sys
import warnings
from typing import TYPE_CHECKING, Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

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

    def __enter__(self) -> Self:
        console = Console(stderr=True)
        columns = (
            TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
            TextColumn("left"), TimeRemainingColumn(),
        )  # fmt: skip
        self._progress = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
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


class BatchProgress(_Bar):
    """The bar of a batch, with a line for each row that fails."""

    _words = "reading rows"

    def start(self, rows: int) -> None:
        self._progress.reset(self._task, total=rows, description="posters")

    def found(self, before: int) -> None:
        self._progress.advance(self._task, before)

    def row(self, entry: LedgerEntry) -> None:
        if entry.status == "failed":
            self._say(f"posterkit: {entry.row}: {_without_name(entry.why, entry.row)}")
        for line in entry.notes:
            self._say(f"posterkit: note: {line}")
        self._progress.advance(self._task)

    def stopping(self) -> None:
        self._say("posterkit: finishing the current posters; Ctrl-C once more stops at once")

    def _say(self, line: str) -> None:
        self._progress.console.print(printable(line), markup=False, highlight=False, soft_wrap=True)


def _without_name(why: str, row: str) -> str:
    """A reason often begins with its file; the line has the row's name already."""
    head, _, rest = why.partition(": ")
    return rest if rest and head.endswith(row) else why
