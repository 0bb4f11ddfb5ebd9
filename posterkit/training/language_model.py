"""Recipes that train a language model, or one that sees: their config, and opening the model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

from torch import nn

from posterkit.pipelines.loading import quiet_bars
from posterkit.training.config import RunConfig
from posterkit.training.lora import Trainable
from posterkit.training.stages import DTYPES

Model = TypeVar("Model")


@dataclass
class LanguageModelConfig(RunConfig):
    """
    Attributes:
        base: dtype of weights that are frozen under a LoRA; what trains is float32.
        trainable: all weights of the language model, or a LoRA on it; heads train in any case.
    """

    base: Literal["fp32", "bf16"] = "fp32"
    trainable: Trainable = field(default_factory=lambda: Trainable(targets=["q_proj", "k_proj", "v_proj", "o_proj"]))

    def check(self) -> None:
        super().check()
        if self.base == "bf16" and self.trainable.weights == "full":
            raise ValueError("base is bf16, which is frozen; it takes trainable.weights=lora or dora, not full")
        if self.init_from is None and self.trainable.weights != "full":
            raise ValueError("init_from is null; a LoRA needs a language model to stand on")


def open_trainable(
    open_model: Callable[..., Model], config: LanguageModelConfig, source: str | None = None, **options: Any
) -> Model:
    """A language model from a folder or a hub id, and in it what trains.

    Args:
        open_model: takes the source, `dtype` and `options`; what it returns has `module` and `add_lora`.
        source: None takes `init_from`.

    Raises:
        OSError, ValueError: there is no such model, or a target of the LoRA fits no layer.
    """
    quiet_bars()
    model: Any = open_model(source or config.init_from, dtype=DTYPES[config.base], **options)
    trainable = config.trainable
    if trainable.weights != "full":
        dora = trainable.weights == "dora"
        model.add_lora(trainable.rank, trainable.alpha or trainable.rank, trainable.targets, dora)
    if trainable.gradient_checkpointing:
        backbone: Any = model.module["backbone"] if isinstance(model.module, nn.ModuleDict) else model.module
        backbone.gradient_checkpointing_enable({"use_reentrant": False})
    return model
