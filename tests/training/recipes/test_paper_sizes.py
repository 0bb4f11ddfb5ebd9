"""Every paper-size config takes a step: the published layers and heads, made narrow, on posters of their real size.

Attention over a megapixel in all layers takes minutes on a CPU. So all layers see an eighth of it, and two layers see
the area that the config names.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from diffusers.loaders.lora_base import LORA_WEIGHT_NAME_SAFE
from narrow_models import (
    save_narrow_critic,
    save_narrow_flux,
    save_narrow_planner,
    save_narrow_qwen,
    save_narrow_scorer,
)
from PIL import Image
from safetensors.torch import load_file
from small_omni import save_expert
from small_stages import log_of

from posterkit.datasets import SyntheticPosters, write_sample
from posterkit.sizing import Size
from posterkit.tasks import TASKS

CONFIGS = Path(__file__).resolve().parents[3] / "configs"
SIZE = Size(832, 1216)
STAGES = {
    "postercraft": ("stage1_text_render", "stage2_region_sft", "stage3_reward", "stage4_reflect"),
    "posteromni": ("stage2_experts", "stage2_distill", "stage3_reward"),
}
ALL = [(family, stage) for family, stages in STAGES.items() for stage in stages]
COMMON = [
    "max_steps=1",
    "sample_every=0",
    "log_every=1",
    "processes=1",
    "precision=fp32",  # attention in bfloat16 takes minutes on a CPU
    "base=fp32",
]


@pytest.fixture(scope="module")
def sets(tmp_path_factory) -> Path:
    """Sets of posters of 832x1216: texts, the six tasks, preference pairs, reflections."""
    folder = tmp_path_factory.mktemp("sets")
    for name, tasks in (("text", ("text",)), ("omni", tuple(TASKS))):
        source = SyntheticPosters(seed=7, size=SIZE, tasks=tasks)
        for number, task in enumerate(tasks):
            write_sample(source.sample(number, task=task), folder / name)
    shown = [Image.fromarray(SyntheticPosters(seed=7, size=SIZE)[number].target) for number in range(2)]
    row = {"id": "one", "task": "text", "prompt": "a poster", "split": "train"}
    pair = {"gap": 0.1, "kind": "candidates", "instruction": "a poster", "chosen": "0.png", "rejected": "1.png"}
    reflection = {"draft": "0.png", "target": "1.png", "content": "A fox.", "style": "Red."}
    for name, more in (("pairs", pair), ("reflections", reflection)):
        (folder / name).mkdir()
        (folder / name / "samples.jsonl").write_text(json.dumps({**row, **more}) + "\n")
        for number, picture in enumerate(shown):
            picture.save(folder / name / f"{number}.png")
    return folder


@pytest.fixture(scope="module")
def bases(tmp_path_factory) -> dict[tuple[str, bool], Path]:
    """By family, and whether all layers are there; else two of each kind."""
    folder = tmp_path_factory.mktemp("bases")
    return {
        ("postercraft", True): save_narrow_flux(folder / "flux"),
        ("postercraft", False): save_narrow_flux(folder / "flux2", 2, 2),
        ("posteromni", True): save_narrow_qwen(folder / "qwen"),
        ("posteromni", False): save_narrow_qwen(folder / "qwen2", 2),
    }


def overrides(family: str, stage: str, base: Path, sets: Path, folder: Path) -> list[str]:
    """Where a stage's set and former stages lie here, and fewer passes in its step."""
    given = [f"run_dir={folder}/run", f"init_from={base}", f"data.cache={folder}/cache"]
    data = {"posteromni": "omni", "stage4_reflect": "reflections"}
    given.append(f"data.path={sets / data.get(family, data.get(stage, 'text'))}")
    if stage in ("stage2_experts", "stage2_distill"):
        given += [f"text.path={sets / 'text'}", f"text.cache={folder}/cache"]
    if stage == "stage2_distill":
        for name in ("local", "global"):
            given.append(f"experts.{name}={save_expert(base, folder / name, name, seed=1, std=0.01)}")
    if (family, stage) == ("postercraft", "stage3_reward"):
        given = [one for one in given if not one.startswith("data.path")] + [f"dpo.pairs={sets / 'pairs'}"]
    if (family, stage) == ("posteromni", "stage3_reward"):  # fewer prompts, posters and passes, and a small judge
        given += ["rollouts.images=2", "rollouts.micro_batch=2", "rollouts.draws=1", "rollouts.steps=2",
                  "rollouts.least_std=0", "data.tasks=[filling]", "reward.source=aesthetics", "reward.device=cpu",
                  "reward.workers=0"]  # fmt: skip
        return given
    return [*given, "accumulation=1"]


