"""Stage 2a, PosterOmni: one expert for each group of tasks (PosterOmni section 3.3, supervised fine-tuning).

    accelerate launch train/stage2_experts.py --config configs/mini/stage2_experts.yaml group=local    # or global

The local expert learns the tasks that keep what is on the picture (rescaling, filling, extending, id_driven), the
global one those that keep a layout or a style (layout_driven, style_driven). Each is a LoRA on the frozen base,
trained by flow matching, its tasks drawn alike often:

    L = E |v(x_t, t, references, instruction) - (noise - x_0)|^2,    x_t = (1 - t) x_0 + t noise

Rendered text is mixed in, so that letters stay whole. A model of edits learns it as a picture that is to be filled
where its texts stood; the instruction says every letter. `data_tools/build_omni.py` and `data_tools/render_text.py`
make the two sets; without them, synthetic posters and text over procedural art are drawn into the run folder.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import torch

from posterkit.tasks import TASKS
from posterkit.training.config import parse_config
from posterkit.training.errors import setting_up
from posterkit.training.lora import Trainable
from posterkit.training.losses import add_noise, flow_matching_loss, sample_time
from posterkit.training.monitor.sampling import SampleSheet
from posterkit.training.run import Run
from posterkit.training.stages import OmniConfig, omni_batches, open_stage
from posterkit.training.strategies import build_strategy


@dataclass
class ExpertsConfig(OmniConfig):
    """
    Attributes:
        group: local or global; joint is the paper's baseline, one LoRA for all six tasks. It takes the place of
            `{group}` in `run_dir`.
    """

    group: Literal["local", "global", "joint"] = "local"
    trainable: Trainable = field(default_factory=lambda: Trainable("lora", rank=128))

    def check(self) -> None:
        super().check()
        self.run_dir = self.run_dir.replace("{group}", self.group)

    @property
    def tasks(self) -> list[str]:
        return [task.name for task in TASKS.values() if self.group in (task.group, "joint")]


def main() -> None:
    config = parse_config(ExpertsConfig)
    run = Run(config)
    with setting_up():
        model = open_stage(config, "posteromni", lora=config.group)
        posters, batches = omni_batches(config, config.tasks, model, run)
        strategy = build_strategy(config, model)
    sheet = SampleSheet(model, run, posters)

    for batch in run.steps(model, batches, strategy, sheet):
        size = len(batch.ids)
        drop = torch.rand(size, generator=run.generator) < config.drop_prompt
        with run.autocast():
            x0, condition = model.encode(batch, drop.to(run.device))
            shift = model.time_shift(x0, config.time_shift)
            t = sample_time(size, run.generator, config.time, shift).to(run.device)
            noise = run.noise_like(x0)
            v = strategy.velocity(add_noise(x0, noise, t), t, condition)
        run.backward(flow_matching_loss(v, noise - x0))

    run.finish(model)


if __name__ == "__main__":
    main()
