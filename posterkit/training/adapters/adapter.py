"""Training adapters: the parts of one model family, and the methods that recipes call."""

from __future__ import annotations

import contextlib
import copy
import hashlib
import inspect
import json
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar, Generic, Literal, Protocol, Self, TypeVar

import diffusers
import torch
from diffusers import DiffusionPipeline
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from transformers import PreTrainedConfig, PreTrainedTokenizerBase

from posterkit.datasets.sample_files import Row
from posterkit.pipelines.poster_pipeline import shift_for
from posterkit.pipelines.registry import ModelFamily
from posterkit.schema import PosterSample
from posterkit.training.adapters.autoencoder import Autoencoder, AutoencoderKind, hash_weights
from posterkit.training.config import check_keys
from posterkit.training.lora import save_adapter, trained_adapter

Encoded = dict[str, Tensor]
Keep = Literal["states", "ids"]  # what is kept of a text: states of frozen text encoders, or token ids
KEEPS = ("states", "ids")


class Conditioning(Protocol):
    """What a transformer reads beside the noisy tokens; each family has a class of its own."""

    def take(self, rows: Tensor) -> Self:
        """The condition of some samples, `(R,)` numbers of them, in that order and any number of times."""
        ...


ConditioningT = TypeVar("ConditioningT", bound=Conditioning)


class Adapter(ABC, Generic[ConditioningT]):
    """The parts of a diffusion pipeline, and the methods that a recipe calls.

    The autoencoder is frozen and runs in `precompute` only, and so do the text encoders where `frozen_text` is set, as
    in every stage of both papers; mini trains them.

    Attributes:
        family: its entry in the registry.
        autoencoder: which kind of autoencoder its pipelines have.
        components: names of the pipeline's components without the autoencoder; text encoders begin with text_encoder.
        tokenizer: the name of the one that counts a text's tokens.
        cuts_long_texts: text beyond `length` tokens is not read, and the last place is the end mark's; else the
            pipeline refuses it.
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
    components: ClassVar[tuple[str, ...]]
    tokenizer: ClassVar[str]
    cuts_long_texts: ClassVar[bool]
    length: int

    def __init__(
        self, parts: dict[str, Any], vae: Autoencoder, defaults: dict[str, Any], frozen_text: bool = False
    ) -> None:
        self.parts, self.vae, self.defaults, self.frozen_text = parts, vae, defaults, frozen_text
        encoders = [name for name in self.components if name.startswith("text_encoder")]
        self.readers: list[Any] = [parts[name] for name in encoders]
        trained = ["transformer", *([] if frozen_text else encoders)]
        self.module: Any = nn.ModuleDict({name: parts[name] for name in trained if parts[name] is not None})
        for reader in self.readers if frozen_text else ():
            reader.eval().requires_grad_(False)

    @classmethod
    @abstractmethod
    def from_config(cls, model: dict[str, Any], vae: Autoencoder, captions: Sequence[str]) -> Self:
        """A fresh small model of the real classes; its tokenizers have every word of `captions` as one token."""

    @classmethod
    def from_pretrained(
        cls, folder: str | Path, vae: Autoencoder | None = None, *, frozen_text: bool = False,
        encoders_only: bool = False, hollow: bool = False, dtype: torch.dtype = torch.float32,
    ) -> Self:  # fmt: skip
        """From a diffusers folder; `vae` replaces the folder's own, which runs in float32 whatever the dtype.

        Args:
            encoders_only: do not load the transformer; `precompute` needs none.
            hollow: the transformer's weights are not read; it lies on the meta device.
            dtype: of transformer and text encoders.
        """
        parts: dict[str, Any] = {"transformer": None} if encoders_only else {}
        if hollow:
            kind: Any = getattr(diffusers, cls.family.transformer)
            config = kind.load_config(folder, subfolder="transformer")
            with torch.device("meta"):
                parts["transformer"] = kind.from_config(config).to(dtype)
        pipe = cls.family.pipeline_class().from_pretrained(folder, dtype=dtype, use_safetensors=True, **parts)
        parts = {name: getattr(pipe, name) for name in cls.components}
        defaults = {name: value for name, value in pipe.config.items() if isinstance(value, (int, float, bool))}
        return cls(parts, vae or Autoencoder(cls.autoencoder, pipe.vae.float()), defaults, frozen_text)

    @property
    def keeps(self) -> Keep:
        """The default `keep` of `precompute`."""
        return "states" if self.frozen_text else "ids"

    @abstractmethod
    def precompute(self, samples: Sequence[PosterSample], keep: Keep | None = None) -> list[Encoded]:
        """For each sample everything that no trained weight touches, by name; its latents are float16.

        Args:
            keep: states of frozen text encoders, or token ids; None means states where they are frozen.
        """

    @abstractmethod
    def text_of(self, row: Row) -> str:
        """The words that the text encoders read of a set's row."""

    def beyond_limit(self, texts: Sequence[str]) -> list[str]:
        """Of each text the end that lies beyond `length` tokens; else an empty text."""
        read = self.parts[self.tokenizer](list(texts), return_offsets_mapping=True, verbose=False)
        places = self.length - self.cuts_long_texts
        return [
            text[max((end for _, end in offsets[:places]), default=0) :] if len(offsets) > self.length else ""
            for text, offsets in zip(texts, read["offset_mapping"], strict=True)
        ]

    def fingerprint(self, keep: Keep | None = None) -> str:
        """A hash of what decides the result of `precompute`: tokenizers, image processor, areas, frozen encoders."""
        kept = {k: v for k, v in sorted(self.defaults.items()) if k.endswith(("_area", "_length", "_edges"))}
        digest = hashlib.sha256(f"{self.vae.fingerprint()} {kept}".encode())
        for name, part in sorted(self.parts.items()):
            if isinstance(part, PreTrainedTokenizerBase):
                digest.update(f"{name} {sorted(part.get_vocab().items())}".encode())
            elif name == "processor":
                digest.update(part.image_processor.to_json_string().encode())
        for module in self.readers if (keep or self.keeps) == "states" else ():
            digest.update(f"{type(module).__name__} {module.dtype}".encode())
            hash_weights(digest, module)
        return digest.hexdigest()[:16]

    def time_shift(self, x0: Tensor, asked: float | None) -> float:
        """How far times are moved towards noise: as asked, or for None as the scheduler moves them at this size.

        Args:
            x0: tokens of posters of one size, `(B, S, C)`.
        """
        return shift_for(self.parts["scheduler"], x0.shape[1]) if asked is None else asked

    @abstractmethod
    def bucket(self, row: Encoded) -> tuple[Any, ...]:
        """Shapes of a sample's latents; samples of one bucket fit into one batch."""

    @abstractmethod
    def collate(self, rows: list[Encoded]) -> Encoded:
        """One batch of samples of one bucket."""

    @abstractmethod
    def encode(self, batch: Encoded, drop: Tensor | None = None) -> tuple[Tensor, ConditioningT]:
        """Clean tokens `(B, S, C)` and the condition; `drop` `(B,)` bool replaces words by the empty text."""

    @abstractmethod
    def velocity(self, x: Tensor, t: Tensor, condition: ConditioningT, guidance: Tensor | None = None) -> Tensor:
        """Predicted velocity `(B, S, C)` at noisy tokens `x` and times `t` `(B,)`.

        Args:
            guidance: `(B,)`, the scale that a guidance-distilled transformer takes as an input.
        """

    def pipeline(self) -> DiffusionPipeline:
        """The live weights as the family's pipeline."""
        return self.family.pipeline_class()(**self.parts, vae=self.vae.module, **self.defaults)

    def save(self, folder: str | Path) -> None:
        """A LoRA alone where one trains, else a diffusers folder in bfloat16; stock diffusers opens either."""
        if name := trained_adapter(self.parts["transformer"]):
            save_adapter(self.parts["transformer"], name, folder)
        else:
            _save_pipeline(self.pipeline(), folder)


