"""What a batch costs beside the posters themselves, as ratios in one run.

    python benchmarks/batch_speed.py loop --keep runs/batch_speed.jsonl        # once a pair; the pairs add up
    python benchmarks/batch_speed.py start memory loops shards ray --keep runs/batch_speed.jsonl

| part | what is compared |
|---|---|
| loop | `run_local` with a loop that plans, makes and saves as many rows; the share of ledger, claims and metadata |
| start | `posterkit batch` until its first poster is there, with a script that loads the model and makes one poster |
| memory | nothing: the slope of the resident memory while one batch makes 200 rows, with its 95 % interval |
| loops | two processes that loop over half of the rows each, with one over all: needs two idle cores |
| shards | two processes over half of the rows each, with one process over all of them; needs two idle cores |
| ray | a cluster of two workers (`posterkit[batch]`), with two shards; needs two idle cores |

Every round is a line of `--keep`, and what is printed is the median of all its rounds of the same rows and size. A
round of `loop` makes twice the rows. Processes have one thread each.
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
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
from serve_load import slope

from posterkit import PosterMaker, PosterRequest
from posterkit.batch.claims import FolderClaims
from posterkit.batch.engines import run_local
from posterkit.batch.ledger import Ledger
from posterkit.generate import record
from posterkit.sizing import Size

ALONE = {**os.environ, "OMP_NUM_THREADS": "1"}
BOOKS = (
    (Ledger, "add"),
    (Ledger, "news"),
    (FolderClaims, "take"),
    (FolderClaims, "give_back"),
    (record, "file_notes"),
)
# what batches are measured against: every nth poster, with nothing around it
_LOOP = """
import sys
from posterkit import PosterMaker, PosterRequest
from posterkit.sizing import Size
folder, size, model, *numbers = sys.argv[1:]
size = Size(*map(int, size.split("x")))
with PosterMaker(model=model) as maker:
    for n in range(*map(int, numbers)):
        row = PosterRequest(f"a lighthouse, number {n}", texts=[f"NIGHT {n}"], size=size, seed=n)
        maker(row).save(f"{folder}/{n}.png")
"""


class MemoryReporter:
    """Notes the resident memory after each row; `posterkit.batch.engines.Reporter`."""

    def __init__(self) -> None:
        self.memory: list[float] = []  # MiB
        self._process = psutil.Process()

    def start(self, rows: int) -> None: ...
    def found(self, before: int) -> None: ...
    def stopping(self) -> None: ...

    def row(self, entry: Any) -> None:
        self.memory.append(self._process.memory_info().rss / 2**20)


def requests(count: int, size: str, first: int = 0) -> list[PosterRequest]:
    sides = Size(*map(int, size.split("x")))
    return [
        PosterRequest(
            f"a lighthouse, number {n}", texts=[f"NIGHT {n}"], size=sides, seed=n, id=f"r{n}", out=f"{n}.png"
        )
        for n in range(first, first + count)
    ]


def loop(args: argparse.Namespace, folder: Path, number: int) -> dict[str, float]:
    """Seconds of a tight loop and of a batch, each over rows that the maker has not seen, and those of the books."""
    seconds: dict[str, float] = {}

    def looped() -> None:
        for row in requests(args.rows, args.size, 1000):
            (poster,) = maker.make([maker.plan(row)])
            poster.save(folder / "loop" / str(row.out))

    def batched() -> None:
        rows = requests(args.rows, args.size, 2000)
        assert run_local(rows, maker, folder / "batch", MemoryReporter()).made == args.rows

    with PosterMaker(model=args.model) as maker:
        for row in requests(2, args.size):
            maker(row).save(folder / "first.png")  # loads what there is to load
        with timed(*BOOKS) as books:
            for work in (looped, batched) if number % 2 else (batched, looped):
                books.clear()
                began = time.perf_counter()
                work()
                seconds[work.__name__] = time.perf_counter() - began
                if work is batched:
                    seconds["books"] = sum(books)
    return seconds


@contextmanager
def timed(*functions: tuple[Any, str]) -> Iterator[list[float]]:
    """The seconds that functions take: on the main thread as they pass, on others those of the processor.

    A thread beside the one that draws spends most of its time waiting for its turn, which costs nothing.
    """
    spent: list[float] = []

    def watched(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def call(*args: Any, **more: Any) -> Any:
            clock = time.perf_counter if threading.current_thread() is threading.main_thread() else time.thread_time
            began = clock()
            try:
                return function(*args, **more)
            finally:
                spent.append(clock() - began)

        return call

    before = [getattr(owner, name) for owner, name in functions]
    try:
        for (owner, name), function in zip(functions, before, strict=True):
            setattr(owner, name, watched(function))
        yield spent
    finally:
        for (owner, name), function in zip(functions, before, strict=True):
            setattr(owner, name, function)


def start(args: argparse.Namespace, folder: Path, number: int) -> dict[str, float]:
    """Seconds until a batch's first poster is there, and those of a script for the same poster."""
    script = _bare_loop(args, folder, "alone", 0, 1)
    seconds: dict[str, float] = {}

    def alone() -> None:
        subprocess.run(script, env=ALONE, check=True)

    def batch() -> None:
        with subprocess.Popen(_command(args, folder, "out"), stdout=subprocess.DEVNULL, env=ALONE) as process:
            while not (folder / "out" / "0.png").exists():
                assert process.poll() is None, "the batch has ended without its first poster"
                time.sleep(0.005)
            process.kill()

    alone()  # what files the system has to read from the disk
    for work in (alone, batch) if number % 2 else (batch, alone):
        began = time.perf_counter()
        work()
        seconds[work.__name__] = time.perf_counter() - began
    return seconds


