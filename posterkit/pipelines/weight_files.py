"""A transformer in one file: recognised by its keys, checked against the base, brought to diffusers' names and dtype.

Read are safetensors in the names of diffusers, of FLUX.1's authors and of ComfyUI, in float, fp8 and scaled fp8, and
GGUF. No key is left over and no tensor is missing, or the file is refused.
"""

from __future__ import annotations

import importlib.util
import math
import struct
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from accelerate import init_empty_weights
from safetensors import SafetensorError, safe_open
from torch import Tensor

from posterkit.messages import error_line, one_line
from posterkit.pipelines.registry import FAMILIES, ModelFamily

_PREFIXES = ("model.diffusion_model.", "diffusion_model.")
_OTHER_PARTS = (
    "vae.",
    "text_encoders.",
    "first_stage_model.",
    "cond_stage_model.",
)  # of a whole checkpoint in one file
_SCALES = ("scale_weight", "weight_scale")  # ComfyUI's, old and new
_ONLY_FOR_FP8_PRODUCTS = (
    "scale_input",
    "input_scale",
)  # the activations' scale, which products in bfloat16 do not need
_FP8 = (torch.float8_e4m3fn, torch.float8_e5m2)
_MOST_ENTRIES = 100_000  # of a GGUF file's header
# part of a key, and what a file that has it holds
_KINDS = (
    ("lora_", "a LoRA; give it to --lora"),
    ("joint_blocks.", "a transformer of Stable Diffusion 3"),
    ("input_blocks.", "a U-Net of Stable Diffusion"),
    ("down_blocks.", "a U-Net or an autoencoder"),
    ("decoder.up", "an autoencoder"),
    ("text_model.", "a CLIP encoder"),
    ("encoder.block.", "a T5 encoder"),
    ("model.layers.", "a language model"),
)


def read_transformer_file(path: Path, model: str, family: ModelFamily, dtype: Any) -> Any:
    """The transformer of a file, on the CPU.

    Args:
        path: .safetensors or .gguf.
        model: the base whose config it must fit, a folder or a hub id.
        family: the base's.
        dtype: as `from_pretrained` takes it; a GGUF file stays as it is quantised.

    Raises:
        ValueError: one line that says what was found.
    """
    import diffusers

    transformer = getattr(diffusers, family.transformer)
    config = transformer.load_config(model, subfolder="transformer")
    where = {"config": model, "subfolder": "transformer", "dtype": dtype}
    if path.suffix == ".gguf":
        check_tensors(_gguf_shapes(path), family, transformer, config)
        quantizer = diffusers.GGUFQuantizationConfig(compute_dtype=dtype)
        return transformer.from_single_file(str(path), quantization_config=quantizer, **where)
    if path.suffix != ".safetensors":
        raise ValueError(f"a {path.suffix or 'nameless'} file; only .safetensors files are read, and .gguf")
    try:
        with safe_open(path, "pt") as file:
            keys = list(file.keys())
            names = transformer_names(keys)
            scales = {name for name in names if name.rpartition(".")[2] in _SCALES}
            shapes = {
                name: tuple(file.get_slice(key).get_shape()) for name, key in names.items() if name not in scales
            }
            check_tensors(shapes, family, transformer, config)
            weights = {name: _dequantised(name, names, file.get_tensor, dtype) for name in shapes}
    except SafetensorError as fault:
        raise ValueError(f"not a whole safetensors file ({error_line(fault)})") from None
    return transformer.from_single_file(weights, **where)


def transformer_names(keys: Iterable[str]) -> dict[str, str]:
    """The keys of a file that belong to its transformer, by their names without ComfyUI's prefix.

    Of a whole checkpoint in one file the other parts are left out; activation scales and markers are too.
    """
    keys = list(keys)
    prefix = next((one for one in _PREFIXES if any(key.startswith(one) for key in keys)), "")
    found = {}
    for key in keys:
        if prefix and not key.startswith(prefix) and key.startswith(_OTHER_PARTS):
            continue
        name = key.removeprefix(prefix)
        if name != "scaled_fp8" and name.rpartition(".")[2] not in (*_ONLY_FOR_FP8_PRODUCTS, "comfy_quant"):
            found[name] = key
    return found


