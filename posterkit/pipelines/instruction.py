"""The instruction as Qwen2.5-VL reads it: the template, the pictures before the words, the embeddings after it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

# the wording that Qwen-Image-Edit was trained with; what stands before the braces is dropped from the embeddings
TEMPLATE = (
    "<|im_start|>system\nDescribe the key features of the input image (color, shape, size, texture, objects, "
    "background), then explain how the user's text instruction should alter or modify the image. Generate a new image "
    "that meets the user's requirements while maintaining consistency with the original input where appropriate."
    "<|im_end|>\n<|im_start|>user\n{}<|im_end|>\n<|im_start|>assistant\n"
)
PICTURE = "Picture {}: <|vision_start|><|image_pad|><|vision_end|>"
AT_ONCE = 8  # instructions that go through the encoder together
_READ = ("input_ids", "attention_mask", "pixel_values", "image_grid_thw")  # by the encoder, of what a processor makes


def prefix_length(tokenizer: Any) -> int:
    """Tokens of the template before the user's turn: 64 with Qwen's tokenizer, whatever it is with this one."""
    return len(tokenizer(TEMPLATE.split("{}")[0])["input_ids"])


def instruction_text(words: str, pictures: int, labels: bool = True) -> str:
    """The whole conversation: template, one label per picture, the words.

    Args:
        labels: "Picture 1:" before each, as Edit-Plus was trained; the first, single-image Qwen-Image-Edit has none.
    """
    label = PICTURE if labels else PICTURE.partition(": ")[2]
    return TEMPLATE.format("".join(label.format(index + 1) for index in range(pictures)) + words)


def encode_instructions(
    text_encoder: Any,
    processor: Any,
    words: Sequence[str],
    pictures: Sequence[Sequence[Image.Image]],
    device: torch.device | str | None = None,
    labels: bool = True,
) -> list[Tensor]:
    """Embed instructions together with the pictures they speak of.

    Equal pairs of words and pictures are encoded once, and those of equal length go through the encoder together, so
    that nothing is padded and an instruction's embedding does not depend on its neighbours.

    Args:
        words: one instruction per poster.
        pictures: the RGB pictures of each poster.
        device: where the encoder runs; where it lies if None.
        labels: see `instruction_text`.

    Returns:
        One `(L, D)` tensor per poster in the encoder's dtype, the template's prefix cut off.
    """
    keys = [(text, *map(id, seen)) for text, seen in zip(words, pictures, strict=True)]
    inputs = {
        key: processor(
            text=[instruction_text(text, len(seen), labels)],
            images=list(seen) or None,
            padding=True,
            return_tensors="pt",
        )
        for key, text, seen in zip(keys, words, pictures, strict=True)
    }
    lengths: dict[tuple[int, bool], list[Any]] = defaultdict(list)
    for key, tokens in inputs.items():
        lengths[tokens["input_ids"].shape[1], "pixel_values" in tokens].append(key)
    start = prefix_length(processor.tokenizer)
    found: dict[Any, Tensor] = {}
    for same in lengths.values():
        for first in range(0, len(same), AT_ONCE):
            chunk = same[first : first + AT_ONCE]
            names = [name for name in _READ if name in inputs[chunk[0]]]
            tensors = {
                name: torch.cat([inputs[key][name] for key in chunk]).to(device or text_encoder.device)
                for name in names
            }
            hidden = _last_hidden_states(text_encoder, tensors)
            found.update(zip(chunk, hidden[:, start:], strict=True))
    return [found[key] for key in keys]


def _last_hidden_states(text_encoder: Any, tensors: dict[str, Tensor]) -> Tensor:
    """`(B, L, D)`; asked for all hidden states, transformers would leave hooks that cannot be pickled."""
    found: list[Tensor] = []
    hook = text_encoder.model.register_forward_hook(lambda module, given, made: found.append(made.last_hidden_state))
    try:
        # one row of logits instead of a whole vocabulary for every token: nobody reads them
        text_encoder(**tensors, logits_to_keep=1, use_cache=False)
    finally:
        hook.remove()
    return found[0]


def pad(rows: Sequence[Tensor]) -> tuple[Tensor, Tensor | None]:
    """Stack embeddings of different lengths.

    Args:
        rows: `(L_i, D)` each.

    Returns:
        `(B, L, D)` with zeros behind the shorter ones, and the mask `(B, L)`, int64, 1 = a token; None where all are
        equally long, since attention is faster without one.
    """
    stacked, lengths = pad_sequence(list(rows), batch_first=True), [len(row) for row in rows]
    if min(lengths) == max(lengths):
        return stacked, None
    positions = torch.arange(max(lengths), device=stacked.device)
    return stacked, (positions < torch.tensor(lengths, device=stacked.device)[:, None]).long()


def unpad(embeds: Tensor, mask: Tensor | None) -> list[Tensor]:
    """Undo `pad`: `(B, L, D)` and `(B, L)` or None to `(L_i, D)` each; what the mask leaves out is left out."""
    if mask is None:
        return list(embeds)
    return [row[keep.bool()] for row, keep in zip(embeds, mask, strict=True)]
