"""Regional attention: parts of a picture read prompts of their own, without any training.

After "Training-free Regional Prompting for Diffusion Transformers" (arXiv 2411.02395), in one pass: the tokens of the
regions' prompts stand behind the prompt's, and a mask lets only the image tokens of its box see a region's. The prompt
is read by all. While the picture's arrangement is settled, at the high noise levels, the regions count; then they go.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from diffusers.models.attention_dispatch import dispatch_attention_fn
from diffusers.models.transformers.transformer_flux import FluxAttnProcessor
from diffusers.models.transformers.transformer_qwenimage import QwenDoubleStreamAttnProcessor2_0, apply_rotary_emb_qwen
from diffusers.utils import logging
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from posterkit.sizing import Size

MOST = 8  # regions of one picture
LENGTH = 64  # tokens of a region's prompt at most
UNTIL = 0.6  # the noise level from which on they no longer count
logger = logging.get_logger(__name__)


@dataclass(frozen=True)
class RegionPrompt:
    """What a part of the picture shows.

    Attributes:
        box: x0, y0, x1, y1 as shares of the picture's width and height, in [0, 1].
        prompt: read by the image tokens whose centres lie in the box, beside the picture's own prompt.
    """

    box: tuple[float, float, float, float]
    prompt: str

    def __post_init__(self) -> None:
        x0, y0, x1, y1 = self.box
        if not (0 <= x0 < x1 <= 1 and 0 <= y0 < y1 <= 1):
            raise ValueError(f"a region's box is x0, y0, x1, y1 as shares of the picture, 0 to 1, got {self.box}")
        if not self.prompt.strip():
            raise ValueError(f"the region {self.box} has no prompt")

    def cells(self, rows: int, columns: int) -> Tensor:
        """Its image tokens `(rows * columns,)`, bool; at least the one nearest to its centre."""
        x0, y0, x1, y1 = self.box
        across, down = (torch.arange(columns) + 0.5) / columns, (torch.arange(rows) + 0.5) / rows
        inside = ((down >= y0) & (down < y1))[:, None] & ((across >= x0) & (across < x1))[None]
        inside[min(rows - 1, int((y0 + y1) / 2 * rows)), min(columns - 1, int((x0 + x1) / 2 * columns))] = True
        return inside.flatten()


Regions = Sequence[RegionPrompt] | Sequence[Sequence[RegionPrompt]]


def match_regions(regions: Regions | None, posters: int, transformer: Any) -> list[list[RegionPrompt]]:
    """The regions of each poster; empty where there are none.

    Raises:
        ValueError: they are not one list for all posters or one for each, they are too many, or a cache is on, which
            could not tell the steps with regions from those without.
    """
    if not regions:
        return []
    rows: list[Any] = list(regions)
    rows = [rows] * posters if isinstance(rows[0], RegionPrompt) else [list(row) for row in rows]
    if len(rows) != posters:
        raise ValueError(f"regions are given {len(rows)} times for {posters} posters; give one list each, or one")
    for row in rows:
        if len(row) > MOST:
            raise ValueError(f"a picture has at most {MOST} regions, got {len(row)}")
        if wrong := [one for one in row if not isinstance(one, RegionPrompt)]:
            raise ValueError(f"regions are RegionPrompts, got {type(wrong[0]).__name__}")
    if transformer.is_cache_enabled:
        raise ValueError("regions change the number of tokens on the way, which no cache survives: disable_cache()")
    return rows


def check_until(until: float) -> float:
    """ValueError where a noise level is out of [0, 1]."""
    if not 0 <= until <= 1:
        raise ValueError(f"regions_until is a noise level from 0 to 1, got {until}")
    return until


def described(regions: Sequence[RegionPrompt], until: float) -> dict[str, Any]:
    """What a record says of a picture's regions; JSON values."""
    if not regions:
        return {}
    return {"regions": [{"box": list(one.box), "prompt": one.prompt} for one in regions], "regions_until": until}


@dataclass
class RegionTexts:
    """The regions of a batch as attention takes them."""

    embeds: Tensor  # `(B, R, D)`: their prompts' tokens, zeros behind the shorter rows
    mask: Tensor  # `(B, 1, S, S)`, bool: who sees whom; S counts prompt, regions, image and what stands behind it
    positions: Tensor  # `(B, L + R)`: of every text token in its own prompt
    until: float = UNTIL

    def count_at(self, timestep: Tensor) -> bool:
        """Whether they count at a timestep in [0, 1000]."""
        return float(timestep) / 1000 > self.until

    def check_reach(self, timesteps: Tensor) -> None:
        """Say where they never count, since the run paints over a picture and begins below their noise level."""
        level = float(timesteps[0]) / 1000
        if level <= self.until:
            logger.warning(
                f"the regions change nothing: this run begins at noise level {level:.2f}, and they count down to "
                f"{self.until:g}; raise strength, or lower regions_until"
            )


