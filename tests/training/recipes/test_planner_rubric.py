"""A reasoning reward model through its real recipe: what it learns, what it saves, exact resume."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from safetensors.torch import load_file
from small_stages import log_of

from posterkit.datagen.plan_groups import PlanGroups, encode_group
from posterkit.rewards.models.plan_rubric import PlanRubric

ROOT = Path(__file__).resolve().parents[3]
SMALL = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2,
         "num_key_value_heads": 1, "max_position_embeddings": 512}  # fmt: skip
HEADS = "model/rubric.safetensors"


@pytest.fixture(scope="module")
def groups(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("groups") / "groups.jsonl"
    rows = (encode_group(PlanGroups(0)[number])[0] for number in range(40))
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def write(folder: Path, run: str, groups: Path, **overrides) -> Path:
    config = {"run_dir": str(folder / run), "model": SMALL, "batch_size": 2, "max_steps": 6, "learning_rate": 3e-3,
              "log_every": 1, "save_every": 3, "heldout_groups": 3, "tracker": "none", "pair_temperature": 0.1,
              "data": {"path": str(groups)}, **overrides}  # fmt: skip
    path = folder / f"{run}.yaml"
    path.write_text(yaml.safe_dump(config))
    return path


@pytest.mark.slow
def test_it_learns_and_scores_again_what_it_scored(run_recipe, groups, tmp_path):
    run_recipe("planner_rubric", write(tmp_path, "run", groups, max_steps=25, batch_size=4))
    rows = log_of(tmp_path / "run")
    assert rows[-1]["loss"] < rows[0]["loss"] - 2  # from 5 ln 5 + 0.7 ln 2 and more
    found = json.loads((tmp_path / "run" / "heldout.json").read_text())
    assert found["count"] == 3 and 0 <= found["groups"] <= found["pairs"] <= 1 and found["mae"] <= found["rmse"]
    model = PlanRubric.from_folder(tmp_path / "run")
    _, group = PlanGroups(0)[9]
    said = [one.reasoning for one in (*group.positives, *group.negatives)]
    together = model.scores([model.read(group.brief, one) for one in said])
    assert [model.score(group.brief, one) for one in said] == pytest.approx(together, abs=1e-5)  # padding is not read
    assert "PlanRubric" in (tmp_path / "run" / "model" / "README.md").read_text()


@pytest.mark.slow
def test_a_stopped_run_goes_on_bit_for_bit(run_recipe, groups, tmp_path):
    run_recipe("planner_rubric", write(tmp_path, "whole", groups))
    run_recipe("planner_rubric", write(tmp_path, "parts", groups), "stop_at=3")
    run_recipe("planner_rubric", write(tmp_path, "parts", groups))
    for file in (HEADS, "model/backbone/model.safetensors", "heldout.json"):
        assert (tmp_path / "whole" / file).read_bytes() == (tmp_path / "parts" / file).read_bytes(), file


@pytest.mark.slow
def test_a_lora_trains_with_the_heads_and_is_saved_merged(run_recipe, groups, tmp_path):
    run_recipe("planner_rubric", write(tmp_path, "base", groups, max_steps=1))
    base = tmp_path / "base" / "model" / "backbone"
    lora = {"weights": "lora", "rank": 2, "targets": ["q_proj", "v_proj"]}
    run_recipe("planner_rubric", write(tmp_path, "lora", groups, init_from=str(base), trainable=lora, max_steps=3))
    names = load_file(tmp_path / "lora" / "last" / "weights.safetensors")
    assert {name.split(".")[0] for name in names} == {"backbone", "dimensions", "total"}
    assert all(".lora_" in name for name in names if name.startswith("backbone."))
    before, after = (load_file(folder / "model.safetensors")
                     for folder in (base, tmp_path / "lora" / "model" / "backbone"))  # fmt: skip
    changed = {name for name in before if not (before[name] == after[name]).all()}
    assert changed and all(name.endswith(("q_proj.weight", "v_proj.weight")) for name in changed)


def test_groups_with_another_rubric_are_refused(run_recipe, groups, tmp_path, capsys):
    path = tmp_path / "maths.jsonl"
    path.write_text(groups.read_text().replace("layout_support", "answer_support"), encoding="utf-8")
    with pytest.raises(SystemExit) as ended:
        run_recipe("planner_rubric", write(tmp_path, "run", path))
    assert ended.value.code == 2 and "answer_support" in capsys.readouterr().err


def test_a_dry_run_takes_no_step(run_recipe, groups, tmp_path, capsys):
    with pytest.raises(SystemExit) as ended:
        run_recipe("planner_rubric", write(tmp_path, "run", groups), "--dry-run")
    assert ended.value.code == 0 and "backbone" in capsys.readouterr().out
    assert not (tmp_path / "run" / "last").exists()


def test_the_paper_size_run_says_what_it_takes_and_names_what_it_lacks(run_recipe, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        run_recipe("planner_rubric", ROOT / "configs" / "planner" / "planner_rubric.yaml", "--dry-run")
    said = capsys.readouterr()
    assert ended.value.code == 2 and "hours by arithmetic" in said.out
    assert "init_from=Qwen/Qwen2.5-7B-Instruct (fetch it by: hf download" in said.err
