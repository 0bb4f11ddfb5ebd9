"""PosterOmni's distillation through the real recipe, at nano size: who teaches what, who moves, exact resume."""

from __future__ import annotations

import subprocess
import sys
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from small_omni import StockEdit, save_expert, save_tiny_qwen, write_tasks
from small_stages import log_of, write_posters, write_stage

from posterkit.datasets import PosterDataset, PosterSample
from posterkit.training.lora_files import read_lora
from posterkit.training.stages import open_stage

RECIPE = "stage2_distill"
LORA = {"weights": "lora", "rank": 2}
TASKS = "data.tasks=[rescaling,style_driven]"
EXPERT = {"local": "rescaling", "global": "style_driven"}


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> Path:
    return save_tiny_qwen(tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="module")
def experts(base, tmp_path_factory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("experts")
    return {name: str(save_expert(base, folder / name, name, seed)) for seed, name in enumerate(("local", "global"))}


@pytest.fixture(scope="module")
def posters(tmp_path_factory) -> Path:
    return write_tasks(tmp_path_factory.mktemp("set"), {"rescaling": [1, 2], "style_driven": [0, 1]}, heldout=1)


@pytest.fixture(scope="module")
def texts(tmp_path_factory) -> Path:
    return write_posters(tmp_path_factory.mktemp("texts"), 2)


@pytest.fixture
def stage(base, posters, texts, experts, tmp_path):
    """`stage(run, **overrides)` writes a config; returns its path."""

    def write(run: str, **overrides) -> Path:
        text = {"path": str(texts), "cache": str(tmp_path / "cache")}
        config = {"experts": experts, "trainable": LORA, "text": text, "text_share": 0.25, **overrides}
        return write_stage(tmp_path, run, base, posters, **config)

    return write


def loss_of(student: StockEdit, expert: StockEdit, samples: list[PosterSample], generator: torch.Generator) -> float:
    """One step's distance between two models, for samples in this order."""
    torch.rand(2, generator=generator)  # which words are dropped: none
    t = torch.rand(2, generator=generator)
    x0 = torch.cat([student.tokens(Image.fromarray(sample.target)) for sample in samples])
    x = (1 - t[:, None, None]) * x0 + t[:, None, None] * torch.randn(x0.shape, generator=generator)
    gaps = [
        student.velocity(sample, x[n : n + 1], t[n : n + 1]) - expert.velocity(sample, x[n : n + 1], t[n : n + 1])
        for n, sample in enumerate(samples)
    ]
    return float((torch.cat(gaps).numpy().astype(np.float64) ** 2).mean())


@pytest.mark.slow
def test_each_task_has_its_own_expert_and_the_loss_is_that_of_stock_parts(
    base, posters, experts, stage, run_recipe, tmp_path
):
    run_recipe(RECIPE, stage("run", max_steps=4, learning_rate=1e-12, text_share=0.0, strength=3.0), TASKS)
    models = {name: StockEdit(base, Path(folder)) for name, folder in experts.items()}
    student, generator, seen = StockEdit(base), torch.Generator().manual_seed(0), []  # a fresh LoRA changes nothing
    for row in log_of(tmp_path / "run"):
        (group,) = (key.removeprefix("loss_") for key in row if key.startswith("loss_"))
        samples = [sample for sample in PosterDataset(posters, split="train") if sample.task == EXPERT[group]]
        state = generator.get_state()
        expected = {
            name: [3 * loss_of(student, model, list(o), generator.set_state(state)) for o in permutations(samples)]
            for name, model in models.items()
        }
        other = expected["global" if group == "local" else "local"]
        assert min(abs(row["loss"] - one) for one in expected[group]) < 1e-5
        assert min(abs(row["loss"] - one) for one in other) > 1e-3 and row["loss"] == row[f"loss_{group}"]
        seen.append(group)
    assert sorted(seen) == ["global", "global", "local", "local"]


def test_text_has_no_expert_and_only_its_share_of_the_batches(stage, run_recipe, tmp_path):
    run_recipe(RECIPE, stage("run", max_steps=8), TASKS)
    kinds = [next(key for key in row if key.startswith("loss_")) for row in log_of(tmp_path / "run")]
    assert [number for number, kind in enumerate(kinds) if kind == "loss_text"] == [3, 7]


@pytest.mark.slow
def test_the_student_comes_to_its_experts(stage, run_recipe, tmp_path):
    settings = {"max_steps": 60, "learning_rate": 0.01, "text_share": 0.0, "batch_size": 2}
    run_recipe(RECIPE, stage("run", trainable={**LORA, "rank": 8}, **settings), TASKS)
    losses = [row["loss"] for row in log_of(tmp_path / "run")]
    assert sum(losses[-10:]) < 0.5 * sum(losses[:10])


def test_the_student_alone_moves(base, experts, stage, run_recipe, tmp_path, monkeypatch):
    import posterkit.training.run as loop

    kept = {}
    finish = loop.Run.finish

    def look(run, model):
        kept["after"] = {name: value.clone() for name, value in model.parts["transformer"].named_parameters()}
        finish(run, model)

    monkeypatch.setattr(loop.Run, "finish", look)
    run_recipe(RECIPE, stage("run", learning_rate=0.05, weight_decay=0.1), TASKS)
    files = {name: read_lora(folder).weights for name, folder in experts.items()}
    plain = StockEdit(base).pipe.transformer
    moved = 0
    for path, value in kept["after"].items():
        if ".lora_" not in path:
            assert torch.equal(value, plain.get_parameter(path.replace(".base_layer", "")))
            continue
        name = next(name for name in ("local", "global", "student") if f".{name}." in path)
        if name in files:
            assert torch.equal(value, files[name][path.replace(f".{name}.", ".")])
        elif ".lora_B." in path:
            moved += bool(value.abs().max() > 0)
    assert moved >= 12
    saved = read_lora(tmp_path / "run" / "model")
    assert saved.name == "student" and saved.config["r"] == 2
    assert not any("expert" in name or ".local." in name for name in saved.weights)


@pytest.mark.slow
@pytest.mark.parametrize(
    "settings",
    [
        {"ema_decay": 0.9, "accumulation": 2, "schedule": "cosine", "drop_prompt": 0.5},
        {"strategy": "lopt", "trainable": {**LORA, "gradient_checkpointing": True}},
    ],
    ids=["lora", "lopt"],
)
def test_a_stopped_run_goes_on_bit_for_bit(stage, run_recipe, tmp_path, settings):
    whole, halves = (stage(run, **settings) for run in ("whole", "halves"))
    run_recipe(RECIPE, whole, TASKS)
    run_recipe(RECIPE, halves, TASKS, "stop_at=2")
    run_recipe(RECIPE, halves, TASKS)
    for name in ("weights", "optimizer", *(["ema"] if "ema_decay" in settings else [])):
        a, b = ((tmp_path / run / "last" / f"{name}.safetensors").read_bytes() for run in ("whole", "halves"))
        assert a == b
    assert [row["loss"] for row in log_of(tmp_path / "whole")] == [row["loss"] for row in log_of(tmp_path / "halves")]


@pytest.mark.slow
def test_missing_experts_are_trained_first_and_alike_each_time(stage, run_recipe, tmp_path):
    settings = {"experts": {}, "missing": {"max_steps": 2, "learning_rate": 0.05, "rank": 3}, "max_steps": 2}
    for run in ("one", "two"):
        config = stage(run, **settings)
        run_recipe(RECIPE, config, "data.path=null", "data.sizes=[[64,96]]", "data.count=36", "stop_at=1")
        run_recipe(RECIPE, config, "data.path=null", "data.sizes=[[64,96]]", "data.count=36")
    for group in ("local", "global"):
        folder = tmp_path / "one" / f"expert_{group}"
        lora = read_lora(folder / "model")
        assert lora.name == group and lora.config["r"] == 3 and log_of(folder)[-1]["step"] == 2
    for part in ("expert_local/last", "expert_global/last", "last"):
        one, two = ((tmp_path / run / part / "weights.safetensors").read_bytes() for run in ("one", "two"))
        assert one == two


@pytest.mark.slow
def test_two_processes_train_what_is_missing_and_distil_alike(stage, tmp_path):
    settings = {"experts": {}, "missing": {"max_steps": 2, "learning_rate": 0.05, "rank": 3}, "max_steps": 4}
    config, train = stage("run", **settings), Path(__file__).parents[3] / "train" / f"{RECIPE}.py"
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    drawn = ["data.path=null", "data.sizes=[[64,96]]", "data.count=48", "text.path=null", "text.sizes=[[64,96]]"]
    command = [*torchrun, str(train), "--config", str(config), *drawn, "text.count=16"]
    subprocess.run([*command, "stop_at=2"], check=True, timeout=300)
    subprocess.run(command, check=True, timeout=300)
    assert [row["step"] for row in log_of(tmp_path / "run")] == [1, 2, 3, 4]
    assert read_lora(tmp_path / "run" / "model").name == "student"


@pytest.mark.slow
def test_a_next_stage_starts_from_the_run_folder_with_the_student_in_the_weights(base, stage, run_recipe, tmp_path):
    from posterkit.training.lora import Trainable
    from posterkit.training.stages import StageConfig

    run_recipe(RECIPE, stage("run", learning_rate=0.05), TASKS)
    lora = read_lora(tmp_path / "run" / "model")
    model = open_stage(StageConfig(init_from=str(tmp_path / "run"), trainable=Trainable("lora", rank=1)), "posteromni")
    layer = "transformer_blocks.0.attn.to_q"
    change = lora.weights[f"{layer}.lora_B.weight"] @ lora.weights[f"{layer}.lora_A.weight"]
    before = StockEdit(base).pipe.transformer.get_parameter(f"{layer}.weight")
    assert change.abs().max() > 1e-4
    after = model.parts["transformer"].get_parameter(f"{layer}.base_layer.weight")
    assert torch.allclose(after, before + change, atol=1e-6)


def test_experts_of_another_base_group_or_place_are_refused_in_one_line(experts, stage, run_recipe, tmp_path, capsys):
    foreign = save_expert(save_tiny_qwen(tmp_path / "other", seed=1), tmp_path / "foreign", "local", 0)
    for override, said in (
        (f"experts.local={foreign}", f"{foreign}: a LoRA of another base"),
        (f"experts.local={experts['global']}", f'experts.local: {experts["global"]} holds the LoRA "global", not the'),
        ("experts.global=nowhere", "nowhere: no such folder"),
        (f"experts.global={tmp_path}", "there is no such LoRA"),
        ("experts.golbal=x", 'experts: unknown key "golbal" (did you mean "global"?)'),
        ("experts.local=5", "experts takes folders, got 5"),
        ("strength=0", "strength must be above 0, got 0.0"),
        ("missing.max_steps=0", "missing.max_steps must be at least 1, got 0"),
    ):
        with pytest.raises(SystemExit) as ended:
            run_recipe(RECIPE, stage("run"), TASKS, override)
        error = capsys.readouterr().err
        assert ended.value.code == 2 and said in error and error.count("posterkit:") == 1
        assert not (tmp_path / "run" / "last").exists()
