"""The published claims about training, tried at a size that trains in minutes: arms, paired seeds, verdicts.

    python benchmarks/replication.py                  # go on at the first arm that is missing, then print the table
    python benchmarks/replication.py --arms 'bases/*' # only arms whose name is of this form, and what they need
    python benchmarks/replication.py --table          # print the table of what is there, write docs/replication.md

Sets, bases and runs go to runs/nano; what was measured goes to benchmarks/replication/<arm>-<seed>.json, a file for
each arm as soon as it ends. All arms of a seed begin with one base and see the same posters in the same order and the
same noise. A verdict hangs on the paired t-interval of the difference alone: it agrees where all of the interval has
the published sign, it disagrees where all of it has the other one. Intervals hold at 95 % for all rows together
(Bonferroni). Arms of PosterOmni's student (`bases/`) begin with three bases, two seeds each: there every base's mean
has to have the verdict's sign too.
"""

from __future__ import annotations

import argparse
import itertools
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import mean
from typing import Any

from replication_claims import BASES as STUDENTS
from replication_claims import REWARDS, SIDES, TABLES, TUNING, WATCHED, Claim
from replication_runs import run_missing

ROOT = Path(__file__).resolve().parent.parent
ROWS = sum(map(len, TABLES.values()))  # that are read side by side
RESULTS = ROOT / "benchmarks" / "replication"
BEGIN, END = "<!-- table -->", "<!-- end -->"
SHOWN = {
    "postercraft": ("postercraft", "stage1", "plain_sft", "region_sft"),
    "posteromni": tuple(
        f"bases/{arm}" for arm in ("posteromni", "expert_local", "expert_global", "joint", "distilled", "merged_svd")
    ),
    "rewarded": ("before_reward", "dpo", "grpo", "nft"),
    "rewarded_posteromni": tuple(f"bases/{arm}" for arm in ("before_reward", "rl_rules", "rl_generic", "rl_learned")),
}

TUNED = ("end_to_end", "frozen_half", "lopt_input", "lopt_anchor", "lopt_input_slow", "lopt_anchor_slow")
EPOCHS = 10  # the first and the last, whose rewards are compared


@dataclass(frozen=True)
class Finding:
    """The paired differences of a claim, one for each seed, their mean and its t-interval; the mean of each base."""

    differences: list[float]
    mean: float
    low: float
    high: float
    bases: tuple[float, ...] = ()

    def verdict(self, sign: int) -> str:
        ends = (self.low, self.high, *self.bases)
        if all(end * sign > 0 for end in ends):
            return "agrees"
        return "disagrees" if all(end * sign < 0 for end in ends) else "cannot tell"


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
        found = paired([first[s][claim.measure] for s in seeds], [second[s][claim.measure] for s in seeds], ROWS)
        return replace(found, bases=_means(seeds, found.differences)) if claim.arm.startswith("bases/") else found
    base = {s: (found["task"], found["others"]) for s, found in measured("untuned").items()}
    seeds = [s for s in seeds if s in base]
    pairs = [at_equal_task([[base[s], *_curve(first[s])], [base[s], *_curve(second[s])]]) for s in seeds]
    return paired([a for a, _ in pairs], [b for _, b in pairs], ROWS)


def _means(seeds: Sequence[int], differences: Sequence[float]) -> tuple[float, ...]:
    """The mean of each base's seeds."""
    from nano_arms import base_of

    by_base: dict[int, list[float]] = {}
    for seed, difference in zip(seeds, differences, strict=True):
        by_base.setdefault(base_of(seed), []).append(difference)
    return tuple(mean(by_base[base]) for base in sorted(by_base))


def _curve(measures: dict[str, float]) -> list[tuple[float, float]]:
    steps = sorted(int(name.removeprefix("task_")) for name in measures if name.startswith("task_"))
    return [(measures[f"task_{step}"], measures[f"others_{step}"]) for step in steps]


def table() -> str:
    """The claims, what was found and the verdicts, as Markdown."""
    parts = [f"### {title}\n\n{rows(claims)}" for title, claims in TABLES.items()]
    return "\n\n".join((*parts, f"### The student beside its base\n\n{beside()}",
                        f"### What each reward bought\n\n{watch()}"))  # fmt: skip


