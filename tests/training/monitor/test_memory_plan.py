"""The memory of the papers' stages by arithmetic: counts against the models, and what fits eight cards of 80 GB."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import full_size
import full_size_step
import pytest
import torch
from torch import nn

from posterkit.pipelines.memory import GB, family_sizes
from posterkit.training.config import load_config
from posterkit.training.errors import WrongCall
from posterkit.training.losses import flow_matching_loss
from posterkit.training.monitor.dry_run import check_on_disk
from posterkit.training.monitor.memory_plan import memory_plan, plan_lines

ROOT = Path(__file__).resolve().parents[3]
STAGES = sorted(
    path for folder in ("postercraft", "posteromni") for path in (ROOT / "configs" / folder).glob("*.yaml")
)


@pytest.fixture
def stage(monkeypatch):
    """`stage(path, key=value)`: the config of a paper's stage."""
    import importlib

    monkeypatch.syspath_prepend(str(ROOT / "train"))

    def opened(path: Path, **overrides):
        recipe = importlib.import_module(path.stem)
        (kind,) = [
            value for value in vars(recipe).values()
            if isinstance(value, type) and value.__module__ == recipe.__name__ and value.__name__ != "ExpertConfig"
            and value.__name__.endswith("Config")
        ]  # fmt: skip
        return load_config(kind, path, [f"{key}={value}" for key, value in overrides.items()])

    return opened


@pytest.fixture(scope="module")
def plans() -> dict[Path, Any]:
    """The plans of stages as they are published, once they were asked for."""
    return {}


@pytest.fixture
def plan(stage, plans):
    """`plan(path)`: the memory of a paper's stage on its cards."""

    def planned(path: Path):
        if path not in plans:
            plans[path] = memory_plan(stage(path))
        return plans[path]

    return planned


@pytest.mark.slow
@pytest.mark.parametrize("path", [path for path in STAGES if path.stem != "reward_model"], ids=lambda path: path.stem)
def test_every_stage_of_the_papers_fits_eight_cards_of_80_gb(plan, path):
    card, ram = plan(path)
    assert {"encoding", "learning", "samples"} <= set(card)
    for moment in card.values():
        assert sum(moment.values()) < 0.97 * 80 * GB
    assert max(sum(moment.values()) for moment in ram.values()) * 8 < 1000 * GB


@pytest.mark.slow
def test_stage_3_of_posteromni_has_its_rollouts_and_its_reward_in_the_plan(stage, plan):
    config = stage(ROOT / "configs" / "posteromni" / "stage3_reward.yaml")
    card, _ = plan(ROOT / "configs" / "posteromni" / "stage3_reward.yaml")
    assert list(card) == ["encoding", "drawing", "learning", "samples", "words"]
    sizes = family_sizes("posteromni")
    assert sizes is not None
    # the frozen base in bfloat16, and the LoRA in float32 with two moments, its gradient, averages and an old policy
    transformer = full_size.models("posteromni")["transformer"]
    targets = config.trainable.targets
    lora = sum(
        config.trainable.rank * (part.in_features + part.out_features)
        for name, part in transformer.named_modules()
        if isinstance(part, nn.Linear) and any(name.endswith(f".{end}") for end in targets)
    )
    learning = card["learning"]
    assert learning["transformer"] == 2 * sizes.parts["transformer"].parameters
    assert learning["trained weights"] == learning["gradients"] == learning["averages"] == learning["old policy"]
    assert learning["trained weights"] == 4 * lora and learning["optimiser"] == 8 * lora
    assert "text encoders" not in {name for name, size in learning.items() if size}
    whole = memory_plan(
        stage(ROOT / "configs" / "posteromni" / "stage3_reward.yaml", **{"rollouts.micro_batch": "null"})
    )
    assert whole[0]["learning"]["activations"] == 3 * learning["activations"]  # 12 posters instead of 4


@pytest.mark.slow
def test_full_fine_tuning_is_shared_out_and_does_not_fit_one_card(stage):
    config = stage(ROOT / "configs" / "postercraft" / "stage1_text_render.yaml")
    parameters = full_size.models("postercraft")["transformer"]
    count = sum(p.numel() for p in parameters.parameters())
    eight, one = (memory_plan(config, cards)[0]["learning"] for cards in (8, 1))
    assert eight["trained weights"] == 4 * count / 8 and one["gradients"] == 4 * count
    assert sum(one.values()) > 80 * GB > sum(eight.values())


