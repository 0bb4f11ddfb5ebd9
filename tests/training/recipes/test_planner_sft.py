"""A planner through its real recipe: what it learns from, what it saves, exact resume."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from safetensors.torch import load_file
from small_stages import log_of

from posterkit.datagen.planned_requests import planned_requests, write_planned
from posterkit.datagen.planner_conversations import KINDS
from posterkit.training.config import load_config

ROOT = Path(__file__).resolve().parents[3]
SMALL = {"hidden_size": 48, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 2,
         "num_key_value_heads": 1, "max_position_embeddings": 512}  # fmt: skip


@pytest.fixture(scope="module")
def plans(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("plans") / "plans.jsonl"
    write_planned(planned_requests(30), path)
    return path


def write(folder: Path, run: str, plans: Path, **overrides) -> Path:
    config = {"run_dir": str(folder / run), "model": SMALL, "batch_size": 4, "max_steps": 8, "learning_rate": 3e-3,
              "log_every": 1, "save_every": 4, "heldout_questions": 2, "ema_decay": 0.5, "tracker": "none",
              "data": {"path": str(plans), "heldout": 0.1}, **overrides}  # fmt: skip
    path = folder / f"{run}.yaml"
    path.write_text(yaml.safe_dump(config))
    return path


@pytest.mark.slow
def test_it_learns_and_says_what_its_answers_are_worth(run_recipe, plans, tmp_path):
    run_recipe("planner_sft", write(tmp_path, "run", plans, max_steps=30, batch_size=8))
    losses = [row["loss"] for row in log_of(tmp_path / "run")]
    assert losses[-1] < losses[0] - 1  # from near ln 397 = 5.98
    found = json.loads((tmp_path / "run" / "heldout.json").read_text())
    assert list(found) == list(KINDS) and all(0 <= row["usable"] <= 1 and row["loss"] > 0 for row in found.values())
    card = (tmp_path / "run" / "ema" / "README.md").read_text()
    assert "cot:path/to/this/folder" in card


@pytest.mark.slow
def test_a_stopped_run_goes_on_bit_for_bit(run_recipe, plans, tmp_path):
    run_recipe("planner_sft", write(tmp_path, "whole", plans))
    run_recipe("planner_sft", write(tmp_path, "parts", plans), "stop_at=4")
    run_recipe("planner_sft", write(tmp_path, "parts", plans))
    one, other = (load_file(tmp_path / name / "ema" / "model.safetensors") for name in ("whole", "parts"))
    assert all((one[name] == other[name]).all() for name in one)


@pytest.mark.slow
def test_a_lora_stands_on_a_language_model_and_is_saved_merged(run_recipe, plans, tmp_path):
    run_recipe("planner_sft", write(tmp_path, "base", plans, max_steps=2, ema_decay=0.0))
    base = tmp_path / "base" / "model"
    lora = {"weights": "lora", "rank": 2, "targets": ["q_proj", "v_proj"]}
    config = write(tmp_path, "lora", plans, init_from=str(base), trainable=lora, max_steps=2, ema_decay=0.0)
    run_recipe("planner_sft", config)
    before, after = (load_file(folder / "model.safetensors") for folder in (base, tmp_path / "lora" / "model"))
    changed = {name for name in before if not (before[name].float() == after[name].float()).all()}
    assert changed and all(name.endswith(("q_proj.weight", "v_proj.weight")) for name in changed)


@pytest.mark.slow
def test_a_dry_run_shows_a_batch_and_leaves_no_small_set_behind(run_recipe, plans, tmp_path, capsys):
    config = write(tmp_path, "run", plans, data={"count": 8, "heldout": 0.2}, batch_size=2)
    with pytest.raises(SystemExit) as ended:
        run_recipe("planner_sft", config, "--dry-run")
    assert ended.value.code == 0 and "Qwen2ForCausalLM" in capsys.readouterr().out
    assert {path.name for path in (tmp_path / "run").iterdir()} == {".lock", "dry_run.png"}


def test_the_paper_size_run_names_what_it_lacks(run_recipe, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        run_recipe("planner_sft", ROOT / "configs" / "planner" / "planner_sft.yaml", "--dry-run")
    assert ended.value.code == 2
    assert "init_from=Qwen/Qwen2.5-7B-Instruct (fetch it by: hf download" in capsys.readouterr().err


def test_a_lora_on_nothing_is_refused(plans, tmp_path):
    import planner_sft as recipe

    config = write(tmp_path, "run", plans, trainable={"weights": "lora", "targets": ["q_proj"]})
    with pytest.raises(ValueError, match="init_from is null"):
        load_config(recipe.PlannerConfig, config)