def beside() -> str:
    """Mean measures of base, experts, joint, student and merges, and their share of the experts' gain, as Markdown."""
    arms = ("posteromni", "expert_local", "expert_global", "joint", "joint_longer", "distilled", "distilled_no_text",
            "merged_linear", "merged_svd")  # fmt: skip
    measures = ("local", "global", "loss_local", "loss_global", "letters", "loss_title")
    lines = ["| arm | pairs | " + " | ".join(measures) + " | share of the experts' gain: local, global |",
             "|---|---|" + "---|" * (len(measures) + 1)]  # fmt: skip
    if not measured("bases/posteromni"):
        return "Not run yet."
    base, experts = measured("bases/posteromni"), {g: measured(f"bases/expert_{g}") for g in ("local", "global")}
    for arm in arms:
        found = measured(f"bases/{arm}")
        values = [f"{mean(one[name] for one in found.values()):.4f}" if found else "–" for name in measures]
        shares = []
        for group, expert in experts.items():
            seeds, loss = [seed for seed in found if seed in expert and seed in base], f"loss_{group}"
            gained, whole = (sum(base[s][loss] - one[s][loss] for s in seeds) for one in (found, expert))
            shares.append(f"{gained / whole:.0%}" if seeds else "–")
        lines.append(
            f"| {arm.replace('posteromni', 'base')} | {len(found)} | {' | '.join((*values, ', '.join(shares)))} |"
        )
    return "\n".join(lines)


def rows(claims: Sequence[Claim]) -> str:
    lines = ["| claim | published | measure | paired difference, corrected interval, mean of each base | seeds | "
             "verdict |", "|---|---|---|---|---|---|"]  # fmt: skip
    missing = 0
    for claim in claims:
        found = finding(claim)
        if found is None:
            missing += 1
            continue
        wanted = "above 0" if claim.sign > 0 else "below 0"
        bases = "".join(f", {base:+.3f}" for base in found.bases)
        lines.append(
            f"| {claim.text} | {claim.source} | {claim.measure}, expected {wanted} | "
            f"{found.mean:+.3f} ({found.low:+.3f} to {found.high:+.3f}){bases} | {len(found.differences)} | "
            f"**{found.verdict(claim.sign)}** |"
        )
    shown = "\n".join(lines) if missing < len(claims) else ""
    return "\n\n".join(filter(None, (shown, f"{missing} rows are not run yet." if missing else "")))


def watch() -> str:
    """Each arm's own reward, and what it was not told to mind, as Markdown.

    A measure got better or worse where all of its corrected interval did; a reward that rose while one got worse
    was hacked.
    """
    lines = [f"| learnt from rewards | own reward, held out; * of the last {EPOCHS} epochs over the first | better | "
             "worse | |", "|---|---|---|---|---|"]  # fmt: skip
    for arm, (before, reward) in WATCHED.items():
        drawn = [record["rewards"] for record in records(arm).values()]
        if len(drawn) < 2:  # not run yet
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
    pictures = (TUNING, "replication"), (REWARDS, "replication_of_rewards"), (STUDENTS, "replication_of_students")
    for claims, name in pictures:
        if shown := [(claim, found) for claim in claims if (found := finding(claim))]:
            forest(shown, page.with_name(f"{name}.png"))
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
        name.removeprefix("bases/rl_").replace("_", " "): [record["rewards"] for record in records(name).values()]
        for name in WATCHED if name.startswith("bases/") and records(name)
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
    parser.add_argument("--seeds", type=int, default=5, help="paired seeds of the arms on one base (default 5)")
    parser.add_argument("--arms", nargs="*", default=[], help="only these, by name or by a form such as 'bases/rl_*'")
    parser.add_argument("--workers", type=int, default=2, help="arms at a time (default 2)")
    parser.add_argument("--table", action="store_true", help="run nothing")
    options = parser.parse_args()
    if not options.table:
        run_missing(RESULTS, options.seeds, options.arms, options.workers)
    print(table())
    write_page()


if __name__ == "__main__":
    main()
