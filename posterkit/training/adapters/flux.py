"""The training adapter of FLUX.1 (PosterCraft)."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import torch
from diffusers import FlowMatchEulerDiscreteScheduler, FluxTransformer2DModel
from torch import Tensor, nn
from transformers import CLIPTextConfig, CLIPTextModel, T5Config, T5EncoderModel

from posterkit.datasets.sample_files import Row
from posterkit.pipelines.flux_inputs import position_ids
from posterkit.pipelines.latents import pack
from posterkit.pipelines.postercraft import PosterCraftPipeline
from posterkit.pipelines.registry import FAMILIES
from posterkit.schema import PosterSample
from posterkit.sizing import check_on_grid
from posterkit.training.adapters.adapter import Adapter, Encoded, Keep, check_model, frozen_forward
from posterkit.training.adapters.autoencoder import Autoencoder, AutoencoderKind
from posterkit.training.tokenizers import clip_tokenizer, t5_tokenizer


@dataclass
class FluxCondition:
    """What the transformer reads beside the noisy tokens."""

    prompt: Tensor  # T5 states, `(B, L, D)`; with feedback `(B, 2 L, D)`, the feedback's behind the prompt's
    pooled: Tensor  # CLIP's pooled state of the prompt, `(B, P)`
    image_ids: Tensor  # `(S, 3)` positions of the image tokens; with a draft `(2 S, 3)`
    draft: Tensor | None = None  # clean tokens of the poster to be improved, `(B, S, C)`, or None

    def take(self, rows: Tensor) -> FluxCondition:
        draft = None if self.draft is None else self.draft[rows]
        return FluxCondition(self.prompt[rows], self.pooled[rows], self.image_ids, draft)


class FluxAdapter(Adapter[FluxCondition]):
    """FLUX.1; with a draft the transformer reads its latents behind the noisy ones and the feedback's tokens too."""

    family = FAMILIES["postercraft"]
    autoencoder: ClassVar[AutoencoderKind] = "flux"
    components = ("scheduler", "tokenizer", "tokenizer_2", "text_encoder", "text_encoder_2", "transformer")
    tokenizer = "tokenizer_2"
    cuts_long_texts = True  # T5 reads no further

    def __init__(
        self, parts: dict[str, Any], vae: Autoencoder, defaults: dict[str, Any], frozen_text: bool = False
    ) -> None:
        super().__init__(parts, vae, defaults, frozen_text)
        self.length = defaults["max_sequence_length"]

    @classmethod
    def from_config(cls, model: dict[str, Any], vae: Autoencoder, captions: Sequence[str]) -> FluxAdapter:
        check_model(
            model,
            {"transformer": FluxTransformer2DModel, "scheduler": FlowMatchEulerDiscreteScheduler,
             "text_encoder": CLIPTextConfig, "text_encoder_2": T5Config, "defaults": PosterCraftPipeline},
        )  # fmt: skip
        clip = clip_tokenizer(captions, model["text_encoder"]["max_position_embeddings"])
        t5 = t5_tokenizer(captions, model["defaults"]["max_sequence_length"])
        special: dict[str, Any] = {
            "bos_token_id": clip.bos_token_id,
            "eos_token_id": clip.eos_token_id,
            "pad_token_id": clip.pad_token_id,
        }
        parts = {
            "scheduler": FlowMatchEulerDiscreteScheduler.from_config(model["scheduler"]),
            "tokenizer": clip,
            "tokenizer_2": t5,
            "text_encoder": CLIPTextModel(CLIPTextConfig(vocab_size=len(clip), **special, **model["text_encoder"])),
            "text_encoder_2": T5EncoderModel(T5Config(vocab_size=len(t5), **model["text_encoder_2"])),
            "transformer": FluxTransformer2DModel.from_config(model["transformer"]),
        }
        # the last layer starts at zero, so that the first prediction is no noise of its own
        nn.init.zeros_(parts["transformer"].proj_out.weight)
        nn.init.zeros_(parts["transformer"].proj_out.bias)
        return cls(parts, vae, model["defaults"])

    def frozen_copy(self) -> FluxAdapter:
        """The weights as they are now, in an adapter of their own that does not train."""
        parts = {name: copy.deepcopy(part) for name, part in self.parts.items()}
        copied = FluxAdapter(parts, self.vae, self.defaults, self.frozen_text)
        copied.module.eval().requires_grad_(False)
        return copied

    def precompute(self, samples: Sequence[PosterSample], keep: Keep | None = None) -> list[Encoded]:
        """As `Adapter.precompute`: latents, and of the caption token ids `t5` and `clip`, or states.

        States are `prompt` `(L, D)` and `pooled` `(P,)` in the text encoders' dtype.

        Raises:
            ValueError: a target's sides are no multiples of 16.
        """
        for sample in samples:
            check_on_grid(sample.target.shape[1], sample.target.shape[0])
        latents = self.vae.encode_each([sample.target for sample in samples])
        if (keep or self.keeps) == "states":
            states = [self.states(*self.tokenize([sample.caption])) for sample in samples]
            texts = [{"prompt": a[0].cpu(), "pooled": b[0].cpu()} for a, b in states]
        else:
            ids = self.tokenize([sample.caption for sample in samples])
            texts = [{"t5": a, "clip": b} for a, b in zip(*ids, strict=True)]
        return [{"latents": x, **text} for x, text in zip(latents, texts, strict=True)]

    def states(self, t5: Tensor, clip: Tensor) -> tuple[Tensor, Tensor]:
        """T5 states `(B, L, D)` and CLIP's pooled state `(B, P)` of token ids, on the text encoders' device."""
        pooling, reading = self.readers
        with frozen_forward(reading.device) if self.frozen_text else contextlib.nullcontext():
            prompt = reading(t5.long().to(reading.device))[0]
            return prompt, pooling(clip.long().to(pooling.device)).pooler_output

    def text_of(self, row: Row) -> str:
        return row.get("caption", "")

    def tokenize(self, prompts: list[str]) -> tuple[Tensor, Tensor]:
        """Token ids of T5 `(B, L)` and CLIP `(B, 77 or fewer)`, padded as the pipeline pads."""
        t5, clip = self.parts["tokenizer_2"], self.parts["tokenizer"]
        options = {"padding": "max_length", "truncation": True, "return_tensors": "pt"}
        return (
            t5(prompts, max_length=self.length, **options).input_ids.int(),
            clip(prompts, max_length=clip.model_max_length, **options).input_ids.int(),
        )

    def bucket(self, row: Encoded) -> tuple[int, ...]:
        return tuple(row["latents"].shape)

    def collate(self, rows: list[Encoded]) -> Encoded:
        return {name: torch.stack([row[name] for row in rows]) for name in rows[0]}

    def encode(
        self, batch: Encoded, drop: Tensor | None = None, drop_feedback: Tensor | None = None
    ) -> tuple[Tensor, FluxCondition]:
        """Clean tokens `(B, S, C)` and the condition.

        Args:
            batch: with drafts what `precompute` returned of them too, their captions the feedback, each name with
                `_draft` behind it; for frozen text encoders.
            drop, drop_feedback: `(B,)` bool; these captions, or feedbacks, are replaced by the empty one.
        """
        latents = batch["latents"].float()
        if self.frozen_text:
            prompt, pooled = (state.to(latents) for state in self._frozen_states(batch))
            if drop is not None:
                empty, empty_pooled = (state.to(latents) for state in self._empty)
                prompt = torch.where(drop[:, None, None], empty, prompt)
                pooled = torch.where(drop[:, None], empty_pooled, pooled)
        else:
            t5, clip = batch["t5"].long(), batch["clip"].long()
            if drop is not None:
                empty_t5, empty_clip = (ids.to(t5) for ids in self.tokenize([""]))
                t5 = torch.where(drop[:, None], empty_t5, t5)
                clip = torch.where(drop[:, None], empty_clip, clip)
            prompt, pooled = self.states(t5, clip)
        cells = [side // 2 for side in latents.shape[-2:]]
        condition = FluxCondition(prompt, pooled, position_ids(*cells).to(latents))
        if "latents_draft" in batch:
            said = {name.removesuffix("_draft"): value for name, value in batch.items() if name.endswith("_draft")}
            feedback = self._frozen_states(said)[0].to(latents)
            if drop_feedback is not None:
                feedback = torch.where(drop_feedback[:, None, None], self._empty[0].to(latents), feedback)
            condition.prompt = torch.cat([prompt, feedback], dim=1)
            condition.draft = pack(said["latents"].float())
            condition.image_ids = torch.cat([condition.image_ids, position_ids(*cells, image=1).to(latents)])
        return pack(latents), condition

    def _frozen_states(self, batch: Encoded) -> tuple[Tensor, Tensor]:
        """T5's and CLIP's states of a batch's captions; token ids are encoded one by one, as for the cache."""
        if "prompt" in batch:
            return batch["prompt"], batch["pooled"]
        said = [self.states(*ids) for ids in zip(batch["t5"].split(1), batch["clip"].split(1), strict=True)]
        prompts, pooled = zip(*said, strict=True)
        return torch.cat(prompts), torch.cat(pooled)

    @cached_property
    def _empty(self) -> tuple[Tensor, Tensor]:
        """The states of the empty caption."""
        return self.states(*self.tokenize([""]))

    def velocity(self, x: Tensor, t: Tensor, condition: FluxCondition, guidance: Tensor | None = None) -> Tensor:
        """As `Adapter.velocity`; a guidance-distilled transformer gets a scale of 1 where `guidance` is None."""
        transformer = self.module["transformer"]
        if not transformer.config.guidance_embeds:  # FLUX.1-schnell takes none
            guidance = None
        elif guidance is None:
            guidance = torch.ones_like(t)
        velocity = transformer(
            hidden_states=x if condition.draft is None else torch.cat([x, condition.draft], dim=1),
            timestep=t,
            guidance=guidance,
            pooled_projections=condition.pooled,
            encoder_hidden_states=condition.prompt,
            txt_ids=condition.image_ids.new_zeros(condition.prompt.shape[1], 3),
            img_ids=condition.image_ids,
            return_dict=False,
        )[0]
        return velocity[:, : x.shape[1]]
