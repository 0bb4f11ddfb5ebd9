"""The published claims about training, tried at a size that trains in minutes: arms, paired seeds, verdicts.

    python benchmarks/replication.py                  # go on at the first arm that is missing, then print the table
    python benchmarks/replication.py --table          # print the table of what is there, write docs/replication.md

Sets, bases and runs go to runs/nano; what was measured goes to benchmarks/replication/<arm>-<seed>.json, a file for
each arm as soon as it ends. All arms of a seed begin with one base and see the same posters in the same order and the
same noise; two arms of one thread each run at a time. A verdict hangs on the paired t-interval of the difference
alone: it agrees where all of the interval has the published sign, it disagrees where all of it has the other one.
Intervals hold at 95 % for all rows together (Bonferroni).
"""

from __future__ import annotations

import argparse
import itertools
import json
import multiprocessing
import os
import sys
import time
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import Any

from replication_claims import REWARDS, SIDES, TABLES, TUNING, WATCHED, Claim

ROOT = Path(__file__).resolve().parent.parent
ROWS = sum(map(len, TABLES.values()))  # that are read side by side
RESULTS = ROOT / "benchmarks" / "replication"
HEAVY = [  # read once, so that the processes of the arms need not
    "diffusers.pipelines.flux.pipeline_flux", "posterkit.training.adapters.flux", "posterkit.training.adapters.qwen",
    "posterkit.training.monitor.sampling", "posterkit.training.stages", "nano_arms",
]  # fmt: skip


BEGIN, END = "<!-- table -->", "<!-- end -->"
SHOWN = {
    "postercraft": ("postercraft", "stage1", "plain_sft", "region_sft"),
    "posteromni": ("posteromni", "expert_local", "expert_global", "joint", "distilled", "merged_svd"),
    "rewarded": ("before_reward", "dpo", "grpo", "nft"),
    "rewarded_posteromni": ("omni_before_reward", "omni_rl", "omni_rl_generic", "omni_rl_learned"),
}

TUNED = ("end_to_end", "frozen_half", "lopt_input", "lopt_anchor", "lopt_input_slow", "lopt_anchor_slow")
EPOCHS = 10  # the first and the last, whose rewards are compared


@dataclass(frozen=True)
class Finding:
    """The paired differences of a claim, one for each seed, their mean and its t-interval."""

    differences: list[float]
    mean: float
    low: float
    high: float

    def verdict(self, sign: int) -> str:
        if self.low * sign > 0 and self.high * sign > 0:
            return "agrees"
        return "disagrees" if self.low * sign < 0 and self.high * sign < 0 else "cannot tell"


def paired(first: Sequence[float], second: Sequence[float], rows: int = 1) -> Finding:
    """Paired differences and the mean's interval by Student's t.

    Args:
        rows: intervals that are to hold together at 95 %.

    Raises:
        ValueError: fewer than two pairs, or not as many of either.
    """
    from scipy import stats

    if len(first) != len(second) or len(first) < 2:
        raise ValueError(f"pairs are needed, at least two; got {len(first)} and {len(second)} values")
    differences = [a - b for a, b in zip(first, second, strict=True)]
    mean = sum(differences) / len(differences)
    error = float(stats.sem(differences))
    reach = float(stats.t.ppf(1 - 0.025 / rows, len(differences) - 1)) * error
    return Finding(differences, mean, mean - reach, mean + reach)


def at_equal_task(curves: Sequence[Sequence[tuple[float, float]]]) -> list[float]:
    """The other loss of each run at a task loss that all of them reach, read off between two measurements.

    A run that begins below that loss counts with what it began with, and the other one, which only ever made the task
    worse, with where it made it least so.

    Args:
        curves: for each run its (task loss, other loss), in the order of training, from one common start.
    """
    best = [min(curve[1:]) for curve in curves]
    level = max(task for task, _ in best)
    found = []
    for curve, (task, other) in zip(curves, best, strict=True):
        if task == level:
            found.append(other)
        elif curve[0][0] <= level:
            found.append(curve[0][1])
        else:
            pairs = itertools.pairwise(curve)
            (before, left), (after, right) = next(pair for pair in pairs if pair[0][0] >= level >= pair[1][0])
            found.append(left + (right - left) * (before - level) / (before - after))
    return found


# --- running ------------------------------------------------------------------------------------------------------


def result(name: str, seed: int) -> Path:
    return RESULTS / f"{name}-{seed}.json"


