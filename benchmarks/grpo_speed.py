"""A GRPO step beside TRL's: loss, gradient and AdamW on the same tiny planner and the same answers.

    pip install trl && python benchmarks/grpo_speed.py [--pairs 15]

Pairs are interleaved, and who begins changes; time is the process's own CPU time, so that a busy machine does not blur
the ratio. Up to 1.05 counts as equal.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from posterkit.datagen.plan_groups import PlanGroups
from posterkit.layout.reasoning import SYSTEM
from posterkit.training.adapters.language import LanguageAdapter
from posterkit.training.loading.reasonings import words_tokenizer
from posterkit.training.losses import token_policy_loss

MODEL = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4,
         "num_key_value_heads": 4, "max_position_embeddings": 512}  # fmt: skip
CLIP, RATE, NORM = 0.2, 1e-4, 1.0
Rows = Sequence[dict[str, Tensor]]


def tiny_planner() -> tuple[LanguageAdapter, list[str]]:
    """A planner that was never trained, and briefs that it can read."""
    groups = [PlanGroups(0)[number][1] for number in range(8)]
    torch.manual_seed(0)
    return LanguageAdapter.from_config(MODEL, words_tokenizer(groups)), [one.brief for one in groups]


def our_loss(model: LanguageAdapter, rows: Rows, advantages: Tensor) -> Tensor:
    batch = model.collate(rows)
    log_probs = model.log_probs(batch)
    return token_policy_loss(log_probs, log_probs.detach(), advantages, batch["answer"][:, 1:], CLIP)[0]


def trl_trainer(model: LanguageAdapter, folder: Path, each: int, tokens: int) -> Any:
    """TRL's trainer around the same module, with the loss that GRPO published."""
    from datasets import IterableDataset
    from trl import GRPOConfig, GRPOTrainer

    config = GRPOConfig(
        output_dir=str(folder), use_cpu=True, report_to=[], bf16=False, per_device_train_batch_size=each,
        num_generations=each, max_completion_length=tokens, loss_type="grpo", epsilon=CLIP, beta=0.0, temperature=1.0,
        max_steps=1, gradient_checkpointing=False,
    )  # fmt: skip
    trainer = GRPOTrainer(
        model=model.module, args=config, processing_class=model.tokenizer,
        train_dataset=IterableDataset.from_generator(lambda: iter([{"prompt": "a"}])),  # nothing is drawn
        reward_funcs=lambda completions, **others: [0.0] * len(completions),
    )  # fmt: skip
    trainer.current_gradient_accumulation_steps = 1
    return trainer


def trl_inputs(rows: Rows, advantages: Tensor) -> dict[str, Tensor]:
    """The rows as TRL has them: questions padded on the left, answers on the right."""
    asked, said = ([row["ids"][row["answer"] == part] for row in rows] for part in (False, True))
    left, right = max(map(len, asked)), max(map(len, said))
    pad = torch.nn.functional.pad
    return {
        "prompt_ids": torch.stack([pad(one, (left - len(one), 0)) for one in asked]),
        "prompt_mask": torch.stack([pad(torch.ones_like(one), (left - len(one), 0)) for one in asked]),
        "completion_ids": torch.stack([pad(one, (0, right - len(one))) for one in said]),
        "completion_mask": torch.stack([pad(torch.ones_like(one), (0, right - len(one))) for one in said]),
        "advantages": advantages,
    }


def step_of(module: Any, loss: Callable[[], Tensor]) -> Callable[[], None]:
    """A whole step: loss, gradient, clipping, AdamW."""
    optimizer = torch.optim.AdamW(module.parameters(), RATE)

    def step() -> None:
        loss().backward()
        torch.nn.utils.clip_grad_norm_(module.parameters(), NORM)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return step


def compare(steps: dict[str, Callable[[], None]], pairs: int, what: str) -> None:
    """Time the steps "ours" and "TRL" in interleaved pairs and print medians and the ratio."""
    found: dict[str, list[float]] = {name: [] for name in steps}
    for number in range(pairs + 1):
        for name in sorted(steps, reverse=number % 2 == 0):
            began = time.process_time()
            steps[name]()
            if number:  # the first pair warms up
                found[name].append(time.process_time() - began)
    ratios = sorted(a / b for a, b in zip(found["ours"], found["TRL"], strict=True))
    quartiles = statistics.quantiles(ratios, n=4)
    medians = {name: 1000 * statistics.median(times) for name, times in found.items()}
    print(f"a step on {what}: ours {medians['ours']:.0f} ms, TRL {medians['TRL']:.0f} ms of CPU time")
    print(f"ratio {statistics.median(ratios):.3f} ({quartiles[0]:.3f} to {quartiles[2]:.3f}), {len(ratios)} pairs")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=15, help="at least 7 (default 15)")
    options = parser.parse_args()
    torch.set_num_threads(1)
    model, briefs = tiny_planner()
    rows = model.sample(SYSTEM, briefs[:6], 8, torch.Generator().manual_seed(0), most=64)
    advantages = torch.randn(len(rows), generator=torch.Generator().manual_seed(1))
    with tempfile.TemporaryDirectory() as folder:
        trainer = trl_trainer(model, Path(folder), 8, 64)
        model.module.train()
        steps = {
            "ours": step_of(model.module, lambda: our_loss(model, rows, advantages)),
            "TRL": step_of(model.module, lambda: trainer._compute_loss(model.module, trl_inputs(rows, advantages))),
        }
        compare(steps, options.pairs, f"{len(rows)} answers")


if __name__ == "__main__":
    main()