@contextlib.contextmanager
def frozen_forward(device: torch.device) -> Iterator[None]:
    """No gradient, no autocast, PyTorch's own choice of attention, whatever the step around it sets.

    So a frozen encoder returns in a step, bit for bit, what it returned when a set was encoded.
    """
    every = [SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION, SDPBackend.CUDNN_ATTENTION, SDPBackend.MATH]
    with torch.no_grad(), torch.autocast(device.type, enabled=False), sdpa_kernel(every):
        yield


def check_model(model: dict[str, Any], classes: dict[str, type]) -> None:
    """Raise ValueError for a key that a part's class does not know; the libraries drop or keep it silently.

    `classes` has for each part (`text_encoder.text_config` for a part's part) its diffusers class, or its transformers
    config class.
    """
    for path, cls in classes.items():
        values = model
        for name in path.split("."):
            values = values.get(name, {})
        known = cls().to_dict() if issubclass(cls, PreTrainedConfig) else inspect.signature(cls.__init__).parameters
        parts = {inner.removeprefix(f"{path}.") for inner in classes if inner.startswith(f"{path}.")}
        check_keys(values, {*known, *parts}, f"model: {path}")


def _save_pipeline(pipe: DiffusionPipeline, folder: str | Path) -> None:
    """Write a pipeline with its weights in bfloat16, rounded from the live ones, which stay as they are.

    Every text encoder's config says float32, because transformers would load the dtype it finds and diffusers float32.
    """
    live = {name: part for name, part in pipe.components.items() if isinstance(part, nn.Module)}
    for name, module in live.items():
        # diffusers' own `to` warns of parts that are to stay float32, though there are none
        setattr(pipe, name, nn.Module.to(copy.deepcopy(module), torch.bfloat16))
    pipe.save_pretrained(folder, safe_serialization=True)
    for name in live:
        path = Path(folder) / name / "config.json"
        config = json.loads(path.read_text())
        config.pop("_name_or_path", None)  # a path on the machine that trained it
        if "dtype" in config or "torch_dtype" in config:
            config.pop("torch_dtype", None)
            config["dtype"] = "float32"
        path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")
