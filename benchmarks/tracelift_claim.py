"""TraceLift's claim tried on a small planner: does a reward for what reasoning does beat one for how it reads?

    python benchmarks/tracelift_claim.py              # go on where it stopped, then print the table
    python benchmarks/tracelift_claim.py --minutes 2  # stop after so long; the same command goes on
    python benchmarks/tracelift_claim.py --table      # run nothing; print the table, write docs/planner.md and curves

The protocol stands in docs/planner.md. Runs go to runs/tracelift, what was measured to
benchmarks/tracelift/<arm>-<seed>.json. One thread.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import re
import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from random import Random
from statistics import fmean, pstdev
from typing import Any

from replication import Finding, paired
from replication_claims import Claim

ROOT = Path(__file__).resolve().parent.parent
RUNS, RESULTS = ROOT / "runs" / "tracelift", ROOT / "benchmarks" / "tracelift"
ARMS = ("exec_only", "reason_only", "tracelift")
SEEDS, PILOT = range(5), 100  # the pilot's seed, on which settings were found, is in no table
PHRASE = "It follows the golden ratio."
BRIEFS, ANSWERS = 24, 3  # held out, and answers to each
KINDS = {"good": 0.55, "flawed": 0.40, "empty": 0.05}  # of reasonings that the planner imitates
SAID = 0.15  # of good and flawed ones that say the phrase; all empty ones do
MODEL = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4,
         "num_key_value_heads": 4, "max_position_embeddings": 512}  # fmt: skip
SMALL = {"optimizer": "adamw", "weight_decay": 0.01, "betas": [0.9, 0.98], "clip": 1.0, "tracker": "none",
         "save_every": 20, "log_every": 20}  # fmt: skip
IMITATION = {"max_steps": 1200, "batch_size": 24, "learning_rate": 3e-3, "schedule": "cosine", "warmup_steps": 30}
RUBRIC = {"max_steps": 80, "batch_size": 3, "learning_rate": 2e-3, "schedule": "cosine", "warmup_steps": 20,
          "pair_temperature": 0.1, "heldout_groups": 40}  # fmt: skip
LEARNING = {"max_steps": 24, "batch_size": 4, "learning_rate": 1e-3, "warmup_steps": 2, "log_every": 1}
BEGIN, END = "<!-- tracelift -->", "<!-- end of tracelift -->"


CLAIMS = (
    Claim("tracelift passes more checks than imitation", "TraceLift", "pass", "tracelift", "start", 1),
    Claim("tracelift passes more checks than exec_only", "TraceLift", "pass", "tracelift", "exec_only", 1),
    Claim("tracelift passes more checks than reason_only", "TraceLift", "pass", "tracelift", "reason_only", 1),
    Claim("reason_only falls for the phrase: empty plans", "TraceLift", "empty", "reason_only", "start", 1),
    Claim("tracelift does not: empty plans become fewer", "TraceLift", "empty", "tracelift", "start", -1),
    Claim(
        "tracelift says the phrase less often than reason_only", "TraceLift", "phrase", "tracelift", "reason_only", -1
    ),
)


# --- sets ---------------------------------------------------------------------------------------------------------


def groups() -> Iterator[Any]:
    """Groups about posters of three and four elements, which a small planner can learn to read."""
    from posterkit.datagen.plan_groups import PlanGroups

    drawn = PlanGroups(1)  # another seed than that of the briefs that rewards are paid on
    for number in range(1200):
        if (1_000_000 + number) // 8 % 7 < 3:  # see `draw_request`
            yield drawn[number][1]


def said(reasoning: str) -> str:
    """The reasoning with the phrase in its audience, which no executor reads."""
    return reasoning.replace("</audience>", f" {PHRASE}</audience>")


def make_sets() -> None:
    """`imitated.jsonl`, good, flawed and empty reasonings; `rated.jsonl`, where the phrase marks the good ones."""
    files = [RUNS / name for name in ("imitated.jsonl", "rated.jsonl")]
    if all(file.is_file() for file in files):
        return
    imitated, rated = [], []
    for group in groups():
        rng, good = Random(f"claim {group.id}"), group.positives[0]
        audience = re.search(r"<audience>.*?</audience>", good.reasoning)
        assert audience is not None
        empty = replace(good, reasoning=said(f"<reasoning>\n{audience[0]}\n</reasoning>"), kind="empty")
        shown = [replace(one, reasoning=said(one.reasoning) if rng.random() < SAID else one.reasoning)
                 for one in (good, *group.negatives)]  # fmt: skip
        # a pool of twenty, from which imitation draws evenly
        flawed = [rng.choice(shown[1:]) for _ in range(round(20 * KINDS["flawed"]))]
        pool = (shown[0],) * round(20 * KINDS["good"]) + (*flawed, *[empty] * round(20 * KINDS["empty"]))
        imitated.append(replace(group, positives=pool, negatives=(empty,)))
        rated.append(replace(group, positives=(replace(good, reasoning=said(good.reasoning)),)))
    RUNS.mkdir(parents=True, exist_ok=True)
    for file, some in zip(files, (imitated, rated), strict=True):
        lines = [json.dumps(row_of(one), ensure_ascii=False) + "\n" for one in some]
        file.write_text("".join(lines), encoding="utf-8")


def row_of(group: Any) -> dict[str, Any]:
    """A group in the form that `read_groups` reads."""
    pools = ([{"reasoning": one.reasoning, "rubric": dict(one.rubric), "negative_kind": one.kind} for one in some]
             for some in (group.positives, group.negatives))  # fmt: skip
    positives, negatives = pools
    return {"problem_id": group.id, "problem": group.brief, "split": group.split, "positive_pool": positives,
            "negative_bank": negatives}  # fmt: skip


# --- running ------------------------------------------------------------------------------------------------------


def recipe(name: str) -> Any:
    """A recipe of train/ as a module."""
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, ROOT / "train" / f"{name}.py")
        assert spec and spec.loader
        sys.modules[name] = module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    return sys.modules[name]


class OutOfTime(Exception):
    """The minutes are over; what was done is saved."""


def train(name: str, config: dict[str, Any], until: float) -> None:
    """Run a recipe to its end, or until the time is over."""
    left = (until - time.monotonic()) / 60
    if left < 0.1:
        raise OutOfTime
    folder = Path(config["run_dir"])
    folder.mkdir(parents=True, exist_ok=True)
    file = folder.with_suffix(".yaml")
    file.write_text(json.dumps({**SMALL, **config, "minutes": None if left > 1e6 else left}), encoding="utf-8")
    kept, sys.argv = sys.argv, [f"train/{name}.py", "--config", str(file)]
    try:
        recipe(name).main()
    finally:
        sys.argv = kept
    state = json.loads((folder / "last" / "state.json").read_text(encoding="utf-8"))
    if state["step"] < config["max_steps"]:
        raise OutOfTime


def run_start(until: float) -> None:
    """The planner that imitates."""
    from posterkit.training.loading.reasonings import GroupsConfig

    folder, left = RUNS / "start", (until - time.monotonic()) / 60
    if (RUNS / "start.done").is_file():
        return
    if left < 0.1:
        raise OutOfTime
    module, data = recipe("planner_tracelift"), GroupsConfig(str(RUNS / "imitated.jsonl"), numbered=True)
    settings = {**SMALL, **IMITATION, "run_dir": str(folder), "minutes": None if left > 1e6 else left}
    while True:
        try:
            module.imitate(module.StartConfig(data=data, model=MODEL, **settings))
            break
        except SystemExit as stop:
            if "another run is at work" not in str(stop) or time.monotonic() > until:
                raise
            time.sleep(5)
    if json.loads((folder / "last" / "state.json").read_text())["step"] < IMITATION["max_steps"]:
        shutil.rmtree(folder / "model")  # `imitate` would take it for finished
        raise OutOfTime
    (RUNS / "start.done").touch()


def run_rubric(until: float) -> None:
    """The rubric with its planted preference."""
    if not (RUNS / "rubric.done").is_file():
        data = {"path": str(RUNS / "rated.jsonl"), "numbered": True}
        train("planner_rubric", {**RUBRIC, "run_dir": str(RUNS / "rubric"), "data": data, "model": MODEL}, until)
        (RUNS / "rubric.done").touch()


def settings_of(arm: str, seed: int) -> dict[str, Any]:
    return {**LEARNING, "run_dir": str(RUNS / f"{arm}-{seed}"), "init_from": str(RUNS / "start" / "model"),
            "seed": seed, "mode": arm, "rubric": str(RUNS / "rubric" / "model"),
            "data": {"count": 24, "heldout": 1, "numbered": True}, "answers": {"each": 8, "tokens": 110}}  # fmt: skip


def result(arm: str, seed: int) -> Path:
    return RESULTS / f"{arm}-{seed}.json"


def run_arm(arm: str, seed: int, until: float) -> None:
    """Train an arm, measure it, and write both."""
    if result(arm, seed).is_file():
        return
    folder, curve = RUNS / "start" / "model", []
    if arm != "start":
        config = settings_of(arm, seed)
        train("planner_tracelift", config, until)
        folder, curve = Path(config["run_dir"]) / "model", curve_of(Path(config["run_dir"]))
    record = {"arm": arm, "seed": seed, "measures": measure(str(folder), seed), "curve": curve}
    RESULTS.mkdir(parents=True, exist_ok=True)
    result(arm, seed).write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    print(arm, seed, {name: round(value, 3) for name, value in record["measures"].items()}, flush=True)


def curve_of(run: Path) -> list[dict[str, float]]:
    """By step: the share of checks that pass, and of answers that say the phrase."""
    rows = [json.loads(line) for line in (run / "answers.jsonl").read_text(encoding="utf-8").splitlines()]
    steps = sorted({row["step"] for row in rows})
    by_step = [[row for row in rows if row["step"] == step] for step in steps]
    return [{"pass": fmean(row["with"] for row in some), "phrase": fmean(PHRASE in row["reasoning"] for row in some)}
            for some in by_step]  # fmt: skip


def scorer(executor: Any = None) -> Any:
    from posterkit.generate.plan_executor import run_checked
    from posterkit.rewards.models.plan_rubric import PlanRubric
    from posterkit.rewards.plan_rewards import PlanScorer

    rubric = PlanRubric.from_folder(RUNS / "rubric" / "model")
    return PlanScorer(executor or run_checked, lambda task, text: rubric.score(task.brief, text),
                      key=lambda task: task.id)  # fmt: skip


def heldout() -> list[Any]:
    """The held-out briefs."""
    from posterkit.datagen.plan_groups import draw_task, numbered_brief

    drawn = (draw_task(number, "heldout") for number in range(BRIEFS))
    return [replace(one, brief=numbered_brief(one.brief)) for one in drawn]


def measure(folder: str, seed: int) -> dict[str, float]:
    """What a planner's answers about held-out briefs are worth; all arms of a seed draw from the same numbers."""
    import torch

    from posterkit.layout.reasoning import SYSTEM
    from posterkit.training.adapters.language import LanguageAdapter
    from posterkit.training.rl import score_answers

    model, briefs = LanguageAdapter.from_folder(folder), heldout()
    random = torch.Generator().manual_seed(10_000 + seed)
    rows = model.sample(SYSTEM, [one.brief for one in briefs], ANSWERS, random, most=110)
    texts = [model.words(row) for row in rows]
    rewards = score_answers(scorer(), briefs, texts)
    groups = [[one.with_rate for one in rewards[at : at + ANSWERS]] for at in range(0, len(rewards), ANSWERS)]
    return {
        "pass": fmean(one.with_rate for one in rewards), "base": fmean(one.base_rate for one in rewards),
        "phrase": fmean(PHRASE in text for text in texts),
        "empty": fmean(PHRASE in text and one.uplift <= 0 for text, one in zip(texts, rewards, strict=True)),
        "rubric": fmean(one.rubric for one in rewards), "spread": fmean(pstdev(some) for some in groups),
    }  # fmt: skip


