"""PosterOmniPipeline: image to poster, six tasks, on Qwen-Image-Edit (PosterOmni section 3).

The task enters through the instruction and the references, so any Qwen-Image-Edit(-Plus) folder loads unchanged.
Unlike the stock pipeline this one takes batches of different references and sizes, draws on exactly the reference's
geometry, and returns kept pixels as they were.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderKLQwenImage, FlowMatchEulerDiscreteScheduler, QwenImageTransformer2DModel
from diffusers.image_processor import VaeImageProcessor
from diffusers.loaders import QwenImageLoraLoaderMixin
from diffusers.utils import logging
from torch import Tensor
from transformers import Qwen2_5_VLForConditionalGeneration, Qwen2Tokenizer, Qwen2VLProcessor

from posterkit.pipelines.checks import Sampling, check_finite, check_output, check_strength
from posterkit.pipelines.denoise import DenoisingInputs, guided_velocity, joins_guidance, text_of
from posterkit.pipelines.instruction import unpad
from posterkit.pipelines.keep import keep_pixels
from posterkit.pipelines.latents import decode_latents, grid_shape, unpack
from posterkit.pipelines.poster_pipeline import PosterPipelineOutput, one_at_a_time
from posterkit.pipelines.posteromni_parts import PosterOmniParts, chunks
from posterkit.pipelines.processor import load_processor_if_needed
from posterkit.pipelines.references import Poster, match_negatives
from posterkit.pipelines.regional_prompts import (
    UNTIL,
    RegionPrompt,
    Regions,
    check_until,
    described,
    match_regions,
    regional_attention,
)
from posterkit.pipelines.registry import OF_THE_HUB
from posterkit.sizing import Size
from posterkit.tasks import Anchor

logger = logging.get_logger(__name__)


class PosterOmniPipeline(PosterOmniParts, QwenImageLoraLoaderMixin):
    """Image to poster on Qwen-Image-Edit components.

    Args:
        scheduler, vae, text_encoder, tokenizer, processor, transformer: as in a Qwen-Image-Edit-Plus folder. Encoder,
            tokenizer and processor may be None when embeddings are passed; a missing processor is made around the
            tokenizer.
        native_area: area in pixels that the checkpoint draws best.
        reference_area: area in pixels at which the autoencoder sees references that do not lie on the target.
        condition_area: area in pixels at which the text encoder sees references.
        replicate_edges: what has to be made stands in the reference as its nearest kept pixels, not as grey.
        picture_labels: "Picture 1:" stands before each reference in the instruction, as Edit-Plus was trained.
        num_inference_steps, true_cfg_scale, max_sequence_length: what a call uses when it says nothing else. All eight
            are saved in `model_index.json`, so that a checkpoint carries its own defaults.
    """

    model_cpu_offload_seq = "text_encoder->transformer->vae"

    def __init__(
        self,
        scheduler: FlowMatchEulerDiscreteScheduler,
        vae: AutoencoderKLQwenImage,
        text_encoder: Qwen2_5_VLForConditionalGeneration,
        tokenizer: Qwen2Tokenizer,
        processor: Qwen2VLProcessor,
        transformer: QwenImageTransformer2DModel,
        native_area: int = 1024 * 1024,
        reference_area: int = 1024 * 1024,
        condition_area: int = 384 * 384,
        replicate_edges: bool = False,
        num_inference_steps: int = 40,
        true_cfg_scale: float = 4.0,
        max_sequence_length: int = 512,
        picture_labels: bool = True,
    ) -> None:
        super().__init__()
        self.register_modules(
            vae=vae, text_encoder=text_encoder, tokenizer=tokenizer, processor=processor, transformer=transformer,
            scheduler=scheduler,
        )  # fmt: skip
        self.register_to_config(
            native_area=native_area, reference_area=reference_area, condition_area=condition_area,
            replicate_edges=replicate_edges, num_inference_steps=num_inference_steps, true_cfg_scale=true_cfg_scale,
            max_sequence_length=max_sequence_length, picture_labels=picture_labels,
        )  # fmt: skip
        self.vae_scale_factor = 2 ** len(vae.config["temperal_downsample"]) if vae is not None else 8
        self.patch = 2 * self.vae_scale_factor
        self.image_processor = VaeImageProcessor(vae_scale_factor=self.patch)

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: Any, **kwargs: Any) -> PosterOmniPipeline:
        """Load as every diffusers pipeline does; without torchvision with posterkit's own processor.

        A folder of the first, single-image Qwen-Image-Edit says so in its index, and gets that model's instruction.
        """
        load_processor_if_needed(pretrained_model_name_or_path, kwargs)
        hub = {k: v for k, v in kwargs.items() if k in OF_THE_HUB}
        index: Any = cls.load_config(pretrained_model_name_or_path, **hub)
        if index.get("_class_name") == "QwenImageEditPipeline" and "picture_labels" not in index:
            kwargs = {"picture_labels": False, "condition_area": 1024 * 1024, **kwargs}
        return super().from_pretrained(pretrained_model_name_or_path, **kwargs)

    def stock_class(self) -> str:
        return "QwenImageEditPlusPipeline" if self.config["picture_labels"] else "QwenImageEditPipeline"

    @property
    def attention_kwargs(self) -> dict[str, Any]:
        return self._attention_kwargs

    def draw(
        self,
        posters: Sequence[Poster],
        noise: Sequence[Tensor],
        references: Sequence[Tensor],
        texts: Sequence[Tensor],
        negatives: Sequence[Tensor] | None,
        sampling: Sampling,
        callback_on_step_end: Callable[..., dict[str, Any]] | None = None,
        callback_on_step_end_tensor_inputs: Sequence[str] = ("latents",),
        drafts: Sequence[Tensor] | None = None,
        regions: Sequence[Sequence[tuple[RegionPrompt, Tensor]]] | None = None,
        regions_until: float = UNTIL,
    ) -> list[Tensor]:
        """Denoise posters, those of equal geometry together.

        Args:
            noise: `(count, S, 4 C)` for each poster.
            references: `(S_references, 4 C)` for each poster.
            texts, negatives: `(L, D)` for each poster.
            drafts: `(S, 4 C)` for each poster, which are painted over as far as `sampling.strength` says.
            regions: of each poster, with their prompts' tokens `(l, D)`; they count down to a noise level.

        Returns:
            The pictures' packed latents, as `noise`.
        """
        groups: dict[tuple[Size, ...], list[int]] = defaultdict(list)
        for index, poster in enumerate(posters):
            groups[poster.geometry].append(index)
        device, count = noise[0].device, sampling.count
        drawn: dict[int, Tensor] = {}
        steps = sampling.steps - sampling.skipped
        progress: Any = self.progress_bar(total=len(groups) * steps)  # type: ignore[call-arg]
        with progress as progress_bar:
            for geometry, members in groups.items():
                timesteps = self.prepare_timesteps(geometry[0], sampling, device)
                if drawn:
                    # a cache hook counts steps, and must not take this group's first for the last group's next
                    self.transformer._reset_stateful_cache()
                inputs = DenoisingInputs(
                    references=torch.stack([references[index] for index in members]).repeat_interleave(count, dim=0),
                    shapes=[[grid_shape(size, self.patch) for size in geometry]] * (len(members) * count),
                    negative=text_of([negatives[index] for index in members], count) if negatives else None,
                    scale=sampling.scale,
                    guidance=self.distilled_guidance(sampling.guidance_scale, len(members) * count, device),
                    attention_kwargs=self.attention_kwargs,
                    join=sampling.join,
                )
                text = text_of([texts[index] for index in members], count)
                if regions is not None:
                    inputs.regions = self.join_regions(
                        [regions[index] for index in members for _ in range(count)], text, geometry, regions_until
                    )
                    if inputs.regions is not None:
                        inputs.regions.check_reach(timesteps)
                start = torch.cat([noise[index] for index in members])
                if drafts is not None:
                    painted = torch.stack([drafts[index] for index in members]).repeat_interleave(count, dim=0)
                    start = self.scheduler.scale_noise(painted.to(start), timesteps[:1].repeat(len(start)), start)
                latents = self.denoise(
                    partial(guided_velocity, self.transformer, inputs, text.mask),
                    start, text.embeds, timesteps, progress_bar, callback_on_step_end,
                    callback_on_step_end_tensor_inputs,
                )  # fmt: skip
                drawn.update(zip(members, latents.split(count), strict=True))
        return [drawn[index] for index in range(len(posters))]

    def distilled_guidance(self, scale: float | None, batch: int, device: torch.device) -> Tensor | None:
        """`(B,)` for a guidance-distilled transformer; None for every other one."""
        if scale is None or not self.transformer.config.guidance_embeds:
            if scale is not None:
                logger.warning(f"guidance_scale={scale} is ignored: this transformer is not guidance-distilled")
            return None
        return torch.full([batch], scale, device=device, dtype=torch.float32)

    def decode_all(self, posters: Sequence[Poster], drawn: Sequence[Tensor], keep: bool) -> list[Tensor]:
        """Every image as `(3, H, W)` in [0, 1], posters of one size decoded together; with kept pixels put back."""
        sizes: dict[Size, list[int]] = defaultdict(list)
        for index, poster in enumerate(posters):
            sizes[poster.size].append(index)
        images: dict[int, Tensor] = {}
        for size, members in sizes.items():
            pixels = self.decode(torch.cat([drawn[index] for index in members]), size)
            images.update(zip(members, pixels.split([len(drawn[index]) for index in members]), strict=True))
        return [
            self.keep_pixels(image, poster) if keep else image
            for index, poster in enumerate(posters)
            for image in images[index]
        ]

    def decode(self, latents: Tensor, size: Size) -> Tensor:
        """Packed latents `(B, S, 4 C)` of posters of one size to pixels `(B, 3, H, W)` in [0, 1]."""
        cells = unpack(latents, size, self.patch)
        pixels = torch.cat([decode_latents(self.vae, torch.stack(part)) for part in chunks(list(cells), size.area)])
        check_finite(pixels, "the autoencoder")
        shown = self.image_processor.postprocess(pixels, output_type="pt")
        assert isinstance(shown, Tensor)
        return shown

    def keep_pixels(self, image: Tensor, poster: Poster) -> Tensor:
        """Put the pixels that the task keeps back into `(3, H, W)`, [0, 1]; exact in float32."""
        if poster.region is None:
            return image
        made = image.float().permute(1, 2, 0).cpu().numpy()
        kept = keep_pixels(made, poster.references[0], poster.region)
        return torch.from_numpy(kept).permute(2, 0, 1).to(image.device)

    def finish(self, images: list[Tensor], output_type: str) -> Any:
        """A tensor `(3, H, W)` for each image to what the caller asked for; sizes that differ stay a list."""
        one_size = len({image.shape for image in images}) == 1
        if output_type in ("pt", "latent"):
            return torch.stack(images) if one_size else images
        arrays = [self.image_processor.pt_to_numpy(image[None]) for image in images]
        if output_type == "np":
            return np.concatenate(arrays) if one_size else [array[0] for array in arrays]
        return [self.image_processor.numpy_to_pil(array)[0] for array in arrays]

    @torch.no_grad()
    @one_at_a_time
    def __call__(
        self,
        image: Any = None,
        prompt: str | list[str] | None = None,
        negative_prompt: str | list[str] | None = None,
        true_cfg_scale: float | None = None,
        height: int | None = None,
        width: int | None = None,
        num_inference_steps: int | None = None,
        sigmas: list[float] | None = None,
        guidance_scale: float | None = None,
        num_images_per_prompt: int = 1,
        generator: torch.Generator | list[torch.Generator] | None = None,
        latents: Tensor | list[Tensor] | None = None,
        prompt_embeds: Tensor | None = None,
        prompt_embeds_mask: Tensor | None = None,
        negative_prompt_embeds: Tensor | None = None,
        negative_prompt_embeds_mask: Tensor | None = None,
        output_type: str = "pil",
        return_dict: bool = True,
        attention_kwargs: dict[str, Any] | None = None,
        callback_on_step_end: Callable[..., dict[str, Any]] | None = None,
        callback_on_step_end_tensor_inputs: Sequence[str] = ("latents",),
        max_sequence_length: int | None = None,
        *,
        task: str | None = None,
        mask_image: Any = None,
        anchor: Anchor | list[Anchor] = "center",
        preserve: bool | None = None,
        draft: Any = None,
        strength: float | None = None,
        reference_area: int | None = None,
        condition_area: int | None = None,
        batch_cfg: bool = False,
        regions: Regions | None = None,
        regions_until: float = UNTIL,
    ) -> PosterPipelineOutput | tuple:
        """Make posters.

        With `task=None` this is a plain edit, and equals stock `QwenImageEditPlusPipeline` bit for bit at the same
        sizes and areas.

        Args:
            image: one image, a list (the references of one poster), or a list of lists (one for each poster). PIL
                images, arrays `(H, W, 3)` or tensors `(3, H, W)`, bytes or floats in [0, 1].
            prompt: what the poster shall be; None takes the task's default wording. One text serves all posters.
            negative_prompt: what true guidance steers away from; None means `" "`.
            true_cfg_scale: above 1 a second forward follows the negative prompt; None means the checkpoint's own.
            height, width: pixels the model draws, multiples of 16; None for about the checkpoint's native area in the
                task's shape.
            num_inference_steps, max_sequence_length: None means the checkpoint's own.
            sigmas: noise levels instead of even spacing.
            guidance_scale: for guidance-distilled transformers only.
            generator: one, or one for each image.
            latents: packed noise `(S, 4 C)` for each image, stacked or in a list.
            prompt_embeds, prompt_embeds_mask: `(B, L, D)`, `(B, L)` from `encode_prompt`; likewise the negative ones.
            output_type: "pil", "np", "pt" or "latent" (packed, nothing kept).
            attention_kwargs: goes to the attention processors; `{"scale": s}` scales LoRAs.
            callback_on_step_end: gets pipeline, step, timestep and the tensors named; may replace `latents` and
                `prompt_embeds`. Posters of different geometry are drawn one group after the other.
            task: "extending", "filling", "rescaling", "id_driven", "layout_driven", "style_driven".
            mask_image: for filling, one for each poster, of its image's size; white = make this.
            anchor: where extending puts the photo: "center", "top-left", ... or (x, y) in pixels; a list for a batch.
            preserve: return kept pixels exactly; None means wherever the task keeps any.
            draft: a picture to paint over, one for all posters or one for each, of the poster's shape; it is brought
                to the poster's size. The references stay what the model sees beside it.
            strength: how much of `draft` is painted anew, in (0, 1]; None means 0.6.
            reference_area, condition_area: pixels at which autoencoder and text encoder see references; None means the
                checkpoint's own.
            batch_cfg: join the two forwards of true guidance in one batch while no cache hook is on.
            regions: parts of the picture with prompts of their own, one list for all posters or one for each.
            regions_until: the noise level, in [0, 1], from which on they no longer count.

        Raises:
            ValueError: anything that cannot work, before any model runs.
        """
        sampling = Sampling(
            steps=len(sigmas) if sigmas is not None else self._own("num_inference_steps", num_inference_steps),
            sigmas=sigmas,
            scale=self._own("true_cfg_scale", true_cfg_scale),
            guidance_scale=guidance_scale,
            count=num_images_per_prompt,
            join=joins_guidance(self.transformer, batch_cfg),
            strength=check_strength(draft, strength, "draft"),
        )
        check_output(output_type, callback_on_step_end_tensor_inputs, self._callback_tensor_inputs)
        posters = self.prepare_references(
            image, None if prompt_embeds is not None else prompt, task, mask_image=mask_image, anchor=anchor,
            width=width, height=height, reference_area=reference_area, condition_area=condition_area,
        )  # fmt: skip
        given = (prompt_embeds, prompt_embeds_mask, negative_prompt_embeds, negative_prompt_embeds_mask)
        self.check_inputs(
            posters, prompt, negative_prompt, given, sampling, generator, latents, preserve, anchor,
            max_sequence_length,
        )  # fmt: skip
        drafts = self.read_drafts(draft, posters)
        parts, until = match_regions(regions, len(posters), self.transformer), check_until(regions_until)
        keep = preserve is not False and output_type != "latent"
        encoded = prompt_embeds is not None, negative_prompt_embeds is not None
        record = self.describe(posters, sampling, negative_prompt, generator, keep, encoded)
        if any(parts):
            said = [described(parts[index // sampling.count], until) for index in range(len(record))]
            record = [row | own for row, own in zip(record, said, strict=True)]
        device = self._execution_device
        self._guidance_scale, self._attention_kwargs = guidance_scale, attention_kwargs or {}
        self._current_timestep, self._interrupt = None, False

        words, pictures = [poster.instruction for poster in posters], [poster.pictures for poster in posters]
        texts = unpad(*self.encode_prompt(words, pictures, device, 1, *given[:2], max_sequence_length))
        against = None
        if sampling.scale > 1:
            words = match_negatives(negative_prompt, len(posters))
            against = unpad(*self.encode_prompt(words, pictures, device, 1, *given[2:], max_sequence_length))
        seen = [tokens.to(texts[0].dtype) for tokens in self.encode_references(posters, device)]
        noise = self.prepare_latents(posters, sampling.count, texts[0].dtype, device, generator, latents)
        painted = self.encode_drafts(drafts, posters, device) if drafts else None

        own = self.encode_regions(parts, device)
        with regional_attention(self.transformer, own is not None):
            drawn = self.draw(
                posters, noise, seen, texts, against, sampling, callback_on_step_end,
                callback_on_step_end_tensor_inputs, painted, own, until,
            )  # fmt: skip
        if output_type == "latent":
            images = [one for tokens in drawn for one in tokens]
        else:
            images = self.decode_all(posters, drawn, keep)
        self.maybe_free_model_hooks()

        result = self.finish(images, output_type)
        if not return_dict:
            return (result,)
        return PosterPipelineOutput(images=result, parameters=record)
