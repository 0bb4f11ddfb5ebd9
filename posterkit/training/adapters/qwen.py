"""Qwen-Image-Edit for training: PosterOmni's side."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from diffusers import FlowMatchEulerDiscreteScheduler, QwenImageTransformer2DModel
from PIL import Image
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence
from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration
from transformers.models.qwen2_5_vl.configuration_qwen2_5_vl import Qwen2_5_VLTextConfig, Qwen2_5_VLVisionConfig
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

from posterkit.pipelines.instruction import TEMPLATE, instruction_text, prefix_length
from posterkit.pipelines.latents import pack
from posterkit.pipelines.posteromni import PosterOmniPipeline
from posterkit.pipelines.posteromni_parts import LONGEST
from posterkit.pipelines.processor import Qwen2VLProcessor
from posterkit.pipelines.references import Areas, lay_out
from posterkit.pipelines.registry import FAMILIES
from posterkit.schema import PosterSample
from posterkit.sizing import Size
from posterkit.tasks import TASKS
from posterkit.training.adapters.alignment import look_at_reference
from posterkit.training.adapters.autoencoder import Autoencoder, AutoencoderKind
from posterkit.training.adapters.edits import as_edit, made_share
from posterkit.training.adapters.folders import check_model, fingerprint, pipeline_defaults, save_pipeline
from posterkit.training.adapters.frozen import Keep, frozen_forward
from posterkit.training.lora import save_adapter, trained_adapter
from posterkit.training.tokenizers import qwen_tokenizer

Encoded = dict[str, Tensor]
Shape = tuple[int, int, int]


@dataclass
class QwenCondition:
    """What the transformer sees beside the noisy tokens.

    Attributes:
        prompt: Qwen2.5-VL states, `(B, L, D)`, padded on the right.
        mask: `(B, L)` bool, False on padding.
        references: clean tokens of all references, `(B, S_ref, C)`.
        shapes: (frames, rows, columns) in tokens of the target and each reference.
    """

    prompt: Tensor
    mask: Tensor
    references: Tensor
    shapes: list[Shape]

    def take(self, rows: Tensor) -> QwenCondition:
        """The condition of some samples, `(R,)` numbers of them, in that order and any number of times."""
        return QwenCondition(self.prompt[rows], self.mask[rows], self.references[rows], self.shapes)


class QwenAdapter:
    """The parts of a Qwen-Image-Edit pipeline, and the verbs a stage calls.

    `module` holds what trains. The autoencoder is frozen and works in `precompute` only, and so does the text encoder
    where `frozen_text` says so, as in every stage of PosterOmni; mini trains it.
    """

    family = FAMILIES["posteromni"]
    autoencoder: ClassVar[AutoencoderKind] = "qwen"
    cuts_long_texts = False  # the pipeline refuses them

    def __init__(
        self, parts: dict[str, Any], vae: Autoencoder, defaults: dict[str, Any], frozen_text: bool = False
    ) -> None:
        self.parts, self.vae, self.defaults, self.frozen_text = parts, vae, defaults, frozen_text
        names = ("transformer",) if frozen_text else ("transformer", "text_encoder")
        self.module: Any = nn.ModuleDict({name: parts[name] for name in names if parts[name] is not None})
        self.readers = [parts["text_encoder"]]
        if frozen_text:
            self.readers[0].eval().requires_grad_(False)
        self.prefix = prefix_length(parts["tokenizer"])
        self.length = defaults.get("max_sequence_length", LONGEST)
        areas = (defaults[f"{name}_area"] for name in ("native", "reference", "condition"))
        self.areas = Areas(*areas)

    @classmethod
    def from_config(cls, model: dict[str, Any], vae: Autoencoder, captions: Iterable[str]) -> QwenAdapter:
        """A fresh small model: configs of the real classes, a tokenizer planned from `captions` and the template."""
        check_model(
            model,
            {"transformer": QwenImageTransformer2DModel, "scheduler": FlowMatchEulerDiscreteScheduler,
             "text_encoder": Qwen2_5_VLConfig, "text_encoder.text_config": Qwen2_5_VLTextConfig,
             "text_encoder.vision_config": Qwen2_5_VLVisionConfig, "defaults": PosterOmniPipeline},
        )  # fmt: skip
        tokenizer = qwen_tokenizer([TEMPLATE, *captions])
        special: dict[str, Any] = {
            f"{name}_token_id": tokenizer.convert_tokens_to_ids(f"<|{token}|>")
            for name, token in (("image", "image_pad"), ("video", "video_pad"), ("vision_start", "vision_start"),
                                ("vision_end", "vision_end"))
        }  # fmt: skip
        ends = {"bos_token_id": None, "eos_token_id": tokenizer.eos_token_id}
        text = {**model["text_encoder"]["text_config"], **ends, "vocab_size": len(tokenizer)}
        vision = model["text_encoder"]["vision_config"]
        config = Qwen2_5_VLConfig(text_config=text, vision_config=vision, tie_word_embeddings=True, **special)
        pictures = Qwen2VLImageProcessorPil(**model["image_processor"])
        parts = {
            "scheduler": FlowMatchEulerDiscreteScheduler.from_config(model["scheduler"]),
            "tokenizer": tokenizer,
            "processor": Qwen2VLProcessor(pictures, tokenizer),
            "text_encoder": Qwen2_5_VLForConditionalGeneration(config),
            "transformer": QwenImageTransformer2DModel.from_config(model["transformer"]),
        }
        # the last layer starts at zero, so that the first prediction is no noise of its own
        nn.init.zeros_(parts["transformer"].proj_out.weight)
        nn.init.zeros_(parts["transformer"].proj_out.bias)
        look_at_reference(parts["transformer"])
        # words start far apart, as T5's do: what Qwen starts with (0.02) is drowned by the first layers' own outputs
        nn.init.normal_(parts["text_encoder"].get_input_embeddings().weight)
        return cls(parts, vae, model["defaults"])

    @classmethod
    def from_pretrained(
        cls, folder: str | Path, vae: Autoencoder | None = None, *, frozen_text: bool = False,
        encoders_only: bool = False, dtype: torch.dtype = torch.float32,
    ) -> QwenAdapter:  # fmt: skip
        """From a diffusers folder; `vae` replaces the folder's own, which works in float32 whatever the dtype.

        Args:
            encoders_only: leave the transformer where it is; `precompute` needs none.
            dtype: of transformer and text encoder.
        """
        parts = {"transformer": None} if encoders_only else {}
        pipe = PosterOmniPipeline.from_pretrained(folder, dtype=dtype, use_safetensors=True, **parts)
        names = ("scheduler", "tokenizer", "processor", "text_encoder", "transformer")
        parts = {name: getattr(pipe, name) for name in names}
        return cls(parts, vae or Autoencoder(cls.autoencoder, pipe.vae.float()), pipeline_defaults(pipe), frozen_text)

    def precompute(self, samples: Sequence[PosterSample], keep: Keep | None = None) -> list[Encoded]:
        """Everything that no trained weight touches; of a text-rendering sample as `as_edit` makes an edit of it.

        Args:
            keep: states of a frozen text encoder, or token ids; None means states where it is frozen.

        Returns:
            For each sample the latents of target and references in float16; `made` `(S,)`, the share of each token's
            pixels that the task does not keep; token ids and the encoder's picture patches, or the states of the
            instruction and of the negative prompt, `prompt` and `empty` `(L, D)` each, in the text encoder's dtype.
        """
        pictures: list[list[np.ndarray]] = []
        rows: list[Encoded] = []
        for sample in map(as_edit, samples):
            height, width = sample.target.shape[:2]
            poster = lay_out(
                TASKS[sample.task],
                sample.instruction,
                [Image.fromarray(reference) for reference in sample.references],
                self.areas,
                Size(width, height),
                Image.fromarray(sample.mask) if sample.task == "filling" and sample.mask is not None else None,
                sample.placed[:2] if sample.task == "extending" and sample.placed else "center",
                self.defaults.get("replicate_edges", False),
            )
            inputs = self.read(poster.instruction, poster.pictures)
            ids, empty = inputs["input_ids"][0].int(), self._empty_ids(inputs["image_grid_thw"])
            seen = {"patches": inputs["pixel_values"].half(), "grid": inputs["image_grid_thw"].int()}
            if (keep or self.keeps) == "states":
                said = {
                    name: self.states(one[None], **seen)[0].cpu() for name, one in (("prompt", ids), ("empty", empty))
                }
            else:
                said = {"ids": ids, "empty_ids": empty, **seen}
            rows.append({**said, "made": made_share(poster)})
            pictures.append([sample.target, *map(np.asarray, poster.references)])
        latents = self.vae.encode_each([picture for group in pictures for picture in group])
        for row, group in zip(rows, pictures, strict=True):
            row.update({f"latents{index}": latents.pop(0) for index in range(len(group))})
        return rows

    def read(self, instruction: str, pictures: list[Image.Image]) -> dict[str, Tensor]:
        """What the text encoder takes for one instruction: ids `(1, L)`, patches `(P, 1176)`, grid `(N, 3)`."""
        text = instruction_text(instruction, len(pictures))
        return self.parts["processor"](text=[text], images=pictures, return_tensors="pt")

    @property
    def keeps(self) -> Keep:
        return "states" if self.frozen_text else "ids"

    def text_of(self, row: dict[str, Any]) -> str:
        """The instruction that the text encoder reads of a set's row."""
        return (
            TASKS["filling"].instruction(row.get("caption", ""))
            if row["task"] == "text"
            else row.get("instruction", "")
        )

    def beyond_limit(self, texts: Sequence[str]) -> list[str]:
        """Of each text what lies beyond `max_sequence_length` tokens, else "".

        It is learnt all the same, but a call of the pipeline has its instruction refused.
        """
        read = self.parts["tokenizer"](list(texts), return_offsets_mapping=True, verbose=False)
        return [
            text[offsets[self.length - 1][1] :] if len(offsets) > self.length else ""
            for text, offsets in zip(texts, read["offset_mapping"], strict=True)
        ]

    def fingerprint(self, keep: Keep | None = None) -> str:
        """Keys what `precompute` returned."""
        readers = self.readers if (keep or self.keeps) == "states" else ()
        return fingerprint(self.parts, self.defaults, self.vae.fingerprint(), readers)

    def bucket(self, row: Encoded) -> tuple[tuple[int, ...], ...]:
        return tuple(tuple(row[name].shape) for name in sorted(row) if name.startswith("latents"))

    def collate(self, rows: list[Encoded]) -> Encoded:
        batch = {
            name: torch.stack([row[name] for row in rows])
            for name in rows[0]
            if name == "made" or name.startswith("latents")
        }
        if "prompt" in rows[0]:
            # one length for both, so that either can stand in for the other
            both = [row[name] for name in ("prompt", "empty") for row in rows]
            batch["prompt"], batch["empty"] = pad_sequence(both, batch_first=True).chunk(2)
            lengths = torch.tensor([len(states) for states in both])
            batch["mask"], batch["empty_mask"] = (torch.arange(int(lengths.max())) < lengths[:, None]).chunk(2)
            return batch
        for name in ("ids", "empty_ids"):
            batch[name] = pad_sequence([row[name] for row in rows], batch_first=True, padding_value=-1)
        for name in ("patches", "grid"):
            batch[name] = torch.cat([row[name] for row in rows])
        return batch

    def encode(self, batch: Encoded, drop: Tensor | None = None) -> tuple[Tensor, QwenCondition]:
        """Clean tokens `(B, S, C)` and the condition.

        Args:
            drop: `(B,)` bool; these instructions are replaced by the negative prompt `" "`; references stay.
        """
        if "prompt" in batch:
            states, mask = batch["prompt"].float(), batch["mask"]
            if drop is not None:
                states = torch.where(drop[:, None, None], batch["empty"].float(), states)
                mask = torch.where(drop[:, None], batch["empty_mask"], mask)
        elif self.frozen_text:
            states, mask = self._frozen_states(batch, drop)
        else:
            ids = batch["ids"].long()
            if drop is not None:
                empty = batch["empty_ids"].long()
                empty = nn.functional.pad(empty, (0, ids.shape[1] - empty.shape[1]), value=-1)
                ids = torch.where(drop[:, None], empty, ids)
            states, mask = self.states(ids, batch["patches"], batch["grid"]), ids[:, self.prefix :] >= 0
        names = sorted(name for name in batch if name.startswith("latents"))
        target, *references = (batch[name].float() for name in names)
        shapes = [(1, batch[name].shape[-2] // 2, batch[name].shape[-1] // 2) for name in names]
        tokens = torch.cat([pack(reference) for reference in references], 1)
        return pack(target), QwenCondition(states, mask, tokens, shapes)

    def states(self, ids: Tensor, patches: Tensor, grid: Tensor) -> Tensor:
        """What the text encoder makes of token ids `(B, L)`, -1 = padding, and pictures: `(B, L - prefix, D)`."""
        (encoder,) = self.readers
        ids, mask = ids.long().to(encoder.device), (ids >= 0).to(encoder.device)
        with frozen_forward(encoder.device) if self.frozen_text else contextlib.nullcontext():
            found = encoder.model(
                input_ids=ids.masked_fill(~mask, self.parts["tokenizer"].pad_token_id),
                attention_mask=mask.long(),
                pixel_values=patches.to(encoder.device, encoder.dtype),
                image_grid_thw=grid.long().to(encoder.device),
            )[0]
        return found[:, self.prefix :]

    def _frozen_states(self, batch: Encoded, drop: Tensor | None) -> tuple[Tensor, Tensor]:
        """What the frozen text encoder says of a batch's token ids, float32 `(B, L, D)`, and `(B, L)`, not padding.

        One by one, and as long as instruction or negative prompt of any of them: as states would have been kept.
        """
        count = len(batch["ids"])
        grids = batch["grid"].split(len(batch["grid"]) // count)
        patches = batch["patches"].split([int(grid.prod(-1).sum()) for grid in grids])
        length = max(batch["ids"].shape[1], batch["empty_ids"].shape[1]) - self.prefix
        states = []
        for number in range(count):
            ids = batch["empty_ids" if drop is not None and drop[number] else "ids"][number]
            states.append(self.states(ids[None, ids >= 0], patches[number], grids[number])[0].float())
        lengths = torch.tensor([len(one) for one in states], device=states[0].device)
        padded = torch.stack([nn.functional.pad(one, (0, 0, 0, length - len(one))) for one in states])
        return padded, torch.arange(length, device=lengths.device) < lengths[:, None]

    def velocity(self, x: Tensor, t: Tensor, condition: QwenCondition, guidance: Tensor | None = None) -> Tensor:
        """Predicted velocity `(B, S, C)` at noisy tokens `x` and times `t` `(B,)`.

        Raises:
            ValueError: a guidance is given; no Qwen-Image-Edit takes one.
        """
        if guidance is not None:
            raise ValueError("Qwen-Image-Edit takes no guidance as an input")
        made = self.module["transformer"](
            hidden_states=torch.cat([x, condition.references], 1),
            timestep=t,
            encoder_hidden_states=condition.prompt,
            encoder_hidden_states_mask=condition.mask,
            img_shapes=[condition.shapes] * len(x),
            return_dict=False,
        )[0]
        return made[:, : x.shape[1]]

    def pipeline(self) -> PosterOmniPipeline:
        """The live weights as a PosterOmniPipeline."""
        return PosterOmniPipeline(**self.parts, vae=self.vae.module, **self.defaults)

    def save(self, folder: str | Path) -> None:
        """A LoRA alone where one trains, else a diffusers folder, bfloat16.

        Stock QwenImageEditPlusPipeline opens either.
        """
        if name := trained_adapter(self.parts["transformer"]):
            save_adapter(self.parts["transformer"], name, folder)
        else:
            save_pipeline(self.pipeline(), folder)

    def _empty_ids(self, grid: Tensor) -> Tensor:
        """The negative prompt's ids `(L,)` beside pictures of this grid; a token of the encoder is 2 x 2 patches."""
        pad = "<|image_pad|>"
        pieces = instruction_text(" ", len(grid)).split(pad)
        counts = [*(grid.prod(-1) // 4).tolist(), 0]
        text = "".join(piece + pad * count for piece, count in zip(pieces, counts, strict=True))
        return self.parts["tokenizer"](text, return_tensors="pt")["input_ids"][0].int()
