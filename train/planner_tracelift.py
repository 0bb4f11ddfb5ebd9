"""TraceLift: a planner learns to reason by what its reasoning does for an executor that does not learn.

    accelerate launch train/planner_tracelift.py --config configs/mini/planner_tracelift.yaml mode=tracelift

The planner reads a brief and says in tags what counts; a frozen executor, which has not read the brief, turns that
into a layout; a verifier counts checks. In each step K reasonings are drawn for each brief and learnt from by GRPO:

    A = (R - mean of its group) / std of its group
    L = - mean_answers mean_t min(ratio_t A, clip(ratio_t, 1 - c, 1 + c) A)

`mode` says what a reasoning is worth (`posterkit.rewards.plan_rewards`): exec_only, the share of checks that pass;
reason_only, the rubric's score; tracelift, 0.5 share + 0.5 rubric x uplift; tracelift_code, the published form for
code. What the executor does without a reasoning is run once for each brief: n reasonings take 4 n + 3 runs.

`answers.jsonl` has every reasoning with e2e, with, base, uplift, rubric and final; `heldout.json` the means on
held-out briefs. With `init_from` null a small Qwen2 over the groups' words is made and first imitates reasonings.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from posterkit.generate.model_executors import open_executor
from posterkit.generate.plan_executor import PlanTask
from posterkit.image_io import written_whole
from posterkit.layout.reasoning import SYSTEM
from posterkit.rewards.models.plan_rubric import PlanRubric
from posterkit.rewards.plan_rewards import Mode, PlanScorer, rule_rubric
from posterkit.training import rl
from posterkit.training.adapters.language import LanguageAdapter
from posterkit.training.config import Positive, RunConfig, Share, parse_config
from posterkit.training.errors import setting_up
from posterkit.training.language_model import LanguageModelConfig, open_trainable
from posterkit.training.loading import reasonings
from posterkit.training.losses import group_advantages, token_policy_loss
from posterkit.training.run import Run
from posterkit.training.stages import DTYPES


@dataclass
class TraceliftConfig(LanguageModelConfig):
    """
    Attributes:
        data: the briefs; `batch_size` of them in one step of one process.
        start: what a planner that is made here imitates first.
        mode: what a reasoning is worth.
        executor: e0, e1:MODEL or e2:MODEL, see `posterkit.generate.model_executors.open_executor`.
        rubric: the run folder of train/planner_rubric.py, or rules: a fifth each for five of `rule_rubric`.
        answers: how reasonings are drawn.
        ratio_clip: c.
    """

    data: reasonings.BriefsConfig = field(default_factory=reasonings.BriefsConfig)
    start: StartConfig = field(default_factory=lambda: StartConfig())
    mode: Mode = "tracelift"
    executor: str = "e0"
    rubric: str = "rules"
    answers: rl.AnswerConfig = field(default_factory=rl.AnswerConfig)
    ratio_clip: Positive = 0.2

    def check(self) -> None:
        super().check()
        if self.accumulation != 1:
            raise ValueError("accumulation is 1 here; a step's answers go through in parts of answers.micro_batch")


@dataclass
class StartConfig(RunConfig):
    """Imitation, before the rewards; `run_dir` is `start/` in that of the run.

    Attributes:
        data: the groups whose reasonings are imitated.
        good: how often it is a good one; flawed ones share the rest.
        model: fields of transformers' Qwen2Config.
    """

    data: reasonings.GroupsConfig = field(default_factory=reasonings.GroupsConfig)
    good: Share = 1.0
    model: dict[str, Any] = field(default_factory=dict)


def imitate(config: StartConfig) -> str:
    """Make a small planner and have it imitate reasonings; the folder of its weights."""
    folder = Path(config.run_dir) / "model"
    if folder.is_dir():
        return str(folder)
    run = Run(config)
    with setting_up():
        groups, _ = reasonings.open_groups(config.data, run)
        model = LanguageAdapter.from_config(config.model, reasonings.words_tokenizer(groups))

    for batch in run.steps(model, reasonings.imitation_batches(groups, config.good, model, run)):
        run.backward(model.answer_loss(batch).mean())

    run.finish(model)
    return str(folder)


def main() -> None:
    config = parse_config(TraceliftConfig)
    if config.init_from is None and not config.dry_run:
        config.init_from = imitate(replace(config.start, run_dir=f"{config.run_dir}/start", seed=config.seed))
    run = Run(config)
    with setting_up():
        model, scorer = open_model(config, run), open_scorer(config, run)
        briefs, heldout = reasonings.open_briefs(config.data, run)
        rl.check_uplift(scorer, briefs[:32])
    log = rl.AnswerLog(run, scorer)

    for batch in run.steps(model, reasonings.brief_batches(briefs, run)):
        with run.log.working(), run.autocast():
            rows = draw(model, batch.briefs, config.answers, run.generator)
        said = [model.words(row) for row in rows]
        with run.log.waiting():
            rewards = rl.score_answers(scorer, batch.briefs, said)
        finals, groups = torch.tensor([one.final for one in rewards]), torch.arange(len(rows)) // config.answers.each
        advantages = group_advantages(finals, groups, global_std=False)
        log(batch.briefs, said, rewards)
        for part in torch.arange(len(rows)).split(config.answers.micro_batch or len(rows)):
            loss, figures = grpo(config, run, model, [rows[at] for at in part], advantages[part])
            run.backward(loss * len(part) / len(rows), **rl.reward_figures(rewards), **figures)

    if run.accelerator.is_main_process and run.step == config.max_steps:
        with run.averaged(model), written_whole(run.folder / "heldout.json") as file:
            found = held_out(config, model, scorer, heldout)
            file.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
        run.print(f"held out: {found['with']:.3f} of the checks pass, {found['base']:.3f} without a reasoning")
    run.finish(model)


def grpo(
    config: TraceliftConfig, run: Run, model: LanguageAdapter, rows: Sequence[dict[str, Tensor]], advantages: Tensor
) -> tuple[Tensor, dict[str, float]]:
    """The loss of some answers by the policy that drew them: ratios are 1, and the gradient is A d log p."""
    batch = {name: tensor.to(run.device) for name, tensor in model.collate(rows).items()}
    with run.autocast():
        log_probs = model.log_probs(batch, config.answers.temperature)
    told, answer = advantages.to(run.device), batch["answer"][:, 1:]
    return token_policy_loss(log_probs, log_probs.detach(), told, answer, config.ratio_clip)


def draw(
    model: LanguageAdapter, briefs: Sequence[PlanTask], answers: rl.AnswerConfig, generator: torch.Generator
) -> list[dict[str, Tensor]]:
    """Reasonings about briefs, `answers.each` of a brief in a row."""
    return model.sample(
        SYSTEM, [one.brief for one in briefs], answers.each, generator, temperature=answers.temperature,
        top_p=answers.top_p, most=answers.tokens,
    )  # fmt: skip


def held_out(
    config: TraceliftConfig, model: LanguageAdapter, scorer: PlanScorer, briefs: Sequence[PlanTask]
) -> dict[str, float]:
    """Means over reasonings about held-out briefs, drawn as in training; from the same random numbers in every run."""
    rows = draw(model, briefs, config.answers, torch.Generator().manual_seed(0))
    rewards = rl.score_answers(scorer, briefs, [model.words(row) for row in rows])
    return {"briefs": len(briefs), **rl.reward_figures(rewards)}


def open_scorer(config: TraceliftConfig, run: Run) -> PlanScorer:
    """The rewards, with the executor and the rubric that do not learn."""
    executor, rubric = open_executor(config.executor, str(run.device)), rule_rubric
    if config.rubric != "rules":
        rated = PlanRubric.from_folder(config.rubric, DTYPES[config.base])
        rated.module.to(run.device)
        rubric = rated.score
    return PlanScorer(executor, lambda task, said: rubric(task.brief, said), config.mode, key=lambda task: task.id)


def open_model(config: TraceliftConfig, run: Run) -> LanguageAdapter:
    """The planner, and in it what trains; in a dry run one that has not imitated anything yet."""
    if config.init_from is None:
        return LanguageAdapter.from_config(
            config.start.model, reasonings.words_tokenizer(reasonings.open_groups(config.start.data, run)[0])
        )
    return open_trainable(LanguageAdapter.from_folder, config)


if __name__ == "__main__":
    main()
