"""What a batch costs beside the posters themselves, as ratios in one run.

    python benchmarks/batch_speed.py --rows 64 --pairs 7
    python benchmarks/batch_speed.py --shards --rows 16

The first compares `run_local` with a loop that plans, makes and saves the same rows with the same maker, in pairs one
after the other, and says which share of a batch goes into its ledger, its claims and the posters' metadata. The second
runs one process over all rows, then two processes over half of them each; it needs a core for each of them.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from posterkit import PosterMaker, PosterRequest
from posterkit.batch.claims import FolderClaims
from posterkit.batch.engines import run_local
from posterkit.batch.ledger import Ledger
from posterkit.generate import record
from posterkit.sizing import Size


class Silent:
    def start(self, rows: int) -> None: ...
    def found(self, before: int) -> None: ...
    def row(self, entry: Any) -> None: ...
    def stopping(self) -> None: ...


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=64)
    parser.add_argument("--pairs", type=int, default=7)
    parser.add_argument("--shards", action="store_true", help="two processes against one")
    parser.add_argument("--model", default="mini")
    parser.add_argument("--size", default="832x1216", help="of the posters")
    args = parser.parse_args()
    print(shard_ratio(args) if args.shards else loop_ratio(args))


def requests(count: int, size: str) -> list[PosterRequest]:
    sides = Size(*map(int, size.split("x")))
    return [
        PosterRequest(
            f"a lighthouse, number {n}", texts=[f"NIGHT {n}"], size=sides, seed=n, id=f"r{n}", out=f"{n}.png"
        )
        for n in range(count)
    ]


def loop_ratio(args: argparse.Namespace) -> str:
    """A tight loop's time over the batch's, and the share of the batch's bookkeeping."""
    rows = requests(args.rows, args.size)
    ratios, shares = [], []
    with PosterMaker(model=args.model) as maker, tempfile.TemporaryDirectory() as folder:
        maker(rows[0])  # loads the model
        for pair in range(args.pairs):
            began = time.perf_counter()
            for row in rows:
                (poster,) = maker.make([maker.plan(row)])
                poster.save(Path(folder, f"loop-{pair}", str(row.out)))
            looped = time.perf_counter() - began
            spent: list[float] = []
            with timed(spent, (Ledger, "add"), (Ledger, "news"), (FolderClaims, "take"), (FolderClaims, "give_back"),
                       (record, "file_notes")):  # fmt: skip
                began = time.perf_counter()
                result = run_local(rows, maker, Path(folder, f"batch-{pair}"), Silent())
                batched = time.perf_counter() - began
            assert result.made == len(rows)
            ratios.append(looped / batched)
            shares.append(sum(spent) / batched)
    low, middle, high = quartiles(ratios)
    return (
        f"{args.rows} rows, {args.pairs} pairs: the batch runs at {middle:.3f} of the loop's speed "
        f"({low:.3f} to {high:.3f}); ledger, claims and metadata {100 * statistics.median(shares):.2f} % of its time"
    )


class timed:
    """Adds up the time spent in functions while the block lasts."""

    def __init__(self, spent: list[float], *functions: tuple[Any, str]) -> None:
        self.spent, self.functions = spent, functions

    def __enter__(self) -> None:
        self.before = [getattr(owner, name) for owner, name in self.functions]
        for (owner, name), function in zip(self.functions, self.before, strict=True):
            setattr(owner, name, self._watched(function))

    def __exit__(self, *error: object) -> None:
        for (owner, name), function in zip(self.functions, self.before, strict=True):
            setattr(owner, name, function)

    def _watched(self, function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def watched(*args: Any, **more: Any) -> Any:
            began = time.perf_counter()
            try:
                return function(*args, **more)
            finally:
                self.spent.append(time.perf_counter() - began)

        return watched


def shard_ratio(args: argparse.Namespace) -> str:
    """One process over two, start-up and all."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    with tempfile.TemporaryDirectory() as folder:
        manifest = Path(folder, "jobs.jsonl")
        with manifest.open("w") as file:
            for row in requests(args.rows, args.size):
                file.write(json.dumps({"prompt": row.prompt, "texts": list(row.texts or ()), "seed": row.seed}) + "\n")
        width, height = args.size.split("x")
        command = [sys.executable, "-m", "posterkit", "batch", str(manifest), "--model", args.model,
                   "--width", width, "--height", height]  # fmt: skip
        seconds = []
        for shards in (["1/1"], ["1/2", "2/2"]):
            began = time.perf_counter()
            out = str(Path(folder, f"out-{len(shards)}"))
            running = [
                subprocess.Popen([*command, "-o", out, "--shard", shard], stdout=subprocess.DEVNULL)
                for shard in shards
            ]
            if any(process.wait() for process in running):
                raise SystemExit("a shard failed")
            seconds.append(time.perf_counter() - began)
    return f"{args.rows} rows on {cores} cores: two shards run at {seconds[0] / seconds[1]:.2f} times the speed of one"


def quartiles(values: list[float]) -> tuple[float, float, float]:
    if len(values) < 2:
        return values[0], values[0], values[0]
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return low, middle, high


if __name__ == "__main__":
    main()
