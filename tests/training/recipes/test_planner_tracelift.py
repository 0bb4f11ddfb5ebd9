"""TraceLift through its real recipe: rewards and logs, exact resume, LoRA, refusals."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path

import pytest
import yaml
from safetensors.torch import load_file
from small_stages import log_of

from posterkit.training.config import load_config

ROOT = Path(__file__).resolve().parents[3]
SMALL = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2,
         "num_key_value_heads": 1, "max_position_embeddings": 512}  # fmt: skip
START = {"max_steps": 12, "batch_size": 8, "learning_rate": 1e-2, "model": SMALL, "data": {"count": 30},
         "tracker": "none"}  # fmt: skip


@pytest.fixture(scope="module")
def start(tmp_path_factory) -> Path:
    """A run that made its planner itself; the planner has imitated a little."""
    spec = importlib.util.spec_from_file_location("planner_tracelift", ROOT / "train" / "planner_tracelift.py")
    sys.modules["planner_tracelift"] = module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    folder = tmp_path_factory.mktemp("start")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["planner_tracelift.py", "--config", str(write(folder, "run", None, max_steps=1))])
        module.main()
    return folder / "run"


def write(folder: Path, run: str, init_from: Path | None, **overrides) -> Path:
    config = {"run_dir": str(folder / run), "init_from": init_from and str(init_from), "start": START,
              "batch_size": 2, "max_steps": 4, "learning_rate": 1e-3, "log_every": 1, "save_every": 2,
              "data": {"count": 4, "heldout": 2}, "answers": {"each": 3, "tokens": 24}, "tracker": "none",
              **overrides}  # fmt: skip
    path = folder / f"{run}.yaml"
    path.write_text(yaml.safe_dump(config))
    return path


def answers_of(run: Path) -> list[dict]:
    return [json.loads(line) for line in (run / "answers.jsonl").read_text().splitlines()]


def test_a_run_without_a_model_imitates_first_and_logs_every_answer(start):
    assert (start / "start" / "model" / "model.safetensors").is_file()
    assert log_of(start / "start")[-1]["step"] == 12
    rows = answers_of(start)
    assert len(rows) == 2 * 3 and {row["step"] for row in rows} == {1}
    for row in rows:
        assert row["uplift"] == pytest.approx(row["with"] - row["base"])
        assert row["final"] == pytest.approx(0.5 * row["e2e"] + 0.5 * row["rubric"] * row["uplift"])
    logged, found = log_of(start)[-1], json.loads((start / "heldout.json").read_text())
    assert logged["final"] == pytest.approx(sum(row["final"] for row in rows) / 6) and found["briefs"] == 2


@pytest.mark.parametrize(("mode", "of"), [("exec_only", "e2e"), ("reason_only", "rubric")])
def test_each_mode_pays_for_its_own(run_recipe, start, tmp_path, mode, of):
    run_recipe("planner_tracelift", write(tmp_path, "run", start / "model", max_steps=1, mode=mode))
    assert all(row["final"] == pytest.approx(row[of]) for row in answers_of(tmp_path / "run"))


def test_parts_of_a_step_add_up_to_its_gradient(run_recipe, start, tmp_path):
    for run, parts in (("whole", None), ("parts", 2)):
        answers = {"each": 3, "tokens": 24, "micro_batch": parts}
        run_recipe("planner_tracelift", write(tmp_path, run, start / "model", max_steps=1, answers=answers))
    one, other = (load_file(tmp_path / name / "last" / "weights.safetensors") for name in ("whole", "parts"))
    assert all((one[name] - other[name]).abs().max() < 1e-5 for name in one)


@pytest.mark.slow
@pytest.mark.parametrize("ema", [0.0, 0.5])
def test_a_stopped_run_goes_on_bit_for_bit(run_recipe, start, tmp_path, ema):
    run_recipe("planner_tracelift", write(tmp_path, "whole", start / "model", ema_decay=ema))
    run_recipe("planner_tracelift", write(tmp_path, "parts", start / "model", ema_decay=ema), "stop_at=2")
    run_recipe("planner_tracelift", write(tmp_path, "parts", start / "model", ema_decay=ema))
    for file in ("last/weights.safetensors", "last/optimizer.safetensors", "answers.jsonl", "heldout.json"):
        assert (tmp_path / "whole" / file).read_bytes() == (tmp_path / "parts" / file).read_bytes(), file


@pytest.mark.slow
def test_a_lora_learns_on_a_planner(run_recipe, start, tmp_path):
    lora = {"weights": "lora", "rank": 2, "targets": ["q_proj", "v_proj"], "gradient_checkpointing": True}
    run_recipe("planner_tracelift", write(tmp_path, "lora", start / "model", trainable=lora, max_steps=2))
    assert all(".lora_" in name for name in load_file(tmp_path / "lora" / "last" / "weights.safetensors"))


def test_a_dry_run_imitates_nothing_and_takes_no_step(run_recipe, tmp_path, capsys):
    with pytest.raises(SystemExit) as ended:
        run_recipe("planner_tracelift", write(tmp_path, "run", None), "--dry-run")
    assert ended.value.code == 0 and "Qwen2ForCausalLM" in capsys.readouterr().out
    assert {path.name for path in (tmp_path / "run").iterdir()} == {".lock", "dry_run.png"}


def test_the_paper_size_run_prints_memory_and_hours_and_names_what_it_lacks(run_recipe, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        run_recipe("planner_tracelift", ROOT / "configs" / "planner" / "planner_tracelift.yaml", "--dry-run")
    said = capsys.readouterr()
    assert ended.value.code == 2 and "fits 8 cards" in said.out and "hours by arithmetic" in said.out
    assert "init_from=Qwen/Qwen2.5-7B-Instruct (fetch it by: hf download" in said.err


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"accumulation": 2}, "accumulation is 1 here"),
        ({"trainable": {"weights": "lora", "targets": ["q_proj"]}}, "init_from is null"),
        ({"mode": "exec"}, "accepted: exec_only, reason_only, tracelift, tracelift_code"),
        ({"answers": {"each": 1}}, "answers.each must be at least 2"),
    ],
)
def test_a_wrong_config_is_refused(tmp_path, changes, said):
    import planner_tracelift as module

    with pytest.raises(ValueError, match=said):
        load_config(module.TraceliftConfig, write(tmp_path, "run", None, **changes))


@pytest.mark.parametrize(("changes", "said"), [({"executor": "e3"}, "no such executor"),
                                               ({"rubric": "nowhere"}, "nowhere")])  # fmt: skip
def test_what_cannot_be_opened_is_named_before_the_first_step(run_recipe, start, tmp_path, capsys, changes, said):
    with pytest.raises(SystemExit) as ended:
        run_recipe("planner_tracelift", write(tmp_path, "run", start / "model", **changes))
    assert ended.value.code == 2 and said in capsys.readouterr().err
