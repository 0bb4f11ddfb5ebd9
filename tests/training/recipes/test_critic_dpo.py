"""A critic's preference training through its real recipe on a tiny Qwen2.5-VL: likelihoods, reference, resume."""

from __future__ import annotations

import json
import math
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tiny_chat
import torch
import yaml
from PIL import Image
from safetensors.torch import load_file
from small_stages import log_of
from transformers import AutoModelForImageTextToText

from posterkit.critic.trained import TrainedCritic
from posterkit.llm.local import LocalModel

ROOT = Path(__file__).resolve().parents[3]
RECIPE, AREA = "critic_dpo", 56 * 84
LORA = {"weights": "lora", "rank": 2, "targets": ["q_proj", "v_proj"]}
POSTER = Image.fromarray(np.random.default_rng(0).integers(0, 255, (84, 56, 3), dtype=np.uint8))


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> Path:
    return tiny_chat.save(tmp_path_factory.mktemp("vlm") / "base")


def write(folder: Path, run: str, base: Path, **overrides) -> Path:
    config = {"run_dir": str(folder / run), "init_from": str(base), "area": AREA, "batch_size": 2, "max_steps": 4,
              "learning_rate": 1e-3, "log_every": 1, "heldout_pairs": 3,
              "data": {"count": 24, "size": [64, 96]}, **overrides}  # fmt: skip
    path = folder / f"{run}.yaml"
    path.write_text(yaml.safe_dump(config))
    return path


def batch_of(critic: TrainedCritic, *answers: str):
    return critic.collate([critic.read("Be strict.", [POSTER, "What is it?"], one) for one in answers])


def test_likelihoods_are_those_of_the_stock_models_own_loss(base):
    critic = TrainedCritic(str(base), area=AREA)
    stock = AutoModelForImageTextToText.from_pretrained(base)
    answers = ("A red fox.", "A much longer answer about a blue whale.")
    found = critic.log_probs(batch_of(critic, *answers))
    for answer, log_prob in zip(answers, found, strict=True):
        row = batch_of(critic, answer)
        labels = row["ids"].masked_fill(~row["answer"], -100)
        with torch.no_grad():
            loss = stock(input_ids=row["ids"], pixel_values=row["patches"], image_grid_thw=row["grid"], labels=labels,
                         mm_token_type_ids=(row["ids"] == stock.config.image_token_id).int()).loss  # fmt: skip
        assert log_prob.item() == pytest.approx(-loss.item() * row["answer"].sum().item(), rel=1e-4)


def test_the_conversation_is_the_one_that_the_model_is_asked_in(base):
    critic, local = TrainedCritic(str(base), area=AREA), LocalModel(str(base))
    asked = local._inputs("Be strict.", "What is it?", [POSTER])["input_ids"][0].tolist()
    ids = critic.read("Be strict.", [POSTER, "What is it?"], "A fox.")["ids"].tolist()
    assert ids[: len(asked)] == asked
    assert critic.processor.tokenizer.decode(ids[len(asked) :]) == "A fox.<|im_end|>"


@pytest.mark.parametrize("trainable", [LORA, {"weights": "full"}], ids=["lora", "full"])
def test_the_reference_stays_as_the_model_was(base, trainable):
    critic = TrainedCritic(str(base), area=AREA)
    if trainable is LORA:
        critic.add_lora(2, 4, ["q_proj", "v_proj"])
    critic.keep_reference(torch.device("cpu"))
    batch = batch_of(critic, "A fox.", "A whale.")
    before = critic.log_probs(batch)
    assert torch.allclose(critic.reference_log_probs(batch), before)
    with torch.no_grad():
        for parameter in critic.module.parameters():
            if parameter.requires_grad:
                parameter.add_(0.1 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(0)))
    assert torch.allclose(critic.reference_log_probs(batch), before)
    assert not torch.allclose(critic.log_probs(batch), before)


def test_a_saved_lora_is_merged_and_answers_as_it_did(base, tmp_path):
    critic = TrainedCritic(str(base), area=AREA)
    critic.add_lora(2, 4, ["q_proj", "v_proj"])
    for name, parameter in critic.module.named_parameters():
        if ".lora_B" in name:
            torch.nn.init.normal_(parameter)
    batch = batch_of(critic, "A fox.", "A whale.")
    before = critic.log_probs(batch)
    critic.save(tmp_path / "critic")
    assert torch.allclose(critic.log_probs(batch), before)  # saving changes nothing
    again = TrainedCritic(str(tmp_path / "critic"), area=AREA)
    assert torch.allclose(again.log_probs(batch), before, rtol=1e-4)
    assert LocalModel(str(tmp_path / "critic"), temperature=0.0, max_new_tokens=4).sees
    assert not [path for path in (tmp_path / "critic").iterdir() if path.suffix in (".bin", ".pt")]