def run_missing(seeds: Sequence[int], only: Sequence[str]) -> None:
    """Train and measure every arm without a result, two at a time, each in processes of its own."""
    os.environ["OMP_NUM_THREADS"] = "1"
    sys.path.insert(0, str(ROOT / "benchmarks"))
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(HEAVY)
    with ProcessPoolExecutor(2, context, max_tasks_per_child=1) as processes, ThreadPoolExecutor(2) as threads:
        from nano_arms import ARMS, BASES, CANDIDATES, RUNS, SETS, make_set, run_recipe, trained
        from nano_candidates import make_candidates

        for name in SETS:
            processes.submit(make_set, name).result()
        for pair in (list(BASES)[:2], list(BASES)[2:]):
            missing = [BASES[name] for name in pair if not (RUNS / name / "model").is_dir()]
            for job in [processes.submit(run_recipe, config, []) for config in missing]:
                job.result()
        if not (CANDIDATES / "samples.jsonl").is_file():
            processes.submit(make_candidates, str(RUNS / "base_posteromni"), CANDIDATES).result()
        arms = [(name, seed) for seed in seeds for name in ARMS if not only or name in only]
        waiting = [arm for arm in arms if not result(*arm).is_file()]
        for name, seed in list(waiting):  # weights that others begin with may be gone where results are not
            waiting += [(n, seed) for n in ARMS[name].needs if not trained(n, seed) and (n, seed) not in waiting]
        running: dict[Future[None], tuple[str, int]] = {}
        while waiting or running:
            blocked = {*waiting, *running.values()}
            for name, seed in list(waiting):
                if len(running) < 2 and not any((n, seed) in blocked for n in ARMS[name].needs):
                    waiting.remove((name, seed))
                    running[threads.submit(run_arm, processes, name, seed)] = (name, seed)
            done, _ = wait(running, return_when=FIRST_COMPLETED)
            for job in done:
                job.result()
                del running[job]


def run_arm(processes: ProcessPoolExecutor, name: str, seed: int) -> None:
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
    RESULTS.mkdir(parents=True, exist_ok=True)
    result(name, seed).write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    told = "  ".join(f"{measure} {value:.3f}" for measure, value in list(measures.items())[-4:])
    print(
        f"{name} seed {seed}: {time.monotonic() - started:.0f} s, {seconds:.0f} of them training  {told}", flush=True
    )


# --- the table ----------------------------------------------------------------------------------------------------


def measured(name: str) -> dict[int, dict[str, Any]]:
    """The measures of an arm by seed."""
    return {seed: record["measures"] for seed, record in records(name).items()}


def records(name: str) -> dict[int, dict[str, Any]]:
    """What is kept of an arm, by seed."""
    found = (json.loads(path.read_text(encoding="utf-8")) for path in sorted(RESULTS.glob(f"{name}-*.json")))
    return {record["seed"]: record for record in found}


def finding(claim: Claim) -> Finding | None:
    """What the results say of a claim; None with fewer than two seeds."""
    first, second = measured(claim.arm), measured(claim.than)
    seeds = sorted({*first} & {*second})
    if len(seeds) < 2:
        return None
    if claim.measure != "others@task":
        return paired([first[s][claim.measure] for s in seeds], [second[s][claim.measure] for s in seeds], ROWS)
    base = {s: (found["task"], found["others"]) for s, found in measured("untuned").items()}
    seeds = [s for s in seeds if s in base]
    pairs = [at_equal_task([[base[s], *_curve(first[s])], [base[s], *_curve(second[s])]]) for s in seeds]
    return paired([a for a, _ in pairs], [b for _, b in pairs], ROWS)


def _curve(measures: dict[str, float]) -> list[tuple[float, float]]:
    steps = sorted(int(name.removeprefix("task_")) for name in measures if name.startswith("task_"))
    return [(measures[f"task_{step}"], measures[f"others_{step}"]) for step in steps]


def table() -> str:
    """The claims, what was found and the verdicts, as Markdown."""
    parts = [f"### {title}\n\n{rows(claims)}" for title, claims in TABLES.items()]
    return "\n\n".join((*parts, f"### What each reward bought\n\n{watch()}"))


def rows(claims: Sequence[Claim]) -> str:
    lines = ["| claim | published | measure | paired difference, corrected interval | seeds | verdict |",
             "|---|---|---|---|---|---|"]  # fmt: skip
    for claim in claims:
        found = finding(claim)
        if found is None:
            lines.append(f"| {claim.text} | {claim.source} | {claim.measure} | not run | | |")
            continue
        wanted = "above 0" if claim.sign > 0 else "below 0"
        lines.append(
            f"| {claim.text} | {claim.source} | {claim.measure}, expected {wanted} | "
            f"{found.mean:+.3f} ({found.low:+.3f} to {found.high:+.3f}) | {len(found.differences)} | "
            f"**{found.verdict(claim.sign)}** |"
        )
    return "\n".join(lines)


