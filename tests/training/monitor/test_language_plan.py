"""Memory and hours of the planner's recipes: counts against the class itself, sums by hand."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from accelerate import init_empty_weights
from peft import LoraConfig, get_peft_model
from transformers import Qwen2Config, Qwen2ForCausalLM

from posterkit.training.config import load_config
from posterkit.training.monitor.language_plan import SIZES, language_plan, language_plan_lines

ROOT = Path(__file__).resolve().parents[3]
QWEN = "Qwen/Qwen2.5-7B-Instruct"


@pytest.fixture
def config(monkeypatch):
    import importlib

    monkeypatch.syspath_prepend(str(ROOT / "train"))
    kinds = {"planner_sft": "PlannerConfig", "planner_rubric": "RubricConfig", "planner_tracelift": "TraceliftConfig"}

    def opened(recipe: str, *overrides: str):
        kind = getattr(importlib.import_module(recipe), kinds[recipe])
        return load_config(kind, ROOT / "configs" / "planner" / f"{recipe}.yaml", overrides)

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


@pytest.mark.parametrize("recipe", ["planner_sft", "planner_rubric", "planner_tracelift"])
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
