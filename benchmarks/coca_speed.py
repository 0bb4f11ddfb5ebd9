"""What calibrated decoding costs: seconds for an answer, plain and steered, on a language model of random weights.

    OMP_NUM_THREADS=1 python benchmarks/coca_speed.py [--width 384] [--layers 8] [--tokens 48]

Plain and steered answers take turns; the ratios' median and quartiles over the rounds go to stdout.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import torch
from transformers import LogitsProcessorList, Qwen2Config, Qwen2ForCausalLM

from posterkit.llm.coca import CoCAProcessor

WAYS = {"steered": None, "its first 8 tokens steered": 8}


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, value in (
        ("width", 384),
        ("layers", 8),
        ("tokens", 48),
        ("prompt", 96),
        ("principle", 64),
        ("rounds", 7),
    ):
        options.add_argument(f"--{name}", type=int, default=value)
    given = options.parse_args()
    torch.manual_seed(0)
    config = Qwen2Config(
        vocab_size=8192, hidden_size=given.width, intermediate_size=4 * given.width, num_hidden_layers=given.layers,
        num_attention_heads=6, num_key_value_heads=2,
    )  # fmt: skip
    config.pad_token_id, config.eos_token_id = 0, None
    model = Qwen2ForCausalLM(config).eval()
    asked = torch.randint(1, 8192, (1, given.prompt))
    principle = torch.randint(1, 8192, (1, given.principle))

    def answer(**steering: int | None) -> float:
        by = [CoCAProcessor(model, _inputs(asked), 1.0, **steering)] if steering else []
        began = time.perf_counter()
        model.generate(**_inputs(torch.cat([principle, asked], 1)), logits_processor=LogitsProcessorList(by),
                       max_new_tokens=given.tokens, do_sample=False)  # fmt: skip
        return time.perf_counter() - began

    answer(), answer(first_n=None)
    ratios: dict[str, list[float]] = {way: [] for way in WAYS}
    for _ in range(given.rounds):
        for way, first_n in WAYS.items():
            ratios[way].append(answer(first_n=first_n) / answer())
    print(f"{sum(p.numel() for p in model.parameters()) / 1e6:.0f} M parameters, {given.tokens} tokens")
    for way, found in ratios.items():
        low, median, high = np.percentile(found, [25, 50, 75])
        print(f"{way}: {median:.2f} times plain (quartiles {low:.2f} to {high:.2f})")


def _inputs(ids: torch.Tensor) -> dict[str, torch.Tensor]:
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids)}


if __name__ == "__main__":
    main()
