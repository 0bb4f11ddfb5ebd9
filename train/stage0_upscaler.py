"""Stage 0c: train a small upscaler on what mini's decoder returns, against the drawing at the full size.

    accelerate launch train/stage0_upscaler.py --config configs/mini/stage0_upscaler.yaml

Neither paper has this part: their models draw at the size that is shown.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from posterkit.pipelines.registry import resolve_folder
from posterkit.pipelines.upscaler import CompactUpscaler, Upscaler
from posterkit.synthetic import SyntheticPosters
from posterkit.training.adapters.autoencoder import Autoencoder, AutoencoderKind, images_to_tensor
from posterkit.training.config import Count, NotNegative, RunConfig, parse_config
from posterkit.training.losses import reconstruction_loss
from posterkit.training.run import Run


@dataclass
class UpscalerConfig(RunConfig):
    """
    Attributes:
        autoencoders: `vae` folders by family; pictures go through one of them in turn.
        sizes: width and height of the small pictures; the drawing is `scale` times as large.
        features, depth, scale: of the network.
        crop: side of the crops of small pictures, in pixels.
        count: posters; they are drawn and decoded once.
        sharp: share of crops that come from the reduced drawing itself: photographs and drafts are sharp.
    """

    autoencoders: dict[AutoencoderKind, str] = field(default_factory=dict)
    sizes: list[list] = field(default_factory=lambda: [[128, 192]])
    features: Count = 24
    depth: Count = 6
    scale: Count = 4
    crop: Count = 48
    count: Count = 512
    sharp: NotNegative = 0.25


class Pairs:
    """Endless batches of crops, small and large, uint8; batch n follows from the seed and n alone."""

    def __init__(self, config: UpscalerConfig) -> None:
        self.config, self.position = config, 0
        self.pairs: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []

    def draw(self, say: Any) -> None:
        """Draw the posters, and decode what each autoencoder makes of them."""
        config = self.config
        models = [Autoencoder.from_pretrained(family, resolve_folder(f)) for family, f in config.autoencoders.items()]
        source = SyntheticPosters(seed=config.seed + 31, tasks=("text",), lettering=False)
        for number in range(config.enough(config.count)):
            width, height = config.sizes[number % len(config.sizes)]
            large = source.sample(number, size=(width * config.scale, height * config.scale)).target
            small = np.asarray(Image.fromarray(large).resize((width, height), Image.Resampling.BOX))
            model = models[number % len(models)]
            with torch.no_grad():
                decoded = model.decode(model.encode(images_to_tensor([small])))[0].clamp(-1, 1)
            soft = ((decoded + 1) * 127.5).round().byte().permute(1, 2, 0).numpy()
            self.pairs.append((soft, small, large))
            if number % 64 == 63:
                say(f"drew {number + 1} of {config.count} posters")

    def __iter__(self) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        config, scale = self.config, self.config.scale
        while True:
            random = np.random.default_rng((config.seed, self.position))
            inputs, targets = [], []
            for _ in range(config.batch_size):
                soft, small, large = self.pairs[random.integers(len(self.pairs))]
                given = small if random.random() < config.sharp else soft
                top, left = (int(random.integers(side - config.crop + 1)) for side in given.shape[:2])
                bottom, right = top + config.crop, left + config.crop
                inputs.append(given[top:bottom, left:right])
                targets.append(large[top * scale : bottom * scale, left * scale : right * scale])
            self.position += 1
            yield images_to_tensor(inputs), images_to_tensor(targets)

    def state_dict(self) -> dict[str, int]:
        return {"position": self.position}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self.position = state["position"]


class UpscalerModel:
    """The network as a run trains and saves it."""

    def __init__(self, config: UpscalerConfig) -> None:
        self.module = CompactUpscaler(config.features, config.depth, config.scale)

    def save(self, folder: str | Path) -> None:
        Path(folder).mkdir(parents=True, exist_ok=True)
        self.module.save(Path(folder) / "upscaler.safetensors")


def main() -> None:
    config = parse_config(UpscalerConfig)
    run = Run(config)
    model, pairs = UpscalerModel(config), Pairs(config)
    pairs.draw(run.print)
    for small, large in run.steps(model, pairs, sample=partial(contact_sheet, model, pairs)):
        small, large = small.to(run.device), large.to(run.device)
        with run.autocast():
            made = 2 * model.module((small + 1) / 2).float() - 1
        run.backward(reconstruction_loss(made, large, edges=1.0))
    run.finish(model)


def contact_sheet(model: UpscalerModel, pairs: Pairs) -> Image.Image:
    """What is enlarged, with Lanczos, by the network, and the drawing, of six posters."""
    rows, enlarge = [], Upscaler(model.module, model.module.scale, next(model.module.parameters()).device)
    for soft, _, large in pairs.pairs[:6]:
        size = large.shape[1::-1]
        lanczos = np.asarray(Image.fromarray(soft).resize(size, Image.Resampling.LANCZOS))
        row = [lanczos, np.asarray(enlarge(Image.fromarray(soft))), large]
        rows.append(np.concatenate([picture[: min(size), : min(size)] for picture in row], 1))
    side = min(row.shape[0] for row in rows)
    return Image.fromarray(np.concatenate([row[:side, : 3 * side] for row in rows]))


if __name__ == "__main__":
    main()
