"""How a checkpoint is put on this machine. The only file that asks what the hardware is."""

from __future__ import annotations

import contextlib
import functools
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import torch

from posterkit.documents import read_text
from posterkit.messages import error_line
from posterkit.pipelines.loading import LOAD_FAULTS, add_loras, load_transformer, weight_bytes
from posterkit.pipelines.lora_weights import UNQUANTISED, base_of
from posterkit.pipelines.memory import GB, Preset, Sizes, family_sizes, footprint, waits
from posterkit.pipelines.preset_table import best_way, check_packages, is_installed, least, read_preset
from posterkit.pipelines.quantise import makes_modulation, quantise
from posterkit.pipelines.registry import ModelFamily, family_of, resolve
from posterkit.pipelines.sampling_presets import sampler_named, shift_times

logger = logging.getLogger(__name__)

SMALL = 2 * GB  # of weights: below, half precision and offloading gain nothing
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass(frozen=True)
class Hardware:
    """Where models run."""

    device: torch.device  # such as `cuda:0`, `mps` or `cpu`
    name: str  # of the card or the processor kind
    memory_gb: float  # of the card; of main memory for the CPU
    ram_gb: float  # main memory


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
    """Main memory, or what the container may take of it."""
    limits = [psutil.virtual_memory().total]
    for file in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        with contextlib.suppress(OSError, ValueError):  # "max" means that there is no limit
            limits.append(int(Path(file).read_text()))
    return min(limits) / GB


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
        preset: see `posterkit.pipelines.preset_table.read_preset`; None takes the best that fits the card and main
            memory with the packages that are installed. The CPU needs none.
        device: None takes the best there is.
        dtype: "float32", "bfloat16" or "float16"; None takes bfloat16 on a card, float32 for models of less than 2 GB
            and on the CPU, where main memory holds it, else bfloat16.
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
    other = resolve(transformer) if transformer is not None else None
    kind, plan = _plan(machine, family, name, other, preset, dtype, small)
    check_packages(plan)

    options: dict[str, Any] = {"dtype": kind}
    if other is not None:
        options["transformer"] = load_transformer(other, name, family, kind)
    try:
        pipe = family.pipeline_class().from_pretrained(name, use_safetensors=True, **options)
    except LOAD_FAULTS as fault:
        raise ValueError(f"{name}: cannot be loaded: {error_line(fault)}") from None
    if lora:
        add_loras(pipe, lora)
    if sampler:
        shift_times(pipe, sampler_named(sampler, family.name))
    if machine.device.type == "cpu":
        _say_once(f"no graphics card is used: {str(kind).removeprefix('torch.')} on the CPU with PyTorch's attention")
    elif machine.device.type == "cuda" and family.attention_backends:
        fault = use_attention(pipe.transformer, "xformers", machine.device, kind)
        if fault is not None:
            _say_once(f"xformers is not used ({fault}); PyTorch's own attention is")
    place(pipe, plan, machine.device, family.name, kind)
    return pipe


def _plan(
    machine: Hardware, family: ModelFamily, model: str, transformer: str | None, preset: str | None,
    dtype: str | torch.dtype | None, small: bool,
) -> tuple[torch.dtype, Preset]:  # fmt: skip
    """The dtype and the preset; whatever cannot fit is refused before anything loads."""
    kind = _dtype(dtype, machine, small)
    if machine.device.type != "cuda" and preset is not None:
        read_preset(preset, family.name)  # a wrong name is an error on every machine
        _say_once(f"preset {preset} is for NVIDIA cards; on {machine.device.type} everything is loaded whole")
    elif preset is not None:
        return kind, read_preset(preset, family.name)
    sizes = family_sizes(family.name)
    if small or sizes is None:
        return kind, Preset()
    sizes = sizes.of_folder(Path(model))
    if transformer is not None:
        sizes = _with_transformer(sizes, Path(transformer))
    card, ram = machine.memory_gb * GB, machine.ram_gb * GB
    if machine.device.type == "cuda":
        plan = best_way(sizes, card, ram, is_installed)
        if plan is None:
            needs = least(sizes)
            raise ValueError(
                f"{family.title} does not fit: it needs {needs.card / GB:.1f} GB of a card and "
                f"{needs.ram / GB:.1f} GB of main memory at least, here are {card / GB:.1f} and {ram / GB:.1f}; "
                "posterkit doctor says more"
            )
        return kind, plan
    needs = {width: footprint(Preset(), sizes, machine.device.type, width).ram for width in (2, 4)}
    if dtype is None and kind is torch.float32 and needs[4] > ram:
        kind = torch.bfloat16
    if needs[kind.itemsize] > ram:
        raise ValueError(
            f"{family.title} in {str(kind).removeprefix('torch.')} needs {needs[kind.itemsize] / GB:.0f} GB of main "
            f"memory, here are {ram / GB:.0f}; posterkit doctor says more"
        )
    return kind, Preset()


