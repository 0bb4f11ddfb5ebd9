"""What LoPT holds for the backward pass."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
import torch
from small_halves import task_loss
from torch import nn

from posterkit.training.strategies import (
    HalvesConfig,
    StrategyConfig,
    build_strategy,
)

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def benchmark():
    """benchmarks/lopt_memory.py as a module."""
    spec = importlib.util.spec_from_file_location("lopt_memory", ROOT / "benchmarks" / "lopt_memory.py")
    benchmark = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(benchmark)
    return benchmark


@pytest.mark.parametrize("family", ["flux", "qwen"])
@pytest.mark.parametrize("target", ["input", "anchor", "frozen"])
def test_a_balanced_cut_holds_at_most_65_percent_for_backward(benchmark, family, target):
    saved = []
    for settings in ({}, {"strategy": "lopt", "halves": HalvesConfig(target=target)}):
        model, given = {"flux": benchmark.flux_case, "qwen": benchmark.qwen_case}[family](blocks=4, heads=1, rows=8)
        strategy = build_strategy(StrategyConfig(**settings), model)
        step = lambda: task_loss(strategy.velocity(*given)).backward()  # noqa: B023, E731 - called in this turn
        saved.append(benchmark.peak_saved(model.module, step))
    assert saved[1] <= 0.65 * saved[0]


def test_what_autograd_holds_is_counted_once_and_without_weights(benchmark):
    module = nn.Linear(8, 8, bias=False)
    x = torch.randn(4, 8, requires_grad=True)
    # x for the weight's gradient (the weight itself is excluded), then y twice for its square: 2 x 4 x 8 floats
    assert benchmark.peak_saved(module, lambda: module(x).square().sum().backward()) == 2 * 4 * 8 * 4
