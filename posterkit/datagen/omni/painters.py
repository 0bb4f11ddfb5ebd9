"""Painters fill a hole in a picture: by rules, by PosterOmni's own filling, or by a diffusers inpainting model."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from PIL import Image
from scipy import ndimage

from posterkit.generate.draw import draw
from posterkit.generate.maker import open_pipeline
from posterkit.llm.open_model import opened_once
from posterkit.messages import error_line
from posterkit.pipelines.keep import color_cast, keep_pixels
from posterkit.pipelines.registry import family_for, family_of, read_index, resolve
from posterkit.schema import PosterRequest
from posterkit.sizing import Size, fit_area

DRAWS_FROM = 256 * 256  # native pixels; a model that paints fewer draws nothing that one could name


class Painter(Protocol):
    """Fills holes; what lies outside a hole stays as it is, byte for byte."""

    name: str  # what records call it
    draws: bool  # it is a model that can draw what a prompt describes, and not only continue its surroundings

    def __call__(self, picture: Image.Image, hole: np.ndarray, prompt: str, seed: int) -> Image.Image:
        """The picture with its hole filled.

        Args:
            picture: RGB.
            hole: `(H, W)` bool, neither all nor nothing.
            prompt: what the hole shows, in words.
        """
        ...


@opened_once()
def open_painter(source: str, steps: int | None = None, device: str | None = None) -> Painter:
    """A painter by its name: "none", "mini", or a folder or hub id; opened once a process.

    A Qwen-Image-Edit(-Plus) or PosterOmni checkpoint fills by its task "filling"; any other diffusers checkpoint has
    to be one that inpaints. Steps and device that are None are the checkpoint's own, and the best there is. ValueError
    where it cannot be loaded, or does not inpaint.
    """
    if source == "none":
        return RulePainter()
    from diffusers.utils import logging

    logging.disable_progress_bar()
    folder = resolve(family_for("filling").mini if source == "mini" else source)
    index = read_index(folder)
    try:
        fills = "filling" in family_of(folder, index).tasks
    except ValueError:
        fills = False
    if fills:
        return PosterOmniPainter(folder, source, steps, device)
    return InpaintingPainter(folder, index, steps, device)


class RulePainter:
    """No model: a membrane of the rim's colours fills the hole, and the texture is mirrored across the rim."""

    name, draws = "rules", False

    def __call__(self, picture: Image.Image, hole: np.ndarray, prompt: str, seed: int) -> Image.Image:
        del prompt
        pixels = np.asarray(picture, np.float32) / 255
        film = color_cast(pixels, ~hole)
        smooth = 0.015 * max(picture.size)
        # only what is kept may flow into the blur, or the hole's own content would shine through as texture
        weight = ndimage.gaussian_filter((~hole).astype(np.float32), smooth)
        blurred = [ndimage.gaussian_filter(np.where(hole, 0, pixels[..., c]), smooth) for c in range(3)]
        texture = pixels - np.stack(blurred, -1) / np.maximum(weight, 1e-3)[..., None]
        # for each pixel the one as far beyond the nearest rim as it lies inside, cut to the canvas
        nearest = np.asarray(ndimage.distance_transform_edt(hole, return_distances=False, return_indices=True))
        limits = np.array(hole.shape).reshape(2, 1, 1) - 1
        rows, columns = np.clip(2 * nearest - np.indices(hole.shape), 0, limits)
        usable = ~hole[rows, columns]
        # an edge that happens to be mirrored must not stand out from the rest of the texture
        most = 2.5 * float(np.median(np.abs(texture[~hole])))
        made = film + np.where(usable[..., None], np.clip(texture[rows, columns], -most, most), 0)
        grain = np.random.default_rng(seed).normal(0, 1 / 510, made.shape[:2])[..., None]
        return _kept(np.clip(made + grain, 0, 1), picture, hole)


