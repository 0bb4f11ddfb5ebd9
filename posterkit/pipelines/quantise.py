"""Linear layers whose weights are kept in fewer bits; what they compute with stays bfloat16.

A whole model lies in main memory first, where its file is only mapped; layer by layer it is brought to where it stays,
so that a card never holds more than the result and one layer.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from posterkit.messages import error_line
from posterkit.pipelines.memory import PACKAGES

_FP8_MOST = 448.0  # of float8_e4m3fn


class BlockLayer(NamedTuple):
    """A linear layer of a model's blocks, and where it hangs."""

    path: str
    parent: nn.Module
    name: str
    layer: nn.Linear


def block_layers(model: nn.Module) -> Iterator[BlockLayer]:
    """The linear layers of a model's blocks; what stands around the blocks, and LoRAs, are left out."""
    blocks = {id(part) for several in model.modules() if isinstance(several, nn.ModuleList) for part in several}
    inside: set[int] = set()
    for path, parent in list(model.named_modules()):
        if id(parent) in blocks or id(parent) in inside:
            inside.update(map(id, parent.children()))
            for name, layer in list(parent.named_children()):
                # not what came quantised; T5 looks at the dtype of the weights of `wo` and would bring its input to it
                if not isinstance(layer, nn.Linear) or {type(layer), type(layer.weight)} != {nn.Linear, nn.Parameter}:
                    continue
                if name != "wo" and ".lora_" not in f"{path}.{name}":
                    yield BlockLayer(f"{path}.{name}", parent, name, layer)


def makes_modulation(path: str, names: Sequence[str]) -> bool:
    """Whether a layer of a transformer turns the time into the scales and shifts of its block.

    Args:
        names: of the modules that do, such as "norm1".
    """
    return bool(re.search(rf"\.({'|'.join(names)})\.", path))


def quantise(
    model: nn.Module, how_of: Callable[[str], str | None], device: torch.device, home: torch.device, dtype: torch.dtype
) -> None:
    """Bring the blocks' linear layers to fewer bits; the rest of the model stays where it is.

    Args:
        how_of: a layer's path -> "nf4", "int8", "torchao_int8", "torchao_fp8", "fp8", or None to leave it as it is.
        device: that does it.
        home: where the layers stay.
        dtype: to compute with.

    Raises:
        ValueError: a package that does it is missing, or fails here.
    """
    for path, parent, name, layer in block_layers(model):
        how = how_of(path)
        if how is None:
            continue
        try:
            made = _MAKERS[how](layer.to(dtype), device)
        except Exception as fault:  # a package may be missing or fail, in ways of its own
            package = PACKAGES.get(how, "torch")
            raise ValueError(
                f"{how}: {package} does not work here ({error_line(fault)}); pip install 'posterkit[gpu]'"
            ) from None
        setattr(parent, name, made.requires_grad_(False).to(home))


class Fp8Linear(nn.Linear):
    """A linear layer with weights in float8_e4m3fn, each row of them scaled to its full range."""

    scale: Tensor

    @classmethod
    def of(cls, layer: nn.Linear, device: torch.device) -> Fp8Linear:
        made = cls(layer.in_features, layer.out_features, layer.bias is not None, device="meta", dtype=torch.bfloat16)
        weight = layer.weight.detach().to(device)
        scale = weight.abs().amax(dim=1).float().clamp_min(1e-12) / _FP8_MOST
        made.weight = nn.Parameter((weight.float() / scale[:, None]).to(torch.float8_e4m3fn), requires_grad=False)
        made.register_buffer("scale", scale)
        if layer.bias is not None:
            made.bias = nn.Parameter(layer.bias.detach().to(device), requires_grad=False)
        return made

    def forward(self, input: Tensor) -> Tensor:
        made = functional.linear(input, self.weight.to(input.dtype)) * self.scale.to(input.dtype)
        return made if self.bias is None else made + self.bias


def nf4_layer(layer: nn.Linear, device: torch.device) -> nn.Module:
    """A layer in bitsandbytes' NF4 with double quantisation; its products are bfloat16."""
    from bitsandbytes.nn import Linear4bit, Params4bit  # pyright: ignore[reportMissingImports]

    made = Linear4bit(layer.in_features, layer.out_features, False, compute_dtype=torch.bfloat16, device="meta")
    weight = layer.weight.detach().to(torch.bfloat16)
    made.weight = Params4bit(weight, quant_type="nf4", compress_statistics=True, module=made)
    if layer.bias is not None:
        made.bias = nn.Parameter(layer.bias.detach().to(torch.bfloat16), requires_grad=False)
    # else a CPU of some kinds packs the weights anew for pictures on the way, and no gradient passes them then
    made.support_avx512bf16_for_cpu = False
    return made.to(device)


def _int8_layer(layer: nn.Linear, device: torch.device) -> nn.Module:
    """A layer in bitsandbytes' int8: what exceeds 6 keeps its dtype, the rest is cast to float16, which holds it."""
    from bitsandbytes.nn import Int8Params, Linear8bitLt  # pyright: ignore[reportMissingImports]

    made = Linear8bitLt(layer.in_features, layer.out_features, False, False, threshold=6.0, device="meta")
    weight = layer.weight.detach().to("cpu", torch.float16)
    made.weight = Int8Params(weight, requires_grad=False, has_fp16_weights=False)
    if layer.bias is not None:
        made.bias = nn.Parameter(layer.bias.detach(), requires_grad=False)
    return made.to(device)


def _torchao_layer(layer: nn.Linear, device: torch.device, kind: str) -> nn.Module:
    from torchao import quantization  # pyright: ignore[reportMissingImports]

    alone = layer.to(device)
    quantization.quantize_(alone, getattr(quantization, kind)())
    return alone


_MAKERS: dict[str, Callable[[nn.Linear, torch.device], nn.Module]] = {
    "nf4": nf4_layer,
    "int8": _int8_layer,
    "torchao_int8": functools.partial(_torchao_layer, kind="Int8WeightOnlyConfig"),
    "torchao_fp8": functools.partial(_torchao_layer, kind="Float8WeightOnlyConfig"),
    "fp8": Fp8Linear.of,
}
