"""Stage 4, PosterCraft: draw a draft anew, as its feedback says (PosterCraft section 3.4).

    accelerate launch train/stage4_reflect.py --config configs/mini/stage4_reflect.yaml

A LoRA on the model of stage 3 learns conditional flow matching: x_0 is the better poster, and the condition is
c = [prompt; feedback; draft]. T5 reads the feedback, a content and a style suggestion, apart from the prompt, and its
tokens stand behind the prompt's; the draft's latents stand behind the noisy ones, as in FLUX Kontext:

    L = E |v(x_t, t, c) - (noise - x_0)|^2,    x_t = (1 - t) x_0 + t noise

`data_tools/build_reflections.py` makes a set of the former stage's own posters; without one, synthetic posters are
drawn into the run folder, each once as it should be and once with something wrong that the feedback names.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch

from posterkit.training.config import parse_config
from posterkit.training.errors import setting_up
from posterkit.training.loading.reflections import open_reflected, reflection_batches
from posterkit.training.lora import Trainable
from posterkit.training.losses import add_noise, flow_matching_loss, sample_time
from posterkit.training.monitor.redraws import Redraws
from posterkit.training.run import Run
from posterkit.training.stages import StageConfig, open_stage
from posterkit.training.strategies import build_strategy


@dataclass
class ReflectConfig(StageConfig):
    """
    Attributes:
        guidance: what the guidance-distilled transformer is told while it learns; at 1 its velocity is the plain one.
        drop_feedback: share of samples whose feedback is replaced by the empty text, as the negative forward of
            classifier-free guidance has it; apart from `drop_prompt`.
    """

    guidance: float = 1.0
    drop_feedback: float = 0.0
    trainable: Trainable = field(default_factory=lambda: Trainable("lora", rank=128))

    def check(self) -> None:
        super().check()
        if not 0 <= self.drop_feedback <= 1:
            raise ValueError(f"drop_feedback must lie in [0, 1], got {self.drop_feedback}")


def main() -> None:
    config = parse_config(ReflectConfig)
    run = Run(config)
    with setting_up():
        model = open_stage(config, "postercraft", lora="reflect")
        reflections = open_reflected(config.data, run)
        batches = reflection_batches(reflections, model, run, config.data)
        strategy = build_strategy(config, model)
    sheet = Redraws(model, run, reflections)

    for batch in run.steps(model, batches, strategy, sheet):
        size = len(batch.ids)
        drop, drop_feedback = (
            (torch.rand(size, generator=run.generator) < share).to(run.device)
            for share in (config.drop_prompt, config.drop_feedback)
        )
        t = sample_time(size, run.generator, config.time, config.time_shift).to(run.device)
        with run.autocast():
            x0, condition = model.encode(batch, drop, drop_feedback)
            noise = run.noise_like(x0)
            v = strategy.velocity(add_noise(x0, noise, t), t, condition, torch.full_like(t, config.guidance))
        run.backward(flow_matching_loss(v, noise - x0))

    run.finish(model)


if __name__ == "__main__":
    main()
