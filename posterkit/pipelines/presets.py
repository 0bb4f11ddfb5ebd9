"""How a checkpoint is put on this machine. The only file that asks what the hardware is."""

from __future__ import annotations

import difflib
import functools
import importlib.util
import logging
import os
import sysconfig
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import torch

from posterkit.documents import read_text, read_yaml
from posterkit.messages import error_line
from posterkit.pipelines.loading import LOAD_FAULTS, add_loras, load_transformer, weight_bytes
from posterkit.pipelines.registry import FAMILIES, ModelFamily, family_of, resolve
from posterkit.pipelines.sampling_presets import sampler_named, shift_times

logger = logging.getLogger(__name__)

GB = 10**9  # as cards are sold
SMALL = 2 * GB  # of weights: below, half precision and offloading gain nothing
OFFLOADS = ("none", "model", "group")
QUANTIZATIONS = ("nf4", "int8")
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass(frozen=True)
class Hardware:
    """Where models run.

    Attributes:
        device: such as `cuda:0`, `mps` or `cpu`.
        name: of the card or the processor kind.
        memory_gb: of the card; of main memory for the CPU.
        ram_gb: main memory.
    """

    device: torch.device
    name: str
    memory_gb: float
    ram_gb: float


@dataclass(frozen=True)
class Preset:
    """How one family of models fits a card.

    Attributes:
        quantize: component -> "nf4" or "int8" (bitsandbytes).
        offload: "none": all on the card; "model": models take turns; "group": their blocks take turns.
        tile_vae: decode in tiles.
    """

    quantize: dict[str, str] = field(default_factory=dict)
    offload: str = "none"
    tile_vae: bool = False


def hardware(device: str | torch.device | None = None) -> Hardware:
    """The asked device, or the best there is: an NVIDIA card, Apple's, else the CPU.

    Raises:
        ValueError: the device is unknown or not there.
    """
    if device is None:
        device = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        chosen = torch.device(device)
    except RuntimeError:
        raise ValueError(f"device {device!r} is unknown; accepted are cpu, cuda, cuda:N and mps") from None
    ram = _ram_gb()
    if chosen.type == "cuda":
        if not torch.cuda.is_available() or (chosen.index or 0) >= torch.cuda.device_count():
            raise ValueError(f"device {device}: there are {torch.cuda.device_count()} NVIDIA cards that torch can use")
        card = torch.cuda.get_device_properties(chosen)
        return Hardware(chosen, card.name, card.total_memory / GB, ram)
    if chosen.type == "mps" and not torch.backends.mps.is_available():
        raise ValueError("device mps: there is no Apple GPU that torch can use")
    if chosen.type not in ("cpu", "mps"):
        raise ValueError(f"device {device!r} is not supported; accepted are cpu, cuda, cuda:N and mps")
    return Hardware(chosen, chosen.type, ram, ram)


def _ram_gb() -> float:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / GB
    except (ValueError, AttributeError, OSError):  # Windows has no sysconf
        return 0.0


def use_attention(
    transformer: Any, backend: str, device: torch.device, dtype: torch.dtype = torch.bfloat16, trains: bool = False
) -> str | None:
    """Give a transformer one of diffusers' attention backends if a real call of it works, else PyTorch's own.

    An import proves little: wheels load beside a torch that they were not built for, and fail at the first call.

    Args:
        backend: such as "xformers" or "flash".
        dtype: of queries, keys and values.
        trains: the backward pass has to work as well.

    Returns:
        Why it cannot be used; None where it can.
    """
    from diffusers.models.attention_dispatch import dispatch_attention_fn

    try:
        transformer.set_attention_backend(backend)
        generator = torch.Generator(device).manual_seed(0)
        drawn = torch.randn(3, 1, 64, 2, 128, device=device, dtype=dtype, generator=generator)
        inputs = [one.requires_grad_(trains) for one in drawn]
        made = dispatch_attention_fn(*inputs, backend=backend)  # pyright: ignore[reportArgumentType] - its name will do
        expected = dispatch_attention_fn(*inputs, backend="native")  # pyright: ignore[reportArgumentType]
        pairs = [(made, expected)]
        if trains:
            pairs += zip(
                *(torch.autograd.grad(one.float().square().sum(), inputs) for one in (made, expected)), strict=True
            )
        for one, other in pairs:
            torch.testing.assert_close(one, other, atol=2e-2, rtol=2e-2)
    except Exception as fault:  # a broken build fails in its own ways
        transformer.set_attention_backend("native")
        return error_line(fault)
    return None


def preset_names() -> list[str]:
    """The shipped presets, smallest card first."""
    return sorted((file.stem for file in _preset_folder().glob("*.yaml")), key=lambda name: _card_gb(name))


