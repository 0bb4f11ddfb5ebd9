"""Latents of the Qwen-Image models: packing into patch tokens, scaling, guidance; for pipeline and training."""

from __future__ import annotations

from typing import Any

import torch
from diffusers.utils.torch_utils import get_module_execution_device
from torch import Tensor
from torch.nn.functional import pixel_shuffle, pixel_unshuffle

from posterkit.sizing import Size


def pack(latents: Tensor) -> Tensor:
    """Latent cells `(B, C, h, w)` to patch tokens `(B, h/2 * w/2, 4 C)`, row by row."""
    return pixel_unshuffle(latents, 2).flatten(2).transpose(1, 2).contiguous()


def unpack(tokens: Tensor, size: Size, patch: int) -> Tensor:
    """Patch tokens `(B, S, 4 C)` of a picture of `size` pixels to latent cells `(B, C, h, w)`.

    Args:
        patch: pixels a patch token is wide (16).
    """
    grid = (size.height // patch, size.width // patch)
    return pixel_shuffle(tokens.transpose(1, 2).unflatten(2, grid), 2)


def grid_shape(size: Size, patch: int) -> tuple[int, int, int]:
    """Frames, rows and columns of patch tokens, as the transformer's `img_shapes` wants them."""
    return 1, size.height // patch, size.width // patch


def _statistics(config: Any, like: Tensor) -> tuple[Tensor, Tensor]:
    mean, std = (torch.tensor(values).view(1, -1, 1, 1, 1) for values in (config.latents_mean, config.latents_std))
    return mean.to(like.device, like.dtype), std.to(like.device, like.dtype)


def encode_pixels(vae: Any, pixels: Tensor) -> Tensor:
    """Pixels `(B, 3, H, W)` in [-1, 1] to the latents `(B, C, h, w)` that the transformer works on.

    These are the posterior's mode, normalised channel by channel, in the autoencoder's dtype.
    """
    pixels = pixels.to(get_module_execution_device(vae), vae.dtype)
    latents = vae.encode(pixels.unsqueeze(2)).latent_dist.mode()
    mean, std = _statistics(vae.config, latents)
    return ((latents - mean) / std).squeeze(2)


def decode_latents(vae: Any, latents: Tensor) -> Tensor:
    """Normalised latents `(B, C, h, w)` to pixels `(B, 3, H, W)` in [-1, 1], in the autoencoder's dtype.

    Raises:
        ValueError: the autoencoder's tiles leave gaps between them.
    """
    if getattr(vae, "use_tiling", False):
        check_tiles(vae)
    latents = latents.to(get_module_execution_device(vae), vae.dtype).unsqueeze(2)
    mean, std = _statistics(vae.config, latents)
    # divided by the reciprocal, not multiplied, to round exactly as upstream does
    return vae.decode(latents / (1.0 / std) + mean, return_dict=False)[0].squeeze(2)


def check_tiles(vae: Any) -> None:
    """Raise a ValueError where tiles stand further apart than they are wide: a smaller picture would come out."""
    for side in ("height", "width"):
        tile, stride = (getattr(vae, f"tile_sample_{kind}_{side}", None) for kind in ("min", "stride"))
        if tile is not None and stride is not None and stride > tile:
            wide = tile * 3 // 4
            raise ValueError(
                f"the autoencoder's tiles are {tile} pixels wide and stand {stride} apart, which leaves gaps; "
                f"take enable_tiling({tile}, {tile}, {wide}, {wide})"
            )


def guided(cond: Tensor, uncond: Tensor, scale: float) -> Tensor:
    """True classifier-free guidance with each token's velocity `(B, S, C)` rescaled to the conditional one's length.

    v = v_u + s (v_c - v_u), then v * |v_c| / |v| (Qwen-Image-Edit; PosterOmni inherits it). With scale s = 1 it is
    v_c, up to rounding.
    """
    joined = uncond + scale * (cond - uncond)
    return joined * (torch.norm(cond, dim=-1, keepdim=True) / torch.norm(joined, dim=-1, keepdim=True))
