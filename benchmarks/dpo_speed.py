"""A DPO step of the critic beside TRL's: loss, gradient and AdamW on the same tiny model and the same pairs.

    pip install trl && python benchmarks/dpo_speed.py [--pairs 15]

A step reads eight posters with a true and a false critique each, by the policy and by a frozen copy. Pairs of steps
are interleaved, and who begins changes; time is the process's own CPU time, so that a busy machine does not blur the
ratio. Both losses must be equal. Up to 1.05 counts as equal.
"""

from __future__ import annotations

import argparse
import copy
import tempfile
from pathlib import Path
from random import Random
from typing import Any

import torch
from grpo_speed import compare, step_of
from torch import Tensor

from posterkit.critic.trained import TrainedCritic
from posterkit.datagen.critique_pairs import SYSTEM
from posterkit.datagen.critiques import QUESTION, draw_critic_poster, inject_error
from posterkit.pipelines.loading import quiet_bars
from posterkit.sizing import Size
from posterkit.training.losses import answer_dpo_loss
from posterkit.training.small_critic import SmallCritic, make_small_critic

BETA, POSTERS, AREA = 0.1, 8, 28 * 28 * 24


def pairs(folder: Path) -> tuple[TrainedCritic, dict[str, Tensor]]:
    """An untrained critic with a frozen copy, and a batch: the true answers, then the false ones."""
    posters = [draw_critic_poster(Random(number), Size(192, 288)) for number in range(POSTERS)]
    true = [one.facts.critique() for one in posters]
    false = [inject_error(Random(n), one.facts, "inverted_verdict") or "" for n, one in enumerate(posters)]
    questions = [QUESTION.format(asked=one.facts.asked) for one in posters]
    made = make_small_critic(folder / "critic", [SYSTEM, *questions, *true], SmallCritic())
    model = TrainedCritic(str(made), area=AREA)
    model.keep_reference(torch.device("cpu"))
    batch = model.collate([model.read(SYSTEM, [one.picture, asked], answer) for answers in (true, false)
                           for one, asked, answer in zip(posters, questions, answers, strict=True)])  # fmt: skip
    return model, batch


def our_loss(model: TrainedCritic, batch: dict[str, Tensor]) -> Tensor:
    policy, reference = model.log_probs(batch), model.reference_log_probs(batch)
    return answer_dpo_loss(policy, reference, batch["answer"].sum(1), BETA)[0]


def trl_trainer(model: TrainedCritic, folder: Path) -> Any:
    """TRL's trainer around the same module, with a frozen copy of it."""
    from datasets import Dataset
    from PIL import Image
    from trl import DPOConfig, DPOTrainer

    config = DPOConfig(output_dir=str(folder), use_cpu=True, report_to=[], bf16=False, beta=BETA, max_length=None,
                       gradient_checkpointing=False, per_device_train_batch_size=POSTERS, max_steps=1)  # fmt: skip
    one = {"prompt": "a", "chosen": "b", "rejected": "c", "images": [Image.new("RGB", (56, 56))]}  # nothing is drawn
    backbone = model.module["backbone"]
    reference = copy.deepcopy(backbone).eval().requires_grad_(False)
    return DPOTrainer(model=backbone, ref_model=reference, args=config, processing_class=model.processor,
                      train_dataset=Dataset.from_list([one] * POSTERS))  # fmt: skip


def trl_inputs(model: TrainedCritic, batch: dict[str, Tensor]) -> dict[str, Tensor]:
    """The batch under TRL's names."""
    known = batch["ids"] >= 0
    return {
        "input_ids": batch["ids"].masked_fill(~known, model.processor.tokenizer.pad_token_id),
        "attention_mask": known.long(), "completion_mask": batch["answer"].long(),
        "pixel_values": batch["patches"], "image_grid_thw": batch["grid"],
        "mm_token_type_ids": (batch["ids"] == model.module["backbone"].config.image_token_id).int(),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=15, help="at least 7 (default 15)")
    options = parser.parse_args()
    torch.set_num_threads(1)
    quiet_bars()
    with tempfile.TemporaryDirectory() as folder:
        model, batch = pairs(Path(folder))
        trainer = trl_trainer(model, Path(folder))
        model.module.train()
        backbone, theirs = model.module["backbone"], trl_inputs(model, batch)
        losses = {
            "ours": lambda: our_loss(model, batch),
            "TRL": lambda: trainer._compute_loss(backbone, theirs, return_outputs=False),
        }
        with torch.no_grad():
            for weight in backbone.parameters():  # so that policy and reference differ
                weight.add_(0.01 * torch.randn(weight.shape, generator=torch.Generator().manual_seed(0)))
            ours, other = (float(loss()) for loss in losses.values())
        assert abs(ours - other) < 1e-4, f"two losses: {ours} and {other}"
        compare({name: step_of(backbone, loss) for name, loss in losses.items()}, options.pairs, f"{POSTERS} pairs")


if __name__ == "__main__":
    main()
