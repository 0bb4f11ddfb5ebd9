"""Training all weights, or LoRA adapters on one frozen base (peft).

Functions that take the name of a LoRA raise ValueError where the transformer has none of that name.
"""

from __future__ import annotations

import contextlib
import difflib
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from peft import LoraConfig, get_peft_model_state_dict
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import nn

from posterkit.pipelines.lora_weights import UNQUANTISED, base_of, linear_layers
from posterkit.training.block_swap import swap_blocks
from posterkit.training.config import Count, CountOr0, Positive, check_ranges
from posterkit.training.lora_files import LoraFile, Transformer, check_base, read_lora, write_lora
from posterkit.training.state import KEPT

# every attention projection of both families; FLUX.1's single blocks have the first three
ATTENTION = ("to_q", "to_k", "to_v", "to_out.0", "add_q_proj", "add_k_proj", "add_v_proj", "to_add_out")


@dataclass
class Trainable:
    """
    Attributes:
        weights: full, or lora or dora on the transformer, whose own weights and text encoders then stay as they are.
        rank: of a LoRA.
        alpha: a LoRA's output is scaled by alpha / rank; null takes the rank, a scale of 1.
        targets: the linear layers that get a LoRA, by the ends of their names.
        gradient_checkpointing: keep no activations inside a block; its backward pass computes them again.
        swap: how many blocks stay in main memory, with their gradients and optimiser states, and visit the device when
            they are used; for full weights with gradient_checkpointing, in one process.
    """

    weights: Literal["full", "lora", "dora"] = "full"
    rank: Count = 64
    alpha: Positive | None = None
    targets: list[str] = field(default_factory=lambda: list(ATTENTION))
    gradient_checkpointing: bool = False
    swap: CountOr0 = 0

    def check(self) -> None:
        """Raise ValueError for values that cannot work."""
        check_ranges(self, "trainable.")
        if not self.targets:
            raise ValueError("trainable.targets names no layer")
        if self.swap and not (self.weights == "full" and self.gradient_checkpointing):
            raise ValueError("trainable.swap needs trainable.weights=full and trainable.gradient_checkpointing=true")


def set_trainable(module: nn.ModuleDict, trainable: Trainable, name: str = "default") -> None:
    """Train the weights that the config names, in an adapter's `module`; with a LoRA all others are frozen.

    Raises:
        ValueError: a target fits no layer of the transformer, or it has fewer blocks than are to be swapped.
    """
    transformer: Any = module["transformer"]
    if trainable.gradient_checkpointing:
        transformer.enable_gradient_checkpointing()
    if trainable.swap:
        swap_blocks(transformer, trainable.swap)
    if trainable.weights != "full":
        module.requires_grad_(False)
        add_adapter(transformer, name, trainable)
        train_only(transformer, name)


def add_adapter(transformer: Transformer, name: str, trainable: Trainable) -> None:
    """Put a fresh LoRA on the transformer, in use and frozen; its B is zero, so that nothing changes yet.

    Raises:
        ValueError: a target fits no linear layer; the nearest one is named.
    """
    ends = {".".join(path.split(".")[n:]) for path in linear_layers(transformer) for n in range(path.count(".") + 1)}
    for target in trainable.targets:
        if target not in ends:
            near = difflib.get_close_matches(target, sorted(ends), n=1, cutoff=0)[0]
            raise ValueError(
                f'trainable.targets: no linear layer of {type(transformer).__name__} ends in "{target}" '
                f'(did you mean "{near}"?)'
            )
    config = LoraConfig(
        r=trainable.rank,
        lora_alpha=trainable.alpha or trainable.rank,  # pyright: ignore[reportArgumentType] - any number will do
        target_modules=sorted(trainable.targets),
        use_dora=trainable.weights == "dora",
    )
    with _training_kept(transformer):
        transformer.add_adapter(config, name)
    for _, parameter in _weights(transformer, name):
        parameter.data = parameter.data.float()  # whatever the base is kept in


def load_adapter(transformer: Transformer, name: str, source: str | Path) -> None:
    """Put a saved LoRA on the transformer, frozen; it is in use only if it is the first one.

    FileNotFoundError where there is none; ValueError where it cannot be read, or was trained on another base.
    """
    lora = read_lora(source)
    check_base(transformer, lora, source)
    active = transformer.active_adapters() if adapters_of(transformer) else name
    with _training_kept(transformer):
        options: dict[str, Any] = {"metadata": lora.config or None, "prefix": None}
        transformer.load_lora_adapter(lora.weights, adapter_name=name, **options)
        transformer.set_adapter(active)
    for key, parameter in _weights(transformer, name):
        parameter.data = lora.weights[key].to(parameter.device).float()  # as saved: peft rounds to the base's dtype