def read_preset(name: str, family: str) -> Preset:
    """What a preset says of a family.

    Args:
        name: of a shipped preset, or a YAML file of one's own.
        family: its name; a preset without a part for it loads everything whole.

    Raises:
        ValueError: there is none of that name, or it says something unknown.
    """
    file = Path(name) if name.endswith((".yaml", ".yml")) else _preset_folder() / f"{name}.yaml"
    if not file.is_file():
        raise ValueError(f"preset {name!r} is unknown; there are {', '.join(preset_names())}, or give a YAML file")
    content = read_yaml(read_text(file), str(file))
    _check_keys(file, content, ("memory_gb", "ram_gb", *FAMILIES))
    said = content.get(family) or {}
    _check_keys(file, said, tuple(f.name for f in fields(Preset)))
    _check_keys(file, said.get("quantize", {}), ("transformer", "text_encoder", "text_encoder_2"))
    preset = Preset(**said)
    for component, how in preset.quantize.items():
        if how not in QUANTIZATIONS:
            raise ValueError(
                f"{file}: {family}.quantize.{component} is {how!r}; accepted are {', '.join(QUANTIZATIONS)}"
            )
    if preset.offload not in OFFLOADS:
        raise ValueError(f"{file}: {family}.offload is {preset.offload!r}; accepted are {', '.join(OFFLOADS)}")
    return preset


def preset_needs(name: str) -> tuple[float, dict[str, float]]:
    """What a shipped preset is made for: GB of the card, and GB of main memory for each family."""
    content = read_yaml((_preset_folder() / f"{name}.yaml").read_text(encoding="utf-8"))
    return content["memory_gb"], content["ram_gb"]


def choose_preset(memory_gb: float) -> str:
    """The shipped preset for a card: the largest that is not made for a larger card (which report up to 7 % less)."""
    names = preset_names()
    fitting = [name for name in names if _card_gb(name) * 0.93 <= memory_gb]
    return (fitting or names)[-1 if fitting else 0]


def load_pipeline(
    model: str | Path,
    *,
    transformer: str | Path | None = None,
    lora: str | Sequence[str] | None = None,
    preset: str | None = None,
    device: str | torch.device | None = None,
    dtype: str | torch.dtype | None = None,
    sampler: str | None = None,
) -> Any:
    """Load a checkpoint into the pipeline that its index asks for, and put it on this machine.

    Args:
        model: a folder, a hub id, or `mini:postercraft` and `mini:posteromni`. A recipe's run folder stands for its
            averaged weights, here and for the next two.
        transformer: goes in instead of the model's own: a folder, a hub id or one safetensors file.
        lora: one or several, `=0.8` behind one is its weight.
        preset: a name (8gb, 16gb, 24gb, 48gb, 80gb) or a YAML file; None chooses by the card. The CPU needs none.
        device: None takes the best there is.
        dtype: "float32", "bfloat16" or "float16"; None takes bfloat16 on a card, float32 on the CPU and for models of
            less than 2 GB.
        sampler: a preset for few-step LoRAs, whose shift the scheduler gets; its steps and guidance are the caller's.

    Returns:
        PosterCraftPipeline or PosterOmniPipeline.

    Raises:
        ValueError: a part cannot be loaded or does not fit; one line that names it.
    """
    name = resolve(model)
    family = family_of(name)
    machine = hardware(device)
    size = weight_bytes(name)
    small = size is not None and size < SMALL and preset is None
    kind = _dtype(dtype, machine, small)
    plan = _plan(machine, family.name, preset, small)

    parts = {}
    if transformer is not None:
        how = _quantization(plan, kind, ("transformer",))
        how = how.quant_mapping["transformer"] if how else None
        parts["transformer"] = load_transformer(resolve(transformer), name, family, kind, how)
    quantized = tuple(part for part in plan.quantize if part not in parts)
    pipe = _open(name, family, parts | {"dtype": kind}, _quantization(plan, kind, quantized))
    if lora:
        add_loras(pipe, lora)
    if sampler:
        shift_times(pipe, sampler_named(sampler, family.name))
    _place(pipe, plan, machine, family, kind)
    return pipe


def _open(model: str, family: ModelFamily, options: dict[str, Any], quantization: Any) -> Any:
    if quantization:
        options = options | {"quantization_config": quantization}
    try:
        return family.pipeline_class().from_pretrained(model, use_safetensors=True, **options)
    except LOAD_FAULTS as fault:
        raise ValueError(f"{model}: cannot be loaded: {error_line(fault)}") from None