def test_full_fine_tuning_of_flux_fits_one_card_where_sixteen_blocks_are_swapped(stage):
    path = ROOT / "configs" / "postercraft" / "stage1_text_render.yaml"
    card, ram = memory_plan(stage(path, **{"trainable.swap": 16}), cards=1)
    assert max(sum(moment.values()) for moment in card.values()) < 0.97 * 80 * GB
    blocks = full_size.models("postercraft")["transformer"].transformer_blocks[:16]
    swapped = sum(p.numel() for p in blocks.parameters())
    whole = memory_plan(stage(path), cards=1)[0]["learning"]
    assert whole["trained weights"] - card["learning"]["trained weights"] == pytest.approx(4 * swapped)
    assert whole["gradients"] - card["learning"]["gradients"] == pytest.approx(4 * swapped)
    assert ram["learning"]["swapped blocks"] == pytest.approx(8 * swapped, rel=0.01)  # and Adafactor's means
    assert plan_lines(stage(path, **{"trainable.swap": 16}))[-1].startswith("  fits a card of 80 GB; ")
    assert plan_lines(stage(path, **{"trainable.swap": 8}))[-1].startswith("  does NOT fit a card of 80 GB; ")


@pytest.mark.slow
def test_a_sheet_beside_a_reward_has_its_words_read_while_the_transformer_waits(stage, plan):
    path = ROOT / "configs" / "posteromni" / "stage3_reward.yaml"
    card, ram = plan(path)
    assert card["words"]["transformer"] == 0 and card["words"]["reward"] == card["learning"]["reward"] > 16 * GB
    assert "text encoders" not in card["samples"] and card["samples"]["transformer"] == ram["words"]["transformer"]
    roomy, _ = memory_plan(stage(path), card_gb=141)
    assert "words" not in roomy and roomy["samples"]["text encoders"] > 16 * GB


@pytest.mark.slow
def test_a_dry_run_without_its_base_prints_the_plan_before_it_says_what_is_missing(stage, capsys):
    config = stage(ROOT / "configs" / "posteromni" / "stage2_experts.yaml")
    with pytest.raises(WrongCall, match="a dry run needs what the run starts from"):
        check_on_disk(config)
    said = capsys.readouterr().out
    assert "memory by arithmetic, GB by part and moment, on each of 8 cards" in said
    assert "fits 8 cards of 80 GB" in said and "main memory" in said
    assert said.splitlines() == plan_lines(config)


class Attention(torch.autograd.Function):
    """Attention as a card's kernels do it: no matrix of all pairs is made or kept."""

    @staticmethod
    def forward(ctx, query, key, value):
        ctx.save_for_backward(query, key, value)
        return torch.empty_like(query)

    @staticmethod
    def backward(ctx, gradient):
        return tuple(torch.empty_like(one) for one in ctx.saved_tensors)


def fused(*given, **named):
    return Attention.apply(*(given[:3] if len(given) > 2 else (named["query"], named["key"], named["value"])))


@pytest.mark.slow
@pytest.mark.parametrize(("model", "tokens"), [("FLUX.1-dev", 4096 + 512), ("Qwen-Image-Edit", 2 * 4096 + 512)])
def test_the_table_counts_the_live_tensors_of_a_step(monkeypatch, model, tokens):
    full = full_size_step.FULL[model]
    monkeypatch.setattr(nn.functional, "scaled_dot_product_attention", fused)
    adapter = full_size_step.bare_model(full, "meta")
    transformer = adapter.module["transformer"].to(torch.bfloat16)
    transformer.enable_gradient_checkpointing()
    x0, condition = full_size_step.one_poster(full, transformer, "meta")
    tensors = {one.name: getattr(condition, one.name) for one in fields(condition)}
    halves = {name: value.to(torch.bfloat16) for name, value in tensors.items()
              if isinstance(value, torch.Tensor) and value.is_floating_point()}  # fmt: skip
    x, t = x0.to(torch.bfloat16), torch.rand(1, device="meta", dtype=torch.bfloat16)
    with full_size.LiveTensors(adapter.module) as live:
        v = adapter.velocity(x, t, replace(condition, **halves))
        held = live.now
        flow_matching_loss(v, x0).backward()
    sizes = family_sizes(full.family)
    assert sizes is not None
    assert held / tokens == pytest.approx(sizes.training["held"], rel=0.02)
    assert (live.peak - held) / tokens == pytest.approx(sizes.training["work"], rel=0.05)
    assert sizes.training["blocks"] == sum(
        len(part) for part in transformer.children() if isinstance(part, nn.ModuleList)
    )
