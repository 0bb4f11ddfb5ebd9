"""A LoRA step at the published sizes, random weights, one poster of 1 MP: seconds, peak memory, FLOP utilisation.

    python benchmarks/full_size_step.py                 # an NVIDIA card; not yet run on one
    python benchmarks/full_size_step.py --count         # no card: parameters and FLOPs alone

FLUX.1-dev, and Qwen-Image-Edit with one reference of 1 MP; latents and the text encoders' states are given, as from
the cache. Utilisation is the FLOPs that the step needs (not those that checkpointing computes again) over what the
card could do at its peak in bfloat16, dense.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import FluxTransformer2DModel, QwenImageTransformer2DModel
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from posterkit.pipelines.flux_inputs import position_ids
from posterkit.training.adapters.flux import FluxAdapter, FluxCondition
from posterkit.training.adapters.qwen import QwenAdapter, QwenCondition
from posterkit.training.config import RunConfig
from posterkit.training.lora import Trainable, set_trainable
from posterkit.training.losses import add_noise, flow_matching_loss, sample_time
from posterkit.training.run import Run

RANK = 16


@dataclass(frozen=True)
class FullSize:
    """A published model's transformer, and one poster of 1 MP with its text (and one reference of 1 MP).

    Attributes:
        config: what differs from the class's own defaults, which are the published values of both.
        rows: of image tokens, and columns.
        width, pooled: channels of the text encoders' states.
    """

    family: str
    config: dict[str, Any]
    rows: int = 64
    text: int = 512
    width: int = 4096
    pooled: int = 768


FULL = {
    "FLUX.1-dev": FullSize("postercraft", {"guidance_embeds": True}),
    "Qwen-Image-Edit": FullSize("posteromni", {}, width=3584),
}
# dense bfloat16 with float32 sums, TFLOP/s, from NVIDIA's data sheets; a name holds the longest key that fits it
PEAKS = {
    "A10": 125, "A100": 312, "L4": 121, "L40S": 362, "H100 PCIe": 756, "H100": 989, "H200": 989, "B200": 2250,
    "RTX 3090": 71, "RTX 4090": 165, "RTX A6000": 155, "RTX 6000 Ada": 364,
}  # fmt: skip


def bare_model(full: FullSize, device: str) -> Any:
    """An adapter with a transformer only: random bfloat16 weights on the device, a LoRA that trains on them."""
    cls = {"postercraft": FluxTransformer2DModel, "posteromni": QwenImageTransformer2DModel}[full.family]
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.bfloat16)
    try:
        with torch.device(device):
            transformer = cls(**full.config)
    finally:
        torch.set_default_dtype(before)
    adapter = {"postercraft": FluxAdapter, "posteromni": QwenAdapter}[full.family]
    model = adapter.__new__(adapter)  # encoders and autoencoder have done their work: what they say is in a cache
    model.module = nn.ModuleDict({"transformer": transformer})
    set_trainable(model.module, Trainable("lora", rank=64))
    return model


def one_poster(full: FullSize, transformer: Any, device: str) -> tuple[Tensor, Any]:
    """Clean tokens `(1, S, C)` and the condition, random."""
    tokens, channels = full.rows**2, transformer.config.in_channels
    with torch.device(device):
        x0, prompt = torch.randn(1, tokens, channels), torch.randn(1, full.text, full.width)
        if full.family == "postercraft":
            ids = position_ids(full.rows, full.rows).to(device)
            return x0, FluxCondition(prompt, torch.randn(1, full.pooled), ids)
        mask = torch.ones(1, full.text, dtype=torch.bool)
        shapes = [(1, full.rows, full.rows)] * 2
        return x0, QwenCondition(prompt, mask, torch.randn(1, tokens, channels), shapes)


def count_step(full: FullSize) -> tuple[int, int]:
    """Parameters of the transformer, its LoRA left out, and FLOPs of one step; nothing is computed nor held.

    The FLOPs are the model's: what checkpointing computes again does not count, nor do weights that stay frozen have
    a gradient.
    """
    model = bare_model(full, "meta")
    transformer = model.module["transformer"]
    count = sum(p.numel() for p in transformer.parameters() if not p.requires_grad)
    x0, condition = one_poster(full, transformer.to(torch.float32), "meta")
    with FlopCounterMode(display=False) as counter:
        v = model.velocity(x0, torch.rand(1, device="meta"), condition)
        flow_matching_loss(v, x0).backward()
    return count, counter.get_total_flops()


def time_step(full: FullSize, device: str, steps: int, folder: Path) -> tuple[float, float]:
    """Median seconds of a step and GiB at its peak on a card; on a CPU the memory is 0.

    As in a recipe, with gradient checkpointing, bfloat16 and AdamW, batch 1.
    """
    model = bare_model(full, device)
    model.module["transformer"].enable_gradient_checkpointing()
    x0, condition = one_poster(full, model.module["transformer"], device)
    run = Run(RunConfig(run_dir=str(folder), max_steps=steps, batch_size=1, precision="bf16", log_every=steps))
    seconds, start = [], None
    for clean in run.steps(model, Same(x0)):
        t = sample_time(1, run.generator).to(run.device)
        with run.autocast():
            noise = run.noise_like(clean)
            v = model.velocity(add_noise(clean, noise, t), t, condition)
        run.backward(flow_matching_loss(v, noise - clean))
        if device == "cuda":
            torch.cuda.synchronize()
        now = time.perf_counter()
        seconds += [] if start is None else [now - start]
        start = now
    peak = torch.cuda.max_memory_allocated() / 2**30 if device == "cuda" else 0.0
    return float(np.median(seconds[1:])), peak


class Same:
    """The same batch again and again."""

    def __init__(self, batch: Any) -> None:
        self.batch = batch

    def __iter__(self) -> Iterator[Any]:
        while True:
            yield self.batch

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        pass


def card_peak(name: str) -> float:
    """Peak FLOP/s of a card by the name that CUDA gives it.

    Raises:
        ValueError: the table does not know it.
    """
    known = [key for key in PEAKS if key in name.removeprefix("NVIDIA ")]
    if not known:
        raise ValueError(f"{name} is not in the table of peaks; it has {', '.join(PEAKS)}")
    return 1e12 * PEAKS[max(known, key=len)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", action="store_true", help="parameters and FLOPs alone, no card")
    count = parser.parse_args().count
    if not count and not torch.cuda.is_available():
        parser.error("there is no card; --count needs none")
    name = None if count else torch.cuda.get_device_name()
    more = [] if name is None else [f"{name}: step, s", "peak, GiB", "utilisation"]
    titles = ["model", "parameters", "tokens", "TFLOP a step", *more]
    print(f"| {' | '.join(titles)} |\n|{'---|' * len(titles)}")
    for model, full in FULL.items():
        parameters, flops = count_step(full)
        images = full.rows**2 * (2 if full.family == "posteromni" else 1)
        row = f"| {model} LoRA | {parameters / 1e9:.2f} B | {images} + {full.text} | {flops / 1e12:.1f} |"
        if name is not None:
            with tempfile.TemporaryDirectory() as folder:
                seconds, peak = time_step(full, "cuda", 12, Path(folder))
            row += f" {seconds:.2f} | {peak:.1f} | {flops / seconds / card_peak(name):.0%} |"
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
        print(row, flush=True)


if __name__ == "__main__":
    main()
