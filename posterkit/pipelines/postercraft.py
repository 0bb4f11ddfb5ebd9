"""PosterCraftPipeline: text to poster on FLUX.1, and a draft with feedback to a better poster (PosterCraft stage 4).

PosterCraft adds no module to FLUX.1, so a stock folder loads unchanged and stock `FluxPipeline` opens what is saved
here. Stage 4 adds two inputs: the draft's latents stand behind the noise tokens, told apart by the first position
coordinate as FLUX Kontext does it, and the feedback's T5 tokens stand behind the prompt's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
from diffusers import AutoencoderKL, FlowMatchEulerDiscreteScheduler, FluxTransformer2DModel
from diffusers.image_processor import VaeImageProcessor
from diffusers.loaders import FluxLoraLoaderMixin, FromSingleFileMixin
from diffusers.utils.torch_utils import get_module_execution_device
from PIL import Image
from transformers import (
    CLIPImageProcessor,
    CLIPTextModel,
    CLIPTokenizer,
    CLIPVisionModelWithProjection,
    PreTrainedTokenizerBase,
    T5EncoderModel,
)

from posterkit.compatibility import TEXT_ENCODER_LORA, check_versions
from posterkit.pipelines.checks import Sampling, check_finite, check_output, check_strength
from posterkit.pipelines.denoise import joins_guidance
from posterkit.pipelines.flux_inputs import Condition, one_each
from posterkit.pipelines.latents import unpack
from posterkit.pipelines.poster_pipeline import PosterPipelineOutput, one_at_a_time
from posterkit.pipelines.postercraft_parts import LONGEST_PROMPT, POSTER, PosterCraftParts
from posterkit.pipelines.regional_prompts import (
    UNTIL,
    Regions,
    check_until,
    described,
    match_regions,
    regional_attention,
)
from posterkit.pipelines.registry import OF_THE_HUB, distilled_defaults
from posterkit.sizing import Size


class PosterCraftPipeline(PosterCraftParts, FluxLoraLoaderMixin, FromSingleFileMixin):
    """Text to poster on FLUX.1 components.

    Args:
        scheduler, vae, text_encoder, tokenizer, text_encoder_2, tokenizer_2, transformer: as in a FLUX.1 folder;
            `text_encoder` is CLIP (the pooled vector), `text_encoder_2` is T5 (the prompt's tokens). The encoders may
            be None when embeddings are passed.
        image_encoder, feature_extractor: kept for folders that have them; nothing here reads them.
        native_area: area in pixels that the checkpoint draws best.
        num_inference_steps, guidance_scale, max_sequence_length: what a call uses when it says nothing else. These
            four are saved in `model_index.json`, so that a checkpoint carries its own defaults.
    """

    model_cpu_offload_seq = "text_encoder->text_encoder_2->image_encoder->transformer->vae"
    _optional_components = ["image_encoder", "feature_extractor"]  # noqa: RUF012 (the name and type diffusers reads)

    def __init__(
        self,
        scheduler: FlowMatchEulerDiscreteScheduler,
        vae: AutoencoderKL,
        text_encoder: CLIPTextModel,
        tokenizer: CLIPTokenizer,
        text_encoder_2: T5EncoderModel,
        tokenizer_2: PreTrainedTokenizerBase,
        transformer: FluxTransformer2DModel,
        image_encoder: CLIPVisionModelWithProjection = None,  # type: ignore[assignment]
        feature_extractor: CLIPImageProcessor = None,  # type: ignore[assignment]
        native_area: int = POSTER.area,
        num_inference_steps: int = 28,
        guidance_scale: float = 3.5,
        max_sequence_length: int = LONGEST_PROMPT,
    ):
        super().__init__()
        self.register_modules(
            scheduler=scheduler, vae=vae, text_encoder=text_encoder, tokenizer=tokenizer,
            text_encoder_2=text_encoder_2, tokenizer_2=tokenizer_2, transformer=transformer,
            image_encoder=image_encoder, feature_extractor=feature_extractor,
        )  # fmt: skip
        self.register_to_config(
            native_area=native_area, num_inference_steps=num_inference_steps, guidance_scale=guidance_scale,
            max_sequence_length=max_sequence_length,
        )  # fmt: skip
        self.vae_scale_factor = 2 ** (len(vae.config.block_out_channels) - 1) if vae is not None else 8  # type: ignore[attr-defined]
        self.patch = 2 * self.vae_scale_factor
        self.image_processor = VaeImageProcessor(vae_scale_factor=self.patch)

    @classmethod
    def lora_state_dict(cls, *args: Any, **kwargs: Any) -> Any:
        """As upstream. ValueError where the LoRA changes a text encoder and the installed versions cannot load it."""
        found = super().lora_state_dict(*args, **kwargs)
        weights = found[0] if isinstance(found, tuple) else found
        if any(key.startswith(f"{cls.text_encoder_name}.") for key in weights):
            check_versions(TEXT_ENCODER_LORA)
        return found

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: Any, **kwargs: Any) -> PosterCraftPipeline:
        """Load as every diffusers pipeline does; FLUX.1-schnell gets its 4 steps and 256 tokens."""
        hub = {k: v for k, v in kwargs.items() if k in OF_THE_HUB}
        index: Any = cls.load_config(pretrained_model_name_or_path, **hub)
        kwargs = {**distilled_defaults(str(pretrained_model_name_or_path), dict(index)), **kwargs}
        return super().from_pretrained(pretrained_model_name_or_path, **kwargs)

    def stock_class(self) -> str:
        return "FluxPipeline"

    @property
    def joint_attention_kwargs(self) -> dict[str, Any]:
        return self._joint_attention_kwargs

    def predict_velocity(
        self, latents: torch.Tensor, timestep: torch.Tensor, condition: Condition, context: str = "cond"
    ) -> torch.Tensor:
        """One forward of the transformer: the velocity `(B, S, 4 C)` of the noise tokens `latents`, of the same shape.

        `timestep` is a scalar in [0, 1000]; `context` says which of its states a cache hook uses.
        """
        tokens = latents if condition.draft is None else torch.cat([latents, condition.draft], dim=1)
        guidance, regions = condition.guidance, condition.regions
        texts, text_ids, kwargs = condition.prompt_embeds, condition.text_ids, self.joint_attention_kwargs
        if regions is not None:  # texts have no positions in FLUX.1: all of them are zero
            texts = torch.cat([texts, regions.embeds], dim=1)
            text_ids = text_ids.new_zeros(texts.shape[1], 3)
            kwargs = kwargs | {"attention_mask": regions.mask}
        with self.transformer.cache_context(context):
            velocity = self.transformer(
                hidden_states=tokens,
                timestep=timestep.expand(len(latents)).to(latents.dtype) / 1000,
                guidance=None if guidance is None else guidance.expand(len(latents)),
                pooled_projections=condition.pooled,
                encoder_hidden_states=texts,
                txt_ids=text_ids,
                img_ids=condition.image_ids,
                joint_attention_kwargs=kwargs,
                return_dict=False,
            )[0]
        return velocity[:, : latents.shape[1]]

    def guided_velocity(
        self,
        latents: torch.Tensor,
        timestep: torch.Tensor,
        condition: Condition,
        negative: Condition | None,
        sampling: Sampling,
    ) -> torch.Tensor:
        """The velocity, steered away from `negative` where there is one.

        Raises:
            ValueError: a cache that needs both texts in one forward meets texts of different lengths.
        """
        condition = condition.at(timestep)
        if negative is None:
            return self.predict_velocity(latents, timestep, condition)
        alike = condition.prompt_embeds.shape == negative.prompt_embeds.shape
        if sampling.join and not alike and self.transformer.is_cache_enabled:
            lengths = condition.prompt_embeds.shape[1], negative.prompt_embeds.shape[1]
            raise ValueError(f"this cache needs prompt and negative prompt of one length, got {lengths} tokens")
        if sampling.join and alike and condition.regions is None:
            both = self.predict_velocity(torch.cat([latents, latents]), timestep, condition.joined(negative))
            toward, away = both.chunk(2)
        else:
            toward = self.predict_velocity(latents, timestep, condition)
            away = self.predict_velocity(latents, timestep, negative, "uncond")
        return away + sampling.scale * (toward - away)

    def decode_latents(self, latents: torch.Tensor, size: Size, output_type: str = "pil") -> Any:
        """Tokens `(B, S, 4 C)` to posters.

        Returns:
            PIL images for "pil"; in [0, 1] `(B, 3, H, W)` for "pt", `(B, H, W, 3)` for "np"; for "latent" the tokens.
        """
        if output_type == "latent":
            return latents
        cells = unpack(latents, size, self.patch).contiguous()  # in stock's memory layout, for the same rounding
        cells = cells / self.vae.config.scaling_factor + (self.vae.config.shift_factor or 0.0)
        pixels = self.vae.decode(cells.to(get_module_execution_device(self.vae)), return_dict=False)[0]
        check_finite(pixels, "the autoencoder")
        return self.image_processor.postprocess(pixels, output_type=output_type)

    @torch.no_grad()
    @one_at_a_time
    def __call__(
        self,
        prompt: str | list[str] | None = None,
        prompt_2: str | list[str] | None = None,
        negative_prompt: str | list[str] | None = None,
        negative_prompt_2: str | list[str] | None = None,
        true_cfg_scale: float = 1.0,
        height: int | None = None,
        width: int | None = None,
        num_inference_steps: int | None = None,
        sigmas: list[float] | None = None,
        guidance_scale: float | None = None,
        num_images_per_prompt: int = 1,
        generator: torch.Generator | list[torch.Generator] | None = None,
        latents: torch.Tensor | None = None,
        prompt_embeds: torch.Tensor | None = None,
        pooled_prompt_embeds: torch.Tensor | None = None,
        negative_prompt_embeds: torch.Tensor | None = None,
        negative_pooled_prompt_embeds: torch.Tensor | None = None,
        output_type: str = "pil",
        return_dict: bool = True,
        joint_attention_kwargs: dict[str, Any] | None = None,
        callback_on_step_end: Callable[..., dict[str, Any]] | None = None,
        callback_on_step_end_tensor_inputs: Sequence[str] = ("latents",),
        max_sequence_length: int | None = None,
        *,
        image: Image.Image | list[Image.Image] | None = None,
        strength: float | None = None,
        draft_image: Image.Image | list[Image.Image] | None = None,
        feedback: list[str] | list[list[str]] | None = None,
        batch_cfg: bool = False,
        regions: Regions | None = None,
        regions_until: float = UNTIL,
    ) -> PosterPipelineOutput | tuple[Any]:
        """Make posters.

        With neither `draft_image` nor `feedback` the result equals stock `FluxPipeline`'s bit for bit at the same size
        and `max_sequence_length`, and stock `FluxImg2ImgPipeline`'s where an `image` is painted over.

        Args:
            prompt: one text or a list; None where `prompt_embeds` are given. `prompt_2` is what T5 reads instead.
            negative_prompt: used where `true_cfg_scale` > 1; None then means `" "`.
            true_cfg_scale: above 1 a second forward with the negative prompt steers away from it.
            height, width: pixels, multiples of 16. With neither: about the checkpoint's native area, in the draft's
                shape or else in that of 832x1216.
            num_inference_steps, guidance_scale, max_sequence_length: None means the checkpoint's own (28, 3.5 and 512
                in a folder that says nothing).
            sigmas: noise levels from 1 down instead of an even spacing.
            generator: one, or one for each image.
            latents: noise tokens `(B, S, 4 C)`.
            prompt_embeds, pooled_prompt_embeds: `(B, L, D)` and `(B, P)` from `encode_prompt`; so the negative ones.
            output_type: "pil", "pt", "np" or "latent".
            joint_attention_kwargs: goes to the attention processors; `{"scale": s}` scales LoRAs.
            callback_on_step_end: called with pipeline, step, timestep and the tensors named in
                `callback_on_step_end_tensor_inputs`; may hand back other `latents` and `prompt_embeds`.
            image: a picture to paint over, such as a sketch, one for each prompt or one for all, of the target's
                shape; it is brought to the target's size.
            strength: how much of `image` is painted anew, in (0, 1]; None means 0.6. The run begins at that part of
                its steps: 0.3 keeps subject, place and colours, 1 keeps nothing.
            draft_image: the poster to be improved (stage 4), one for each prompt, of the target's shape; it is brought
                to the target's size, so that its cells lie on the target's.
            feedback: what to change, a list of suggestions for each prompt (a list of lists where `prompt` is a list).
                T5 encodes it apart, behind the prompt's tokens; an empty text stands there in the negative forward.
            batch_cfg: join the two forwards of true CFG in one batch while no cache hook is on.
            regions: parts of the picture with prompts of their own, one list for all prompts or one for each.
            regions_until: the noise level, in [0, 1], from which on they no longer count.

        Returns:
            PosterPipelineOutput, or `(images,)` where `return_dict` is False.

        Raises:
            ValueError: the call cannot work; said before any work.
        """
        guidance_scale = float(self._own("guidance_scale", guidance_scale))
        sampling = Sampling(
            steps=len(sigmas) if sigmas is not None else self._own("num_inference_steps", num_inference_steps),
            sigmas=sigmas,
            scale=true_cfg_scale,
            guidance_scale=guidance_scale,
            count=num_images_per_prompt,
            join=joins_guidance(self.transformer, batch_cfg),
            strength=check_strength(image, strength, "image"),
        )
        check_output(output_type, callback_on_step_end_tensor_inputs, self._callback_tensor_inputs)
        length = self._own("max_sequence_length", max_sequence_length)
        canvas = self.read_drafts(image, "image")
        drafts = self.read_drafts(draft_image, "draft_image")
        suggestions: Any = [feedback] if feedback is not None and isinstance(prompt, str) else feedback
        batch, size = self.check_inputs(
            (prompt, prompt_2, prompt_embeds, pooled_prompt_embeds),
            (negative_prompt, negative_prompt_2, negative_prompt_embeds, negative_pooled_prompt_embeds),
            sampling, generator, length, canvas, drafts, suggestions, width, height, latents,
        )  # fmt: skip
        parts, until = match_regions(regions, batch, self.transformer), check_until(regions_until)
        self._guidance_scale = guidance_scale
        self._joint_attention_kwargs = joint_attention_kwargs or {}
        self._current_timestep = None
        self._interrupt = False
        device = self._execution_device
        text_options = {
            "device": device,
            "num_images_per_prompt": num_images_per_prompt,
            "max_sequence_length": length,
            "lora_scale": self._joint_attention_kwargs.get("scale"),
        }

        prompt_embeds, pooled_prompt_embeds, text_ids = self.encode_prompt(
            prompt, prompt_2, prompt_embeds=prompt_embeds, pooled_prompt_embeds=pooled_prompt_embeds,
            feedback=suggestions, **text_options,
        )  # fmt: skip
        timesteps = self.prepare_timesteps(size, sampling, device)
        tokens = self.prepare_latents(
            batch * num_images_per_prompt, size, prompt_embeds.dtype, device, generator, latents, canvas, timesteps[:1]
        )
        image_ids, draft = self.prepare_draft(drafts, size, num_images_per_prompt, tokens)
        guidance = None
        if self.transformer.config.guidance_embeds:
            guidance = torch.full([1], guidance_scale, device=device, dtype=torch.float32)
        own = self.encode_regions(parts, num_images_per_prompt, prompt_embeds, size, len(image_ids), length, until)
        if own is not None:
            own.check_reach(timesteps)
        condition = Condition(prompt_embeds, pooled_prompt_embeds, text_ids, image_ids, guidance, draft, own)
        negative = None
        if true_cfg_scale > 1:
            embeds, pooled, text_ids = self.encode_prompt(
                one_each(" " if negative_prompt is None else negative_prompt, batch),
                one_each(negative_prompt_2, batch),
                prompt_embeds=negative_prompt_embeds, pooled_prompt_embeds=negative_pooled_prompt_embeds,
                feedback=None if suggestions is None else [[]] * batch, **text_options,
            )  # fmt: skip
            negative = replace(condition, prompt_embeds=embeds, pooled=pooled, text_ids=text_ids, regions=None)

        bar: Any = self.progress_bar(total=len(timesteps))  # type: ignore[call-arg]
        with bar as progress, regional_attention(self.transformer, own is not None):
            tokens = self.denoise(
                lambda tokens, t, embeds: self.guided_velocity(
                    tokens, t, replace(condition, prompt_embeds=embeds), negative, sampling
                ),
                tokens, prompt_embeds, timesteps, progress, callback_on_step_end, callback_on_step_end_tensor_inputs,
            )  # fmt: skip

        posters = self.decode_latents(tokens, size, output_type)
        self.maybe_free_model_hooks()
        if not return_dict:
            return (posters,)
        used = {
            "task": "text", "width": size.width, "height": size.height, "num_inference_steps": sampling.steps,
            "guidance_scale": None if guidance is None else guidance_scale, "true_cfg_scale": true_cfg_scale,
            "max_sequence_length": length, "draft": drafts is not None,
            "strength": sampling.strength if canvas else None,
        }  # fmt: skip
        rows = [used | ({"feedback": list(suggestions[k])} if suggestions else {}) for k in range(batch)]
        rows = [row | described(parts[k], until) if parts else row for k, row in enumerate(rows)]
        return PosterPipelineOutput(posters, [dict(row) for row in rows for _ in range(num_images_per_prompt)])