def take_a_step(family: str, stage: str, base: Path, sets: Path, folder: Path, run_recipe, *more: str) -> Path:
    path = CONFIGS / family / f"{stage}.yaml"
    config = yaml.safe_load(path.read_text())
    run_recipe(stage, path, *COMMON, *overrides(family, stage, base, sets, folder), *more)
    (row,) = log_of(folder / "run")
    assert 0 < abs(row["loss"]) < 100 and row["grad_norm"] > 0
    held = [file.name for file in (folder / "run" / "model").rglob("*.safetensors")]
    assert (set(held) == {LORA_WEIGHT_NAME_SAFE}) == (config["trainable"]["weights"] == "lora")
    return folder / "run"


@pytest.mark.slow
@pytest.mark.parametrize(("family", "stage"), ALL)
def test_a_step_through_all_published_layers(family, stage, bases, sets, run_recipe, tmp_path):
    run = take_a_step(family, stage, bases[family, True], sets, tmp_path, run_recipe, "data.area=131072")
    trained = load_file(run / "last" / "weights.safetensors")
    blocks = {name.split(".attn.")[0] for name in trained if ".attn." in name}
    assert len(blocks) == (19 + 38 if family == "postercraft" else 60)


@pytest.mark.slow
@pytest.mark.parametrize(("family", "stage"), ALL)
def test_a_step_at_the_configs_own_area(family, stage, bases, sets, run_recipe, tmp_path):
    area = yaml.safe_load((CONFIGS / family / f"{stage}.yaml").read_text())["data"]["area"]
    take_a_step(family, stage, bases[family, False], sets, tmp_path, run_recipe)
    said = (tmp_path / "run" / "data_report.json").read_text()
    sizes = [bucket["size"] for report in json.loads(said).values() for bucket in report["buckets"]]
    areas = [width * height for width, height in (map(int, size.split("x")) for size in sizes)]
    assert areas and all(abs(found / area - 1) < 0.1 for found in areas)


def test_every_paper_config_is_tried_here():
    of_language = {LANGUAGE[name][0] for name in LANGUAGE}
    known = {CONFIGS / family / f"{stage}.yaml" for family, stage in ALL} | of_language
    folders = ("postercraft", "posteromni", "critic", "planner")
    assert {path for folder in folders for path in (CONFIGS / folder).glob("*.yaml")} == known


LANGUAGE = {  # recipe: config, base, its layers, fewer and own samples
    "reward_model": (CONFIGS / "posteromni" / "reward_model.yaml", save_narrow_scorer, 36, (
        "data.path=null", "data.count=14", "data.heldout=14", f"data.sizes=[[{SIZE.width}, {SIZE.height}]]",
        "kinds.candidates=0", "heldout_pairs=1", "batch_size=1",
    )),
    "critic_dpo": (CONFIGS / "critic" / "critic_dpo.yaml", save_narrow_critic, 28, (
        "data.path=null", "data.count=24", f"data.size=[{SIZE.width}, {SIZE.height}]", "heldout_pairs=1",
        "batch_size=1",
    )),
    "critic_sft": (CONFIGS / "critic" / "critic_sft.yaml", save_narrow_critic, 28, (
        "data.count=100", f"data.size=[{SIZE.width}, {SIZE.height}]", "heldout_questions=1", "answer_tokens=2",
        "batch_size=1",
    )),
    "critic_identity": (CONFIGS / "critic" / "critic_identity.yaml", save_narrow_critic, 28, (
        "data.path=null", "data.count=100", "data.identities=40", "heldout_questions=1", "batch_size=1",
    )),
    "planner_rubric": (CONFIGS / "planner" / "planner_rubric.yaml", save_narrow_planner, 28, (
        "data.path=null", "data.count=8", "negatives=1", "heldout_groups=1", "batch_size=1",
    )),
    "planner_tracelift": (CONFIGS / "planner" / "planner_tracelift.yaml", save_narrow_planner, 28, (
        "data.count=8", "data.heldout=1", "executor=e0", "rubric=rules", "answers.tokens=8", "batch_size=1",
    )),
    "planner_sft": (CONFIGS / "planner" / "planner_sft.yaml", save_narrow_planner, 28, (
        "data.count=8", "data.heldout=0.25", "heldout_questions=1", "batch_size=1",
    )),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("recipe", LANGUAGE)
def test_a_step_of_a_language_model_through_all_published_layers(recipe, run_recipe, tmp_path):
    path, save_base, layers, fewer = LANGUAGE[recipe]
    given = [f"run_dir={tmp_path}/run", f"init_from={save_base(tmp_path / 'base')}", "accumulation=1"]
    run_recipe(recipe, path, *(one for one in COMMON if not one.startswith("sample_every")), *given, *fewer)
    (row,) = log_of(tmp_path / "run")
    if recipe == "planner_tracelift":  # all that an untrained planner answers is worth the same: nothing to learn
        assert row["loss"] == row["grad_norm"] == 0
    else:
        assert 0 < row["loss"] < 100 and row["grad_norm"] > 0
    trained = load_file(tmp_path / "run" / "last" / "weights.safetensors")
    parts = [name.split(".") for name in trained if ".lora_" in name and ".visual." not in name]
    assert {int(part[part.index("layers") + 1]) for part in parts} == set(range(layers))
    assert json.loads((tmp_path / "run" / "heldout.json").read_text())
