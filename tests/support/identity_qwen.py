"""A PosterOmni pipeline whose models draw reference 0 unchanged: what comes out shows where the geometry puts it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import tiny_qwen
import torch
from torch import Tensor, nn
from torch.nn.functional import pixel_shuffle, pixel_unshuffle

from posterkit import PosterOmniPipeline

CHANNELS = 3 * 8 * 8


class SpaceToDepth(nn.Module):
    """An autoencoder that loses nothing: 8 x 8 pixels become the channels of one latent cell."""

    dtype, device = torch.float32, torch.device("cpu")

    def __init__(self) -> None:
        super().__init__()
        zeros, ones = [0.0] * CHANNELS, [1.0] * CHANNELS
        scale = {"z_dim": CHANNELS, "temperal_downsample": [False, True, True]}
        self.config = _Config(scale, latents_mean=zeros, latents_std=ones)

    def encode(self, pixels: Tensor) -> Any:
        latents = pixel_unshuffle(pixels.squeeze(2), 8).unsqueeze(2)
        return SimpleNamespace(latent_dist=SimpleNamespace(mode=lambda: latents))

    def decode(self, latents: Tensor, return_dict: bool = True) -> tuple[Tensor]:
        return (pixel_shuffle(latents.squeeze(2), 8).unsqueeze(2),)


class TowardsReferenceZero(nn.Module):
    """The exact velocity of a flow whose only picture is reference 0: v = (x_t - x_0) / t."""

    dtype, device = torch.float32, torch.device("cpu")
    is_cache_enabled = False

    def __init__(self) -> None:
        super().__init__()
        self.config = SimpleNamespace(in_channels=4 * CHANNELS, guidance_embeds=False)
        self.shapes: list[Any] = []

    def cache_context(self, name: str) -> Any:
        return torch.no_grad()

    def _reset_stateful_cache(self) -> None:
        pass

    def forward(self, hidden_states: Tensor, timestep: Tensor, img_shapes: Any, **others: Any) -> tuple[Tensor]:
        self.shapes.append(img_shapes)
        rows, columns = img_shapes[0][0][1:]
        assert img_shapes[0][1] == img_shapes[0][0], "reference 0 is not on the target's grid"
        noisy, picture = hidden_states.split(rows * columns, dim=1)[:2]
        return (torch.cat([(noisy - picture) / timestep[:, None, None], picture], dim=1),)


class _Config(dict):
    __getattr__ = dict.__getitem__


def pipeline(**config: int) -> PosterOmniPipeline:
    parts = tiny_qwen.components()
    parts |= {"vae": SpaceToDepth(), "transformer": TowardsReferenceZero()}
    made = PosterOmniPipeline(**parts, **({"condition_area": 56 * 56, "num_inference_steps": 2} | config))
    made.set_progress_bar_config(disable=True)
    return made
