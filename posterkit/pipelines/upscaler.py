"""A small upscaler: the shape and the keys of SRVGGNetCompact (Real-ESRGAN), so that other tools open its file too."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

PIXELS_AT_ONCE = 512 * 768  # of the small picture; larger ones go through in bands
OVERLAP = 16  # rows that neighbouring bands share, at least the reach of the network's convolutions


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

    @torch.no_grad()
    def enlarge(self, image: Image.Image, size: tuple[int, int]) -> Image.Image:
        """A picture at `size`: through the network as often as it takes, and down to the size with Lanczos."""
        device = next(self.parameters()).device
        while image.width < size[0] or image.height < size[1]:
            pixels = torch.from_numpy(np.array(image.convert("RGB"))).permute(2, 0, 1)[None].float().to(device) / 255
            made = torch.cat(list(self._bands(pixels)), 2)[0].clamp(0, 1)
            image = Image.fromarray((made * 255).round().byte().permute(1, 2, 0).cpu().numpy())
        return image if image.size == tuple(size) else image.resize(size, Image.Resampling.LANCZOS)

    def _bands(self, pixels: Tensor):
        """The enlarged picture in bands of rows, each computed with its neighbours' edges."""
        height, width = pixels.shape[-2:]
        rows = max(1, PIXELS_AT_ONCE // width)
        for top in range(0, height, rows):
            first, last = max(0, top - OVERLAP), min(height, top + rows + OVERLAP)
            made = self(pixels[:, :, first:last])
            yield made[:, :, (top - first) * self.scale : (min(height, top + rows) - first) * self.scale]
