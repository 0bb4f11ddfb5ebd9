"""The names that LoRAs give layers: those of diffusers, PEFT, kohya, XLabs, ComfyUI and ai-toolkit.

A LoRA of the authors' layout of FLUX.1 changes joined layers (`qkv`), which diffusers keeps apart: each of these is
some rows of the joined one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

# what stands behind a layer's name; the first group of a factor is A (down), the second B (up)
_ENDINGS = (
    (re.compile(r"\.(?:lora_A|lora_down|lora\.down)(?:\.default)?(?:\.weight)?$"), "A"),
    (re.compile(r"\.(?:lora_B|lora_up|lora\.up)(?:\.default)?(?:\.weight)?$"), "B"),
    (re.compile(r"\.(?:dora_scale|lora_magnitude_vector(?:\.default)?(?:\.weight)?)$"), "magnitude"),
    (re.compile(r"\.alpha$"), "alpha"),
)
_XLABS = re.compile(r"^(?P<block>(?:double|single)_blocks\.\d+)\.processor\.(?P<part>[a-z]+)_lora(?P<side>\d?)\.")
_XLABS_LAYERS = {("qkv", "1"): "img_attn.qkv", ("proj", "1"): "img_attn.proj", ("qkv", "2"): "txt_attn.qkv",
                 ("proj", "2"): "txt_attn.proj"}  # fmt: skip
_PREFIXES = (
    "base_model.model.", "model.diffusion_model.", "diffusion_model.", "transformer.", "lora_unet_",
    "lora_transformer_", "unet.", "model.",
)  # fmt: skip
_ENCODERS = ("text_encoder.", "lora_te1_", "lora_te_")
_OTHER_ENCODERS = ("text_encoder_2.", "text_encoder_3.", "lora_te2_", "lora_te3_")


class Rows(NamedTuple):
    """A layer of diffusers, and which rows of a joined layer are its own, in widths of the model; None is all."""

    layer: str
    start: int | None = None
    stop: int | None = None


@dataclass(frozen=True)
class LoraKey:
    """What a tensor of a LoRA file is."""

    part: str  # "A", "B", "magnitude" or "alpha"
    layer: str  # as the file names it, without what all its names begin with
    encoder: bool = False  # it changes a text encoder, not the transformer


def read_key(key: str) -> LoraKey | None:
    """What a key of a LoRA file says; None where it is none of a LoRA.

    Raises:
        ValueError: it changes a text encoder that no pipeline here can change.
    """
    if found := _XLABS.match(key):
        block, part, side = found.group("block", "part", "side")
        single = "linear1" if part == "qkv" else None
        layer = _XLABS_LAYERS.get((part, side)) if block.startswith("double") else single
        factor = "A" if key.endswith(".down.weight") else "B" if key.endswith(".up.weight") else None
        return LoraKey(factor, f"{block}.{layer}") if layer and factor else None
    for pattern, part in _ENDINGS:
        if found := pattern.search(key):
            layer = key[: found.start()]
            if layer.startswith(_OTHER_ENCODERS):
                raise ValueError(
                    f"{layer}: changes the T5 encoder, which is not supported; its transformer part alone is"
                )
            for prefix in _ENCODERS:
                if layer.startswith(prefix):
                    return LoraKey(part, layer.removeprefix(prefix), encoder=True)
            while any(layer.startswith(prefix) for prefix in _PREFIXES):
                layer = layer.removeprefix(next(prefix for prefix in _PREFIXES if layer.startswith(prefix)))
            return LoraKey(part, layer)
    return None


def layer_names(layers: Mapping[str, object]) -> dict[str, tuple[Rows, ...]]:
    """Every name that a file may give one of the layers, with underscores for dots, and which layers it means.

    Args:
        layers: of a transformer or a text encoder, by diffusers' and transformers' names.
    """
    names: dict[str, tuple[Rows, ...]] = {_flat(layer): (Rows(layer),) for layer in layers}
    for layer in layers:
        for pattern, made in _AUTHORS:
            if found := re.fullmatch(pattern, layer):
                name, start, stop = made
                joined = names.setdefault(_flat(found.expand(name)), ())
                rows = (*joined, Rows(layer, start, stop))
                names[_flat(found.expand(name))] = tuple(sorted(rows, key=lambda row: row.start or 0))
    return names


def find_rows(name: str, names: Mapping[str, tuple[Rows, ...]]) -> tuple[Rows, ...] | None:
    """The layers that a file's name means; None where this model has none."""
    return names.get(_flat(name))


def _flat(name: str) -> str:
    return name.replace(".", "_")


_D, _S, _T = r"transformer_blocks\.(\d+)\.", r"single_transformer_blocks\.(\d+)\.", r"time_text_embed\."
_ATTENTION = [
    (f"{_D}attn\\.{name}", (f"double_blocks.\\1.{side}_attn.qkv", n, n + 1))
    for side, names in (("img", ("to_q", "to_k", "to_v")), ("txt", ("add_q_proj", "add_k_proj", "add_v_proj")))
    for n, name in enumerate(names)
]
_AUTHORS: list[tuple[str, tuple[str, int | None, int | None]]] = [
    *_ATTENTION,
    *(
        (f"{_S}attn\\.{name}", (r"single_blocks.\1.linear1", n, n + 1))
        for n, name in enumerate(("to_q", "to_k", "to_v"))
    ),
    (f"{_S}proj_mlp", (r"single_blocks.\1.linear1", 3, 7)),
    *(
        (ours, (theirs, None, None))
        for ours, theirs in (
            (f"{_D}attn\\.to_out\\.0", r"double_blocks.\1.img_attn.proj"),
            (f"{_D}attn\\.to_add_out", r"double_blocks.\1.txt_attn.proj"),
            (f"{_D}ff\\.net\\.0\\.proj", r"double_blocks.\1.img_mlp.0"),
            (f"{_D}ff\\.net\\.2", r"double_blocks.\1.img_mlp.2"),
            (f"{_D}ff_context\\.net\\.0\\.proj", r"double_blocks.\1.txt_mlp.0"),
            (f"{_D}ff_context\\.net\\.2", r"double_blocks.\1.txt_mlp.2"),
            (f"{_D}norm1\\.linear", r"double_blocks.\1.img_mod.lin"),
            (f"{_D}norm1_context\\.linear", r"double_blocks.\1.txt_mod.lin"),
            (f"{_S}proj_out", r"single_blocks.\1.linear2"),
            (f"{_S}norm\\.linear", r"single_blocks.\1.modulation.lin"),
            (f"{_T}timestep_embedder\\.linear_1", "time_in.in_layer"),
            (f"{_T}timestep_embedder\\.linear_2", "time_in.out_layer"),
            (f"{_T}text_embedder\\.linear_1", "vector_in.in_layer"),
            (f"{_T}text_embedder\\.linear_2", "vector_in.out_layer"),
            (f"{_T}guidance_embedder\\.linear_1", "guidance_in.in_layer"),
            (f"{_T}guidance_embedder\\.linear_2", "guidance_in.out_layer"),
            ("x_embedder", "img_in"),
            ("context_embedder", "txt_in"),
            ("proj_out", "final_layer.linear"),
        )
    ),
]
