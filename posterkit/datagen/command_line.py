"""The command line of a data tool: shared options, a progress bar, errors in one line, exit codes."""

from __future__ import annotations

import argparse
import errno
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from posterkit.arguments import WRONG_CALL, LineParser, typed, whole
from posterkit.datagen.engine import Flow, FlowResult, ShardFormat, run_flow, shorten_warnings
from posterkit.sizing import Size

SOME_FAILED = 1
positive_int, one_in = whole(1), whole(0)  # one in how many, 0 for none


class ToolParser(LineParser):
    """The options that data tools share, `--out` and how to work; a tool adds its own."""

    def __init__(self, description: str | None, **more) -> None:
        super().__init__(
            description=description, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False, **more
        )
        add = self.add_argument
        add("--out", type=Path, required=True, metavar="DIR", help="the set's folder")
        add("--seed", type=int, default=0, help="the same seed makes the same set (default 0)")
        cores = os.cpu_count() or 1
        add("--workers", type=positive_int, default=cores, metavar="N", help="processes (default: one a core)")
        add("--shard", type=positive_int, default=500, metavar="N", help="samples in a shard (default 500)")
        where = "pictures in folders, or in tar files"
        add("--layout", choices=("folder", "webdataset"), default="folder", help=where)
        again = "go on, and try again what was lost to damaged files and failed judges"
        add("--retry", action="store_true", help=again)
        add("--debug", action="store_true", help="show tracebacks")


def _size(text: str) -> Size:
    width, _, height = text.partition("x")
    return Size(int(width), int(height))


size = typed(_size, "WIDTHxHEIGHT in pixels, such as 512x768", lambda value: min(value) > 0)


def make_set(flow: Flow, given: argparse.Namespace) -> FlowResult:
    """Run a flow with a progress bar; print the funnel as a table where anything was dropped, and the set's place."""
    outcome, out = run_with_progress(flow, given.out, given, given.layout), given.out
    if outcome.dropped:
        table = Table(box=None, pad_edge=False, header_style="bold")
        for name in ("step", "in", "out", "dropped"):
            table.add_column(name, justify="left" if name in ("step", "dropped") else "right")
        for step, found in outcome.funnel.items():
            lost = sum(found["dropped"].values())
            reasons = ", ".join(f"{reason} {number}" for reason, number in sorted(found["dropped"].items()))
            table.add_row(step, str(found["in"]), str(found["in"] - lost), reasons)
        Console().print(table)
    dropped = f", {outcome.dropped} dropped ({out / 'dropped.jsonl'} says why)" if outcome.dropped else ""
    print(f"{out}: {outcome.kept} samples{dropped}")
    return outcome


def run_with_progress(flow: Flow, out: Path, given: argparse.Namespace, layout: ShardFormat = "folder") -> FlowResult:
    """Run a flow into `out` with a progress bar."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(out.name, total=flow.count)
        try:
            return run_flow(
                flow, out, workers=given.workers, threads=getattr(given, "threads", 1), shard=given.shard,
                layout=layout, retry=given.retry,
                progress=lambda done, count: bar.update(task, completed=done, total=count),
            )  # fmt: skip
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            raise OSError(f"{out}: {error.strerror}; what was made stays, and the same command goes on") from error


def run_tool(main: Callable[[], FlowResult | int], debug: bool = False) -> NoReturn:
    """Run a tool and exit: 0 all done, 1 some rows failed, 2 the call itself is wrong.

    Args:
        main: returns what was made, or how many rows failed.
    """
    shorten_warnings()
    try:
        made = main()
    except (ValueError, OSError) as error:
        if debug:
            raise
        message = str(error)
    except KeyboardInterrupt:
        message = "stopped; what was made stays, and the same command goes on from there"
    else:
        sys.exit(SOME_FAILED if (made.faults if isinstance(made, FlowResult) else made) else 0)
    print(f"posterkit: {message}", file=sys.stderr)
    sys.exit(WRONG_CALL)