def save_adapter(transformer: Transformer, name: str, folder: str | Path) -> None:
    """Write one adapter as `pytorch_lora_weights.safetensors`, which both stock pipelines and ours load.

    Its scale alpha / r is folded into B, so that tools which read no alpha load it at its strength.
    """
    _check_name(transformer, name)
    config = transformer.peft_config[name]
    kept = {"r": config.r, "lora_alpha": config.r, "use_dora": config.use_dora}
    kept["target_modules"] = sorted(config.target_modules)
    weights = get_peft_model_state_dict(transformer, adapter_name=name)
    scale = config.lora_alpha / config.r
    if scale != 1:
        weights = {key: value * scale if ".lora_B." in key else value for key, value in weights.items()}
    write_lora(LoraFile(weights, kept, base_of(transformer), name), folder)


def train_only(transformer: Transformer, name: str) -> None:
    """Run with one adapter and train it alone; base and other adapters are frozen."""
    _check_name(transformer, name)
    transformer.set_adapter(name)
    transformer.requires_grad_(False)
    for _, parameter in _weights(transformer, name):
        parameter.requires_grad_(True)


@contextlib.contextmanager
def using_adapter(transformer: Transformer, name: str | None) -> Iterator[None]:
    """Run with another adapter, or with None on the bare base, and switch back; trained weights still train."""
    if name is not None:
        _check_name(transformer, name)
    layers = [layer for layer in transformer.modules() if isinstance(layer, BaseTunerLayer)]
    before = [(layer.active_adapters, layer.disable_adapters) for layer in layers]
    with _training_kept(transformer):
        try:
            for layer in layers:
                layer.set_adapter([name] if name else [])
                layer.enable_adapters(name is not None)
            yield
        finally:
            for layer, (active, disabled) in zip(layers, before, strict=True):
                layer.set_adapter(active)
                layer.enable_adapters(not disabled)


@contextlib.contextmanager
def frozen_adapter(transformer: Transformer, name: str | None) -> Iterator[None]:
    """As `using_adapter`, without gradients: the teacher, the old policy, or with None the base.

    with frozen_adapter(transformer, expert_for(tasks)):
        target = model.velocity(x, t, condition)
    """
    with torch.no_grad(), using_adapter(transformer, name):
        yield


def fuse_adapter(transformer: Transformer, name: str) -> None:
    """Add one adapter to the base's weights and take every adapter off, for the stage after a LoRA stage.

    Raises:
        ValueError: the base is quantised: its sum with a LoRA would be rounded to 4 bits.
    """
    _check_name(transformer, name)
    if getattr(transformer, UNQUANTISED, None) is not None:
        raise ValueError(f'the LoRA "{name}" is not added to a base in 4 bits; load the base in base=bf16 for it')
    transformer.fuse_lora(adapter_names=[name])
    transformer.unload_lora()


def add_ema_adapter(transformer: Transformer, name: str, source: str, trainable: Trainable) -> None:
    """Put a LoRA on the transformer that starts equal to another one and is to be its moving average.

    It is not in use and does not train; a run's checkpoints keep it. See `update_ema_adapter`.
    """
    _check_name(transformer, source)
    add_adapter(transformer, name, trainable)
    for _, parameter in _weights(transformer, name):
        setattr(parameter, KEPT, True)
    update_ema_adapter(transformer, name, source, 0.0)
    with _training_kept(transformer):
        transformer.set_adapter(source)


@torch.no_grad()
def update_ema_adapter(transformer: Transformer, name: str, source: str, decay: float) -> None:
    """average <- decay average + (1 - decay) source, weight by weight; decay 0 copies."""
    for one in (name, source):
        _check_name(transformer, one)
    weights = dict(_weights(transformer, source))
    for key, average in _weights(transformer, name):
        average.lerp_(weights[key].to(average), 1 - decay)


def adapters_of(transformer: Transformer) -> list[str]:
    """The names of the LoRAs on a transformer."""
    return list(getattr(transformer, "peft_config", {}))


def trained_adapter(transformer: Transformer) -> str | None:
    """The LoRA that trains, if one does."""
    names = adapters_of(transformer)
    return next((name for name in names if any(p.requires_grad for _, p in _weights(transformer, name))), None)


def _check_name(transformer: Transformer, name: str) -> None:
    if name not in adapters_of(transformer):
        held = ", ".join(adapters_of(transformer)) or "none"
        raise ValueError(f'the transformer has no LoRA "{name}"; it has {held}')


def _weights(transformer: Transformer, name: str) -> Iterator[tuple[str, nn.Parameter]]:
    """An adapter's parameters, named as in its file."""
    for path, parameter in transformer.named_parameters():
        layer, _, rest = path.rpartition(".lora_")
        kind, *owner = rest.split(".")
        if layer and owner[0] == name:
            yield f"{layer}.lora_{kind}" + (".weight" if kind in ("A", "B") else ""), parameter


@contextlib.contextmanager
def _training_kept(transformer: Transformer) -> Iterator[None]:
    """The same weights train afterwards: peft's methods switch gradients on and off by themselves."""
    trained = {parameter for parameter in transformer.parameters() if parameter.requires_grad}
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Already found a `peft_config`")  # several are meant
            yield
    finally:
        for parameter in transformer.parameters():
            parameter.requires_grad_(parameter in trained)
