"""What the command line shows while it works, on stderr."""

from __future__ import annotations

import io
import logging
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from posterkit.messages import printable

if TYPE_CHECKING:
    from posterkit.batch.ledger import LedgerEntry


def note(line: str) -> None:
    """One line on stderr that is no error."""
    _console().print(
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


class Steps:
    """The bar of one poster: it waits while the model loads, then counts denoising steps."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._task = progress.add_task("loading the model", total=None)

    def begin(self, words: str, total: int) -> None:
        self._progress.reset(self._task, total=total, description=words)

    def step(self, done: int) -> None:
        self._progress.update(self._task, completed=done)


@contextmanager
def steps() -> Iterator[Steps]:
    with _progress() as progress:
        yield Steps(progress)


class BatchProgress:
    """The bar of a batch, with a line for each row that fails."""

    def __init__(self) -> None:
        self._progress = _progress()
        self._task = self._progress.add_task("reading rows", total=None)

    def __enter__(self) -> BatchProgress:
        self._progress.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._progress.stop()

    def start(self, rows: int, before: int) -> None:
        words = f"posters ({before} made before)" if before else "posters"
        self._progress.reset(self._task, total=rows, description=words)

    def row(self, entry: LedgerEntry) -> None:
        if entry.status == "failed":
            self._say(f"posterkit: {entry.row}: {_without_name(entry.why, entry.row)}")
        for line in entry.notes:
            self._say(f"posterkit: note: {line}")
        # rows that fail while they are planned come before the bar knows how many there are
        if entry.seconds is not None:
            self._progress.advance(self._task)

    def stopping(self) -> None:
        self._say("posterkit: finishing the current posters; Ctrl-C once more stops at once")

    def _say(self, line: str) -> None:
        self._progress.console.print(printable(line), markup=False, highlight=False, soft_wrap=True)


def _without_name(why: str, row: str) -> str:
    """A reason often begins with its file; the line has the row's name already."""
    head, _, rest = why.partition(": ")
    return rest if rest and head.endswith(row) else why


def _progress() -> Progress:
    console = _console()
    columns = (
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
        TextColumn("left"), TimeRemainingColumn(),
    )  # fmt: skip
    return Progress(*columns, console=console, transient=True, disable=not console.is_terminal)


def _console() -> Console:
    return Console(stderr=True)
