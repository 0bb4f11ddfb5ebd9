"""Everything about a call that can be found wrong before any model runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from posterkit.pipelines.lora_weights import UNQUANTISED

OUTPUT_TYPES = ("pil", "np", "pt", "latent")


def check_prompts(
    prompt: object,
    embeds: Tensor | None,
    mask: Tensor | None,
    posters: int,
    name: str = "prompt",
    required: bool = False,
) -> None:
    """Raise a ValueError where a prompt is given twice or missing, or embeddings are not one for each poster.

    Embeddings are `(B, L, D)` with masks `(B, L)`. Without a task there is no default wording: a prompt is `required`.
    """
    if prompt is not None and embeds is not None:
        raise ValueError(f"give {name} or {name}_embeds, not both")
    if prompt is None and embeds is None and required:
        raise ValueError(f"{name} is missing: a plain edit (task=None) has no wording of its own")
    if embeds is not None and len(embeds) != posters:
        raise ValueError(f"{name}_embeds has {len(embeds)} rows for {posters} poster(s)")
    if mask is not None and (embeds is None or mask.shape != embeds.shape[:2]):
        shape = None if embeds is None else tuple(embeds.shape[:2])
        raise ValueError(f"{name}_embeds_mask is {tuple(mask.shape)}, but {name}_embeds is {shape}")


@dataclass(frozen=True)
class Sampling:
    """How to sample: what one call uses for every poster.


    Raises:
        ValueError: a number is out of its range.
    """

    steps: int
    sigmas: list[float] | None  # noise levels instead of even spacing
    scale: float  # of true guidance; at most 1 switches it off
    guidance_scale: float | None  # for guidance-distilled transformers
    count: int  # images for each prompt
    join: bool  # run both instructions of true guidance through the transformer in one forward
    strength: float = 1.0  # how much of the run is made; below 1 it begins from a noised picture

    @property
    def skipped(self) -> int:
        """Steps before the first one, as stock's image-to-image pipelines count them."""
        return int(self.steps - self.steps * self.strength)

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise ValueError(f"num_inference_steps must be at least 1, got {self.steps}")
        if self.scale < 0:
            raise ValueError(f"true_cfg_scale must not be negative, got {self.scale}")
        if self.count < 1:
            raise ValueError(f"num_images_per_prompt must be at least 1, got {self.count}")


def check_strength(picture: object, strength: float | None, name: str) -> float:
    """How much of the run paints over a picture, 0.6 where nobody says; 1 where there is none.

    ValueError where there is a strength and nothing to paint over, or it is out of (0, 1]; `name` is the picture's.
    """
    if picture is None:
        if strength is not None:
            raise ValueError(f"strength {strength} is given, but no {name} to paint over")
        return 1.0
    strength = 0.6 if strength is None else strength
    if not 0 < strength <= 1:
        raise ValueError(f"strength must be above 0 and at most 1, got {strength}")
    return strength


def check_finite(numbers: Tensor, where: str) -> None:
    """Raise a ValueError where NaN or infinity came out, which would be a black picture."""
    if not torch.isfinite(numbers).all():
        kind = str(numbers.dtype).removeprefix("torch.")
        raise ValueError(
            f"{where} gave NaN or infinity in {kind}: compute in bfloat16 or float32 (dtype), take more steps, or "
            "look at the weights and at the weight of a LoRA"
        )


def check_savable(transformer: Any) -> None:
    """Raise a ValueError where a preset quantised it or a LoRA is on it, whose layers no loader would look for."""
    if getattr(transformer, UNQUANTISED, None) is not None:
        raise ValueError("a preset quantised this pipeline, and no folder holds that; save one that is loaded whole")
    if transformer is not None and any(".base_layer." in name for name, _ in transformer.named_parameters()):
        raise ValueError(
            "a LoRA is on the transformer, and a folder of both would load as neither: first fuse_lora() and "
            "unload_lora_weights() to keep it in the weights, or unload_lora_weights() to leave it out; "
            "save_lora_weights() saves it alone"
        )


def check_generators(generator: object, images: int) -> None:
    """Raise a ValueError where a list of generators is not one for each image."""
    if isinstance(generator, (list, tuple)) and len(generator) != images:
        raise ValueError(f"{len(generator)} generators for {images} image(s); give one, or one for each image")


def check_latents(latents: Tensor | Sequence[Tensor] | None, wanted: Sequence[tuple[int, int]]) -> None:
    """Raise a ValueError where the noise passed is not `(S, 4 C)` for each image; `wanted` are those shapes."""
    if latents is None:
        return
    found = [tuple(one.shape) for one in latents]
    if found != list(wanted):
        raise ValueError(f"latents are {_shapes(found)}, but the posters asked for need {_shapes(list(wanted))}")


def _shapes(shapes: list[tuple[int, ...]]) -> str:
    same = len(set(shapes)) == 1
    return f"{len(shapes)} x {shapes[0]}" if same else str(shapes)


def check_output(output_type: str, callback_inputs: Sequence[str] | None, known: Sequence[str]) -> None:
    """Raise a ValueError where the output type or a callback's tensor is unknown."""
    if output_type not in OUTPUT_TYPES:
        raise ValueError(f"output_type {output_type!r} is unknown; use one of {', '.join(OUTPUT_TYPES)}")
    unknown = [name for name in callback_inputs or () if name not in known]
    if unknown:
        raise ValueError(f"callback_on_step_end_tensor_inputs {unknown} are unknown; there are {', '.join(known)}")
