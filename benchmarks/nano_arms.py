"""What the replication trains: sets of glyph posters, bases, and the arms of each seed, by the recipes themselves."""

from __future__ import annotations

import json
import runpy
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from glyph_posters import GlyphPosters
from merging import linear_merge, svd_merge
from nano_measures import (
    RULES,
    measure_pairs,
    measure_postercraft,
    measure_posteromni,
    measure_retention,
    measure_rewarded,
    measure_rewarded_posteromni,
)
from nano_reflections import make_reflections, measure_best_of_2, measure_refined

from posterkit.datagen.engine import Flow, run_flow
from posterkit.datasets.sample_files import encode_sample
from posterkit.schema import PosterSample
from posterkit.tasks import TASKS
from posterkit.training.lora_files import read_lora, write_lora

ROOT = Path(__file__).resolve().parent.parent
RUNS = Path("runs/nano")
CANDIDATES = RUNS / "candidates"
SHEET = "sheet.png"  # of a run folder: what the arm draws
STOPS = (20, 40, 70, 100)  # steps at which a run that is tuned on a narrow set is measured
Measures = dict[str, float]
Measure = Callable[..., Measures]


@dataclass(frozen=True)
class Split:
    """The first `count` posters to train on, the others held out."""

    source: GlyphPosters
    count: int

    def __getitem__(self, number: int) -> PosterSample:
        if number < self.count:
            return self.source[number]
        return replace(self.source, split="heldout")[number - self.count]


SIX = tuple(TASKS)
SETS = {
    "base": Split(GlyphPosters(told=0.33), 8192),
    "base_omni": Split(GlyphPosters(tasks=SIX, told=0.5), 12288),
    "base_told": Split(GlyphPosters(seed=5, told=0.6), 8192),
    "letters": Split(GlyphPosters(seed=1, bare=True), 4096),
    "posters": Split(GlyphPosters(seed=2), 4096),
    "posters_misread": Split(GlyphPosters(seed=2, wrong=0.25), 4096),
    "brand": Split(GlyphPosters(seed=3, brand=True), 1024),
    "omni": Split(GlyphPosters(seed=4, tasks=SIX), 6144),
}
BASES = {  # run folder: config and seed, in this order
    "base_postercraft_first": ("stage0_pretrain", 0),
    "base_posteromni": ("stage0_pretrain_posteromni", 0),
    "base_postercraft": ("stage0_pretrain_told", 0),
    **{f"base_posteromni_{n}": ("stage0_pretrain_posteromni", n) for n in range(3)},
}
ON_BASES, PAIRS = "bases/", 6  # what the names of arms on three bases begin with; their seeds, two to a base
CHOSEN = ROOT / "benchmarks" / "replication" / "bases" / "student.json"  # by student_rate.py


@dataclass(frozen=True)
class Arm:
    """One training of one seed, or none, and what is measured after it.

    Attributes:
        recipe: in `train/`, with the config of the same name; None where nothing is trained.
        changes: overrides; `{run}` stands for the folder of the seed, `{base}` for the number of its base.
        measure: of the run folder.
        needs: arms whose weights it begins with.
        stops: steps at which the run stops and is measured, as `<measure>_<step>`; at its end only where empty.
        start: the run folder (or base) that is measured where nothing is trained.
        make_set: draws the run's own set from the arm that it begins with.
    """

    recipe: str | None
    measure: Measure
    changes: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    stops: tuple[int, ...] = ()
    start: str | None = None
    make_set: Callable[[str, int, Path], None] | None = None


def _after(former: str, recipe: str, measure: Measure, *changes: str) -> Arm:
    """A stage after another of the same seed."""
    return Arm(recipe, measure, (f"init_from={{run}}/{former}", *changes), (former,))


def _rewarded(former: str, objective: str, *changes: str) -> Arm:
    """Stage 3, as many posters for every objective, each at its own rate."""
    return _after(former, "stage3_reward", measure_rewarded, f"objective={objective}", *changes)


def _judging(*changes: str) -> Arm:
    """A reward model of six tasks, which learns from judged posters of a base and from free pairs."""
    return Arm("reward_model", measure_pairs, (f"data.path={CANDIDATES}", *changes))


