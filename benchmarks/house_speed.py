"""Start-up, a poster, and training steps of this checkout against another one's, both in one run.

    git worktree add --detach /tmp/before 663e1ac
    OMP_NUM_THREADS=1 python benchmarks/house_speed.py --before /tmp/before
    OMP_NUM_THREADS=1 python benchmarks/house_speed.py --before /tmp/before --kept rows.json  # can be stopped

- `help` is the whole process of `posterkit --help`; `generate` that of one poster by the other checkout's mini
  postercraft on both sides, with equal seed, size and steps.
- The others are steps of a recipe by its mini config, scaled down as in resume_hashes.py, from the other checkout's
  weights. Both recipes run in one process each for the whole time and take turns, see training_speed.py.

Pairs are interleaved, and who begins changes. Time is CPU time, so that a busy machine does not blur the ratios. The
ratio is this checkout's time over the other's: the mean over the pairs and its bootstrap 95 % interval.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from resume_hashes import COMMON, ROWS
from training_speed import Trainer

from posterkit.evaluation.statistics import bootstrap

ROOT = Path(__file__).resolve().parents[1]
PROMPT = 'A jazz concert in a small club at night, titled "BLUE NOTES"'
ENDLESS = ("max_steps=100000", "save_every=100000")
RECIPES = [row for row in ROWS if "processes" not in row]
Pair = tuple[float, float]  # seconds: of this checkout, of the other


def take_turns(ours: Callable[[], float], theirs: Callable[[], float], pairs: int) -> list[Pair]:
    """Seconds of both, called in turns."""
    found = []
    for number in range(pairs):
        if number % 2:
            other = theirs()
            found.append((ours(), other))
        else:
            found.append((ours(), theirs()))
    return found


def table_row(name: str, pairs: Sequence[Pair]) -> str:
    """A line of the table."""
    ours, theirs = np.array(pairs).T
    ratio = bootstrap(ours / theirs)
    times = " | ".join(f"{np.median(seconds):.3f}" for seconds in (theirs, ours))
    return f"| {name} | {times} | {ratio.mean:.2f} ({ratio.low:.2f} to {ratio.high:.2f}) |"


def command_of(root: Path) -> list[str]:
    """What starts a checkout's `posterkit`."""
    entry = re.search(r'^posterkit = "(\S+):(\S+)"', (root / "pyproject.toml").read_text("utf-8"), re.MULTILINE)
    if entry is None:
        raise ValueError(f"{root}: its pyproject.toml names no posterkit command")
    return [sys.executable, "-c", f"import sys; from {entry[1]} import {entry[2]} as run; sys.exit(run())"]


def seconds_of(command: Sequence[str], root: Path) -> float:
    """CPU seconds of a process that imports a checkout's package.

    Raises:
        RuntimeError: it failed; the message holds what it said.
    """
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(command, env=environment(root), cwd=root, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}:\n{done.stderr}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def environment(root: Path) -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(root), "TOKENIZERS_PARALLELISM": "false", "HF_HUB_OFFLINE": "1"}


def time_generate(root: Path, weights: Path) -> float:
    with tempfile.TemporaryDirectory() as folder:
        call = ["generate", PROMPT, "-o", f"{folder}/poster.png", "--seed", "1", "--model", str(weights)]
        return seconds_of([*command_of(root), *call], root)


def trainer_of(root: Path, row: str, before: Path, folder: Path, warm_up: int) -> Trainer:
    """A recipe of a checkout that takes steps when it is told to."""
    recipe = row.split()[0]
    given = [*COMMON, *(override.format(folder=folder) for override in ROWS[row]), *ENDLESS]
    config = (before / f"configs/mini/{recipe}.yaml").read_text("utf-8")
    if shipped := re.search(r"^init_from: mini:(\w+)", config, re.MULTILINE):
        given.append(f"init_from={before / 'posterkit/mini' / shipped[1]}")
    if recipe == "stage2_distill":
        for group in ("local", "global"):
            expert = [*(one for one in given if not one.startswith("experts")), "max_steps=1", f"group={group}"]
            script = str(root / "train/stage2_experts.py")
            seconds_of([sys.executable, script, *expert, f"run_dir={folder / f'expert_{group}'}"], root)
    arguments = [*given, f"run_dir={folder / 'run'}"]
    script = root / "train" / f"{recipe}.py"
    return Trainer(sys.executable, script, arguments, folder, warm_up, environment(root))


def time_steps(row: str, before: Path, folder: Path, pairs: int, steps: int) -> list[Pair]:
    """Seconds a step of a recipe in both checkouts."""
    trainers = []
    try:
        for name, root in (("ours", ROOT), ("theirs", before)):
            trainers.append(trainer_of(root, row, before, folder / name, 2 * steps))
        ours, theirs = ((lambda trainer=trainer: trainer.take(steps)["cpu"] / steps) for trainer in trainers)
        return take_turns(ours, theirs, pairs)
    finally:
        for trainer in trainers:
            trainer.end()


def time_row(row: str, before: Path, pairs: int, steps: int) -> list[Pair]:
    """Seconds of a row of the table in both checkouts."""
    if row == "help":
        return take_turns(
            *(partial(seconds_of, [*command_of(root), "--help"], root) for root in (ROOT, before)), pairs
        )
    if row == "generate":
        weights = before / "posterkit/mini/postercraft"
        return take_turns(*(partial(time_generate, root, weights) for root in (ROOT, before)), pairs)
    with tempfile.TemporaryDirectory() as folder:
        return time_steps(row, before, Path(folder), pairs, steps)


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--before", type=Path, required=True, metavar="CHECKOUT", help="what this one is compared with"
    )
    rows = ["help", "generate", *RECIPES]
    parser.add_argument("--rows", nargs="+", default=rows, choices=rows, metavar="ROW")
    parser.add_argument("--pairs", type=int, default=7)
    parser.add_argument("--steps", type=int, default=4, help="of a recipe in one turn")
    parser.add_argument("--kept", type=Path, metavar="FILE", help="JSON; rows that stand there are not timed again")
    given = parser.parse_args(argv)
    kept = json.loads(given.kept.read_text("utf-8")) if given.kept and given.kept.is_file() else {}
    print("| what | the other, s | this one, s | ratio (95 %) |\n|---|---|---|---|", flush=True)
    for row in given.rows:
        if row not in kept:
            kept[row] = time_row(row, given.before.resolve(), given.pairs, given.steps)
            if given.kept:
                given.kept.write_text(json.dumps(kept) + "\n", "utf-8")
        print(table_row(row, kept[row]), flush=True)


if __name__ == "__main__":
    main()
