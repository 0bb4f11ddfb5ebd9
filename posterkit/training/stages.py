"""The common parts of the stages after pretraining: configs, the model to start from, PosterOmni's batches."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import torch
from diffusers.loaders.lora_base import LORA_WEIGHT_NAME_SAFE

from posterkit.messages import error_line
from posterkit.pipelines.loading import LOAD_FAULTS, quiet_bars
from posterkit.pipelines.lora_weights import UNQUANTISED, base_of, note_fused
from posterkit.pipelines.presets import hardware, use_attention
from posterkit.pipelines.quantise import quantise
from posterkit.pipelines.registry import family_named, family_of, is_hub_id, resolve_folder, start_of
from posterkit.training.adapters import Adapter
from posterkit.training.config import Count, NotNegative, Positive, Share, ShareBelow1
from posterkit.training.loading.batches import encoded_batches
from posterkit.training.loading.prefetch import Mixture
from posterkit.training.loading.sets import Posters, PosterSet, SetConfig, TextOnArt, open_set
from posterkit.training.lora import Trainable, fuse_adapter, load_adapter, set_trainable
from posterkit.training.protocols import Loader, RunView
from posterkit.training.sharding import reads_nothing
from posterkit.training.strategies import StrategyConfig

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "nf4": torch.bfloat16}  # that a base is loaded in


@dataclass
class StageConfig(StrategyConfig):
    """The config of every stage after pretraining.

    Attributes:
        trainable: all weights of the transformer, or a LoRA on it; text encoders and autoencoder are frozen.
        base: dtype of text encoders, so of the states that are kept of their words, and under a LoRA of the frozen
            transformer; weights that train are float32 in any case. nf4 = 4 bits, for a LoRA on a small card.
        attention: native = PyTorch's; xformers, flash (flash-attn) = where a real call of it works on the card, else
            PyTorch's, which is said. PosterOmni's padding masks are left to PyTorch. Not yet run on a GPU.
        compile: compile the transformer's blocks (torch.compile): a minute or two at the first step of each size, and
            faster steps after it. Not yet run on a GPU.
        drop_prompt: share of samples whose words are dropped, for classifier-free guidance.
        time: density of timesteps; `time_shift` moves it towards noise, and null as far as the checkpoint's scheduler
            moves the times of sampling at the batch's size: the more tokens, the farther.
        sample_steps: sampling steps of the pictures on the way; null takes the checkpoint's own.
        sample_guidance: the scale given to a guidance-distilled transformer for them; null takes the checkpoint's own.
    """

    trainable: Trainable = field(default_factory=Trainable)
    base: Literal["fp32", "bf16", "nf4"] = "fp32"
    attention: Literal["native", "xformers", "flash"] = "native"
    compile: bool = False
    data: SetConfig = field(default_factory=SetConfig)
    drop_prompt: Share = 0.0
    time: Literal["uniform", "logit_normal"] = "uniform"
    time_shift: Positive | None = 1.0
    sample_steps: Count | None = None
    sample_guidance: NotNegative | None = None

    @property
    def base_family(self) -> str:
        """The family of the base that it trains."""
        return getattr(self, "family", "postercraft")

    def check(self) -> None:
        super().check()
        if self.init_from is None:
            raise ValueError("init_from is null; a stage starts from a former stage's run folder or a checkpoint")
        if self.compile and self.trainable.swap:
            raise ValueError("compile and trainable.swap do not go together; take one of them")
        if self.base == "nf4" and self.trainable.weights == "full":
            raise ValueError("base is nf4, which is frozen; it takes trainable.weights=lora or dora, not full")
        if self.base != "fp32" and self.precision == "fp32" and self.trainable.weights != "full":
            raise ValueError(
                f"base is {self.base} and precision fp32, but a base in bfloat16 computes in it under a LoRA; "
                "take precision=bf16, or base=fp32"
            )


@dataclass
class OmniConfig(StageConfig):
    """
    Attributes:
        text: the set of rendered text that is mixed in; null for its path draws text over procedural art.
        text_share: of the micro-batches that are of rendered text, spread evenly between those of the tasks.
    """

    trainable: Trainable = field(default_factory=lambda: Trainable("lora"))
    text: SetConfig = field(default_factory=SetConfig)
    text_share: ShareBelow1 = 0.2

    @property
    def base_family(self) -> str:
        return "posteromni"

    def check(self) -> None:
        super().check()
        if self.trainable.weights == "full":
            raise ValueError("trainable.weights is full; PosterOmni's experts and their student are lora or dora")


def open_stage(config: StageConfig, family: str, lora: str = "default") -> Adapter:
    """The model that a stage trains, an adapter with frozen text encoders, and in it what trains.

    Args:
        lora: the name of the LoRA, where one trains.

    Raises:
        FileNotFoundError: `init_from` names no folder.
        ValueError: it holds no checkpoint, one of the other family, or one that cannot be loaded; or the LoRA's
            targets fit no layer; or bitsandbytes does not work here and the base is to be in 4 bits.
    """
    assert config.init_from is not None
    quiet_bars()
    full = config.trainable.weights == "full"
    model = open_start(config.init_from, family, DTYPES[config.base], full, hollow=full and reads_nothing(config))
    device, transformer = hardware().device, model.parts["transformer"]
    if config.base == "nf4":
        quantise_base(model, device)
    if config.attention != "native":
        dtype = torch.bfloat16 if config.precision == "bf16" else torch.float32
        fault = "its padding masks are left to PyTorch"
        if family_named(family).attention_backends:
            fault = use_attention(transformer, config.attention, device, dtype, trains=True)
        if fault and os.environ.get("RANK", "0") == "0":
            print(f"attention {config.attention} is not used ({fault}); PyTorch's own is", flush=True)
    set_trainable(model.module, config.trainable, lora)
    if config.compile:
        transformer.compile_repeated_blocks()
    return model


def quantise_base(model: Adapter, device: torch.device) -> None:
    """Bring an adapter's frozen transformer and its large text encoders to 4 bits (QLoRA, arXiv 2305.14314).

    bitsandbytes' NF4 with double quantisation, layer by layer on the device; what stands around the blocks, CLIP and
    Qwen's eyes stay bfloat16. FLUX.1-dev's transformer then takes about 7 GB instead of 24, Qwen-Image-Edit's 12
    instead of 41. A LoRA of the stage before has been added by then, in bfloat16. The transformer stays on the device,
    the text encoders go back. Not yet run on a GPU. ValueError where bitsandbytes does not work on this machine.
    """
    transformer = model.parts["transformer"]
    setattr(transformer, UNQUANTISED, base_of(transformer))
    readers = [getattr(reader, "encoder", None) or reader.model.language_model for reader in model.readers[-1:]]
    for module in (transformer, *readers):
        quantise(module, lambda path: "nf4", device, device, torch.bfloat16)
    transformer.is_loaded_in_4bit = True  # peft asks for it
    model.readers[-1].to("cpu")


def open_start(
    name: str,
    family: str,
    dtype: torch.dtype = torch.float32,
    trains: bool = False,
    hollow: bool = False,
    after: tuple[Path, ...] = (),
) -> Adapter:
    """The adapter of what a stage starts from: a checkpoint, or the run folder of a former stage.

    A former stage that trained a LoRA left that alone: it is added to the weights that the stage itself started from.

    Args:
        name: a folder, a hub id, or `mini:postercraft`.
        dtype: of text encoders and transformer.
        trains: the transformer is float32 whatever the dtype.
        hollow: its weights are not read, since another process does.
        after: the former stages that led here.

    Raises:
        FileNotFoundError, ValueError: as `open_stage`; or a former stage started from itself.
    """
    hub = is_hub_id(name)
    folder = Path(name) if hub else Path(resolve_folder(name))
    if (folder / LORA_WEIGHT_NAME_SAFE).is_file():
        record = Path(name) / "config.yaml"
        if not record.is_file():
            raise ValueError(f"{name}: holds a LoRA alone; give the run folder, whose config.yaml names its base")
        start = start_of(record.parent)
        if start is None or folder.resolve() in after:
            fault = "started from itself" if start else "does not say with init_from: what it started from"
            raise ValueError(f"{record}: its run {fault}")
        model = open_start(start, family, dtype, trains, hollow, (*after, folder.resolve()))
        if hollow:
            return model
        transformer = model.parts["transformer"]
        load_adapter(transformer, "former", folder)
        before = base_of(transformer)
        fuse_adapter(transformer, "former")
        note_fused(transformer, before, folder / LORA_WEIGHT_NAME_SAFE)
        return model
    if not hub and not (folder / "model_index.json").is_file() and (folder / "last").is_dir():
        raise ValueError(f"{name}: the run in this folder has not come to its end; start it again, it goes on")
    found = family_of(str(folder))
    if found.name != family:
        raise ValueError(f"{name}: is a checkpoint of {found.name}; this stage trains {family}")
    try:
        model = found.adapter_class().from_pretrained(folder, frozen_text=True, hollow=hollow, dtype=dtype)
    except LOAD_FAULTS as fault:
        raise ValueError(f"{name}: cannot be loaded: {error_line(fault)}") from None
    if trains:
        model.parts["transformer"].float()
    return model


def omni_batches(config: OmniConfig, tasks: Sequence[str], model: Adapter, run: RunView) -> tuple[PosterSet, Loader]:
    """The posters of some tasks, all drawn alike often, and batches of them with rendered text between.

    ValueError where the set holds nothing of a task, no batch can be filled, or `config.data.tasks` names another
    task.
    """
    chosen = config.data.tasks or list(tasks)
    if foreign := [task for task in chosen if task not in tasks]:
        raise ValueError(f"data.tasks holds {', '.join(foreign)}; this run learns {', '.join(tasks)}")
    posters = open_set(replace(config.data, tasks=chosen), run, Posters(config.data, tuple(chosen)))
    if missing := sorted(set(chosen) - {row["task"] for row in posters.train.rows}):
        raise ValueError(f"{posters.train.index}: holds no sample of {', '.join(missing)}; see data.tasks")
    batches = encoded_batches(posters, model, run, config.data)
    if not config.text_share:
        return posters, batches
    text = open_set(replace(config.text, tasks=["text"]), run, TextOnArt(config.text), name="text")
    return posters, Mixture(batches, encoded_batches(text, model, run, config.text, name="text"), config.text_share)