def _on_bases() -> dict[str, Arm]:
    """The arms of PosterOmni's student, which seeds try on three bases."""
    base, often = f"init_from={RUNS}/base_posteromni_{{base}}", "save_every=50"
    both = (f"{ON_BASES}expert_local", f"{ON_BASES}expert_global")
    experts = tuple(f"experts.{name.rpartition('_')[2]}={{run}}/{name}" for name in both)
    before = f"{ON_BASES}distilled"
    student = json.loads(CHOSEN.read_text(encoding="utf-8")) if CHOSEN.is_file() else {}
    steps = student.get("max_steps", 1200)
    rate = f"learning_rate={student.get('learning_rate', 2e-3)}"
    judges = {"learned": (), "without_unedited": ("kinds.unedited=0",), "without_prompt": ("prompt=false",)}

    def tuned(recipe: str, *changes: str, needs: tuple[str, ...] = ()) -> Arm:
        return Arm(recipe, measure_posteromni, (base, often, *changes), needs)

    def rewarded(source: str, *needs: str) -> Arm:
        changes = (f"init_from={{run}}/{before}", often, f"reward.source={source}")
        return Arm("stage3_reward_posteromni", measure_rewarded_posteromni, changes, (before, *needs))

    arms = {
        "posteromni": Arm(None, measure_posteromni, start=f"{RUNS}/base_posteromni_{{base}}"),
        "expert_local": tuned("stage2_experts", "group=local"),
        "expert_global": tuned("stage2_experts", "group=global", "max_steps=150"),
        "joint": tuned("stage2_experts", *_JOINT, "max_steps=450"),
        "distilled": tuned("stage2_distill", *experts, rate, f"max_steps={steps}", needs=both),
        "distilled_no_text": tuned(
            "stage2_distill", *experts, rate, "text_share=0", f"max_steps={steps * 4 // 5}", needs=both
        ),
        "merged_linear": Arm(None, measure_posteromni, needs=both),
        "merged_svd": Arm(None, measure_posteromni, needs=both),
        "before_reward": Arm(None, measure_rewarded_posteromni, needs=(before,), start=f"{{run}}/{before}"),
        "base_rewarded": Arm(None, measure_rewarded_posteromni, start=f"{RUNS}/base_posteromni_{{base}}"),
        "rl_rules": rewarded(RULES),
        "rl_generic": rewarded("glyphs:0.5+aesthetics:0.5"),
        "joint_longer": tuned("stage2_experts", *_JOINT, f"max_steps={450 + steps // 4}"),  # batches of 32
    }
    for name, changes in judges.items():
        data = (base, often, f"data.path={CANDIDATES}_{{base}}")
        arms[f"judge_{name}"] = Arm("reward_model", measure_pairs, (*data, *changes))
        arms[f"rl_{name}"] = rewarded(f"{{run}}/{ON_BASES}judge_{name}", f"{ON_BASES}judge_{name}")
    return {f"{ON_BASES}{name}": arm for name, arm in arms.items()}


def _reflecting(former: str) -> Arm:
    """Stage 4, on reflections of the former stage's own posters."""
    return replace(_after(former, "stage4_reflect", measure_refined), make_set=make_reflections)


def _tuned(*changes: str) -> Arm:
    """Plain fine-tuning on one brand's posters, where a model can forget all others."""
    brand = ("init_from=runs/nano/base_postercraft", "data.path=runs/nano/sets/brand", "major=1", "minor=1")
    changes = (*brand, f"max_steps={STOPS[-1]}", *changes)
    return Arm("stage2_region_sft", measure_retention, changes, stops=STOPS)


_PLAIN = ("major=1", "minor=1")
_MISREAD = "data.path=runs/nano/sets/posters_misread"
_JOINT = ("group=joint", "trainable.rank=16")
ARMS = {
    "postercraft": Arm(None, measure_postercraft, start="runs/nano/base_postercraft"),
    "stage1": Arm("stage1_text_render", measure_postercraft),
    "region_sft": _after("stage1", "stage2_region_sft", measure_postercraft),
    "plain_sft": _after("stage1", "stage2_region_sft", measure_postercraft, *_PLAIN),
    "region_sft_misread": _after("stage1", "stage2_region_sft", measure_postercraft, _MISREAD),
    "plain_sft_misread": _after("stage1", "stage2_region_sft", measure_postercraft, _MISREAD, *_PLAIN),
    "posteromni": Arm(None, measure_posteromni, start="runs/nano/base_posteromni"),
    "expert_local": Arm("stage2_experts", measure_posteromni, ("group=local",)),
    "expert_global": Arm("stage2_experts", measure_posteromni, ("group=global", "max_steps=150")),
    "joint": Arm("stage2_experts", measure_posteromni, (*_JOINT, "max_steps=450")),
    "before_reward": Arm(None, measure_rewarded, needs=("region_sft",), start="{run}/region_sft"),
    "nft": _rewarded("region_sft", "nft"),
    "dpo": _rewarded("region_sft", "dpo"),
    "grpo": _rewarded("region_sft", "grpo", "grpo.level=0.4"),
    "reflect": _reflecting("dpo"),
    "best_of_2": Arm(None, measure_best_of_2, needs=("dpo",), start="{run}/dpo"),
    "region_sft_without_1": Arm("stage2_region_sft", measure_rewarded, ("init_from=runs/nano/base_postercraft",)),
    "dpo_without_1": _rewarded("region_sft_without_1", "dpo"),
    "reflect_without_1": _reflecting("dpo_without_1"),
    "dpo_without_2": _rewarded("stage1", "dpo"),
    "reflect_without_2": _reflecting("dpo_without_2"),
    "reflect_without_3": _reflecting("region_sft"),
    "reward_model": _judging(),
    "reward_model_without_unedited": _judging("kinds.unedited=0"),
    "reward_model_without_prompt": _judging("prompt=false"),
    "untuned": Arm(None, measure_retention, start="runs/nano/base_postercraft"),
    "end_to_end": _tuned(),
    "frozen_half": _tuned("strategy=frozen_half"),
    "lopt_input": _tuned("strategy=lopt"),
    "lopt_anchor": _tuned("strategy=lopt", "halves.target=anchor"),
    "lopt_input_slow": _tuned("strategy=lopt", "halves.early_rate=0.02"),
    "lopt_anchor_slow": _tuned("strategy=lopt", "halves.target=anchor", "halves.early_rate=0.02"),
    **_on_bases(),
}  # fmt: skip


