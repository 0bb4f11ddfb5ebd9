"""A critic's fine-tuning through its real recipes, posters and identities: a fresh small critic, reports, resume."""

from __future__ import annotations

import json
import re
from pathlib import Path
from random import Random
from typing import Any

import pytest
import torch
import yaml
from PIL import Image
from small_stages import log_of
from torch import Tensor

from posterkit.critic.trained import TrainedCritic
from posterkit.datagen.identity_questions import names_of
from posterkit.llm.local import LocalModel
from posterkit.pipelines.processor import load_processor
from posterkit.training.loading.critic_answers import CriticQuestions, _Batches, renamed
from posterkit.training.small_critic import SmallCritic, make_small_critic

TINY = {"width": 32, "layers": 1, "heads": 2, "vision_width": 32, "vision_layers": 1}
AREA = 56 * 84


def write(folder: Path, run: str, **overrides) -> Path:
    config = {"run_dir": str(folder / run), "area": AREA, "batch_size": 2, "max_steps": 4, "learning_rate": 1e-3,
              "log_every": 1, "data": {"count": 100, "size": [64, 96]}, "heldout_questions": 9,
              "trainable": {"weights": "full"}, **overrides}  # fmt: skip
    path = folder / f"{run}.yaml"
    path.write_text(yaml.safe_dump(config))
    return path


@pytest.fixture(scope="module")
def small(tmp_path_factory) -> Path:
    texts = ["Where does it stand? on the left right in the middle at the top bottom is not this poster."]
    return make_small_critic(tmp_path_factory.mktemp("critic") / "small", texts, SmallCritic(**TINY))


def test_a_small_critic_is_a_stock_folder_whose_answers_in_a_batch_are_those_one_by_one(small):
    model, picture = TrainedCritic(str(small), area=AREA), Image.new("RGB", (64, 96), "red")
    model.module.eval()
    asked = [model.read("s", [picture], ""), model.read("s", [picture, picture, "Where does it stand?"], "")]
    assert model.answers(asked, 6) == [model.answers([one], 6)[0] for one in asked]
    assert LocalModel(str(small), max_new_tokens=2).sees


@pytest.mark.slow
@pytest.mark.parametrize("size", [(64, 96), (280, 420), (832, 1216)])
def test_a_saved_critic_is_shown_pictures_of_the_area_that_it_was_taught_on(small, tmp_path, size):
    area = 28 * 28 * 24
    model = TrainedCritic(str(small), area=area)
    model.save(tmp_path / "saved")
    asked = load_processor(tmp_path / "saved")(text=["<|image_pad|>"], images=[Image.new("RGB", size)])
    taught = model.read("", [Image.new("RGB", size)])["grid"].prod()
    assert asked["image_grid_thw"].prod() == taught == 4 * 24  # of 14 x 14 pixels, four to a token
    again = TrainedCritic(str(tmp_path / "saved"), area=28 * 28 * 6)  # goes on at an area of its own
    assert again.read("", [Image.new("RGB", size)])["grid"].prod() == 4 * 6


def test_a_row_that_names_its_system_prompt_is_asked_by_it(small, tmp_path):
    Image.new("RGB", (56, 84)).save(tmp_path / "a.png")
    row = {"id": "a", "images": ["a.png"], "prompt": "Where?", "answer": "left", "question": "free"}
    model = TrainedCritic(str(small), area=AREA)

    def first(row: dict[str, Any]) -> Tensor:
        rows = CriticQuestions(tmp_path, [row])
        return next(iter(_Batches(rows, model, "the other", 1, 0, 0, 1)))["ids"][0]

    own, other = (model.read(system, [Image.new("RGB", (56, 84)), "Where?"], "left")["ids"]
                  for system in ("on the left", "the other"))  # fmt: skip
    assert torch.equal(first(row), other) and torch.equal(first({**row, "system": "on the left"}), own)


def test_a_fresh_critic_learns_and_reports_by_kind(run_recipe, tmp_path):
    small = {**TINY, "width": 64, "vision_width": 64}
    run_recipe("critic_sft", write(tmp_path, "run", small=small, answer_tokens=4))
    assert len(log_of(tmp_path / "run")) == 4
    found = json.loads((tmp_path / "run" / "heldout.json").read_text())
    assert found["all"]["questions"] == sum(one["questions"] for kind, one in found.items() if kind != "all") == 9
    assert all(0 <= one["constant"] <= 1 for one in found.values())
    assert (
        TrainedCritic(str(tmp_path / "run" / "model"), area=AREA).module["backbone"].config.text_config.hidden_size
        == 64
    )


@pytest.mark.slow
def test_identities_are_learnt_and_a_stopped_run_goes_on_bit_for_bit(small, run_recipe, tmp_path):
    data = {"count": 64, "identities": 16, "size": [64, 96]}
    for run, stops in (("whole", [[]]), ("halves", [["stop_at=2"], []])):
        for stop in stops:
            run_recipe("critic_identity", write(tmp_path, run, init_from=str(small), data=data), *stop)
    for file in ("last/weights.safetensors", "model/model.safetensors", "heldout.json"):
        a, b = ((tmp_path / run / file).read_bytes() for run in ("whole", "halves"))
        assert a == b, file
    found = json.loads((tmp_path / "whole" / "heldout.json").read_text())
    assert {"answerable", "unanswerable", "balanced", "over_refusal"} <= found.keys()


def test_every_epoch_has_other_names_of_the_training_split_in_prompt_and_answer_alike():
    one, other = names_of("train")[:2]
    row = {"prompt": f"Picture 1 shows {one}. Picture 2 shows {other}. Where does {one} stand?",
           "answer": f"{one} is not on this poster.", "names": [other, one]}  # fmt: skip
    seen = set()
    for epoch in range(8):
        prompt, answer = renamed(row, Random(epoch))
        name = answer.split()[0]
        assert prompt.count(name) == 2 and name in names_of("train")
        assert re.match(r"Picture 1 shows (\w+)\. Picture 2 shows (?!\1)\w+\.", prompt)
        seen.add(name)
    assert len(seen) > 4


@pytest.mark.parametrize(
    ("recipe", "changes", "said"),
    [
        ("critic_sft", ["trainable.weights=lora"], "a LoRA needs a language model"),
        ("critic_sft", ["small.width=33"], "must be a multiple of 8 times its heads"),
        ("critic_sft", ["data.path=nowhere"], "nowhere: there is no set here"),
        ("critic_identity", ["init_from=null"], "starts from a vision-language model"),
        ("critic_identity", ["data.negatives=0"], "negatives 0: at least 0.25"),
    ],
)
def test_a_wrong_call_ends_in_one_line(small, run_recipe, tmp_path, capsys, recipe, changes, said):
    given = {} if recipe == "critic_sft" else {"init_from": str(small)}
    with pytest.raises(SystemExit) as ended:
        run_recipe(recipe, write(tmp_path, "run", **given), *changes)
    assert ended.value.code == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("posterkit:")]
    assert said in line
