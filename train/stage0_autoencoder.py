"""Stage 0a: train a small autoencoder from scratch on synthetic posters, so that mini has latents of its own.

    accelerate launch train/stage0_autoencoder.py --config configs/mini/stage0_autoencoder.yaml [family=qwen]

Neither paper trains this part: both systems start from the autoencoder of their base model.
"""

from __future__ import annotations

import itertools
import math
from collections import deque
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import torch
from PIL import Image

from posterkit.datasets import SyntheticPosters
from posterkit.pipelines.registry import resolve_folder
from posterkit.training.adapters.autoencoder import Autoencoder, images_to_tensor
from posterkit.training.config import Count, CountOr0, NotNegative, RunConfig, parse_config
from posterkit.training.loading.synthetic import drawing_pool
from posterkit.training.losses import color_anchor, reconstruction_loss
from posterkit.training.run import Run


@dataclass
class AutoencoderConfig(RunConfig):
    """
    Attributes:
        family: which class: flux = AutoencoderKL, qwen = AutoencoderKLQwenImage.
        model: diffusers config values for each family.
        crop: side of the square crops it learns from, in pixels; the networks are convolutional.
        noise: standard deviation of the posterior, fixed: one that is learnt from the start at 1 drowns the channels
            that carry little, and colours come out grey.
        pull: weight that holds latents near the unit Gaussian, and the posterior's width near `noise`.
        stretch: chance to learn from latents reduced to half the scale against the picture reduced likewise, which
            keeps latents smooth in space and so easier to denoise (EQ-VAE, section 3).
        anchor: weight that holds the first three channels at the colours of the picture, so that a diffusion model
            which errs a little in latents errs a little in colour.
        workers: processes that draw the posters; 0 draws them in this one.
    """

    family: Literal["flux", "qwen"] = "flux"
    model: dict = field(default_factory=dict)
    crop: Count = 96
    noise: NotNegative = 0.1
    pull: NotNegative = 1e-3
    stretch: NotNegative = 0.25
    anchor: NotNegative = 0.5
    workers: CountOr0 = 0

    def check(self) -> None:
        super().check()
        if self.batch_size % 2:
            raise ValueError(f"batch_size must be even, two crops of each poster; got {self.batch_size}")
        if not 0 < self.crop <= 128 or self.crop % 32:
            raise ValueError(f"crop must be 32, 64, 96 or 128, got {self.crop}")
        if self.init_from:
            resolve_folder(self.init_from)
        elif self.family not in self.model:
            raise ValueError(f"model holds nothing for family {self.family}; it has {', '.join(self.model) or 'none'}")


@dataclass(frozen=True)
class CropBatch:
    """Crops of synthetic targets; batch n follows from the seed and n alone."""

    seed: int
    crop: int
    batch_size: int

    def __call__(self, number: int) -> np.ndarray:
        source = SyntheticPosters(seed=self.seed + 17, tasks=("text",), sizes=((128, 192), (192, 128)))
        random = np.random.default_rng((self.seed, number))
        pictures = []
        for index in range(number * (self.batch_size // 2), (number + 1) * (self.batch_size // 2)):
            picture = source[index].target
            for _ in range(2):  # drawing a poster costs more than a second crop of it
                top = random.integers(picture.shape[0] - self.crop + 1)
                left = random.integers(picture.shape[1] - self.crop + 1)
                pictures.append(picture[top : top + self.crop, left : left + self.crop])
        return np.stack(pictures)


class Crops:
    """Endless batches of crops, drawn ahead where there are workers; process `rank` of `world` takes every `world`-th.

    Its position is that of the batches which were handed out.
    """

    def __init__(self, config: AutoencoderConfig, rank: int, world: int) -> None:
        self.draw = CropBatch(config.seed, config.crop, config.batch_size)
        self.position, self.rank, self.world, self.workers = 0, rank, world, config.workers

    def __iter__(self):
        pool, ahead = drawing_pool(self.workers), deque()
        numbers = itertools.count(self.position * self.world + self.rank, self.world)
        try:
            while True:
                while pool and len(ahead) < 2 * self.workers:
                    ahead.append(pool.submit(self.draw, next(numbers)))
                pictures = ahead.popleft().result() if pool else self.draw(next(numbers))
                self.position += 1
                yield images_to_tensor(list(pictures))
        finally:
            if pool:
                pool.shutdown(cancel_futures=True)

    def state_dict(self) -> dict[str, int]:
        return {"position": self.position}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self.position = state["position"]


def main() -> None:
    config = parse_config(AutoencoderConfig)
    run = Run(config)
    if config.init_from:
        model = Autoencoder.from_pretrained(config.family, resolve_folder(config.init_from))
        model.module.requires_grad_(True)
    else:
        model = Autoencoder.from_config(config.family, config.model[config.family])
    shown = images_to_tensor([SyntheticPosters(seed=1, tasks=("text",), split="heldout")[i].target for i in range(8)])

    def grid() -> Image.Image:
        made = model.reconstruct(model.posterior(shown.to(run.device))[0]).clamp(-1, 1).cpu()
        rows = torch.cat([torch.cat(list(shown), 2), torch.cat(list(made), 2)], 1)
        return Image.fromarray(((rows.permute(1, 2, 0) + 1) * 127.5).round().byte().numpy())

    crops = Crops(config, run.accelerator.process_index, run.accelerator.num_processes)
    for pictures in run.steps(model, crops, sample=grid):
        pictures = pictures.to(run.device)
        with run.autocast():
            mean, logvar = model.posterior(pictures)
            latents = mean + config.noise * run.noise_like(mean)
            if torch.rand((), generator=run.generator) < config.stretch:
                latents = torch.nn.functional.avg_pool2d(latents, 2)
                pictures = torch.nn.functional.avg_pool2d(pictures, 2)
            made = model.reconstruct(latents).float()
        width = (logvar - 2 * math.log(config.noise)).float().square().mean()
        far = mean.float().square().mean()
        reconstruction = reconstruction_loss(made, pictures)
        colors = color_anchor(latents, pictures)
        loss = reconstruction + config.pull * (far + width) + config.anchor * colors
        run.backward(loss, reconstruction=reconstruction.item(), far=far.item(), colors=colors.item())

    statistics = SyntheticPosters(seed=2, tasks=("text",))
    with torch.no_grad(), run.averaged(model):
        pieces = [model.posterior(images_to_tensor([statistics[i].target for i in range(n, n + 16)]).to(run.device))[0]
                  for n in range(0, 256, 16)]  # fmt: skip
    latents = torch.cat(pieces).float()
    model.set_statistics(latents.mean((0, 2, 3)).cpu(), latents.std((0, 2, 3)).cpu())
    run.finish(model)


if __name__ == "__main__":
    main()