def _kept(made: np.ndarray, picture: Image.Image, hole: np.ndarray) -> Image.Image:
    """`(H, W, 3)` in [0, 1] inside the hole, the picture's own bytes outside, no step between."""
    region = Image.fromarray(np.where(hole, 255, 0).astype(np.uint8))
    return Image.fromarray((keep_pixels(made, picture, region) * 255).round().astype(np.uint8))


def _enlarged(made: Image.Image, size: tuple[int, int]) -> np.ndarray:
    return np.asarray(made.convert("RGB").resize(size, Image.Resampling.LANCZOS), np.float32) / 255


def _reduced(picture: Image.Image, hole: np.ndarray, size: Size) -> tuple[Image.Image, Image.Image]:
    """A picture and its hole as a model sees them; a pixel that the hole touches at all is in it."""
    share = Image.fromarray(np.where(hole, 255, 0).astype(np.uint8)).resize(size, Image.Resampling.BOX)
    return picture.resize(size, Image.Resampling.LANCZOS), share.point([0] + [255] * 255)


class PosterOmniPainter:
    """PosterOmni's own filling, at the checkpoint's native area; a small one (mini) only continues what is there."""

    def __init__(self, folder: str, name: str, steps: int | None, device: str | None) -> None:
        self.name, self.steps = Path(name).name, steps
        self.pipe = open_pipeline(folder, device=device)
        self.draws = self.pipe.config["native_area"] >= DRAWS_FROM

    def __call__(self, picture: Image.Image, hole: np.ndarray, prompt: str, seed: int) -> Image.Image:
        size = fit_area(picture.size, self.pipe.config["native_area"])
        small, mask = _reduced(picture, hole, size)
        about = {"size": size, "steps": self.steps, "seed": seed}
        request = PosterRequest(prompt, task="filling", images=[small], mask=mask, **about)
        made = draw(self.pipe, [request], preserve=False).images[0]
        return _kept(_enlarged(made, picture.size), picture, hole)


class InpaintingPainter:
    """Any diffusers checkpoint that inpaints; safetensors only, no code of its folder runs.

    Raises:
        ValueError: it cannot be loaded, or no inpainting pipeline of diffusers opens it.
    """

    draws = True

    def __init__(self, folder: str, index: dict[str, Any], steps: int | None, device: str | None) -> None:
        import diffusers

        from posterkit.pipelines.loading import LOAD_FAULTS
        from posterkit.pipelines.presets import hardware

        self.name, self.steps = Path(folder).name, steps
        kind = str(index.get("_class_name"))
        own = getattr(diffusers, kind, None) if "Inpaint" in kind or "Fill" in kind else None
        opener: Any = own or diffusers.AutoPipelineForInpainting
        try:
            pipe = opener.from_pretrained(folder, use_safetensors=True)
        except LOAD_FAULTS as fault:
            raise ValueError(f"{folder}: no inpainting pipeline opens it: {error_line(fault)}") from None
        self.pipe: Any = pipe.to(hardware(device).device)
        self.pipe.set_progress_bar_config(disable=True)
        self.known = set(inspect.signature(self.pipe.__call__).parameters)
        self.cell = self.pipe.vae_scale_factor
        net = getattr(self.pipe, "unet", None)
        side = net.config.sample_size * self.cell if net is not None else 1024
        self.area = side * side

    def __call__(self, picture: Image.Image, hole: np.ndarray, prompt: str, seed: int) -> Image.Image:
        import torch

        size = fit_area(picture.size, self.area, 2 * self.cell)
        small, mask = _reduced(picture, hole, size)
        # strength 1: nothing of what stood in the hole is left
        more = {"strength": 1.0, "num_inference_steps": self.steps}
        made = self.pipe(
            prompt=prompt, image=small, mask_image=mask, width=size.width, height=size.height,
            generator=torch.Generator().manual_seed(seed),
            **{key: value for key, value in more.items() if key in self.known and value is not None},
        ).images[0]  # fmt: skip
        return _kept(_enlarged(made, picture.size), picture, hole)