@pytest.mark.parametrize(("weight", "first"), [(0.0, math.log(2)), (0.5, 1.5 * math.log(2))])
def test_the_first_loss_is_that_of_the_reference_and_the_run_leaves_its_report(
    base, run_recipe, tmp_path, weight, first
):
    run_recipe(RECIPE, write(tmp_path, "run", base, trainable=LORA, image_weight=weight, max_steps=2))
    rows = log_of(tmp_path / "run")
    assert rows[0]["loss"] == pytest.approx(first, rel=1e-5) and ("image_accuracy" in rows[0]) == (weight > 0)
    names = load_file(tmp_path / "run" / "last" / "weights.safetensors")
    assert names and all(".lora_" in name for name in names)
    found = json.loads((tmp_path / "run" / "heldout.json").read_text())
    assert found["all"]["pairs"] == sum(one["pairs"] for kind, one in found.items() if kind != "all")
    assert all(one["gap"] == pytest.approx(one["right"] - one["right_blank"]) for one in found.values())
    assert "open_critic" in (tmp_path / "run" / "model" / "README.md").read_text()


@pytest.mark.slow
def test_preference_training_moves_the_true_side_ahead(base, run_recipe, tmp_path):
    data = {"count": 40, "size": [64, 96], "kinds": ["inverted_verdict", "wrong_count", "phantom_element"]}
    run_recipe(RECIPE, write(tmp_path, "run", base, max_steps=40, learning_rate=3e-3, data=data))
    rows = log_of(tmp_path / "run")
    assert np.mean([row["loss"] for row in rows[-5:]]) < 0.8 * rows[0]["loss"]


@pytest.mark.slow
@pytest.mark.parametrize(
    "settings", [{"ema_decay": 0.9, "accumulation": 2}, {"trainable": LORA, "image_weight": 0.5}], ids=["full", "lora"]
)
def test_a_stopped_run_goes_on_bit_for_bit(base, run_recipe, tmp_path, settings):
    for run, stops in (("whole", [[]]), ("halves", [["stop_at=2"], []])):
        for stop in stops:
            run_recipe(RECIPE, write(tmp_path, run, base, **settings), *stop)
    for file in ("last/weights.safetensors", "last/optimizer.safetensors", "model/model.safetensors", "heldout.json"):
        a, b = ((tmp_path / run / file).read_bytes() for run in ("whole", "halves"))
        assert a == b, file


def test_a_dry_run_takes_no_step(base, run_recipe, tmp_path, capsys):
    with pytest.raises(SystemExit) as ended:
        run_recipe(RECIPE, write(tmp_path, "run", base), "dry_run=true")
    assert ended.value.code == 0 and "backbone" in capsys.readouterr().out
    assert not (tmp_path / "run" / "last").exists()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (["image_weigh=1"], 'unknown key "image_weigh" .did you mean "image_weight"'),
        (["init_from=null"], "starts from a vision-language model"),
        (["base=bf16"], "takes trainable.weights=lora or dora"),
        (["beta=0"], "beta must be above 0"),
        (["data.path=nowhere"], "nowhere: there is no set here"),
        (["data.kinds=[nothing]"], "too few pairs: 0 to learn from"),
        (["trainable.weights=lora", "trainable.targets=[to_q]"], 'no linear layer of the backbone ends in "to_q"'),
    ],
)
def test_a_wrong_call_ends_in_one_line(base, run_recipe, tmp_path, capsys, changes, said):
    with pytest.raises(SystemExit) as ended:
        run_recipe(RECIPE, write(tmp_path, "run", base), *changes)
    assert ended.value.code == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("posterkit:")]
    assert re.search(said, line), line


@pytest.mark.slow
def test_the_recipe_runs_alone_on_a_fresh_clone(tmp_path):
    call = [sys.executable, ROOT / "train" / f"{RECIPE}.py", f"run_dir={tmp_path / 'run'}", "max_steps=2"]
    settings = ["data.count=24", "batch_size=2", "heldout_pairs=2"]
    done = subprocess.run([*call, *settings], timeout=300, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "taking configs/mini/critic_dpo.yaml" in done.stdout
    assert LocalModel(str(tmp_path / "run" / "model"), max_new_tokens=2).sees
