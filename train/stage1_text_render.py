"""Stage 1, PosterCraft: learn to write, on clean text over pictures (PosterCraft section 3.1).

    accelerate launch train/stage1_text_render.py --config configs/mini/stage1_text_render.yaml

The whole transformer learns by standard flow matching with t uniform on (0, 1):

    L = E |v(x_t, t, caption) - (noise - x_0)|^2,    x_t = (1 - t) x_0 + t noise

A caption says every letter that stands on the picture. `data_tools/render_text.py` makes such a set from photos;
without one, text over procedural art is drawn into the run folder.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from posterkit.training.config import NotNegative, parse_config
from posterkit.training.errors import setting_up
from posterkit.training.loading.batches import encoded_batches
from posterkit.training.loading.sets import TextOnArt, open_set
from posterkit.training.losses import add_noise, flow_matching_loss, sample_time
from posterkit.training.monitor.sampling import SampleSheet
from posterkit.training.run import Run
from posterkit.training.stages import StageConfig, open_stage
from posterkit.training.strategies import build_strategy


@dataclass
class TextRenderConfig(StageConfig):
    """
    Attributes:
        guidance: the scale that the guidance-distilled transformer gets while it learns; at 1 its velocity is the
            plain one.
    """

    guidance: NotNegative = 1.0


def main() -> None:
    config = parse_config(TextRenderConfig)
    run = Run(config)
    with setting_up():
        posters = open_set(config.data, run, TextOnArt(config.data))
        model = open_stage(config, "postercraft")
        batches = encoded_batches(posters, model, run, config.data)
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
            v = strategy.velocity(add_noise(x0, noise, t), t, condition, torch.full_like(t, config.guidance))
        run.backward(flow_matching_loss(v, noise - x0))

    run.finish(model)


if __name__ == "__main__":
    main()
