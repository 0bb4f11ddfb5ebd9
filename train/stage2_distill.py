"""Stage 2b, PosterOmni: distil both experts into one student (PosterOmni section 3.3, task distillation).

    accelerate launch train/stage2_distill.py --config configs/mini/stage2_distill.yaml

One frozen base carries three LoRAs: the two experts, which stay as they are, and a fresh student. A micro-batch is of
one group; its own expert E, and no other, says which velocity the student is to have at the same x_t, t and condition.
Batches of rendered text have no expert and follow the data:

    L = lambda E |v(x_t, t, c) - v_E(x_t, t, c)|^2    on posters
    L = E |v(x_t, t, c) - (noise - x_0)|^2            on rendered text,    x_t = (1 - t) x_0 + t noise

An expert that `experts` does not name is trained first, as `stage2_experts.py` does and for a few steps, into the run
folder. `text_share=0` is the paper's ablation without the text term.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import torch

from posterkit.pipelines.registry import resolve_folder
from posterkit.tasks import TASKS
from posterkit.training.config import Count, Positive, check_keys, parse_config
from posterkit.training.errors import setting_up
from posterkit.training.lora import add_adapter, frozen_adapter, load_adapter, train_only
from posterkit.training.lora_files import read_lora
from posterkit.training.losses import add_noise, distillation_loss, expert_for, flow_matching_loss, sample_time
from posterkit.training.monitor.sampling import SampleSheet
from posterkit.training.run import Run
from posterkit.training.stages import OmniConfig, omni_batches, open_stage
from posterkit.training.strategies import build_strategy

GROUPS = ("local", "global")


@dataclass
class MissingExpert:
    """How an expert that is not given is trained; data, base, seed and batches are the student's.

    Attributes:
        max_steps, learning_rate: of its run.
        rank: of its LoRA, on the student's layers.
    """

    max_steps: Count = 200
    learning_rate: Positive = 1e-4
    rank: Count = 128


@dataclass
class DistillConfig(OmniConfig):
    """
    Attributes:
        experts: the run folder (or the LoRA's folder) of the `local` and of the `global` expert; one that is null is
            trained first, into `run_dir/expert_local` or `run_dir/expert_global`.
        missing: how.
        strength: lambda, how much the distance from the expert counts.
    """

    experts: dict[str, Any] = field(default_factory=dict)
    missing: MissingExpert = field(default_factory=MissingExpert)
    strength: Positive = 1.0

    def check(self) -> None:
        super().check()
        check_keys(self.experts, GROUPS, "experts")
        if odd := [value for value in self.experts.values() if not isinstance(value, (str, type(None)))]:
            raise ValueError(f"experts takes folders, got {odd[0]!r}")


@dataclass
class ExpertConfig(OmniConfig):
    """An expert that its student lacked: trained by flow matching on one group of tasks, as `stage2_experts.py` does.

    Attributes:
        group: local or global.
    """

    group: str = "local"


def main() -> None:
    config = parse_config(DistillConfig)
    run = Run(config)
    with setting_up():
        model = open_stage(config, "posteromni", lora="student")
        transformer = model.parts["transformer"]
        for group in sorted(GROUPS, key=lambda group: not config.experts.get(group)):  # what is given is checked first
            if config.dry_run and not config.experts.get(group):
                add_adapter(transformer, group, replace(config.trainable, rank=config.missing.rank, alpha=None))
                train_only(transformer, "student")
                run.print(f"the {group} expert would be trained first; a blank one takes its place")
                continue
            if not config.experts.get(group):
                train_expert(missing_expert(config, group))
                run.accelerator.wait_for_everyone()  # the main process alone writes it
            add_expert(transformer, group, config.experts.get(group) or missing_expert(config, group).run_dir)
        posters, batches = omni_batches(config, list(TASKS), model, run)
        strategy = build_strategy(config, model)
    sheet = SampleSheet(model, run, posters)

    for batch in run.steps(model, batches, strategy, sheet):
        size, expert = len(batch.ids), expert_for(batch.tasks)
        drop = torch.rand(size, generator=run.generator) < config.drop_prompt
        with run.autocast():
            x0, condition = model.encode(batch, drop.to(run.device))
            shift = model.time_shift(x0, config.time_shift)
            t = sample_time(size, run.generator, config.time, shift).to(run.device)
            noise = run.noise_like(x0)
            x = add_noise(x0, noise, t)
            v = strategy.velocity(x, t, condition)
            if expert is None:
                loss = flow_matching_loss(v, noise - x0)
            else:
                with frozen_adapter(transformer, expert):
                    v_expert = model.velocity(x, t, condition)
                loss = distillation_loss(v, v_expert, config.strength)
        run.backward(loss, **{f"loss_{expert or 'text'}": loss.item()})

    run.finish(model)


def add_expert(transformer: Any, group: str, source: str) -> None:
    """Put an expert beside the student, frozen.

    Raises:
        FileNotFoundError: there is no LoRA at `source`.
        ValueError: it was trained on another base, or for another group.
    """
    folder = resolve_folder(source)
    if (name := read_lora(folder).name) not in ("", group):  # other tools' files do not say what they are
        raise ValueError(f'experts.{group}: {source} holds the LoRA "{name}", not the {group} expert')
    load_adapter(transformer, group, folder)


def missing_expert(config: DistillConfig, group: str) -> ExpertConfig:
    """The settings of the run of a group's expert: the student's, but for what `missing` says."""
    common = {one.name: getattr(config, one.name) for one in fields(OmniConfig)}
    folder = Path(config.run_dir)
    cache = config.data.cache or str(folder / "cache")
    changed: dict[str, Any] = {
        "run_dir": str(folder / f"expert_{group}"),
        "stop_at": None,
        "max_steps": config.missing.max_steps,
        "learning_rate": config.missing.learning_rate,
        "trainable": replace(config.trainable, rank=config.missing.rank, alpha=None),
        "data": replace(config.data, cache=cache),
        "text": replace(config.text, cache=config.text.cache or cache),
    }
    return ExpertConfig(**{**common, **changed}, group=group)


def train_expert(config: ExpertConfig) -> None:
    """Train an expert into its run folder, or go on with it."""
    run, tasks = Run(config), [task.name for task in TASKS.values() if task.group == config.group]
    model = open_stage(config, "posteromni", lora=config.group)
    posters, batches = omni_batches(config, tasks, model, run)
    strategy = build_strategy(config, model)

    for batch in run.steps(model, batches, strategy, SampleSheet(model, run, posters)):
        drop = torch.rand(len(batch.ids), generator=run.generator) < config.drop_prompt
        with run.autocast():
            x0, condition = model.encode(batch, drop.to(run.device))
            shift = model.time_shift(x0, config.time_shift)
            t = sample_time(len(x0), run.generator, config.time, shift).to(run.device)
            noise = run.noise_like(x0)
            v = strategy.velocity(add_noise(x0, noise, t), t, condition)
        run.backward(flow_matching_loss(v, noise - x0))

    run.finish(model)


if __name__ == "__main__":
    main()
