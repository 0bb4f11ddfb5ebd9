"""Stage 0b: train a small FLUX.1 or Qwen-Image-Edit, with its text encoders, from scratch on synthetic posters.

    accelerate launch train/stage0_pretrain.py --config configs/mini/stage0_pretrain_posteromni.yaml

Neither paper trains this part: both systems start from a base model. The shipped mini checkpoints come from here.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import torch
from PIL import Image

from posterkit.datasets.dataset import PosterDataset
from posterkit.pipelines.registry import family_named, resolve_folder
from posterkit.synthetic import caption_vocabulary, short_vocabulary
from posterkit.tasks import TASKS, TEXT
from posterkit.training.adapters.autoencoder import Autoencoder
from posterkit.training.config import NotNegative, Positive, RunConfig, Share, parse_config
from posterkit.training.errors import setting_up
from posterkit.training.loading.synthetic import DataConfig, encoded_posters, open_posters
from posterkit.training.losses import flow_matching_loss, guided_velocity, sample_time
from posterkit.training.monitor.sampling import draw_sample
from posterkit.training.run import Run
from posterkit.training.tokenizers import words_of


@dataclass
class PretrainConfig(RunConfig):
    """
    Attributes:
        family: postercraft = FLUX.1, posteromni = Qwen-Image-Edit.
        model: diffusers and transformers config values of each part; read when `init_from` is null.
        autoencoder: a `vae` folder; null takes the one in `init_from`.
        drop_prompt: share of samples whose words are dropped, for classifier-free guidance.
        time: density of timesteps; `time_shift` moves it towards noise.
        large_time: the highest time at which large posters are learnt.
        compile: compile the transformer; each shape takes a minute or two once, and steps are a quarter faster.
        kept: weight of a token that the task keeps (extending, filling) where one that it makes has 1: copying is
            learnt soon, and the loss would say little of what is made.
        guidance: null, or the range of guidance scales that the model learns as an input, as FLUX.1-dev did: the
            target is the guided velocity v_empty + g (v_prompt - v_empty) of the frozen model that it starts from.
    """

    family: str = "postercraft"
    model: dict = field(default_factory=dict)
    autoencoder: str | None = None
    data: DataConfig = field(default_factory=DataConfig)
    drop_prompt: Share = 0.1
    time: Literal["uniform", "logit_normal"] = "uniform"
    time_shift: Positive = 1.0
    large_time: Share = 0.5
    compile: bool = False
    kept: NotNegative = 1.0
    guidance: list[float] | None = None

    def check(self) -> None:
        super().check()
        family = family_named(self.family)
        unknown = [task for task in self.data.tasks if task not in family.tasks]
        if unknown or not self.data.tasks:
            raise ValueError(f"data.tasks holds {unknown}; {self.family} learns {', '.join(family.tasks)}")
        if self.guidance is not None and (not family.distilled_guidance or len(self.guidance) != 2):
            raise ValueError("guidance takes [lowest, highest], and FLUX.1 (family: postercraft) alone takes a scale")
        if self.init_from is None and self.autoencoder is None:
            raise ValueError("a fresh model needs `autoencoder`, the vae folder to work in")


def build(config: PretrainConfig):
    """The adapter: fresh from the config, or from a former run or checkpoint."""
    Adapter = family_named(config.family).adapter_class()
    folder = config.autoencoder
    vae = Autoencoder.from_pretrained(Adapter.autoencoder, resolve_folder(folder)) if folder else None
    if config.init_from:
        return Adapter.from_pretrained(resolve_folder(config.init_from), vae)
    assert vae is not None
    posters = open_posters(config.data, "train")
    vocabulary = {"long": caption_vocabulary, "short": short_vocabulary}[config.data.captions]
    words = words_of(r["caption"] for r in posters.rows) if isinstance(posters, PosterDataset) else vocabulary()
    frames = [task.instruction(None) for task in TASKS.values()]
    texts = [*frames, *(f" {word}" for word in words)]
    if config.data.captions == "long":
        texts += [f" {word.capitalize()}" for word in words]
    return Adapter.from_config(config.model, vae, texts)


def main() -> None:
    config = parse_config(PretrainConfig)
    run = Run(config)
    with setting_up():
        model = build(config)
    model.vae.module.to(run.device)
    teacher = None
    if config.guidance:
        teacher = model.frozen_copy()
        teacher.module.to(run.device)
    loader, low_noise = encoded_posters(config.data, model, run)
    if config.compile:
        model.module["transformer"].compile(dynamic=False)
    low, high = config.guidance or (1.0, 1.0)
    for batch in run.steps(model, loader, sample=lambda: contact_sheet(model, config)):
        batch = {name: value.to(run.device) for name, value in batch.items()}
        size = len(next(iter(batch.values())))
        share = config.drop_prompt if teacher is None else 0.0
        drop = torch.rand(size, generator=run.generator) < share
        t = sample_time(size, run.generator, config.time, config.time_shift).to(run.device)
        if model.bucket({name: value[0] for name, value in batch.items()}) in low_noise:
            t = t * config.large_time
        with run.autocast():
            x0, condition = model.encode(batch, drop.to(run.device))
            noise = run.noise_like(x0)
            x = (1 - t[:, None, None]) * x0 + t[:, None, None] * noise
            if teacher is None:
                target, v = noise - x0, model.velocity(x, t, condition)
            else:
                g = torch.empty(size).uniform_(low, high, generator=run.generator).to(run.device)
                target = guided_velocity(teacher, batch, x, t, g)
                v = model.velocity(x, t, condition, g)
        weight = config.kept + (1 - config.kept) * batch["made"] if "made" in batch else None
        run.backward(flow_matching_loss(v, target, weight))

    run.finish(model)


def contact_sheet(model, config: PretrainConfig) -> Image.Image:
    """Twelve held-out posters by the weights as they are; references stand above what was made from them."""
    source = open_posters(config.data, "heldout")
    pipe = model.pipeline()
    pipe.set_progress_bar_config(disable=True)
    columns = []
    for index, sample in enumerate(itertools.islice(source, 12)):
        # a text model that is not distilled yet gets 1 as its guidance, and is guided by two forward passes
        guided = {"guidance_scale": 1.0, "true_cfg_scale": 3.0, "negative_prompt": ""}
        options = guided if sample.task == TEXT and not config.guidance else {}
        picture = draw_sample(pipe, sample, index, 12, **options)
        shown = [sample.target, *sample.references[:1], np.asarray(picture)]
        column = Image.new("RGB", (192, 200 * len(shown)), "white")
        for row, shot in enumerate(shown):
            column.paste(Image.fromarray(shot), (0, 200 * row))
        columns.append(np.asarray(column))
    return Image.fromarray(np.concatenate(columns, 1))


if __name__ == "__main__":
    main()
