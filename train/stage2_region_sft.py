"""Stage 2, PosterCraft: fine-tuning on whole posters with a weight for each region (PosterCraft section 3.2).

    accelerate launch train/stage2_region_sft.py --config configs/mini/stage2_region_sft.yaml

The first stage taught legible text, so that titles and small print weigh less here and the picture around them more:

    L = E |(v(x_t, t, caption) - (noise - x_0)) w|^2,    w = 0.6 in titles, 0.2 in other texts, 1 elsewhere

w is pooled by area from pixels to the transformer's tokens; where boxes overlap, the smaller one counts.
`data_tools/filter_posters.py` makes such a set; without one, synthetic posters are drawn into the run folder.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from posterkit.training.config import NotNegative, parse_config
from posterkit.training.errors import setting_up
from posterkit.training.loading.batches import encoded_batches
from posterkit.training.loading.regions import region_weights
from posterkit.training.loading.sets import Posters, open_set
from posterkit.training.losses import add_noise, region_weighted_flow_loss, sample_time
from posterkit.training.monitor.sampling import SampleSheet
from posterkit.training.run import Run
from posterkit.training.stages import StageConfig, open_stage
from posterkit.training.strategies import build_strategy


@dataclass
class RegionSFTConfig(StageConfig):
    """
    Attributes:
        guidance: the scale that the guidance-distilled transformer gets while it learns; at 1 its velocity is the
            plain one.
        major, minor: weights of a pixel in a title and in another text, in [0, 1]; 1 for both is plain fine-tuning.
        power: 2 as the paper writes it, the weight within the norm; 1 weighs the squared error itself.
    """

    guidance: NotNegative = 1.0
    major: float = 0.6
    minor: float = 0.2
    power: int = 2

    def check(self) -> None:
        super().check()
        if not (0 <= self.major <= 1 and 0 <= self.minor <= 1):
            raise ValueError(f"major and minor must lie in [0, 1], got {self.major} and {self.minor}")
        if self.power not in (1, 2):
            raise ValueError(f"power must be 1 or 2, got {self.power}")


def main() -> None:
    config = parse_config(RegionSFTConfig)
    run = Run(config)
    with setting_up():
        posters = open_set(config.data, run, Posters(config.data), regions=True)
        model = open_stage(config, "postercraft")
        batches = encoded_batches(posters, model, run, config.data, regions=True)
        strategy = build_strategy(config, model)
    sheet = SampleSheet(model, run, posters)

    for batch in run.steps(model, batches, strategy, sheet):
        size = len(batch.ids)
        drop = torch.rand(size, generator=run.generator) < config.drop_prompt
        weight = region_weights(batch["shares"], config.major, config.minor)
        with run.autocast():
            x0, condition = model.encode(batch, drop.to(run.device))
            shift = model.time_shift(x0, config.time_shift)
            t = sample_time(size, run.generator, config.time, shift).to(run.device)
            noise = run.noise_like(x0)
            v = strategy.velocity(add_noise(x0, noise, t), t, condition, torch.full_like(t, config.guidance))
        run.backward(region_weighted_flow_loss(v, noise - x0, weight, config.power))

    run.finish(model)


if __name__ == "__main__":
    main()