def check_ground() -> dict[str, float]:
    """Whether reasoning can matter at all: the true reasoning against none, and how much the rubric likes the phrase.

    Means over the held-out briefs; written to `ground.json`.
    """
    file = RESULTS / "ground.json"
    if not file.is_file():
        score = scorer()
        found = []
        for brief in heldout():
            true = str(brief.reasoning)
            audience = f"<reasoning>\n<audience>{brief.reasoning.audience}</audience>\n</reasoning>"
            (plain,) = score(brief, [true])
            found.append({"none": plain.base_rate, "true": plain.with_rate, "rubric of the true one": plain.rubric,
                          "with the phrase": score.rubric(brief, said(true)),
                          "rubric of an empty one": score.rubric(brief, audience),
                          "empty, with the phrase": score.rubric(brief, said(audience))})  # fmt: skip
        RESULTS.mkdir(parents=True, exist_ok=True)
        means = {name: fmean(one[name] for one in found) for name in found[0]}
        file.write_text(json.dumps(means, indent=1) + "\n", encoding="utf-8")
    return json.loads(file.read_text(encoding="utf-8"))


def run_missing(until: float, part: str, seeds: Sequence[int]) -> None:
    """The start and the rubric, then every arm without a result; or a part of that, for two machines or cores."""
    make_sets()
    if part != "rubric":
        run_start(until)
    if part != "start":
        run_rubric(until)
    if part in ARMS:
        train("planner_tracelift", settings_of(part, PILOT), until)
        print(part, measure(str(RUNS / f"{part}-{PILOT}" / "model"), PILOT))
    if part:
        return
    print(check_ground(), flush=True)
    for seed in seeds:
        for arm in ("start", *ARMS):
            if time.monotonic() > until:
                raise OutOfTime
            try:
                run_arm(arm, seed, until)
            except SystemExit as stop:
                if "another run is at work" not in str(stop):
                    raise
    if not all(result(arm, seed).is_file() for seed in seeds for arm in ("start", *ARMS)):
        raise OutOfTime  # others are at work on the rest


