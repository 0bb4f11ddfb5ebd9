"""Memory of a training step: LoPT and a frozen half against end to end, both families, cut at the middle.

    OMP_NUM_THREADS=1 python benchmarks/lopt_memory.py

The real transformer classes at the token count of a poster of 1 MP: FLUX.1 with 4096 image and 512 text tokens,
Qwen-Image-Edit with 4096 tokens to make, 4096 of a reference and 512 of text; few and narrow blocks, so that a step
fits a laptop. Two figures for each strategy, in a process of its own:

- saved: the largest number of bytes that autograd holds for backward at one time (unique storages, weights excluded);
- resident: how far the process's memory rises during its first step (Linux).
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import weakref
from collections.abc import Callable
from typing import Any

import psutil
import torch
from diffusers import FluxTransformer2DModel, QwenImageTransformer2DModel
from torch import Tensor, nn

from posterkit.pipelines.flux_inputs import position_ids
from posterkit.training.adapters.flux import FluxAdapter, FluxCondition
from posterkit.training.adapters.qwen import QwenAdapter, QwenCondition
from posterkit.training.losses import flow_matching_loss
from posterkit.training.strategies import HalvesConfig, StrategyConfig, build_strategy

STRATEGIES = {"end_to_end": {}, "lopt input": {"target": "input"}, "lopt anchor": {"target": "anchor"},
              "frozen_half": {"target": "frozen"}}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--blocks", type=int, default=8, help="a third of FLUX.1's are double-stream ones")
    parser.add_argument("--heads", type=int, default=2, help="of 32 channels each")
    parser.add_argument("--rows", type=int, default=64, help="of image tokens, and columns")
    parser.add_argument("--checkpointing", action="store_true")
    parser.add_argument("--one", nargs=2, metavar=("FAMILY", "STRATEGY"), help="print one case as JSON")
    given = parser.parse_args()
    if given.one:
        family, strategy = given.one
        print(json.dumps(measure(family, strategy, given)))
        return
    for family in ("flux", "qwen"):
        print(f"{family}: {given.blocks} blocks of width {32 * given.heads}, {given.rows**2} image tokens")
        base = None
        for strategy in STRATEGIES:
            command = [sys.executable, *sys.argv, "--one", family, strategy]
            found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
            base = base or found
            print(
                f"  {strategy:12s} saved {found['saved'] / 2**20:7.1f} MiB ({found['saved'] / base['saved']:.2f})   "
                f"resident {found['resident'] / 2**20:7.1f} MiB ({found['resident'] / base['resident']:.2f})",
                flush=True,
            )


def measure(family: str, strategy: str, given: argparse.Namespace) -> dict[str, int]:
    """Both figures of one case, in bytes."""
    torch.manual_seed(0)
    model, inputs = (flux_case if family == "flux" else qwen_case)(given.blocks, given.heads, given.rows)
    if given.checkpointing:
        model.module["transformer"].enable_gradient_checkpointing()
    halves = STRATEGIES[strategy]
    config = StrategyConfig(strategy="lopt" if halves else "end_to_end", halves=HalvesConfig(**halves))
    taught = build_strategy(config, model)

    def step() -> None:
        v = taught.velocity(*inputs)
        flow_matching_loss(v, torch.zeros_like(v)).backward()

    before = psutil.Process().memory_info().rss
    step()
    risen = 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    return {"saved": peak_saved(model.module, step), "resident": risen}


class BareFlux(FluxAdapter):
    """An adapter that has a transformer only."""

    def __init__(self, transformer: FluxTransformer2DModel) -> None:
        self.module = nn.ModuleDict({"transformer": transformer})


class BareQwen(QwenAdapter):
    """An adapter that has a transformer only."""

    def __init__(self, transformer: QwenImageTransformer2DModel) -> None:
        self.module = nn.ModuleDict({"transformer": transformer})


def flux_case(blocks: int, heads: int, rows: int) -> tuple[FluxAdapter, tuple[Tensor, Tensor, FluxCondition]]:
    """A narrow FLUX.1, an adapter around it, and what its `velocity` takes for one poster."""
    transformer = FluxTransformer2DModel(
        num_layers=blocks // 3, num_single_layers=blocks - blocks // 3, attention_head_dim=32,
        num_attention_heads=heads, joint_attention_dim=128, pooled_projection_dim=64, axes_dims_rope=(4, 14, 14),
    )  # fmt: skip
    condition = FluxCondition(torch.randn(1, 512, 128), torch.randn(1, 64), position_ids(rows, rows))
    return BareFlux(transformer), (torch.randn(1, rows * rows, 64), torch.rand(1), condition)


def qwen_case(blocks: int, heads: int, rows: int) -> tuple[QwenAdapter, tuple[Tensor, Tensor, QwenCondition]]:
    """A narrow Qwen-Image-Edit with one reference, as above."""
    transformer = QwenImageTransformer2DModel(
        num_layers=blocks, attention_head_dim=32, num_attention_heads=heads, joint_attention_dim=128,
        axes_dims_rope=(4, 14, 14),
    )  # fmt: skip
    tokens = torch.randn(2, 1, rows * rows, 64)
    mask = torch.ones(1, 512, dtype=torch.bool)
    condition = QwenCondition(torch.randn(1, 512, 128), mask, tokens[0], [(1, rows, rows)] * 2)
    return BareQwen(transformer), (tokens[1], torch.rand(1), condition)


def peak_saved(module: nn.Module, step: Callable[[], Any]) -> int:
    """Largest number of bytes that autograd holds for backward at one time: unique storages, weights excluded."""
    own = {parameter.untyped_storage().data_ptr() for parameter in module.parameters()}
    holders: dict[int, int] = {}
    now = peak = 0

    class Kept:
        def __init__(self, tensor: Tensor) -> None:
            self.tensor = tensor

    def drop(storage: int, size: int) -> None:
        nonlocal now
        holders[storage] -= 1
        now -= size if not holders[storage] else 0

    def pack(tensor: Tensor) -> Kept:
        nonlocal now, peak
        kept, storage, size = Kept(tensor), tensor.untyped_storage().data_ptr(), tensor.untyped_storage().nbytes()
        if storage not in own:
            holders[storage] = holders.get(storage, 0) + 1
            now += size if holders[storage] == 1 else 0
            peak = max(peak, now)
            weakref.finalize(kept, drop, storage, size)
        return kept

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda kept: kept.tensor):
        step()
    return peak


if __name__ == "__main__":
    main()