def _dtype(asked: str | torch.dtype | None, machine: Hardware, small: bool) -> torch.dtype:
    if isinstance(asked, torch.dtype):
        return asked
    if asked is not None:
        if asked not in DTYPES:
            raise ValueError(f"dtype {asked!r} is unknown; accepted are {', '.join(DTYPES)}")
        return DTYPES[asked]
    return torch.float32 if machine.device.type == "cpu" or small else torch.bfloat16


def _plan(machine: Hardware, family: str, preset: str | None, small: bool) -> Preset:
    if machine.device.type != "cuda":
        if preset is not None:
            read_preset(preset, family)  # a wrong name is an error on every machine
            _say_once(f"preset {preset} is for NVIDIA cards; on {machine.device.type} everything is loaded whole")
        return Preset()
    if small:
        return Preset()
    return read_preset(preset or choose_preset(machine.memory_gb), family)


def _quantization(plan: Preset, dtype: torch.dtype, components: tuple[str, ...]) -> Any:
    """What `from_pretrained` wants, for those of the components that the preset quantizes; None for none."""
    import diffusers
    import transformers
    from diffusers.quantizers import PipelineQuantizationConfig

    components = tuple(component for component in components if component in plan.quantize)
    if components and not importlib.util.find_spec("bitsandbytes"):
        raise ValueError(
            f"the preset quantizes {', '.join(components)}, which needs bitsandbytes: pip install 'posterkit[gpu]', "
            "or take --preset 8gb, which does without"
        )
    options = {
        "nf4": {"load_in_4bit": True, "bnb_4bit_quant_type": "nf4", "bnb_4bit_compute_dtype": dtype},
        "int8": {"load_in_8bit": True},
    }
    mapping = {}
    for component in components:
        library: Any = diffusers if component == "transformer" else transformers
        mapping[component] = library.BitsAndBytesConfig(**options[plan.quantize[component]])
    return PipelineQuantizationConfig(quant_mapping=mapping) if mapping else None


def _place(pipe: Any, plan: Preset, machine: Hardware, family: ModelFamily, dtype: torch.dtype) -> None:
    """Attention, tiling, offloading; on the CPU nothing but a word about it."""
    if machine.device.type == "cpu":
        _say_once(f"no graphics card is used: {str(dtype).removeprefix('torch.')} on the CPU with PyTorch's attention")
        return
    if machine.device.type == "cuda" and family.attention_backends:
        fault = use_attention(pipe.transformer, "xformers", machine.device, dtype)
        if fault is not None:
            _say_once(f"xformers is not used ({fault}); PyTorch's own attention is")
    if plan.tile_vae:
        pipe.vae.enable_tiling()
    if plan.offload == "model":
        pipe.enable_model_cpu_offload(device=machine.device)
    elif plan.offload == "group":
        group_offload(pipe, machine.device)
    else:
        pipe.to(machine.device)


def group_offload(pipe: Any, device: torch.device) -> None:
    """The transformer's blocks and the text encoders' layers take turns on the card; the autoencoder stays there.

    A text encoder has no blocks that diffusers knows, so that T5 (9.5 GB) and Qwen2.5-VL (16.6 GB) would be one group
    each. An autoencoder's `encode` and `decode` go round `forward`, where the hooks that move it stand.
    """
    from diffusers.hooks import apply_group_offloading

    # without streams: with them, and recorded, images came out wrong or not at all (diffusers issue 12673)
    levels = {"transformer": {"offload_type": "block_level", "num_blocks_per_group": 1}}
    for name, part in pipe.components.items():
        if name == "vae":
            part.to(device)
        elif isinstance(part, torch.nn.Module):
            level: dict[str, Any] = levels.get(name, {"offload_type": "leaf_level"})
            apply_group_offloading(part, onload_device=device, **level)


def _preset_folder() -> Path:
    """Beside the package in a checkout; where the wheel puts data files else."""
    checkout = Path(__file__).parents[2] / "configs" / "presets"
    return checkout if checkout.is_dir() else Path(sysconfig.get_path("data")) / "share" / "posterkit" / "presets"


def _card_gb(name: str) -> int:
    return int(name.removesuffix("gb"))


def _check_keys(file: Path, content: Any, known: tuple[str, ...]) -> None:
    if not isinstance(content, dict):
        raise ValueError(f"{file}: must hold keys and values, found {content!r}")
    for key in content:
        if key not in known:
            near = difflib.get_close_matches(str(key), known, 1)
            hint = f'did you mean "{near[0]}"?' if near else f"accepted are {', '.join(known)}"
            raise ValueError(f'{file}: unknown key "{key}" ({hint})')


@functools.cache
def _say_once(message: str) -> None:
    logger.warning(message)