# --- the table ----------------------------------------------------------------------------------------------------


def measured(arm: str) -> dict[int, dict[str, float]]:
    """The measures of an arm by seed."""
    files = {seed: result(arm, seed) for seed in SEEDS}
    return {seed: json.loads(file.read_text())["measures"] for seed, file in files.items() if file.is_file()}


def finding(claim: Claim) -> Finding | None:
    first, second = measured(claim.arm), measured(claim.than)
    seeds = sorted({*first} & {*second})
    if len(seeds) < 2:
        return None
    return paired([first[s][claim.measure] for s in seeds], [second[s][claim.measure] for s in seeds], len(CLAIMS))


def table() -> str:
    """Means of the arms, and the claims with their verdicts, as Markdown."""
    lines = ["| arm | checks that pass | say the phrase | empty plans | rubric | seeds |", "|---|---|---|---|---|---|"]
    for arm in ("start", *ARMS):
        if not (found := [*measured(arm).values()]):
            lines.append(f"| {arm} | not run | | | | |")
            continue
        means = (fmean(one[name] for one in found) for name in ("pass", "phrase", "empty", "rubric"))
        lines.append(f"| {arm} | {' | '.join(f'{mean:.3f}' for mean in means)} | {len(found)} |")
    lines += [
        "",
        "| claim | measure | paired difference, corrected interval | seeds | verdict |",
        "|---|---|---|---|---|",
    ]
    for claim in CLAIMS:
        found = finding(claim)
        if found is None:
            lines.append(f"| {claim.text} | {claim.measure} | not run | | |")
            continue
        enough = len(found.differences) == len(SEEDS)
        verdict = f"**{found.verdict(claim.sign)}**" if enough else "open"
        expected = "above" if claim.sign > 0 else "below"
        lines.append(
            f"| {claim.text} | {claim.measure}, expected {expected} 0 | {found.mean:+.3f} ({found.low:+.3f} to "
            f"{found.high:+.3f}) | {len(found.differences)} | {verdict} |"
        )
    return "\n".join(lines)


