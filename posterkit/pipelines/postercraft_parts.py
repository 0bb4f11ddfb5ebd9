"""The parts of PosterCraftPipeline's life cycle before the loop: check what is asked for, encode, prepare."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from diffusers.loaders import TextualInversionLoaderMixin
from diffusers.utils import logging, scale_lora_layers, unscale_lora_layers
from diffusers.utils.torch_utils import get_module_execution_device, randn_tensor
from PIL import Image

from posterkit.pipelines.checks import Sampling, check_generators, check_latents
from posterkit.pipelines.flux_inputs import check_texts, count_prompts, feedback_text, position_ids
from posterkit.pipelines.latents import pack
from posterkit.pipelines.poster_pipeline import PosterPipeline
from posterkit.pipelines.references import read_image
from posterkit.pipelines.regional_prompts import LENGTH, RegionPrompt, RegionTexts, region_texts
from posterkit.sizing import SHAPE_TOLERANCE, Size, check_on_grid, fit_area

logger = logging.get_logger(__name__)

POSTER = Size(832, 1216)  # the shape of a PosterCraft poster when nobody asks for another
LONGEST_PROMPT = 512  # T5 tokens that FLUX.1 was trained with at most


class PosterCraftParts(PosterPipeline, TextualInversionLoaderMixin):
    """Everything before the sampling loop; each method can be called and tested alone."""

    text_encoder_2: Any
    tokenizer_2: Any

    def read_drafts(self, pictures: Any, name: str = "draft_image") -> list[Image.Image] | None:
        """Drafts as RGB; `name` is the argument that errors name.

        Raises:
            ValueError: one is no picture.
        """
        if pictures is None:
            return None
        given = list(pictures) if isinstance(pictures, (list, tuple)) else [pictures]
        return [read_image(picture, name) for picture in given]

    def target_size(
        self, width: int | None = None, height: int | None = None, drafts: Sequence[Image.Image] = ()
    ) -> Size:
        """The size to draw at.

        With no size given: the grid size of about `native_area` nearest in shape to the drafts, else to 832x1216.
        With one side given, the other follows from that shape.

        Raises:
            ValueError: an explicit size off the grid, or a draft or image of another shape than the poster.
        """
        shapes = [Size(*draft.size) for draft in drafts]
        shape = shapes[0] if shapes else POSTER
        if width is None and height is None:
            size = fit_area(shape, self.config["native_area"], self.patch)
        else:
            cells = shape.aspect / self.patch, 1 / (shape.aspect * self.patch)
            size = check_on_grid(
                max(1, round((height or 0) * cells[0])) * self.patch if width is None else width,
                max(1, round((width or 0) * cells[1])) * self.patch if height is None else height,
                self.patch,
            )
        for found in shapes:
            if abs(found.aspect / size.aspect - 1) > SHAPE_TOLERANCE:
                raise ValueError(f"a draft keeps its shape: the picture given is {found}, the poster {size}")
        return size

    def check_inputs(
        self,
        prompts: tuple[Any, Any, torch.Tensor | None, torch.Tensor | None],
        negatives: tuple[Any, Any, torch.Tensor | None, torch.Tensor | None],
        sampling: Sampling,
        generator: Any,
        max_sequence_length: int,
        image: Sequence[Image.Image] | None,
        draft_image: Sequence[Image.Image] | None,
        feedback: Any,
        width: int | None,
        height: int | None,
        latents: torch.Tensor | None,
    ) -> tuple[int, Size]:
        """Say what is wrong with a call before any work.

        Args:
            prompts, negatives: what CLIP reads and T5, or the embeddings of both, as passed.

        Returns:
            How many prompts there are, and the size to draw at.

        Raises:
            ValueError: a prompt is missing, given twice or of a wrong type; counts differ; anything that cannot work.
        """
        batch, prompt_embeds, negative_prompt_embeds = count_prompts(*prompts), prompts[2], negatives[2]
        if negative_prompt_embeds is not None:
            if count_prompts(*negatives, "negative_") != batch:
                raise ValueError(f"negative_prompt_embeds holds {len(negative_prompt_embeds)} for {batch} prompts")
            if prompt_embeds is not None and negative_prompt_embeds.shape != prompt_embeds.shape:
                shapes = tuple(prompt_embeds.shape), tuple(negative_prompt_embeds.shape)
                raise ValueError(
                    f"prompt_embeds and negative_prompt_embeds differ in shape: {shapes[0]} and {shapes[1]}"
                )
        for name, texts in zip(("negative_prompt", "negative_prompt_2"), negatives, strict=False):
            check_texts(name, texts)
            if isinstance(texts, list) and len(texts) != batch:
                raise ValueError(f"{name} holds {len(texts)} texts for {batch} prompts")
        encoders = None not in (self.text_encoder, self.text_encoder_2)
        if prompt_embeds is None and not encoders:
            raise ValueError("there is no text encoder; pass prompt_embeds and pooled_prompt_embeds")
        if sampling.scale > 1 and negative_prompt_embeds is None and not encoders:
            raise ValueError(
                "true_cfg_scale > 1 without text encoders needs negative_prompt_embeds and its pooled vector"
            )
        if not 0 < max_sequence_length <= LONGEST_PROMPT:
            raise ValueError(f"max_sequence_length must be 1 to {LONGEST_PROMPT}, got {max_sequence_length}")
        check_generators(generator, batch * sampling.count)
        if feedback is not None and prompt_embeds is not None:
            raise ValueError("prompt_embeds already hold the feedback: give it to encode_prompt instead")
        for name, given in {"feedback": feedback, "draft_image": draft_image}.items():
            if given is not None and len(given) != batch:
                raise ValueError(f"{name} is given {len(given)} times for {batch} prompts; give one each, or none")
        if image is not None and len(image) not in (1, batch):
            raise ValueError(f"image is given {len(image)} times for {batch} prompts; give one each, or one for all")
        for lines in feedback or ():
            feedback_text(lines)
        size = self.target_size(width, height, [*(draft_image or ()), *(image or ())])
        if latents is not None:
            tokens = size.area // self.patch**2, self.transformer.config.in_channels
            if not isinstance(latents, torch.Tensor):
                raise ValueError(f"latents is a {type(latents).__name__}; give a tensor (images, *{tokens})")
            check_latents(latents, [tokens] * (batch * sampling.count))
        return batch, size

    def encode_prompt(
        self,
        prompt: str | list[str] | None,
        prompt_2: str | list[str] | None = None,
        device: torch.device | None = None,
        num_images_per_prompt: int = 1,
        prompt_embeds: torch.Tensor | None = None,
        pooled_prompt_embeds: torch.Tensor | None = None,
        max_sequence_length: int | None = None,
        lora_scale: float | None = None,
        *,
        feedback: list[list[str]] | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Encode prompts, and behind each its feedback.

        Args:
            prompt, prompt_2: what CLIP and T5 read; T5 reads `prompt` where `prompt_2` is None.
            prompt_embeds, pooled_prompt_embeds: encoded before; only repeated for `num_images_per_prompt`.
            max_sequence_length: T5 tokens of the prompt, and of the feedback; None means the checkpoint's own.
            feedback: a list of suggestions for each prompt; an empty one is encoded as an empty text.

        Returns:
            `prompt_embeds` (B, L, D) or, with feedback, (B, 2 L, D); `pooled_prompt_embeds` (B, P) of the prompt
            alone; and `text_ids` (L or 2 L, 3), zeros.
        """
        device = device or self._execution_device
        length = self._own("max_sequence_length", max_sequence_length)
        if prompt_embeds is None:
            prompts = [prompt] if isinstance(prompt, str) else list(prompt or ())
            prompts_2 = [prompt_2] if isinstance(prompt_2, str) else prompt_2 or prompts
            with self._text_lora_scale(lora_scale):
                pooled_prompt_embeds = self.encode_clip(prompts, device)
                prompt_embeds = self.encode_t5(prompts_2, length, device)
                if feedback is not None:
                    suggested = [feedback_text(lines) if lines else "" for lines in feedback]
                    prompt_embeds = torch.cat([prompt_embeds, self.encode_t5(suggested, length, device)], dim=1)
        pooled_prompt_embeds = pooled_prompt_embeds.repeat_interleave(num_images_per_prompt, dim=0)  # type: ignore[union-attr]
        prompt_embeds = prompt_embeds.repeat_interleave(num_images_per_prompt, dim=0)
        dtype = self.text_encoder.dtype if self.text_encoder is not None else self.transformer.dtype
        text_ids = torch.zeros(prompt_embeds.shape[1], 3, device=device, dtype=dtype)
        return prompt_embeds, pooled_prompt_embeds, text_ids  # type: ignore[return-value]

    def encode_regions(
        self,
        regions: Sequence[Sequence[RegionPrompt]],
        num_images_per_prompt: int,
        prompt_embeds: torch.Tensor,
        size: Size,
        image_tokens: int,
        max_sequence_length: int,
        until: float,
    ) -> RegionTexts | None:
        """Encode the prompts of regions by T5; None where there are none.

        Args:
            prompt_embeds: `(B, L, D)` of the prompts.
            image_tokens: of a picture of `size`, and of its draft.
        """
        if not any(regions):
            return None
        length = min(LENGTH, max_sequence_length)
        embedded = [
            list(self.encode_t5([one.prompt for one in row], length, prompt_embeds.device)) if row else []
            for row in regions
        ]
        rows = [row for row in regions for _ in range(num_images_per_prompt)]
        texts = [row for row in embedded for _ in range(num_images_per_prompt)]
        seen = torch.ones(prompt_embeds.shape[:2], dtype=torch.bool, device=prompt_embeds.device)
        behind = image_tokens - size.area // self.patch**2
        return region_texts(rows, texts, seen, size, self.patch, behind, until)

    def spell_inversions(self, prompts: list[str], tokenizer: Any) -> list[str]:
        """Write out words learned by textual inversion; where none was learned there is nothing to do."""
        learned = any(not token.special for token in tokenizer.added_tokens_decoder.values())
        return list(self.maybe_convert_prompt(prompts, tokenizer)) if learned else prompts

    def encode_clip(self, prompts: list[str], device: torch.device) -> torch.Tensor:
        """CLIP's pooled vector `(B, P)`.

        CLIP sees the first 77 tokens only. T5 carries the whole prompt, so that is no loss and nothing is said.
        """
        prompts = self.spell_inversions(prompts, self.tokenizer)
        limit = self.tokenizer.model_max_length
        ids = self.tokenizer(prompts, padding="max_length", max_length=limit, truncation=True, return_tensors="pt")
        pooled = self.text_encoder(ids.input_ids.to(get_module_execution_device(self.text_encoder))).pooler_output
        return pooled.to(dtype=self.text_encoder.dtype, device=device)

    def encode_t5(self, prompts: list[str], max_sequence_length: int, device: torch.device) -> torch.Tensor:
        """T5's token vectors `(B, max_sequence_length, D)`; says what was cut off a text that is longer."""
        prompts = self.spell_inversions(prompts, self.tokenizer_2)
        for ids in self.tokenizer_2(prompts, verbose=False).input_ids:
            if len(ids) > max_sequence_length:
                rest = self.tokenizer_2.decode(ids[max_sequence_length - 1 : -1])
                rest = rest if len(rest) <= 200 else f"{rest[:200]}…"
                logger.warning(
                    f"a text is cut at max_sequence_length = {max_sequence_length} tokens; unread: {rest!r}"
                )
        ids = self.tokenizer_2(
            prompts, padding="max_length", max_length=max_sequence_length, truncation=True, return_tensors="pt"
        ).input_ids
        hidden = self.text_encoder_2(ids.to(get_module_execution_device(self.text_encoder_2)))[0]
        return hidden.to(dtype=self.text_encoder_2.dtype, device=device)

    def prepare_latents(
        self,
        batch_size: int,
        size: Size,
        dtype: torch.dtype,
        device: torch.device,
        generator: torch.Generator | list[torch.Generator] | None = None,
        latents: torch.Tensor | None = None,
        image: Sequence[Image.Image] | None = None,
        timestep: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Tokens to begin with, `(B, S, 4 C)`: the given ones, noise, or noised images.

        Args:
            image: pictures to paint over, one for all or one for each of `batch_size / count` prompts.
            timestep: `(1,)`, to which they are noised.
        """
        if latents is not None:
            return latents.to(device=device, dtype=dtype)
        channels = self.transformer.config.in_channels // 4
        shape = (batch_size, channels, size.height // self.vae_scale_factor, size.width // self.vae_scale_factor)
        if image is None:
            return pack(randn_tensor(shape, generator=generator, device=device, dtype=dtype))
        clean = self.encode_image(image, size, generator).to(device=device, dtype=dtype)
        clean = clean.repeat_interleave(batch_size // len(clean), dim=0)
        noise = randn_tensor(shape, generator=generator, device=device, dtype=dtype)
        return pack(self.scheduler.scale_noise(clean, timestep.repeat(batch_size), noise))  # type: ignore[union-attr]

    def encode_image(
        self, image: Sequence[Image.Image], size: Size, generator: torch.Generator | list[torch.Generator] | None
    ) -> torch.Tensor:
        """Latents `(B, C, h, w)` of pictures at the target's size, sampled as in stock."""
        pixels = self.image_processor.preprocess(list(image), height=size.height, width=size.width)
        pixels = pixels.to(device=get_module_execution_device(self.vae), dtype=self.vae.dtype)
        if isinstance(generator, list):
            parts = [self.vae.encode(pixels[n : n + 1]).latent_dist.sample(generator[n]) for n in range(len(pixels))]
            encoded = torch.cat(parts)
        else:
            encoded = self.vae.encode(pixels).latent_dist.sample(generator)
        return (encoded - (self.vae.config.shift_factor or 0.0)) * self.vae.config.scaling_factor

    def prepare_draft(
        self, drafts: Sequence[Image.Image] | None, size: Size, num_images_per_prompt: int, latents: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Position ids of all image tokens, and the drafts' tokens where there are drafts.

        Every draft is brought to exactly the target's size, so that cell lies on cell. Shapes are `(S, 3)` and None,
        or `(2 S, 3)` and `(B, S, 4 C)`, in the dtype and on the device of `latents`.
        """
        cells = size.height // self.patch, size.width // self.patch
        image_ids = position_ids(*cells).to(latents)
        if drafts is None:
            return image_ids, None
        for draft in drafts:
            if draft.width < size.width * (1 - SHAPE_TOLERANCE):
                logger.warning(f"the draft is {Size(*draft.size)} and is enlarged to {size}")
        pixels = self.image_processor.preprocess(list(drafts), height=size.height, width=size.width)
        pixels = pixels.to(device=get_module_execution_device(self.vae), dtype=self.vae.dtype)
        encoded = self.vae.encode(pixels).latent_dist.mode()
        encoded = (encoded - (self.vae.config.shift_factor or 0.0)) * self.vae.config.scaling_factor
        tokens = pack(encoded.to(latents)).repeat_interleave(num_images_per_prompt, dim=0)
        return torch.cat([image_ids, position_ids(*cells, image=1).to(latents)]), tokens

    @contextmanager
    def _text_lora_scale(self, scale: float | None) -> Iterator[None]:
        """Weigh the LoRAs of the text encoders while they encode."""
        if scale is None:
            yield
            return
        encoders = [encoder for encoder in (self.text_encoder, self.text_encoder_2) if encoder is not None]
        self._lora_scale = scale
        for encoder in encoders:
            scale_lora_layers(encoder, scale)
        try:
            yield
        finally:
            for encoder in encoders:
                unscale_lora_layers(encoder, scale)