def make_set(name: str) -> None:
    """Draw a set, once; what is there is taken."""
    split = SETS[name]
    held = 8 * len(split.source.tasks)
    settings = {"tool": "GlyphPosters", "count": split.count, **asdict(split.source)}
    run_flow(Flow(split, split.count + held, (), encode_sample, settings), RUNS / "sets" / name)


def run_recipe(config: str, changes: list[str]) -> float:
    """Run a recipe to its end with its nano config; returns the CPU seconds that it took."""
    recipe = ROOT / "train" / f"{config.removesuffix('_posteromni').removesuffix('_told')}.py"
    sys.argv = [str(recipe), "--config", str(ROOT / "configs" / "nano" / f"{config}.yaml"), *changes]
    sys.path.insert(0, str(recipe.parent))
    torch.set_num_threads(1)
    started = time.process_time()
    runpy.run_path(str(recipe), run_name="__main__")
    return time.process_time() - started


def folder_of(name: str, seed: int) -> Path:
    """Where an arm's run lies."""
    return RUNS / f"seed{seed}" / name


def base_of(seed: int) -> int:
    """The number of the base that a seed's arms on three bases begin with."""
    return seed % 3


def trained(name: str, seed: int) -> bool:
    """Whether an arm's weights are there for others to begin with."""
    arm = ARMS[name]
    return arm.recipe is None or (folder_of(name, seed) / "model").is_dir()


def train_arm(name: str, seed: int, stop: int | None = None) -> float:
    """Train an arm, or go on with it as far as a stop; returns CPU seconds."""
    arm = ARMS[name]
    assert arm.recipe is not None
    run = RUNS / f"seed{seed}"
    changes = [change.format(run=run, base=base_of(seed)) for change in arm.changes]
    changes += [f"seed={seed}", f"run_dir={folder_of(name, seed)}"] + ([f"stop_at={stop}"] if stop else [])
    if arm.make_set:
        own = run / f"{name}_set"
        arm.make_set(str(folder_of(arm.needs[0], seed)), seed, own)
        changes.append(f"data.path={own}")
    return run_recipe(arm.recipe, changes)


def rewards_of(folder: Path) -> list[float]:
    """What the posters that a run drew were worth, mean of each epoch."""
    rows = (json.loads(line) for line in (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines())
    return [round(row["reward"], 4) for row in rows if "reward" in row]


def measure_arm(name: str, seed: int) -> Measures:
    """Measure an arm's weights as they are; those of a merge are made first."""
    torch.set_num_threads(1)
    arm, folder = ARMS[name], folder_of(name, seed)
    if "merged" in name:
        experts = [read_lora(folder_of(expert, seed) / "ema") for expert in arm.needs]
        merged = linear_merge(experts) if name.endswith("linear") else svd_merge(experts, 16)
        write_lora(merged, folder / "model")
        held = f"init_from: {RUNS}/base_posteromni_{base_of(seed)}\n"
        (folder / "config.yaml").write_text(held, encoding="utf-8")
    start = arm.start.format(run=RUNS / f"seed{seed}", base=base_of(seed)) if arm.start else str(folder)
    return arm.measure(start, seed) if arm.measure is measure_retention else arm.measure(start, seed, folder / SHEET)