def memory(args: argparse.Namespace, folder: Path, number: int) -> dict[str, float]:
    """MiB at first and at last, and the slope over the second half of the rows."""
    reporter = MemoryReporter()
    with PosterMaker(model=args.model) as maker:
        run_local(requests(args.images, args.size), maker, folder, reporter)
    per, half = slope(reporter.memory)
    return {"first": reporter.memory[0], "last": reporter.memory[-1], "slope": per, "half": half}


def loops(args: argparse.Namespace, folder: Path, number: int) -> dict[str, float]:
    """Seconds of one bare loop and of two, start-up and all."""
    halves = [_bare_loop(args, folder, "two", first, args.rows, 2) for first in (0, 1)]
    return _seconds(args, folder, {"one": [_bare_loop(args, folder, "one", 0, args.rows)], "two": halves})


def shards(args: argparse.Namespace, folder: Path, number: int) -> dict[str, float]:
    """Seconds of one process and of two, start-up and all."""
    return _seconds(args, folder, {"one": _shards(args, folder, 1), "two": _shards(args, folder, 2)})


def ray(args: argparse.Namespace, folder: Path, number: int) -> dict[str, float]:
    """Seconds of two shards and of a cluster of two workers, start-up and all."""
    cluster = [*_command(args, folder, "cluster"), "--engine", "ray", "--workers", "2"]
    return _seconds(args, folder, {"two": _shards(args, folder, 2), "cluster": [cluster]})


def _bare_loop(args: argparse.Namespace, folder: Path, out: str, *numbers: int) -> list[str]:
    return [sys.executable, "-c", _LOOP, str(folder / out), args.size, args.model, *map(str, numbers)]


def _shards(args: argparse.Namespace, folder: Path, count: int) -> list[list[str]]:
    command = _command(args, folder, ("one", "two")[count - 1])
    return [[*command, "--shard", f"{number}/{count}"] for number in range(1, count + 1)]


def _command(args: argparse.Namespace, folder: Path, out: str) -> list[str]:
    manifest = folder / "jobs.jsonl"
    with manifest.open("w") as file:
        for row in requests(args.rows, args.size):
            said = {"prompt": row.prompt, "texts": list(row.texts or ()), "seed": row.seed, "out": row.out}
            file.write(json.dumps(said) + "\n")
    return [sys.executable, "-m", "posterkit", "batch", str(manifest), "--model", args.model, "--size", args.size,
            "--device", "cpu", "-o", str(folder / out)]  # fmt: skip


