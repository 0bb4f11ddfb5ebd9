"""The training adapter of Qwen-Image-Edit (PosterOmni)."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
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

from posterkit.datasets.sample_files import Row
from posterkit.pipelines.instruction import TEMPLATE, instruction_text, prefix_length
from posterkit.pipelines.latents import pack
from posterkit.pipelines.posteromni import PosterOmniPipeline
from posterkit.pipelines.posteromni_parts import LONGEST
from posterkit.pipelines.processor import Qwen2VLProcessor
from posterkit.pipelines.references import Areas, Poster, lay_out
from posterkit.pipelines.registry import FAMILIES
from posterkit.schema import PosterSample
from posterkit.sizing import Size
from posterkit.tasks import TASKS
from posterkit.training.adapters.adapter import Adapter, Encoded, Keep, check_model, frozen_forward
from posterkit.training.adapters.autoencoder import Autoencoder, AutoencoderKind
from posterkit.training.tokenizers import qwen_tokenizer

_SHARPNESS = 3.0  # of the query's and key's norm; a hit's logit lies about 7 above its neighbours'
_ENERGY = {"frame": (0.24,), "row": (0.28, 0.10), "column": (0.28, 0.10)}  # by rotary frequency, the highest first


@dataclass
class QwenCondition:
    """What the transformer reads beside the noisy tokens."""

    prompt: Tensor  # Qwen2.5-VL states, `(B, L, D)`, padded on the right
    mask: Tensor  # `(B, L)` bool, False on padding
    references: Tensor  # clean tokens of all references, `(B, S_ref, C)`
    shapes: list[tuple[int, int, int]]  # (frames, rows, columns) in tokens of the target and each reference

    def take(self, rows: Tensor) -> QwenCondition:
        return QwenCondition(self.prompt[rows], self.mask[rows], self.references[rows], self.shapes)


class QwenAdapter(Adapter[QwenCondition]):
    """Qwen-Image-Edit; rendered text is learnt as a filling, see `as_edit`."""

    family = FAMILIES["posteromni"]
    autoencoder: ClassVar[AutoencoderKind] = "qwen"
    components = ("scheduler", "tokenizer", "processor", "text_encoder", "transformer")
    tokenizer = "tokenizer"
    cuts_long_texts = False  # learnt, though the pipeline refuses them

    def __init__(
        self, parts: dict[str, Any], vae: Autoencoder, defaults: dict[str, Any], frozen_text: bool = False
    ) -> None:
        super().__init__(parts, vae, defaults, frozen_text)
        self.prefix = prefix_length(parts["tokenizer"])
        self.length = defaults.get("max_sequence_length", LONGEST)
        self.areas = Areas(*(defaults[f"{name}_area"] for name in ("native", "reference", "condition")))

    @classmethod
    def from_config(cls, model: dict[str, Any], vae: Autoencoder, captions: Sequence[str]) -> QwenAdapter:
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

    def precompute(self, samples: Sequence[PosterSample], keep: Keep | None = None) -> list[Encoded]:
        """As `Adapter.precompute`: latents of target and references, the share of each token that is made, the text.

        `made` is `(S,)`, see `made_share`. The text is token ids and the encoder's picture patches, or the states of
        the instruction and of the negative prompt, `prompt` and `empty` `(L, D)` each, in the text encoder's dtype.
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
        """The inputs of the text encoder for one instruction: ids `(1, L)`, patches `(P, 1176)`, grid `(N, 3)`."""
        text = instruction_text(instruction, len(pictures))
        return self.parts["processor"](text=[text], images=pictures, return_tensors="pt")

    def text_of(self, row: Row) -> str:
        if row["task"] == "text":
            return TASKS["filling"].instruction(row.get("caption", ""))
        return row.get("instruction", "")

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
        """The states of token ids `(B, L)`, -1 = padding, and pictures: `(B, L - prefix, D)`."""
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
        """The frozen text encoder's states of a batch's token ids, float32 `(B, L, D)`, and `(B, L)`, not padding.

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
        """As `Adapter.velocity`; ValueError for a guidance, which no Qwen-Image-Edit takes."""
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

    def _empty_ids(self, grid: Tensor) -> Tensor:
        """The negative prompt's ids `(L,)` beside pictures of this grid; a token of the encoder is 2 x 2 patches."""
        pad = "<|image_pad|>"
        pieces = instruction_text(" ", len(grid)).split(pad)
        counts = [*(grid.prod(-1) // 4).tolist(), 0]
        text = "".join(piece + pad * count for piece, count in zip(pieces, counts, strict=True))
        return self.parts["tokenizer"](text, return_tensors="pt")["input_ids"][0].int()


def as_edit(sample: PosterSample) -> PosterSample:
    """A text-rendering sample as an editing model learns it: a filling of the places where its texts stand.

    The reference is the target, the mask marks the boxes of its texts (the whole picture where a set names none), and
    the instruction is filling's frame around the caption, which holds every letter. Samples of the tasks are returned
    as they are.
    """
    if sample.task != "text":
        return sample
    mask = np.zeros(sample.target.shape[:2], np.uint8)
    for region in sample.regions:
        x0, y0, x1, y1 = (max(0, side) for side in region.box)
        mask[y0:y1, x0:x1] = 255
    if not mask.any():
        mask[:] = 255
    filling = TASKS["filling"]
    return replace(
        sample,
        task=filling.name,
        references=[sample.target],
        mask=mask,
        instruction=filling.instruction(sample.caption),
    )


def made_share(poster: Poster) -> Tensor:
    """`(S,)` in [0, 1]: how much of each patch token is generated; 1 where the task keeps no pixels."""
    rows, columns = poster.size.height // 16, poster.size.width // 16
    if poster.region is None:
        return torch.ones(rows * columns)
    made = torch.from_numpy(np.asarray(poster.region) / np.float32(255))
    return made.reshape(rows, 16, columns, 16).mean((1, 3)).flatten()


@torch.no_grad()
def look_at_reference(transformer: QwenImageTransformer2DModel, blocks: Sequence[int] = (0, 2)) -> None:
    """Let head 0 of some blocks attend, from every target token, to the same row and column of the first reference.

    So a small model need not find copying by chance. Queries and keys of the head become constants, so that the rotary
    position codes alone decide; the query is turned by one frame. Queries and keys are RMS-normalised, and the norm's
    weights are one and small at the start: a model left to itself sharpens the very same dimensions, over some hundred
    thousand posters. Values stay as they are, and everything goes on learning. The other heads of the block attend as
    before, a little sharper.
    """
    dim, heads = transformer.config["attention_head_dim"], transformer.config["num_attention_heads"]
    frame, rows, _ = transformer.config["axes_dims_rope"]
    starts = {"frame": 0, "row": frame, "column": frame + rows}
    query, key, sharp = torch.zeros(dim), torch.zeros(dim), torch.zeros(dim, dtype=torch.bool)
    for axis, shares in _ENERGY.items():
        for number, share in enumerate(shares):
            first, size = starts[axis] + 2 * number, math.sqrt(share * dim)
            turn = 1.0 if axis == "frame" else 0.0  # the highest frequency turns by one radian a frame
            query[first], query[first + 1] = size * math.cos(turn), size * math.sin(turn)
            key[first] = size
            sharp[first : first + 2] = True
    for number in blocks:
        if number >= transformer.config["num_layers"]:
            continue
        attention: Any = transformer.transformer_blocks[number].attn
        for project, norm, constant in (
            (attention.to_q, attention.norm_q, query), (attention.to_k, attention.norm_k, key)
        ):  # fmt: skip
            weight: Tensor = norm.weight
            before = weight.clone()
            weight[sharp] = _SHARPNESS
            scale = (before / weight).repeat(heads)
            project.weight.mul_(scale[:, None])
            project.bias.mul_(scale)
            project.weight[:dim] = 0
            project.bias[:dim] = constant
