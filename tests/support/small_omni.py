"""What tests of PosterOmni's stages start from: a tiny Qwen-Image-Edit folder, small sets, experts on disk."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import tiny_qwen
import torch
from diffusers import QwenImageEditPlusPipeline
from PIL import Image
from small_stages import SIZE

from posterkit import PosterOmniPipeline
from posterkit.datasets import PosterSample, SyntheticPosters, write_sample
from posterkit.training.lora import Trainable, add_adapter, save_adapter

REFERENCES = 48 * 64
SEEN = 56 * 84


def save_tiny_qwen(folder: Path, seed: int = 0) -> Path:
    """A Qwen-Image-Edit folder of the real classes, random weights, two blocks."""
    numbers: dict[str, Any] = {
        "native_area": SIZE[0] * SIZE[1],
        "reference_area": REFERENCES,
        "condition_area": SEEN,
        "num_inference_steps": 2,
    }
    PosterOmniPipeline(**tiny_qwen.components(seed=seed), **numbers).save_pretrained(folder)
    return folder


def write_tasks(folder: Path, numbers: dict[str, list[int]], heldout: int = 0) -> Path:
    """A set of synthetic posters on disk: of each task the ones with these numbers, and some held out."""
    for task, chosen in numbers.items():
        for split, expected in (("train", chosen), ("heldout", range(heldout))):
            source = SyntheticPosters(seed=7, tasks=(task,), size=SIZE, split=split, reference_area=REFERENCES)
            for number in expected:
                sample = source.sample(number, task=task)
                sample.id = f"{task}-{sample.id}"
                write_sample(sample, folder)
    return folder


def save_expert(base: Path, folder: Path, name: str, seed: int, rank: int = 3, std: float = 0.2) -> Path:
    """A LoRA of a base with values as after a long training."""
    transformer: Any = PosterOmniPipeline.from_pretrained(base).transformer
    add_adapter(transformer, name, Trainable("lora", rank=rank))
    torch.manual_seed(seed)
    for path, parameter in transformer.named_parameters():
        if ".lora_" in path:
            torch.nn.init.normal_(parameter, std=std)
    save_adapter(transformer, name, folder)
    return folder


class StockEdit:
    """Velocities by the stock pipeline's own parts, one sample at a time."""

    def __init__(self, base: Path, lora: Path | None = None) -> None:
        ours = PosterOmniPipeline.from_pretrained(base)
        self.pipe: Any = QwenImageEditPlusPipeline(**ours.components)
        system = self.pipe.prompt_template_encode.split("{}")[0]  # dropped; 64 tokens of the real tokenizer
        self.pipe.prompt_template_encode_start_idx = len(self.pipe.tokenizer(system).input_ids)
        if lora:
            self.pipe.load_lora_weights(str(lora))

    @torch.no_grad()
    def tokens(self, picture: Image.Image) -> torch.Tensor:
        """`(1, S, C)`, rounded to float16 as the encoder cache keeps them."""
        pixels = torch.from_numpy(np.asarray(picture).copy()).permute(2, 0, 1)[None, :, None] / 127.5 - 1
        latents = self.pipe._encode_vae_image(pixels, torch.Generator()).half().float()
        return self.pipe._pack_latents(latents, 1, latents.shape[1], *latents.shape[-2:])

    @torch.no_grad()
    def velocity(self, sample: PosterSample, x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        """At noisy tokens `x` `(1, S, C)`; references of about `REFERENCES` pixels, or on the canvas."""
        references = [Image.fromarray(reference) for reference in sample.references]
        seen = [reference.resize(_seen_size(reference), Image.Resampling.LANCZOS) for reference in references]
        prompt, mask = self.pipe._get_qwen_prompt_embeds(sample.instruction, seen)
        shapes = [(1, side.height // 16, side.width // 16) for side in (Image.fromarray(sample.target), *references)]
        made = self.pipe.transformer(
            hidden_states=torch.cat([x, *map(self.tokens, references)], 1), timestep=t, encoder_hidden_states=prompt,
            encoder_hidden_states_mask=mask, img_shapes=[shapes], return_dict=False,
        )[0]  # fmt: skip
        return made[:, : x.shape[1]]


def _seen_size(picture: Image.Image) -> tuple[int, int]:
    """Nearest sides of 28-pixel cells to the area that the text encoder sees."""
    scale = (SEEN / (picture.width * picture.height)) ** 0.5
    width, height = (round(side * scale / 28) * 28 for side in picture.size)
    return width, height