def _with_transformer(sizes: Sizes, source: Path) -> Sizes:
    """The sizes with a transformer that is quantised already; any other is as large as the table's."""
    if source.suffix == ".gguf" and source.is_file():
        return sizes.with_transformer(source.stat().st_size)
    if (source / "config.json").is_file() and "quantization_config" in read_text(source / "config.json"):
        return sizes.with_transformer(weight_bytes(str(source)) or 0)
    return sizes


def _dtype(asked: str | torch.dtype | None, machine: Hardware, small: bool) -> torch.dtype:
    if isinstance(asked, torch.dtype):
        return asked
    if asked is not None:
        if asked not in DTYPES:
            raise ValueError(f"dtype {asked!r} is unknown; accepted are {', '.join(DTYPES)}")
        return DTYPES[asked]
    return torch.float32 if machine.device.type == "cpu" or small else torch.bfloat16


def place(pipe: Any, plan: Preset, device: torch.device, family: str, dtype: torch.dtype) -> None:
    """Bring a pipeline from main memory to where a preset wants it, one model after the other."""
    transformer = pipe.transformer
    if plan.quantize and transformer is not None:
        setattr(transformer, UNQUANTISED, base_of(transformer))
    for name, part in pipe.components.items():
        if isinstance(part, torch.nn.Module):
            home = torch.device("cpu") if waits(name, plan) else device
            _quantise_part(name, part, plan, family, device, home, dtype)
            part.to(home)
    if plan.tile_vae and pipe.vae is not None:
        tile(pipe.vae)
    if plan.offload == "model":
        pipe.enable_model_cpu_offload(device=device)
    elif plan.offload in ("text", "group"):
        group_offload(pipe, device, plan.offload == "group")
    if transformer is not None and plan.cache is not None:
        from diffusers import FirstBlockCacheConfig

        transformer.enable_cache(FirstBlockCacheConfig(threshold=plan.cache))
    if transformer is not None and plan.compile:
        transformer.compile_repeated_blocks()


def _quantise_part(
    name: str, part: torch.nn.Module, plan: Preset, family: str, device: torch.device, home: torch.device,
    dtype: torch.dtype,
) -> None:  # fmt: skip
    how, modulation = plan.quantize.get(name), None
    sizes = family_sizes(family)
    names = sizes.modulation if sizes else ()
    if name == "transformer":
        modulation = plan.quantize.get("modulation")
    if how is None and modulation is None:
        return
    quantise(part, lambda path: modulation if makes_modulation(path, names) else how, device, home, dtype)
    kinds: Any = part  # peft asks for these two
    kinds.is_loaded_in_4bit, kinds.is_loaded_in_8bit = how == "nf4", how == "int8"


def tile(vae: Any, side: int = 512) -> None:
    """Encode and decode in tiles of so many pixels with a quarter of overlap; smaller ones cost more seams."""
    vae.enable_tiling()
    if hasattr(vae, "tile_sample_min_height"):
        vae.enable_tiling(side, side, side * 3 // 4, side * 3 // 4)
    else:
        vae.tile_sample_min_size, vae.tile_latent_min_size = side, side // 8


def group_offload(pipe: Any, device: torch.device, transformer: bool = True) -> None:
    """The text encoders' layers, and the transformer's blocks, take turns on the card; the autoencoder stays there.

    A text encoder has no blocks that diffusers knows, so that T5 (9.5 GB) and Qwen2.5-VL (16.6 GB) would be one group
    each. An autoencoder's `encode` and `decode` go round `forward`, where the hooks that move it stand.
    """
    from diffusers.hooks import apply_group_offloading

    # without streams: with them, and recorded, images came out wrong or not at all (diffusers issue 12673)
    blocks: dict[str, Any] = {"offload_type": "block_level", "num_blocks_per_group": 1}
    for name, part in pipe.components.items():
        if name == "transformer" and transformer:
            apply_group_offloading(part, onload_device=device, **blocks)
        elif name.startswith("text_encoder") and part is not None:
            apply_group_offloading(part, onload_device=device, offload_type="leaf_level")
        elif isinstance(part, torch.nn.Module):
            part.to(device)


@functools.cache
def _say_once(message: str) -> None:
    logger.warning(message)