def _seconds(args: argparse.Namespace, folder: Path, runs: dict[str, list[list[str]]]) -> dict[str, float]:
    """Of each run, start-up and all; and, as NAME_running, from its first poster to its last."""
    seconds: dict[str, float] = {}
    for name, commands in runs.items():
        began = time.perf_counter()
        running = [subprocess.Popen(command, stdout=subprocess.DEVNULL, env=ALONE) for command in commands]
        codes = [process.wait() for process in running]
        if any(codes):
            raise SystemExit(f"{name}: a process failed")
        seconds[name] = time.perf_counter() - began
        times = [path.stat().st_mtime for path in (folder / name).glob("[0-9]*.png")]
        assert len(times) == args.rows
        seconds[f"{name}_running"] = max(times) - min(times)
    return seconds


PARTS: dict[str, Callable[..., dict[str, float]]] = {
    "loop": loop, "start": start, "memory": memory, "loops": loops, "shards": shards, "ray": ray,
}  # fmt: skip


def line(part: str, rounds: list[dict[str, Any]]) -> str:
    """What the rounds of a part come to."""

    def ratio(over: str, under: str) -> str:
        values = sorted(one[over] / one[under] for one in rounds)
        between = statistics.quantiles(values, n=4, method="inclusive") if len(values) > 1 else values * 3
        return f"{between[1]:.3f} ({between[0]:.3f} to {between[2]:.3f})"

    said = f"{part}, {rounds[0]['rows']} rows of {rounds[0]['size']}, {len(rounds)} rounds: "
    match part:
        case "loop":
            books = statistics.median(one["books"] / one["batched"] for one in rounds)
            return said + (
                f"the batch runs at {ratio('looped', 'batched')} of the loop's speed; ledger, claims and metadata "
                f"are {100 * books:.2f} % of its time"
            )
        case "start":
            return said + f"the first poster of a batch takes {ratio('batch', 'alone')} of load and one poster"
        case "memory":
            last = rounds[-1]
            return said + (
                f"{last['first']:.0f} MiB after the first, {last['last']:.0f} after the last; second half "
                f"{last['slope']:+.2f} +- {last['half']:.2f} MiB per 1000 rows"
            )
        case "loops" | "shards":
            return said + (
                f"two {part} run at {ratio('one', 'two')} times the speed of one, "
                f"{ratio('one_running', 'two_running')} from the first poster to the last"
            )
    return said + (
        f"two workers of Ray run at {ratio('two', 'cluster')} of two shards' speed, "
        f"{ratio('two_running', 'cluster_running')} from the first poster to the last"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="+", choices=tuple(PARTS))
    parser.add_argument("--rounds", type=int, default=1, help="of each part")
    parser.add_argument("--rows", type=int, default=64)
    parser.add_argument("--images", type=int, default=200, help="rows of the part memory")
    parser.add_argument("--size", default="832x1216", help="of the posters")
    parser.add_argument("--model", default="mini")
    parser.add_argument("--keep", type=Path, help="a file that gets a line a round; those that it has are counted too")
    args = parser.parse_args()
    for part in args.parts:
        told = {"part": part, "rows": args.images if part == "memory" else args.rows, "size": args.size}
        known = args.keep.read_text().splitlines() if args.keep and args.keep.exists() else []
        rounds = [one for one in map(json.loads, known) if told.items() <= one.items()]
        for _ in range(args.rounds):
            with tempfile.TemporaryDirectory() as folder:
                rounds.append(told | PARTS[part](args, Path(folder), len(rounds)))
            if args.keep:
                args.keep.parent.mkdir(parents=True, exist_ok=True)
                with args.keep.open("a") as file:
                    file.write(json.dumps(rounds[-1]) + "\n")
        print(line(part, rounds), flush=True)


if __name__ == "__main__":
    main()
