"""Trains and measures the arms of the replication that have no result yet."""

from __future__ import annotations

import json
import multiprocessing
import os
import sys
import time
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, ThreadPoolExecutor, wait
from fnmatch import fnmatch
from pathlib import Path

from posterkit.image_io import written_whole

ROOT = Path(__file__).resolve().parent.parent
HEAVY = [  # read once, so that the processes of the arms need not
    "diffusers.pipelines.flux.pipeline_flux", "posterkit.training.adapters.flux", "posterkit.training.adapters.qwen",
    "posterkit.training.monitor.sampling", "posterkit.training.stages", "nano_arms",
]  # fmt: skip


def run_missing(results: Path, seeds: int, only: Sequence[str], workers: int) -> None:
    """Train and measure every arm without a result, some at a time, each in processes of its own."""
    os.environ["OMP_NUM_THREADS"] = "1"
    sys.path.insert(0, str(ROOT / "benchmarks"))
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(HEAVY)
    with (
        ProcessPoolExecutor(workers, context, max_tasks_per_child=1) as processes,
        ThreadPoolExecutor(workers) as threads,
    ):
        from nano_arms import ARMS, ON_BASES, PAIRS, trained

        names = [name for name in ARMS if not only or any(fnmatch(name, form) for form in only)]
        of = {name: PAIRS if name.startswith(ON_BASES) else seeds for name in names}
        arms = [(name, seed) for seed in range(max(PAIRS, seeds)) for name in names if seed < of[name]]
        waiting = [arm for arm in arms if not (results / "{}-{}.json".format(*arm)).is_file()]
        for name, seed in waiting:  # weights that others begin with may be gone where results are not
            waiting += [(n, seed) for n in ARMS[name].needs if not trained(n, seed) and (n, seed) not in waiting]
        make_starts(processes, waiting)
        running: dict[Future[None], tuple[str, int]] = {}
        while waiting or running:
            blocked = {*waiting, *running.values()}
            for name, seed in list(waiting):
                if len(running) < workers and not any((n, seed) in blocked for n in ARMS[name].needs):
                    waiting.remove((name, seed))
                    running[threads.submit(run_arm, processes, results, name, seed)] = (name, seed)
            done, _ = wait(running, return_when=FIRST_COMPLETED)
            for job in done:
                job.result()
                del running[job]


def make_starts(processes: ProcessPoolExecutor, arms: Sequence[tuple[str, int]]) -> None:
    """Make the sets, bases and candidates that these arms begin with, where they are missing."""
    from nano_arms import ARMS, BASES, CANDIDATES, ON_BASES, RUNS, SETS, base_of, make_set, run_recipe
    from nano_candidates import make_candidates

    three = {f"_{base_of(seed)}" for name, seed in arms if name.startswith(ON_BASES)}
    first = {""} if any(not name.startswith(ON_BASES) for name, _ in arms) else set()
    for name in SETS if arms else ():
        processes.submit(make_set, name).result()
    for name, (config, seed) in BASES.items():
        wanted = name[-2:] in three if name[-1].isdigit() else bool(first)
        if wanted and not (RUNS / name / "model").is_dir():
            changes = [f"run_dir={RUNS / name}", f"seed={seed}", "save_every=100"]
            processes.submit(run_recipe, config, changes).result()
    judges = [(name, seed) for name, seed in arms if ARMS[name].recipe == "reward_model"]
    for end in sorted({f"_{base_of(seed)}" if name.startswith(ON_BASES) else "" for name, seed in judges}):
        folder = CANDIDATES.with_name(CANDIDATES.name + end)
        if not (folder / "samples.jsonl").is_file():
            processes.submit(make_candidates, str(RUNS / f"base_posteromni{end}"), folder).result()


def run_arm(processes: ProcessPoolExecutor, results: Path, name: str, seed: int) -> None:
    """Train and measure one arm, and write its result."""
    from nano_arms import ARMS, folder_of, measure_arm, rewards_of, train_arm

    arm, measures, seconds, started = ARMS[name], {}, 0.0, time.monotonic()
    for stop in arm.stops or (None,):
        if arm.recipe:
            seconds += processes.submit(train_arm, name, seed, stop).result()
        found = processes.submit(measure_arm, name, seed).result()
        measures |= {f"{measure}_{stop}" if stop else measure: value for measure, value in found.items()}
    record = {"arm": name, "seed": seed, "recipe": arm.recipe, "changes": list(arm.changes),
              "train_cpu_seconds": round(seconds, 1), "measures": measures}  # fmt: skip
    if arm.recipe and arm.recipe.startswith("stage3_reward"):
        record["rewards"] = rewards_of(folder_of(name, seed))
    path = results / f"{name}-{seed}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    with written_whole(path) as draft:
        draft.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    told = "  ".join(f"{measure} {value:.3f}" for measure, value in list(measures.items())[-4:])
    print(
        f"{name} seed {seed}: {time.monotonic() - started:.0f} s, {seconds:.0f} of them training  {told}", flush=True
    )
