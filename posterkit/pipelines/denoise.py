"""One velocity of the Qwen-Image transformer, with or without guidance; what the sampling loop calls at every step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from diffusers import FasterCacheConfig, PyramidAttentionBroadcastConfig
from torch import Tensor

from posterkit.pipelines.instruction import pad, unpad
from posterkit.pipelines.latents import guided
from posterkit.pipelines.regional_prompts import RegionTexts


@dataclass
class Text:
    """Embedded instructions: `embeds` `(B, L, D)`, and `mask` `(B, L)` or None where all tokens count."""

    embeds: Tensor
    mask: Tensor | None


@dataclass
class DenoisingInputs:
    """What stays the same over the steps of one batch of equal geometry."""

    references: Tensor  # packed latents `(B, S_references, 4 C)`, appended behind the noise tokens
    shapes: list[list[tuple[int, int, int]]]  # (frames, rows, columns) of each target and of its references
    negative: Text | None  # the negative instruction; None draws without true guidance
    scale: float  # of true guidance
    guidance: Tensor | None  # `(B,)` for guidance-distilled transformers, else None
    attention_kwargs: dict[str, Any]
    join: bool = False  # run both instructions through the transformer in one forward
    regions: RegionTexts | None = None  # of the instruction; with prompts of their own


def velocity(
    transformer: Any,
    inputs: DenoisingInputs,
    latents: Tensor,
    timestep: Tensor,
    text: Text,
    regions: RegionTexts | None = None,
) -> Tensor:
    """The velocity of the noise tokens: a forward over noise and references, the references' part cut off.

    Args:
        latents: `(B, S, 4 C)`.
        timestep: scalar in [0, 1000].
    """
    repeats = len(latents) // len(inputs.references)
    kwargs = inputs.attention_kwargs
    if regions is not None:  # whose mask knows the padding too
        text = Text(torch.cat([text.embeds, regions.embeds], dim=1), None)
        kwargs = kwargs | {"regional": regions}
    return transformer(
        hidden_states=torch.cat([latents, inputs.references.repeat(repeats, 1, 1)], dim=1),
        timestep=timestep.expand(len(latents)).to(latents.dtype) / 1000,
        guidance=None if inputs.guidance is None else inputs.guidance.repeat(repeats),
        encoder_hidden_states=text.embeds,
        encoder_hidden_states_mask=text.mask,
        img_shapes=inputs.shapes * repeats,
        attention_kwargs=kwargs,
        return_dict=False,
    )[0][:, : latents.shape[1]]


def guided_velocity(
    transformer: Any, inputs: DenoisingInputs, mask: Tensor | None, latents: Tensor, timestep: Tensor, embeds: Tensor
) -> Tensor:
    """The velocity under true guidance, in two forwards as cache hooks need them, or in one with `inputs.join`."""
    text, regions = Text(embeds, mask), inputs.regions
    if regions is not None and not regions.count_at(timestep):
        regions = None
    if inputs.join and inputs.negative is not None and regions is None:
        rows = [row for one in (text, inputs.negative) for row in unpad(one.embeds, one.mask)]
        both = Text(*pad(rows))
        with transformer.cache_context("cond"):
            cond, uncond = velocity(transformer, inputs, torch.cat([latents, latents]), timestep, both).chunk(2)
        return guided(cond, uncond, inputs.scale)
    with transformer.cache_context("cond"):
        cond = velocity(transformer, inputs, latents, timestep, text, regions)
    if inputs.negative is None:
        return cond
    with transformer.cache_context("uncond"):
        uncond = velocity(transformer, inputs, latents, timestep, inputs.negative)
    return guided(cond, uncond, inputs.scale)


def joins_guidance(transformer: Any, asked: bool) -> bool:
    """Whether both forwards of true guidance go through the transformer together.

    As asked for while no cache hook is on. FirstBlockCache, MagCache and TaylorSeer tell the two apart by their
    context and need them apart; pyramid attention broadcast and FasterCache have one state for both and need them
    together.
    """
    if not transformer.is_cache_enabled:
        return asked
    return isinstance(transformer._cache_config, (PyramidAttentionBroadcastConfig, FasterCacheConfig))


def text_of(rows: Sequence[Tensor], repeats: int) -> Text:
    """A batch of the embeddings `(L_i, D)` of several posters, each `repeats` times in a row."""
    return Text(*pad([row for row in rows for _ in range(repeats)]))
