"""What a training adapter has: the parts of one model family, and the verbs that recipes call."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Protocol, Self, TypeVar

import torch
from diffusers import DiffusionPipeline
from torch import Tensor, nn

from posterkit.pipelines.registry import ModelFamily
from posterkit.schema import PosterSample
from posterkit.training.adapters.autoencoder import Autoencoder, AutoencoderKind
from posterkit.training.adapters.frozen import Keep

Encoded = dict[str, Tensor]


class Condition(Protocol):
    """What a transformer sees beside the noisy tokens; each family has a class of its own."""

    def take(self, rows: Tensor) -> Self:
        """The condition of some samples, `(R,)` numbers of them, in that order and any number of times."""
        ...


ConditionT = TypeVar("ConditionT", bound=Condition)


class Adapter(Protocol[ConditionT]):
    """The parts of a diffusion pipeline, and the verbs a stage calls.

    Attributes:
        family: its entry in the registry.
        autoencoder: which kind of autoencoder its pipelines have.
        cuts_long_texts: text beyond `length` tokens is not read; else the pipeline refuses it.
        parts: diffusers' and transformers' components by name, without the autoencoder.
        module: every weight that trains, `module["transformer"]` first.
        vae: the autoencoder, frozen.
        readers: the text encoders; frozen ones are not in `module`.
        frozen_text: the text encoders do not train.
        defaults: numbers of the checkpoint's pipeline config.
        length: how many tokens of a text are read.
    """

    family: ClassVar[ModelFamily]
    autoencoder: ClassVar[AutoencoderKind]
    cuts_long_texts: ClassVar[bool]
    parts: dict[str, Any]
    module: nn.ModuleDict
    vae: Autoencoder
    readers: list[Any]
    frozen_text: bool
    defaults: dict[str, Any]
    length: int

    @classmethod
    def from_config(cls, model: dict[str, Any], vae: Autoencoder, captions: Sequence[str]) -> Self:
        """A fresh small model of the real classes, tokenizers planned from `captions`."""
        ...

    @classmethod
    def from_pretrained(
        cls, folder: str | Path, vae: Autoencoder | None = None, *, frozen_text: bool = False,
        encoders_only: bool = False, dtype: torch.dtype = torch.float32,
    ) -> Self:  # fmt: skip
        """From a diffusers folder."""
        ...

    def precompute(self, samples: Sequence[PosterSample], keep: Keep | None = None) -> list[Encoded]:
        """Everything that no trained weight touches, by name, for each sample."""
        ...

    def text_of(self, row: dict[str, Any]) -> str:
        """The words that the text encoders read of a set's row."""
        ...

    def beyond_limit(self, texts: Sequence[str]) -> list[str]:
        """Of each text the end that lies beyond `length` tokens; else an empty text."""
        ...

    def fingerprint(self, keep: Keep | None = None) -> str:
        """A hash of what decides the result of `precompute`."""
        ...

    def bucket(self, row: Encoded) -> tuple[Any, ...]:
        """Shapes of a sample's latents; samples of one bucket fit into one batch."""
        ...

    def collate(self, rows: list[Encoded]) -> Encoded:
        """One batch of samples of one bucket."""
        ...

    def encode(self, batch: Encoded, drop: Tensor | None = None) -> tuple[Tensor, ConditionT]:
        """Clean tokens `(B, S, C)` and the condition; `drop` `(B,)` bool replaces words by the empty text."""
        ...

    def velocity(self, x: Tensor, t: Tensor, condition: ConditionT, guidance: Tensor | None = None) -> Tensor:
        """Predicted velocity `(B, S, C)` at noisy tokens `x` and times `t` `(B,)`.

        Args:
            guidance: `(B,)`, the scale that a guidance-distilled transformer takes as an input.
        """
        ...

    def pipeline(self) -> DiffusionPipeline:
        """The live weights as our pipeline."""
        ...

    def save(self, folder: str | Path) -> None:
        """A LoRA alone where one trains, else a diffusers folder that stock diffusers opens."""
        ...