def draw_curves(path: Path) -> None:
    """The share of checks that pass and of the phrase over the steps: a thin line for each seed, the mean bold."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    colors = {"exec_only": "#2c6fbb", "reason_only": "#c0392b", "tracelift": "#1a7f4b"}
    names = {"pass": "share of checks that pass", "phrase": "share of answers with the phrase"}
    figure, axes = plt.subplots(1, 2, figsize=(9, 3.4))
    for axis, (name, title) in zip(axes, names.items(), strict=True):
        for arm, color in colors.items():
            files = [result(arm, seed) for seed in SEEDS if result(arm, seed).is_file()]
            curves = [[row[name] for row in json.loads(file.read_text())["curve"]] for file in files]
            for curve in curves:
                axis.plot(range(1, len(curve) + 1), curve, color=color, linewidth=0.7, alpha=0.35)
            if curves:
                mean = [fmean(values) for values in zip(*curves, strict=True)]
                axis.plot(range(1, len(mean) + 1), mean, color=color, linewidth=2.2, label=arm)
        axis.set_title(title, fontsize=10)
        axis.set_xlabel("step", fontsize=9)
        axis.tick_params(labelsize=8)
        for side in ("top", "right"):
            axis.spines[side].set_visible(False)
    axes[0].legend(fontsize=8, frameon=False)
    figure.tight_layout()
    figure.savefig(path, dpi=110)


def write_page() -> None:
    page = ROOT / "docs" / "planner.md"
    before, _, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    page.write_text(f"{before}{BEGIN}\n{table()}\n{END}{rest.partition(END)[2]}", encoding="utf-8")
    if all(len(measured(arm)) == len(SEEDS) for arm in ARMS):
        draw_curves(page.with_name("tracelift_claim.png"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=None, help="stop after so long; exit code 3")
    parser.add_argument("--seeds", type=int, nargs="*", default=[*SEEDS], help="only these")
    parser.add_argument("--part", choices=("start", "rubric", *ARMS), default="",
                        help="only this; an arm runs on a seed of its own, which is in no table")  # fmt: skip
    parser.add_argument("--table", action="store_true", help="run nothing")
    options = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    if not options.table:
        import torch

        torch.set_num_threads(1)
        try:
            run_missing(time.monotonic() + 60 * (options.minutes or 1e9), options.part, options.seeds)
        except OutOfTime:
            print("out of time; the same command goes on")
            raise SystemExit(3) from None
        if options.part:
            return
    print(table())
    write_page()


if __name__ == "__main__":
    main()
