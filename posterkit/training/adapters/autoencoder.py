"""The autoencoders of both families under one interface: pixels to latents and back."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL, AutoencoderKLQwenImage
from PIL import Image
from torch import Tensor

AutoencoderKind = Literal["flux", "qwen"]
CLASSES = {"flux": AutoencoderKL, "qwen": AutoencoderKLQwenImage}
PIXELS_AT_ONCE = 2**21  # through the autoencoder together, whatever their sizes


class Autoencoder:
    """A FLUX.1 or Qwen-Image autoencoder and the numbers that make its latents unit Gaussian.

    The Qwen autoencoder is a video model; a single picture meets only the last temporal tap of its causal kernels (the
    taps before it see zero padding), so `encode` and `decode` here convolve with that tap alone: the same result in a
    third of the time.
    """

    def __init__(self, family: AutoencoderKind, module: AutoencoderKL | AutoencoderKLQwenImage) -> None:
        self.family = family
        self.module: Any = module  # the two classes have no common type
        if family == "qwen":
            for layer in self.module.modules():
                if type(layer).__name__ == "QwenImageCausalConv3d":
                    layer.forward = _single_frame(layer)

    @classmethod
    def from_config(cls, family: AutoencoderKind, config: dict) -> Autoencoder:
        """A fresh one, from diffusers' own config values."""
        return cls(family, CLASSES[family].from_config(config))

    @classmethod
    def from_pretrained(cls, family: AutoencoderKind, folder: str | Path) -> Autoencoder:
        """One from a diffusers folder (the `vae` folder itself)."""
        module = CLASSES[family].from_pretrained(folder, torch_dtype=torch.float32, use_safetensors=True)
        return cls(family, module.eval().requires_grad_(False))

    def posterior(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log variance, `(B, C, h, w)` each, of images `(B, 3, H, W)` float in [-1, 1]; not normalised."""
        images = images.contiguous(memory_format=torch.channels_last)  # the faster layout for convolutions
        if self.family == "qwen":
            distribution = self.module.encode(images.unsqueeze(2)).latent_dist
            return distribution.mean.squeeze(2), distribution.logvar.squeeze(2)
        distribution = self.module.encode(images).latent_dist
        return distribution.mean, distribution.logvar

    def reconstruct(self, raw: Tensor) -> Tensor:
        """Images `(B, 3, H, W)`, about [-1, 1], from latents that are not normalised."""
        if self.family == "qwen":
            raw = raw.contiguous(memory_format=torch.channels_last)
            return self.module.decode(raw.unsqueeze(2)).sample.squeeze(2)
        return self.module.decode(raw).sample

    def encode(self, images: Tensor) -> Tensor:
        """Normalised latents `(B, C, h, w)`: the posterior's mean, shifted and scaled as the pipelines do it."""
        shift, scale = self._numbers(images)
        return (self.posterior(images)[0] - shift) * scale

    def decode(self, latents: Tensor) -> Tensor:
        """Images from normalised latents."""
        shift, scale = self._numbers(latents)
        return self.reconstruct(latents / scale + shift)

    @torch.no_grad()
    def encode_each(self, pictures: Sequence[np.ndarray], batch: int = 16) -> list[Tensor]:
        """Normalised latents `(C, h, w)`, float16, of uint8 pictures of several sizes, in the order given."""
        latents: list[Tensor] = [torch.empty(0)] * len(pictures)
        device = next(self.module.parameters()).device
        for size in sorted({picture.shape for picture in pictures}):
            indices = [i for i, picture in enumerate(pictures) if picture.shape == size]
            together = max(1, min(batch, PIXELS_AT_ONCE // (size[0] * size[1])))
            for start in range(0, len(indices), together):
                part = indices[start : start + together]
                images = images_to_tensor([pictures[i] for i in part]).to(device)
                for index, latent in zip(part, self.encode(images).half().cpu().contiguous(), strict=True):
                    latents[index] = latent
        return latents

    def fingerprint(self) -> str:
        """A hash of weights and config, to key what was encoded with them."""
        config = {name: value for name, value in self.module.config.items() if not name.startswith("_")}
        digest = hashlib.sha256(str(sorted(config.items())).encode())
        hash_weights(digest, self.module)
        return digest.hexdigest()[:16]

    def set_statistics(self, mean: Tensor, std: Tensor) -> None:
        """Write latent statistics, `(C,)` each, into the module's config (FLUX keeps one number for all channels)."""
        if self.family == "qwen":
            self.module.register_to_config(latents_mean=mean.tolist(), latents_std=std.tolist())
        else:
            overall = (std.square() + (mean - mean.mean()).square()).mean().sqrt()
            self.module.register_to_config(shift_factor=mean.mean().item(), scaling_factor=1 / overall.item())

    def save(self, folder: str | Path) -> None:
        """A diffusers folder in bfloat16; taps that no single picture meets are saved as zeros."""
        if self.family == "qwen":
            with torch.no_grad():
                for layer in self.module.modules():
                    if type(layer).__name__ == "QwenImageCausalConv3d" and layer.weight.shape[2] > 1:
                        layer.weight[:, :, :-1] = 0
        # diffusers' own `to` warns of parts that are to stay float32, though there are none
        module: Any = copy.deepcopy(self.module)
        torch.nn.Module.to(module, torch.bfloat16)
        module.save_pretrained(folder)

    def _numbers(self, like: Tensor) -> tuple[Tensor, Tensor]:
        config = self.module.config
        if self.family == "qwen":
            mean = torch.tensor(config.latents_mean).view(1, -1, 1, 1).to(like)
            return mean, 1 / torch.tensor(config.latents_std).view(1, -1, 1, 1).to(like)
        return torch.tensor(config.shift_factor or 0.0).to(like), torch.tensor(config.scaling_factor).to(like)


def hash_weights(digest: hashlib._Hash, module: torch.nn.Module) -> None:
    """Add a module's weights to a hash, by name; bfloat16 counts as the float32 it equals."""
    for name, tensor in sorted(module.state_dict().items()):
        digest.update(name.encode() + tensor.float().cpu().numpy().tobytes())


def images_to_tensor(pictures: Sequence[np.ndarray]) -> Tensor:
    """uint8 `(H, W, 3)` pictures of one size to `(B, 3, H, W)` float in [-1, 1]."""
    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).float() / 127.5 - 1


def tensor_to_images(pixels: Tensor) -> list[Image.Image]:
    """`(B, 3, H, W)` in about [-1, 1] to RGB pictures; what lies beyond is cut off."""
    values = ((pixels.detach().float().cpu().clamp(-1, 1) + 1) * 127.5).round().byte()
    return [Image.fromarray(one.permute(1, 2, 0).numpy()) for one in values]


def _single_frame(layer: Any) -> Callable[[Tensor], Tensor]:
    """The layer's forward pass for one frame: a 2D convolution with the last temporal tap."""

    def forward(x: Tensor, cache_x: Tensor | None = None) -> Tensor:
        if x.shape[2] != 1 or cache_x is not None:
            raise ValueError(f"the training autoencoder takes single pictures, got {x.shape[2]} frames")
        pad = (layer._padding[0], layer._padding[2])  # width, height
        flat = F.conv2d(
            x.squeeze(2), layer.weight[:, :, -1], layer.bias, stride=layer.stride[1:], padding=(pad[1], pad[0])
        )
        return flat.unsqueeze(2)

    return forward
