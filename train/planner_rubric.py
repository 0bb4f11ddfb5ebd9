"""A reasoning reward model: a language model that rates a planner's reasoning on five dimensions (TraceLift).

    accelerate launch train/planner_rubric.py --config configs/mini/planner_rubric.yaml

It reads a brief and a reasoning about it; the last token's state goes through five heads of the labels 0 to 4 and one
of the total. Its score is half the mean expected label, half the total, in [0, 1]. It learns from groups of one good
reasoning and flawed ones of named kinds (PosterPlan-Groups):

    L = sum_d CE_d + 0.5 Huber_1(sigmoid(total), gold) + 0.7 mean -log sigmoid((s_good - s_flawed) / T)

`heldout.json` has on held-out groups how often the good one of a pair scores higher, how often it beats all flawed
ones of its group, the same of the reasoning's length alone, and the error of the score against the labels.
With `init_from` null a small Qwen2 over the groups' words is made. `model/` is what `train/planner_tracelift.py` takes
as `rubric`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from posterkit.datagen.plan_groups import PlanGroup, group_accuracy
from posterkit.image_io import written_whole
from posterkit.rewards.models.plan_rubric import PlanRubric
from posterkit.training.adapters.language import LanguageAdapter
from posterkit.training.config import Count, Positive, parse_config
from posterkit.training.errors import setting_up
from posterkit.training.language_model import LanguageModelConfig, open_trainable
from posterkit.training.loading.reasonings import GroupsConfig, all_of, open_groups, rubric_batches, words_tokenizer
from posterkit.training.losses import rubric_loss
from posterkit.training.run import Run


@dataclass
class RubricConfig(LanguageModelConfig):
    """
    Attributes:
        data: the groups; `batch_size` of them go through in one pass.
        negatives: flawed reasonings of a group that are drawn for a step.
        pair_temperature: T; 1 as published.
        model: of a model made here: fields of transformers' Qwen2Config.
        heldout_groups: scored at the end.
    """

    data: GroupsConfig = field(default_factory=GroupsConfig)
    negatives: Count = 4
    pair_temperature: Positive = 1.0
    model: dict[str, Any] = field(default_factory=dict)
    heldout_groups: Count = 200


def main() -> None:
    config = parse_config(RubricConfig)
    run = Run(config)
    with setting_up():
        train, heldout = open_groups(config.data, run)
        model = open_rubric(config, train)

    for batch in run.steps(model, rubric_batches(train, config.negatives, model, run)):
        with run.autocast():
            dimensions, total = model.logits(batch.rows)
        loss, figures = rubric_loss(
            dimensions, total, batch["labels"], reasonings=config.negatives + 1, temperature=config.pair_temperature
        )
        run.backward(loss, **figures)

    if run.accelerator.is_main_process:
        with run.averaged(model), written_whole(run.folder / "heldout.json") as file:
            found = held_out(model, heldout[: config.heldout_groups])
            file.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
        run.print(f"held out: the good one beats every flawed one in {found['groups']:.0%} of {found['count']} groups")
    run.finish(model)


def open_rubric(config: RubricConfig, groups: list[PlanGroup]) -> PlanRubric:
    """The model, and in it what trains."""
    if config.init_from is None:
        fresh = LanguageAdapter.from_config(config.model, words_tokenizer(groups))
        return PlanRubric(fresh.tokenizer, fresh.module.model)
    return open_trainable(PlanRubric.from_language_model, config)


def held_out(model: PlanRubric, groups: list[PlanGroup]) -> dict[str, float]:
    """Accuracy over pairs and groups, the same of length alone, and the score's errors against the labels' mean."""
    model.module.eval()
    scores: dict[tuple[str, str], float] = {}
    for group in groups:
        rows = [model.read(group.brief, one.reasoning) for one in all_of(group)]
        scores |= {(group.brief, one.reasoning): score for one, score in
                   zip(all_of(group), model.scores(rows), strict=True)}  # fmt: skip
    errors = np.array([scores[group.brief, one.reasoning] - one.total for group in groups for one in all_of(group)])
    by_length = group_accuracy(groups, lambda brief, said: len(said))
    return {
        "count": len(groups), **group_accuracy(groups, lambda brief, said: scores[brief, said]),
        **{f"{name}_by_length": value for name, value in by_length.items()},
        "mae": float(np.abs(errors).mean()), "rmse": float(np.sqrt((errors**2).mean())),
    }  # fmt: skip


if __name__ == "__main__":
    main()
