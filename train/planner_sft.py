"""Supervised fine-tuning of a planner: a language model that answers LayoutPrompter's and LayoutCoT's questions.

    accelerate launch train/planner_sft.py --config configs/mini/planner_sft.yaml

It learns from conversations about planned requests: the coarse question with its exemplars, and the three stages of
LayoutCoT (position, size, numbers), each about a good layout that was spoilt in what the stage mends. Only answers
count:

    L = - E mean_t log p(answer_t | question, answer_<t)

Plans are the grammar's on drawn posters, chosen by where the subject truly stands. `heldout.json` has the loss on
held-out requests by kind of question and the share of answers that can be used: every id there, in the grid's form.
With `init_from` null a small Qwen2 over the plan language is made; else it is a transformers folder, with a LoRA where
the config says so. `model/` is what `--planner llm:FOLDER` and `cot:FOLDER` open; for what its plans are worth:

    posterkit bench layout --planner llm:RUN/model --planner cot:RUN/model
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from random import Random
from typing import Any

import torch

from posterkit.datagen.planned_requests import PlannedRequest
from posterkit.datagen.planner_conversations import KINDS, Conversation, conversation
from posterkit.image_io import written_whole
from posterkit.layout.ground import Ground
from posterkit.layout.planners.questions import SYSTEM, read_boxes
from posterkit.layout.planners.retrieval_planner import shipped_index
from posterkit.llm.client import AnswerError
from posterkit.llm.local import LocalModel
from posterkit.training.adapters.language import LanguageAdapter
from posterkit.training.config import Count, parse_config
from posterkit.training.errors import setting_up
from posterkit.training.language_model import LanguageModelConfig, open_trainable
from posterkit.training.loading.conversations import (
    PlansConfig,
    conversation_batch,
    conversation_batches,
    open_plans,
)
from posterkit.training.run import Run


@dataclass
class PlannerConfig(LanguageModelConfig):
    """
    Attributes:
        data: the planned requests, and what is asked about them.
        model: of a model made here: fields of transformers' Qwen2Config.
        heldout_questions: of each kind, answered at the end.
    """

    data: PlansConfig = field(default_factory=PlansConfig)
    model: dict[str, Any] = field(default_factory=dict)
    heldout_questions: Count = 50


def main() -> None:
    config = parse_config(PlannerConfig)
    run = Run(config)
    with setting_up():
        model = open_model(config)
        train, heldout = open_plans(config.data, run)

    for batch in run.steps(model, conversation_batches(train, config.data, model, run)):
        with run.autocast():
            loss = model.answer_loss(batch).mean()
        run.backward(loss)

    run.finish(model)
    if run.accelerator.is_main_process and run.step == config.max_steps:
        folder = run.folder / ("ema" if config.ema_decay else "model")
        found = held_out(LanguageAdapter.from_folder(str(folder)), str(folder), heldout, config, run)
        with written_whole(run.folder / "heldout.json") as file:
            file.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
        for kind, row in found.items():
            run.print(f"{kind}: loss {row['loss']:.3f}, {row['usable']:.0%} of its answers usable")


def open_model(config: PlannerConfig) -> LanguageAdapter:
    """The model, and in it what trains."""
    if config.init_from is None:
        return LanguageAdapter.from_config(config.model)
    return open_trainable(LanguageAdapter.from_folder, config)


@torch.no_grad()
def held_out(
    model: LanguageAdapter, folder: str, plans: list[PlannedRequest], config: PlannerConfig, run: Run
) -> dict[str, dict[str, float]]:
    """By kind of question: how many, the true answers' loss, and the share of the model's own that can be used."""
    index, answers = shipped_index(), LocalModel(folder, device=run.device)
    model.module.to(run.device).eval()
    found = {}
    for kind in KINDS:
        some = plans[: config.heldout_questions]
        said = [conversation(one, kind, index, config.data.exemplars, Random(f"heldout {kind} {at}"))
                for at, one in enumerate(some)]  # fmt: skip
        losses = [model.answer_loss(conversation_batch([one], [""], model).to(run.device)).item() for one in said]
        made = answers.ask_all(SYSTEM, [one.question for one in said])
        usable = sum(is_usable(answer, one) for answer, one in zip(made, said, strict=True))
        found[kind] = {"questions": len(said), "loss": sum(losses) / len(said), "usable": usable / len(said)}
    return found


def is_usable(answer: str, said: Conversation) -> bool:
    """Whether an answer places every element that it was asked for."""
    try:
        read_boxes(answer, said.request, Ground(said.request), said.kind)
    except AnswerError:
        return False
    return True


if __name__ == "__main__":
    main()
