"""Counting a step at the published sizes, and taking one at a small size."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def benchmark():
    """benchmarks/full_size_step.py as a module."""
    spec = importlib.util.spec_from_file_location("full_size_step", ROOT / "benchmarks" / "full_size_step.py")
    benchmark = importlib.util.module_from_spec(spec)
    sys.modules["full_size_step"] = benchmark
    spec.loader.exec_module(benchmark)
    return benchmark


@pytest.fixture
def small(benchmark):
    """Qwen-Image-Edit's class with twenty narrow blocks, and a poster and a reference of 64 tokens each."""
    config = {"num_layers": 20, "attention_head_dim": 32, "num_attention_heads": 2, "axes_dims_rope": (4, 14, 14)}
    return benchmark.FullSize(
        "posteromni",
        {**config, "joint_attention_dim": 32, "in_channels": 16, "out_channels": 4},
        rows=8,
        text=16,
        width=32,
    )


@pytest.mark.parametrize(
    "name, tera",
    [("NVIDIA A100-SXM4-80GB", 312), ("NVIDIA A10", 125), ("NVIDIA L40S", 362), ("NVIDIA H100 PCIe", 756),
     ("NVIDIA H100 80GB HBM3", 989)],
)  # fmt: skip
def test_a_card_is_found_by_the_longest_name_that_fits(benchmark, name, tera):
    assert benchmark.card_peak(name) == tera * 1e12


def test_a_card_that_the_table_lacks_is_named(benchmark):
    with pytest.raises(ValueError, match="Quadro K620 is not in the table"):
        benchmark.card_peak("Quadro K620")


@pytest.mark.slow
def test_a_step_counts_two_passes_of_frozen_layers_and_three_of_attention_and_adapters(benchmark, small):
    """By hand: 2 FLOPs a weight and token; a frozen layer hands a gradient on, but has none of its own."""
    blocks, width, rank, tokens = 20, 64, 64, 64 + 64 + 16
    linear = 2 * 12 * width**2 * tokens  # four projections, and an MLP of four times the width
    adapters = 4 * 2 * 2 * width * rank * tokens
    attention = 2 * 2 * tokens**2 * width
    _, counted = benchmark.count_step(small)
    # of the first block no gradient is handed on, of the last one the text is not used
    assert counted == pytest.approx(blocks * (2 * linear + 3 * adapters + 3 * attention), rel=0.05)


@pytest.mark.slow
def test_a_step_at_full_size_runs_with_small_sizes_on_a_cpu(benchmark, small, tmp_path):
    seconds, peak = benchmark.time_step(small, "cpu", 3, tmp_path)
    assert 0 < seconds < 60 and peak == 0


@pytest.mark.slow
@pytest.mark.parametrize("name, parameters", [("FLUX.1-dev", 11_901_408_320), ("Qwen-Image-Edit", 20_430_401_088)])
def test_the_full_sizes_have_the_published_parameters(benchmark, name, parameters):
    assert benchmark.count_step(benchmark.FULL[name])[0] == parameters
