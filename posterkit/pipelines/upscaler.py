"""A small upscaler: the shape and the keys of SRVGGNetCompact (Real-ESRGAN), so that other tools open its file too."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from posterkit.llm.open_model import opened_once
from posterkit.messages import error_line

TILE = 512  # side of what goes through a network at once, in pixels of the small picture
OVERLAP = 16  # pixels that neighbouring tiles share, at least the reach of the network's convolutions


class CompactUpscaler(nn.Module):
    """Convolutions at the small size, one shuffle to the large one, on top of the nearest pixel.

    Args:
        features: channels.
        depth: convolutions between the first and the last.
        scale: how many times as wide and high the result is.
    """

    def __init__(self, features: int = 24, depth: int = 6, scale: int = 4) -> None:
        super().__init__()
        self.scale = scale
        layers: list[nn.Module] = [nn.Conv2d(3, features, 3, 1, 1), nn.PReLU(features)]
        for _ in range(depth):
            layers += [nn.Conv2d(features, features, 3, 1, 1), nn.PReLU(features)]
        self.body = nn.ModuleList([*layers, nn.Conv2d(features, 3 * scale**2, 3, 1, 1)])

    @classmethod
    def from_file(cls, path: str | Path) -> CompactUpscaler:
        """From safetensors; the shape is read off the weights.

        Raises:
            ValueError: the file holds something else.
        """
        weights = load_file(path)
        numbers = sorted({int(name.split(".")[1]) for name in weights if name.startswith("body.")})
        if not numbers or numbers != list(range(len(numbers))) or len(numbers) % 2 == 0:
            raise ValueError(f"{path}: no SRVGGNetCompact; its weights are called body.0.weight and so on")
        features, last = weights["body.0.weight"].shape[0], weights[f"body.{numbers[-1]}.weight"].shape[0]
        model = cls(features, (len(numbers) - 3) // 2, round((last / 3) ** 0.5))
        model.load_state_dict({name: weight.float() for name, weight in weights.items()})
        return model.eval()

    def save(self, path: str | Path) -> None:
        """Write bfloat16 safetensors."""
        save_file({name: weight.detach().bfloat16().contiguous() for name, weight in self.state_dict().items()}, path)

    def forward(self, x: Tensor) -> Tensor:
        """`(B, 3, s H, s W)` from `(B, 3, H, W)`, both in about [0, 1]."""
        made = x
        for layer in self.body:
            made = layer(made)
        return F.pixel_shuffle(made, self.scale) + F.interpolate(x, scale_factor=self.scale, mode="nearest")


class Upscaler:
    """A network that enlarges pictures in tiles, so that a large one takes no more memory than a small one.

    Args:
        model: `(1, 3, s H, s W)` from `(1, 3, H, W)`, both in about [0, 1].
        scale: its s.
        device: where it runs.
        overlap: pixels that a tile sees of its neighbours.
    """

    def __init__(
        self, model: Callable[[Tensor], Tensor], scale: int, device: torch.device | str = "cpu", overlap: int = OVERLAP
    ) -> None:
        self.model, self.scale, self.device, self.overlap = model, scale, device, overlap

    @torch.no_grad()
    def __call__(self, image: Image.Image) -> Image.Image:
        """A picture `scale` times as wide and high, mode RGB."""
        pixels = torch.from_numpy(np.array(image.convert("RGB"))).permute(2, 0, 1)[None].float() / 255
        made = torch.empty(3, *(side * self.scale for side in pixels.shape[-2:]), dtype=torch.uint8)
        for rows in self._spans(image.height):
            for columns in self._spans(image.width):
                s, (top, left) = self.scale, (max(0, first - self.overlap) for first in (rows[0], columns[0]))
                seen = pixels[:, :, top : rows[1] + self.overlap, left : columns[1] + self.overlap].to(self.device)
                tile = (self.model(seen)[0].clamp(0, 1) * 255).round().byte().cpu()
                made[:, rows[0] * s : rows[1] * s, columns[0] * s : columns[1] * s] = tile[
                    :, (rows[0] - top) * s : (rows[1] - top) * s, (columns[0] - left) * s : (columns[1] - left) * s
                ]
        return Image.fromarray(made.permute(1, 2, 0).numpy())

    def _spans(self, side: int) -> list[tuple[int, int]]:
        return [(start, min(side, start + TILE)) for start in range(0, side, TILE)]


@opened_once(kept=2)
def open_upscaler(path: str) -> Upscaler:
    """An upscaler by its file: SRVGGNetCompact, or whatever spandrel knows where that is installed.

    Args:
        path: safetensors; a .pth file would have to be unpickled, and is refused.

    Raises:
        ValueError: no such file, or no network that can be opened here.
    """
    from posterkit.pipelines.presets import hardware

    if not path.endswith(".safetensors"):
        raise ValueError(f"{path}: upscalers are read from .safetensors files only")
    where = hardware().device
    try:
        weights = load_file(path)
    except (OSError, SafetensorError) as fault:
        raise ValueError(f"{path}: cannot read this upscaler: {error_line(fault)}") from None
    if {"body.0.weight", "body.1.weight", "body.2.weight"} <= set(weights):
        model = CompactUpscaler.from_file(path).to(where)
        return Upscaler(model, model.scale, where)
    try:
        from spandrel import (  # pyright: ignore[reportMissingImports]
            ImageModelDescriptor,
            ModelLoader,
            UnsupportedModelError,
        )
    except ImportError:
        raise ValueError(f"{path}: no SRVGGNetCompact; pip install posterkit[upscale] opens other upscalers") from None
    try:
        other = ModelLoader(device=where).load_from_state_dict(weights)
    except UnsupportedModelError:
        raise ValueError(f"{path}: spandrel knows no upscaler with these weights") from None
    if not isinstance(other, ImageModelDescriptor) or other.scale < 2:
        raise ValueError(f"{path}: a network that does not enlarge pictures")
    return Upscaler(other.eval(), other.scale, where, overlap=4 * OVERLAP)