def check_tensors(
    shapes: Mapping[str, tuple[int, ...]], family: ModelFamily, transformer: type, config: Mapping[str, Any]
) -> None:
    """Compare names and shapes with those of a base's transformer; nothing but names and shapes is touched.

    Args:
        shapes: of the file's tensors, by their names in diffusers' or the authors' layout.
        transformer: diffusers' class, config: of the base.

    Raises:
        ValueError: it holds something else, a tensor is missing or left over, or one has another shape.
    """
    kind = what_it_holds(shapes)
    if kind != family.name:
        if kind in FAMILIES:
            raise ValueError(f"holds a transformer of {kind}; the base is of {family.name}")
        raise ValueError(f"holds {kind}, no transformer of {family.title}")
    found = {name: torch.empty(shape, device="meta") for name, shape in shapes.items()}
    if any(name.startswith("double_blocks.") for name in shapes):
        found = _to_diffusers(found)
    with init_empty_weights():
        expected = transformer.from_config(config).state_dict()  # type: ignore[attr-defined]
    if missing := sorted(expected.keys() - found.keys()):
        raise ValueError(f"lacks {len(missing)} of {len(expected)} tensors, first {missing[0]}")
    if unknown := sorted(found.keys() - expected.keys()):
        raise ValueError(f"holds {len(unknown)} tensors that the base does not have, first {one_line(unknown[0], 80)}")
    for name, value in expected.items():
        if found[name].shape != value.shape:
            raise ValueError(f"its {name} is {tuple(found[name].shape)}, the base needs {tuple(value.shape)}")


def what_it_holds(names: Iterable[str]) -> str:
    """The name of a family, or in words what else the tensors are."""
    names = list(names)
    if not any("lora_" in name for name in names):
        for family in FAMILIES.values():
            if any(family.file_key in name for name in names):
                return family.name
    for part, words in _KINDS:
        if any(part in name for name in names):
            return words
    return f"{len(names)} tensors such as {one_line(min(names), 60)}" if names else "no tensor"


def _to_diffusers(found: dict[str, Tensor]) -> dict[str, Tensor]:
    """diffusers' names for those of FLUX.1's authors; what no name is known for stays as it is."""
    from diffusers.loaders.single_file_utils import convert_flux_transformer_checkpoint_to_diffusers

    left = dict(found)
    try:
        made = convert_flux_transformer_checkpoint_to_diffusers(left)
    except KeyError as error:
        raise ValueError(f"lacks {error.args[0]}") from None
    except (IndexError, RuntimeError) as error:
        raise ValueError(f"its blocks are not FLUX.1's ({error_line(error)})") from None
    return {**made, **left}


def _dequantised(name: str, names: Mapping[str, str], read: Any, dtype: torch.dtype) -> Tensor:
    """A tensor in the dtype to compute in; fp8 with a scale is multiplied by it in float32."""
    value = read(names[name])
    layer = name.removesuffix(".weight")
    scale = next((read(names[key]) for one in _SCALES if (key := f"{layer}.{one}") in names), None)
    if name.endswith(".weight") and scale is not None:
        if value.dtype not in _FP8 or scale.numel() not in (1, value.shape[0]):
            raise ValueError(f"{name}: {value.dtype} with a scale of {tuple(scale.shape)}; scaled fp8 is read")
        rows = scale.float().reshape(-1, *(1,) * (value.ndim - 1)) if scale.numel() > 1 else scale.float().reshape(())
        value = value.float() * rows
    elif value.dtype not in (*_FP8, torch.float32, torch.bfloat16, torch.float16, torch.float64):
        raise ValueError(f"{name} is {str(value.dtype).removeprefix('torch.')}, a quantisation that is not read")
    return value.to(dtype)


def _gguf_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """Names and shapes of a GGUF file's tensors."""
    if not importlib.util.find_spec("gguf"):
        raise ValueError("GGUF needs the package gguf: pip install gguf")
    with path.open("rb") as file:
        head = file.read(24)
    if head[:4] != b"GGUF" or len(head) < 24 or max(struct.unpack("<QQ", head[8:])) > _MOST_ENTRIES:
        raise ValueError("not a GGUF file, or its head is damaged")
    from gguf import GGUFReader

    try:
        shapes = {one.name: tuple(int(n) for n in reversed(one.shape)) for one in GGUFReader(path).tensors}
    except Exception as error:  # its parser trusts every length, and fails in many ways
        raise ValueError(f"not a whole GGUF file ({error_line(error)})") from None
    if any(math.prod(shape) > 2**40 for shape in shapes.values()):
        raise ValueError("not a GGUF file that can be read: its tensors are too large")
    names = transformer_names(shapes)
    return {name: shapes[key] for name, key in names.items()}


def quantised_by(config: Mapping[str, Any]) -> None:
    """Raise ValueError where a folder's weights are quantised by a package that is not installed."""
    found = config.get("quantization_config")
    method = found.get("quant_method") if isinstance(found, dict) else None
    package = {"bitsandbytes": "bitsandbytes", "torchao": "torchao", "gguf": "gguf", "quanto": "optimum"}.get(
        str(method)
    )
    if method and package is None:
        raise ValueError(f"is quantised by {one_line(str(method), 40)}, which is not read")
    if package and not importlib.util.find_spec(package):
        raise ValueError(f"is quantised by {method}, which is not installed: pip install {package}")