def watch() -> str:
    """Each arm's own reward, and what it was not told to mind, as Markdown.

    A measure got better or worse where all of its corrected interval did; a reward that rose while one got worse
    was hacked.
    """
    lines = [f"| learnt from rewards | own reward, held out; * of the last {EPOCHS} epochs over the first | better | "
             "worse | |", "|---|---|---|---|---|"]  # fmt: skip
    for arm, (before, reward) in WATCHED.items():
        drawn = [record["rewards"] for record in records(arm).values()]
        if len(drawn) < 2:
            lines.append(f"| {arm} | not run | | | |")
            continue
        measures = [name for name in SIDES if name in next(iter(measured(arm).values()))]
        changes = {name: finding(Claim("", "", name, arm, before, SIDES[name])) for name in measures}
        ends = [mean(epochs[-EPOCHS:]) for epochs in drawn], [mean(epochs[:EPOCHS]) for epochs in drawn]
        own = (changes.pop(reward) if reward else None) or paired(*ends, ROWS)
        told: dict[str, list[str]] = {"agrees": [], "disagrees": [], "cannot tell": []}
        for name, found in changes.items():
            if found:
                told[found.verdict(SIDES[name])].append(f"{name} {found.mean:+.3f}")
        star, hacked = "" if reward else " *", "**hacking**" if own.low > 0 and told["disagrees"] else ""
        better, worse = (", ".join(told[verdict]) or "none" for verdict in ("agrees", "disagrees"))
        lines.append(
            f"| {arm} | {own.mean:+.3f} ({own.low:+.3f} to {own.high:+.3f}){star} | {better} | {worse} | {hacked} |"
        )
    return "\n".join(lines)


def write_page() -> None:
    """Put table and pictures into docs/replication.md, whose text is written by hand."""
    from nano_arms import SHEET, folder_of
    from replication_plots import forest, refined, retention, rewards, stages

    page = ROOT / "docs" / "replication.md"
    before, _, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    page.write_text(f"{before}{BEGIN}\n{table()}\n{END}{rest.partition(END)[2]}", encoding="utf-8")
    for claims, name in ((TUNING, "replication"), (REWARDS, "replication_of_rewards")):
        forest([(claim, found) for claim in claims if (found := finding(claim))], page.with_name(f"{name}.png"))
    base = measured("untuned")
    curves = {
        name: [[(base[seed]["task"], base[seed]["others"]), *_curve(found)] for seed, found in measured(name).items()]
        for name in TUNED
    }
    retention(curves, page.with_name("replication_retention.png"))
    drawn = {name: {s: record["rewards"] for s, record in records(name).items()} for name in ("nft", "grpo", "dpo")}
    above = {
        name.upper(): [[a - b for a, b in zip(run, drawn["dpo"][s], strict=True)] for s, run in drawn[name].items()]
        for name in ("nft", "grpo")
    }  # dpo's posters are the reference's
    own = {
        name.removeprefix("omni_rl").strip("_").replace("_", " ") or "rules":
        [record["rewards"] for record in records(name).values()]
        for name in WATCHED if name.startswith("omni")
    }  # fmt: skip
    rewards(above, own, page.with_name("replication_rewards.png"))
    for shown, arms in SHOWN.items():
        sheets = {name: sheet for name in arms if (sheet := folder_of(name, 0) / SHEET).is_file()}
        if len(sheets) == len(arms):  # the runs may lie on another machine
            tile, pick = ((100, 100), range(0, 36, 3)) if shown.endswith("posteromni") else ((68, 100), range(12))
            stages(sheets, page.with_name(f"replication_{shown}.jpg"), 12, tile, pick)
    if (sheet := folder_of("reflect", 0) / SHEET).is_file():
        refined(sheet, page.with_name("replication_refined.jpg"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5, help="paired seeds (default 5)")
    parser.add_argument("--arms", nargs="*", default=[], help="only these")
    parser.add_argument("--table", action="store_true", help="run nothing")
    options = parser.parse_args()
    if not options.table:
        run_missing(range(options.seeds), options.arms)
    print(table())
    write_page()


if __name__ == "__main__":
    main()