def region_texts(
    regions: Sequence[Sequence[RegionPrompt]],
    embedded: Sequence[Sequence[Tensor]],
    prompt: Tensor,
    size: Size,
    patch: int,
    behind: int = 0,
    until: float = UNTIL,
) -> RegionTexts:
    """Put the regions of a batch together.

    Args:
        regions: of each poster.
        embedded: their prompts' tokens, `(l, D)` each.
        prompt: `(B, L)`, bool: which of the prompts' tokens are no padding.
        size: of the pictures in pixels.
        patch: pixels that an image token is wide.
        behind: tokens of references or drafts behind the image's.
    """
    rows, columns = size.height // patch, size.width // patch
    length, image = prompt.shape[1], rows * columns + behind
    some = next(tokens for own in embedded for tokens in own)
    embeds = pad_sequence([torch.cat([some[:0], *own]) for own in embedded], batch_first=True)
    widest = embeds.shape[1]
    mask = torch.zeros(len(regions), length + widest + image, length + widest + image, dtype=torch.bool)
    positions = torch.zeros(len(regions), length + widest, dtype=torch.long)
    positions[:, :length] = torch.arange(length)
    first = length + widest  # of the image
    for number, (own, tokens) in enumerate(zip(regions, embedded, strict=True)):
        seen = mask[number]
        seen[:, :length] = prompt[number].cpu()  # the prompt is read by all
        seen[:length, first:] = seen[first:, first:] = True
        at = length
        for region, text in zip(own, tokens, strict=True):
            end, cells = at + len(text), torch.zeros(image, dtype=torch.bool)
            cells[: rows * columns] = region.cells(rows, columns)
            seen[at:end, at:end] = True
            seen[at:end, first:] = cells
            seen[first:, at:end] = cells[:, None]
            positions[number, at:end] = torch.arange(len(text))
            at = end
    device = prompt.device
    return RegionTexts(embeds, mask[:, None].to(device), positions.to(device), until)


class RegionalQwenProcessor(QwenDoubleStreamAttnProcessor2_0):
    """Qwen-Image's attention with a mask from outside and text positions that begin anew with every prompt.

    The stock processor takes neither; without `regional` this one is the stock processor.
    """

    def __call__(  # Attention hands over only what is named here
        self,
        attn: Any,
        hidden_states: Any,
        encoder_hidden_states: Any = None,
        encoder_hidden_states_mask: Any = None,
        attention_mask: Any = None,
        image_rotary_emb: Any = None,
        regional: RegionTexts | None = None,
    ) -> Any:
        if regional is None:
            stock = hidden_states, encoder_hidden_states, encoder_hidden_states_mask, attention_mask, image_rotary_emb
            return super().__call__(attn, *stock)
        text, (image_turns, text_turns) = encoder_hidden_states, image_rotary_emb
        head = attn.inner_dim // attn.heads
        image = [made(hidden_states).unflatten(-1, (-1, head)) for made in (attn.to_q, attn.to_k, attn.to_v)]
        words = [made(text).unflatten(-1, (-1, head)) for made in (attn.add_q_proj, attn.add_k_proj, attn.add_v_proj)]
        for parts, norms in ((image, (attn.norm_q, attn.norm_k)), (words, (attn.norm_added_q, attn.norm_added_k))):
            for index, norm in enumerate(norms):
                parts[index] = parts[index] if norm is None else norm(parts[index])
        turned = text_turns[regional.positions]  # (B, L, head / 2)
        for index in range(2):
            image[index] = apply_rotary_emb_qwen(image[index], image_turns, use_real=False)  # type: ignore[call-overload]
            words[index] = _turned(words[index], turned)
        joined = (torch.cat(pair, dim=1) for pair in zip(words, image, strict=True))
        made = dispatch_attention_fn(*joined, attn_mask=regional.mask, backend=self._attention_backend)
        made = made.flatten(2, 3).to(hidden_states.dtype)
        seen, read = made[:, text.shape[1] :].contiguous(), made[:, : text.shape[1]].contiguous()
        for layer in attn.to_out:
            seen = layer(seen)
        return seen, attn.to_add_out(read)


def _turned(tokens: Tensor, turns: Tensor) -> Tensor:
    """Rotary positions of each row's own: `(B, L, heads, head)` by complex `(B, L, head / 2)`."""
    pairs = torch.view_as_complex(tokens.float().unflatten(-1, (-1, 2)))
    return torch.view_as_real(pairs * turns[:, :, None]).flatten(3).to(tokens.dtype)


@contextmanager
def regional_attention(transformer: Any, wanted: bool) -> Iterator[None]:
    """Let a FLUX.1 or Qwen-Image transformer take regions for the length of a call, and leave it as it was.

    PyTorch's own attention is used meanwhile: others refuse a mask.

    Raises:
        ValueError: its attention is somebody's own.
    """
    if not wanted:
        yield
        return
    before = dict(transformer.attn_processors)
    for one in before.values():
        if type(one) not in (FluxAttnProcessor, QwenDoubleStreamAttnProcessor2_0):
            raise ValueError(f"regions need the attention that FLUX.1 and Qwen-Image have, found {type(one).__name__}")
    during: dict[str, Any] = {
        name: RegionalQwenProcessor() if isinstance(one, QwenDoubleStreamAttnProcessor2_0) else FluxAttnProcessor()
        for name, one in before.items()
    }
    for one in during.values():
        one._attention_backend = "native"
    transformer.set_attn_processor(during)  # which empties what it is given
    try:
        yield
    finally:
        transformer.set_attn_processor(before)
