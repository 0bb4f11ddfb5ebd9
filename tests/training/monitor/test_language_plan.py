"""Memory and hours of the planner's recipes: counts against the class itself, sums by hand."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from accelerate import init_empty_weights
from peft import LoraConfig, get_peft_model
from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration, Qwen2Config, Qwen2ForCausalLM

from posterkit.training.config import load_config
from posterkit.training.monitor.language_plan import SIZES, language_plan, language_plan_lines

ROOT = Path(__file__).resolve().parents[3]
QWEN = "Qwen/Qwen2.5-7B-Instruct"


@pytest.fixture
def config(monkeypatch):
    import importlib

    monkeypatch.syspath_prepend(str(ROOT / "train"))
    kinds = {"planner_sft": "PlannerConfig", "planner_rubric": "RubricConfig", "planner_tracelift": "TraceliftConfig",
             "critic_sft": "CriticSFTConfig", "critic_dpo": "CriticConfig",
             "critic_identity": "IdentityConfig"}  # fmt: skip

    def opened(recipe: str, *overrides: str):
        kind, folder = getattr(importlib.import_module(recipe), kinds[recipe]), recipe.split("_")[0]
        return load_config(kind, ROOT / "configs" / folder / f"{recipe}.yaml", overrides)

    return opened


def test_sizes_are_those_of_the_class():
    sizes = SIZES[QWEN]
    with init_empty_weights():
        model = Qwen2ForCausalLM(Qwen2Config(
            hidden_size=sizes.width, intermediate_size=sizes.inner, num_hidden_layers=sizes.layers,
            num_attention_heads=28, num_key_value_heads=4, vocab_size=sizes.vocabulary, tie_word_embeddings=False,
        ))  # fmt: skip
    assert sum(p.numel() for p in model.parameters()) == sizes.parameters == 7_615_616_512


def test_the_trained_part_is_that_of_peft(config):
    told = config("planner_tracelift")
    with torch.device("meta"):
        small = Qwen2ForCausalLM(Qwen2Config(
            hidden_size=3584, intermediate_size=18944, num_hidden_layers=1, num_attention_heads=28,
            num_key_value_heads=4, vocab_size=8,
        ))  # fmt: skip
        lora = get_peft_model(small, LoraConfig(r=told.trainable.rank, target_modules=told.trainable.targets))
    of_layer = sum(p.numel() for p in lora.parameters() if p.requires_grad)
    moments, _ = language_plan(told)
    assert moments["learning"]["gradients"] == 4 * 28 * of_layer
    assert moments["learning"]["LoRA and optimiser"] == 3 * moments["learning"]["gradients"]


def test_keys_and_values_by_hand(config):
    moments, _ = language_plan(config("planner_tracelift"))
    # two of 28 layers of 4 heads of 128 in two bytes, for 16 answers of 512 tokens behind 400 of the question
    assert moments["drawing"]["keys and values"] == 2 * 28 * 4 * 128 * 2 * 16 * 912


def test_sizes_of_what_sees_and_its_trained_part_are_those_of_the_class_and_of_peft(config):
    sizes = SIZES["Qwen/Qwen2.5-VL-7B-Instruct"]
    told = Qwen2_5_VLConfig(
        text_config={"hidden_size": 3584, "intermediate_size": 18944, "num_hidden_layers": 28,
                     "num_attention_heads": 28, "num_key_value_heads": 4, "vocab_size": 152064},
        vision_config={"depth": 32, "hidden_size": 1280, "intermediate_size": 3420, "out_hidden_size": 3584},
        tie_word_embeddings=False,
    )  # fmt: skip
    with torch.device("meta"):
        model = Qwen2_5_VLForConditionalGeneration(told)
        count = sum(p.numel() for p in model.parameters())
        trainable = config("critic_dpo").trainable
        lora = get_peft_model(model, LoraConfig(r=trainable.rank, target_modules=trainable.targets))
    assert sizes.vision is not None and count == sizes.parameters + sizes.vision.parameters == 8_292_166_656
    moments, _ = language_plan(config("critic_dpo"))
    assert moments["learning"]["gradients"] == 4 * sum(p.numel() for p in lora.parameters() if p.requires_grad)


def test_time_of_a_dpo_step_by_hand(config):
    _, times = language_plan(config("critic_dpo"))
    # four pairs; 589,824 pixels are 752.33 tokens of 28 x 28 pixels, each of four patches; 180 of question and answer
    forward = 2 * 8 * ((589_824 / 784 + 180) * 7_615_616_512 + 4 * 589_824 / 784 * 676_550_144) / 4e14
    assert times == pytest.approx({"learning": 3 * forward, "reference": forward})
    assert language_plan(config("critic_sft"))[1]["reference"] == 0


@pytest.mark.parametrize(
    "recipe", ["planner_sft", "planner_rubric", "planner_tracelift", "critic_sft", "critic_dpo", "critic_identity"]
)
def test_every_recipe_of_paper_size_fits_eight_cards_and_says_its_hours(config, recipe):
    lines = language_plan_lines(config(recipe))
    assert "  fits 8 cards of 80 GB" in lines and any("hours by arithmetic" in line for line in lines)


def test_more_answers_take_more_and_at_last_do_not_fit(config):
    changes = (f"answers.each={each}" for each in (4, 64))
    small, large = (
        language_plan_lines(config("planner_tracelift", change, "answers.micro_batch=null")) for change in changes
    )
    assert any("does NOT fit" in line for line in large) and not any("does NOT fit" in line for line in small)


def test_the_grammar_takes_less_than_a_served_model(config):
    e1, e0 = (language_plan(config("planner_tracelift", f"executor={name}"))[1]["scoring"] for name in ("e1", "e0"))
    assert e0 == pytest.approx(4 * 19 * 0.08) and e1 > e0


def test_a_model_of_no_known_size_has_no_plan(config):
    assert language_plan_lines(config("planner_sft", "init_from=somebody/else")) == []
