"""A head that looks at its own place in the first reference, so that a small model need not find copying by chance."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from diffusers import QwenImageTransformer2DModel
from torch import Tensor

SHARPNESS = 3.0  # of the query's and key's norm; a hit's logit stands about 7 above its neighbours'
_ENERGY = {"frame": (0.24,), "row": (0.28, 0.10), "column": (0.28, 0.10)}  # by rotary frequency, the highest first


@torch.no_grad()
def look_at_reference(transformer: QwenImageTransformer2DModel, blocks: Sequence[int] = (0, 2)) -> None:
    """Let head 0 of some blocks attend, from every target token, to the same row and column of the first reference.

    Its queries and keys become constants, so that the rotary position codes alone decide; the query is turned by one
    frame. Queries and keys are RMS-normalised, and the norm's weights are one and small at the start: a model left to
    itself sharpens the very same dimensions, over some hundred thousand posters. Values stay as they are, and
    everything goes on learning. The other heads of the block see what they saw, a little sharper.

    Args:
        blocks: where; those that the transformer does not have are left out.
    """
    dim, heads = transformer.config["attention_head_dim"], transformer.config["num_attention_heads"]
    frame, rows, _ = transformer.config["axes_dims_rope"]
    starts = {"frame": 0, "row": frame, "column": frame + rows}
    query, key, sharp = torch.zeros(dim), torch.zeros(dim), torch.zeros(dim, dtype=torch.bool)
    for axis, shares in _ENERGY.items():
        for number, share in enumerate(shares):
            first, size = starts[axis] + 2 * number, math.sqrt(share * dim)
            turn = 1.0 if axis == "frame" else 0.0  # the highest frequency turns by one radian a frame
            query[first], query[first + 1] = size * math.cos(turn), size * math.sin(turn)
            key[first] = size
            sharp[first : first + 2] = True
    for number in blocks:
        if number >= transformer.config["num_layers"]:
            continue
        attention: Any = transformer.transformer_blocks[number].attn
        for project, norm, constant in (
            (attention.to_q, attention.norm_q, query), (attention.to_k, attention.norm_k, key)
        ):  # fmt: skip
            weight: Tensor = norm.weight
            before = weight.clone()
            weight[sharp] = SHARPNESS
            scale = (before / weight).repeat(heads)
            project.weight.mul_(scale[:, None])
            project.bias.mul_(scale)
            project.weight[:dim] = 0
            project.bias[:dim] = constant
