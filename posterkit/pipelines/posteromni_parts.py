"""The parts of PosterOmniPipeline's life cycle before the loop: read what is asked for, check, encode, prepare."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import torch
from diffusers.utils.torch_utils import randn_tensor
from PIL import Image
from torch import Tensor

from posterkit.pipelines import references as refs
from posterkit.pipelines.checks import Sampling, check_generators, check_latents, check_prompts
from posterkit.pipelines.denoise import Text
from posterkit.pipelines.instruction import encode_instructions, pad
from posterkit.pipelines.latents import encode_pixels, pack
from posterkit.pipelines.poster_pipeline import PosterPipeline
from posterkit.pipelines.processor import Qwen2VLProcessor
from posterkit.pipelines.references import Poster, match_negatives
from posterkit.pipelines.regional_prompts import LENGTH, RegionPrompt, RegionTexts, region_texts
from posterkit.sizing import SHAPE_TOLERANCE, Size
from posterkit.tasks import Anchor, get_task

PIXELS_AT_ONCE = 2**20  # through the autoencoder together, so that a batch costs no more memory than one poster
LONGEST = 1024  # tokens of an instruction that the stock pipeline accepts at most


def chunks(items: list[Any], area: int) -> list[list[Any]]:
    """Split pictures of `area` pixels into lists that go through the autoencoder together."""
    step = max(1, PIXELS_AT_ONCE // area)
    return [items[first : first + step] for first in range(0, len(items), step)]


class PosterOmniParts(PosterPipeline):
    """Everything before the sampling loop; each method can be called and tested alone."""

    processor: Any

    def prepare_references(
        self,
        image: Any,
        prompt: str | Sequence[str | None] | None = None,
        task: str | None = None,
        *,
        mask_image: Any = None,
        anchor: Anchor | list[Anchor] = "center",
        width: int | None = None,
        height: int | None = None,
        reference_area: int | None = None,
        condition_area: int | None = None,
    ) -> list[Poster]:
        """Read the task: one `Poster` for each prompt, with its instruction and its references placed and sized.

        What comes out feeds `encode_prompt` and `encode_references`; nothing here needs a model.

        Raises:
            ValueError: anything about task, images, masks, anchor or size that cannot work.
        """
        chosen = get_task(task) if task is not None else None
        images = refs.read_images(image)
        if chosen is not None:
            refs.check_references(images, chosen)
        masks = refs.read_masks(mask_image, images, chosen)
        size = refs.asked_size(width, height)
        prompts = refs.match_prompts(prompt, len(images))
        anchors = refs.match_anchors(anchor, len(images))
        areas = refs.Areas(
            self.config["native_area"],
            self._own("reference_area", reference_area),
            self._own("condition_area", condition_area),
        )
        words = [text or "" if chosen is None else chosen.instruction(text) for text in prompts]
        resize = refs.Sizer()
        return [
            refs.lay_out(
                chosen, text, row, areas, size, mask, where, self.config["replicate_edges"], self.patch, resize
            )
            for text, row, mask, where in zip(words, images, masks, anchors, strict=True)
        ]

    def check_inputs(
        self,
        posters: Sequence[Poster],
        prompt: Any,
        negative_prompt: Any,
        texts: Sequence[Tensor | None],
        sampling: Sampling,
        generator: Any,
        latents: Any,
        preserve: bool | None,
        anchor: Anchor | list[Anchor],
        max_sequence_length: int | None,
    ) -> None:
        """Raise a ValueError where anything about the call cannot work that the references do not show.

        Args:
            texts: prompt_embeds, prompt_embeds_mask, negative_prompt_embeds and negative_prompt_embeds_mask as passed.
        """
        task, count = posters[0].task, len(posters)
        embeds, mask, negative_embeds, negative_mask = texts
        check_prompts(prompt, embeds, mask, count, required=task is None)
        check_prompts(negative_prompt, negative_embeds, negative_mask, count, "negative_prompt")
        negatives = match_negatives(negative_prompt, count)
        if max_sequence_length is not None and not 0 < max_sequence_length <= LONGEST:
            raise ValueError(f"max_sequence_length must be 1 to {LONGEST}, got {max_sequence_length}")
        if embeds is None:
            self.check_instructions([poster.instruction for poster in posters], max_sequence_length)
        if sampling.scale > 1 and negative_embeds is None:
            self.check_instructions(negatives, max_sequence_length)
        if (sampling.guidance_scale is None) and self.transformer.config.guidance_embeds:
            raise ValueError("guidance_scale is missing: this transformer is guidance-distilled")
        if preserve and (task is None or not task.keeps_pixels):
            name = "a plain edit" if task is None else f'task "{task.name}"'
            raise ValueError(f"preserve=True: {name} keeps no pixels; extending and filling do")
        if anchor != "center" and (task is None or task.name != "extending"):
            raise ValueError(f'anchor={anchor!r}: only task "extending" takes an anchor')
        check_generators(generator, count * sampling.count)
        tokens = [(poster.size.area // self.patch**2, self.transformer.config.in_channels) for poster in posters]
        check_latents(latents, [shape for shape in tokens for _ in range(sampling.count)])

    def encode_prompt(
        self,
        prompt: str | Sequence[str],
        condition_images: Sequence[Image.Image] | Sequence[Sequence[Image.Image]],
        device: torch.device | str | None = None,
        num_images_per_prompt: int = 1,
        prompt_embeds: Tensor | None = None,
        prompt_embeds_mask: Tensor | None = None,
        max_sequence_length: int | None = None,
    ) -> tuple[Tensor, Tensor | None]:
        """Embed instructions with the pictures they speak of.

        Args:
            prompt: full instructions (`Poster.instruction`).
            condition_images: the pictures of one instruction, or a list of them for each (`Poster.pictures`).
            prompt_embeds, prompt_embeds_mask: taken as they are instead of encoding.
            max_sequence_length: tokens that an instruction may have; the checkpoint's own limit if None.

        Returns:
            `prompt_embeds` `(B * num_images_per_prompt, L, D)` and `prompt_embeds_mask` `(B * num_images_per_prompt,
            L)`, or None where nothing is padded.

        Raises:
            ValueError: an instruction is too long, or there is no encoder.
        """
        if prompt_embeds is None:
            prompts = [prompt] if isinstance(prompt, str) else list(prompt)
            pictures: list[Any] = list(condition_images)
            if not pictures or not isinstance(pictures[0], (list, tuple)):
                pictures = [pictures]
            self.check_instructions(prompts, max_sequence_length)
            device = device or self._execution_device
            processor = self.processor or Qwen2VLProcessor.for_tokenizer(self.tokenizer)
            labels = self.config["picture_labels"]
            if not labels and any(len(seen) > 1 for seen in pictures):
                raise ValueError(
                    "the first Qwen-Image-Edit takes one reference; take Qwen-Image-Edit-2509 for several"
                )
            rows = encode_instructions(self.text_encoder, processor, prompts, pictures, device, labels)
            prompt_embeds, prompt_embeds_mask = pad(rows)
        assert prompt_embeds is not None
        prompt_embeds = prompt_embeds.repeat_interleave(num_images_per_prompt, dim=0)
        if prompt_embeds_mask is not None:
            prompt_embeds_mask = prompt_embeds_mask.repeat_interleave(num_images_per_prompt, dim=0)
            # attention without a mask takes a faster path
            prompt_embeds_mask = None if prompt_embeds_mask.all() else prompt_embeds_mask
        return prompt_embeds, prompt_embeds_mask

    def check_instructions(self, prompts: Sequence[str], max_sequence_length: int | None = None) -> None:
        """Raise a ValueError where instructions cannot be encoded: too long, or with the encoder's control tokens."""
        if self.text_encoder is None or self.tokenizer is None:
            raise ValueError("there is no text encoder; pass prompt_embeds (and negative_prompt_embeds for guidance)")
        limit = self._own("max_sequence_length", max_sequence_length)
        for prompt in prompts:
            tokens = self.tokenizer(prompt)["input_ids"]
            if len(tokens) > limit:
                raise ValueError(f"the instruction has {len(tokens)} tokens, at most {limit} fit: {prompt[:60]!r}...")
            control = set(tokens) & set(self.tokenizer.all_special_ids)
            if control:
                found = self.tokenizer.convert_ids_to_tokens(min(control))
                raise ValueError(f"the prompt holds {found}, which the text encoder reads as a command; leave it out")

    def encode_regions(
        self, regions: Sequence[Sequence[RegionPrompt]], device: torch.device | str
    ) -> list[list[tuple[RegionPrompt, Tensor]]] | None:
        """Regions with their prompts' tokens `(l, D)`, read without any picture; None where there are none."""
        if not any(regions):
            return None
        prompts = [one.prompt for row in regions for one in row]
        self.check_instructions(prompts, LENGTH)
        processor = self.processor or Qwen2VLProcessor.for_tokenizer(self.tokenizer)
        made = iter(encode_instructions(self.text_encoder, processor, prompts, [[]] * len(prompts), device))
        return [[(one, next(made)) for one in row] for row in regions]

    def join_regions(
        self,
        regions: Sequence[Sequence[tuple[RegionPrompt, Tensor]]],
        text: Text,
        geometry: Sequence[Size],
        until: float,
    ) -> RegionTexts | None:
        """The regions of posters of one geometry, as attention takes them."""
        if not any(regions):
            return None
        mask = torch.ones(text.embeds.shape[:2], dtype=torch.bool) if text.mask is None else text.mask.bool()
        return region_texts(
            [[one for one, _ in row] for row in regions],
            [[tokens for _, tokens in row] for row in regions],
            mask.to(text.embeds.device), geometry[0], self.patch,
            sum(size.area for size in geometry[1:]) // self.patch**2, until,
        )  # fmt: skip

    def encode_references(self, posters: Sequence[Poster], device: torch.device | str | None = None) -> list[Tensor]:
        """The packed latents of each poster's references, one behind the other: `(S_references, 4 C)` tensors.

        Every distinct picture is encoded once.
        """
        device = device or self._execution_device
        sizes: dict[tuple[int, int], dict[int, Image.Image]] = defaultdict(dict)
        for poster in posters:
            for reference in poster.references:
                sizes[reference.size][id(reference)] = reference
        found: dict[int, Tensor] = {}
        for (width, height), images in sizes.items():
            for chunk in chunks(list(images.values()), width * height):
                pixels = torch.cat([self.image_processor.preprocess(image, height, width) for image in chunk])
                tokens = pack(encode_pixels(self.vae, pixels)).to(device)
                found.update(zip(map(id, chunk), tokens, strict=True))
        return [torch.cat([found[id(one)] for one in poster.references]) for poster in posters]

    def read_drafts(self, draft: Any, posters: Sequence[Poster]) -> list[Image.Image]:
        """The pictures to paint over, RGB, one for each poster; empty where there are none.

        Raises:
            ValueError: one is no picture or has another shape than its poster, or the count does not fit.
        """
        if draft is None:
            return []
        given = list(draft) if isinstance(draft, (list, tuple)) else [draft] * len(posters)
        if len(given) != len(posters):
            raise ValueError(f"draft is given {len(given)} times for {len(posters)} posters; give one each, or one")
        drafts = [refs.read_image(one, "draft") for one in given]
        for one, poster in zip(drafts, posters, strict=True):
            if abs(Size(*one.size).aspect / poster.size.aspect - 1) > SHAPE_TOLERANCE:
                raise ValueError(f"a draft keeps its shape: the picture given is {Size(*one.size)}, "
                                 f"the poster {poster.size}")  # fmt: skip
        return drafts

    def encode_drafts(
        self, drafts: Sequence[Image.Image], posters: Sequence[Poster], device: torch.device | str
    ) -> list[Tensor]:
        """Packed latents `(S, 4 C)` of drafts at their posters' sizes."""
        found = []
        for draft, poster in zip(drafts, posters, strict=True):
            pixels = self.image_processor.preprocess(draft, poster.size.height, poster.size.width)
            found.append(pack(encode_pixels(self.vae, pixels))[0].to(device))
        return found

    def prepare_latents(
        self,
        posters: Sequence[Poster],
        num_images_per_prompt: int,
        dtype: torch.dtype,
        device: torch.device | str,
        generator: Any = None,
        latents: Tensor | Sequence[Tensor] | None = None,
    ) -> list[Tensor]:
        """Noise for each poster's images, packed: `(num_images_per_prompt, S, 4 C)` each.

        One generator serves the posters in their order; with a list each image has its own, and does not depend on
        what else is in the batch.
        """
        count, noise = num_images_per_prompt, []
        for index, poster in enumerate(posters):
            own = slice(index * count, (index + 1) * count)
            if latents is not None:
                noise.append(torch.stack(list(latents[own])).to(device, dtype))
                continue
            rows, columns = poster.size.height // self.vae_scale_factor, poster.size.width // self.vae_scale_factor
            shape = (count, 1, self.transformer.config.in_channels // 4, rows, columns)
            source = list(generator[own]) if isinstance(generator, (list, tuple)) else generator
            noise.append(pack(randn_tensor(shape, generator=source, device=device, dtype=dtype).squeeze(1)))
        return noise

    def describe(
        self,
        posters: Sequence[Poster],
        sampling: Sampling,
        negative_prompt: Any,
        generator: Any,
        keep: bool,
        encoded: tuple[bool, bool] = (False, False),
    ) -> list[dict[str, Any]]:
        """What is really used for each image, in plain JSON values, so that two runs can be compared.

        Args:
            encoded: whether instructions and negative prompts came as embeddings; their words are not known then.
        """
        images = len(posters) * sampling.count
        generators = list(generator) if isinstance(generator, (list, tuple)) else [generator] * images
        seeds = [None if one is None else one.initial_seed() for one in generators]
        steered = sampling.scale > 1 and not encoded[1]
        negatives = match_negatives(negative_prompt, len(posters)) if steered else [None] * len(posters)
        return [
            {
                "task": poster.task.name if poster.task else None,
                "instruction": None if encoded[0] else poster.instruction,
                "negative_prompt": negatives[index],
                "width": poster.size.width,
                "height": poster.size.height,
                "num_inference_steps": sampling.steps,
                "sigmas": None if sampling.sigmas is None else list(map(float, sampling.sigmas)),
                "true_cfg_scale": sampling.scale,
                "guidance_scale": sampling.guidance_scale,
                "references": [list(reference.size) for reference in poster.references],
                "pictures": [list(picture.size) for picture in poster.pictures],
                "preserve": keep and poster.region is not None,
                "strength": None if sampling.strength == 1 else sampling.strength,
                "seed": seeds[index * sampling.count + number],
                "number": number,
                "dtype": str(self.transformer.dtype).removeprefix("torch."),
            }
            for index, poster in enumerate(posters)
            for number in range(sampling.count)
        ]
