"""Rewards by encoders of pictures and texts: agreement by HPSv2, PickScore or SigLIP; identity by DINOv2 or CLIP."""

# pyright: standard
from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from posterkit.llm.client import AnswerError
from posterkit.messages import error_line
from posterkit.metrics.appearance import ramp
from posterkit.metrics.arrangement import box_of, subject_mask
from posterkit.rewards.reward import PosterReward, RewardResult, check_count
from posterkit.schema import PosterRequest

WINDOWS = ((1.0, 1), (0.66, 2), (0.5, 3))  # side as a part of the poster's, and how many across and down
COSINES = 0.0, 0.4  # of CLIP-like models; HPSv2's best posters lie near 0.3, SigLIP's lower, hardly any above


class ClipReward:
    """Agreement of poster and caption by a CLIP-like model (PosterCraft section 3.3).

    A cosine from 0 to 0.4 is a value from 0 to 1. The model is loaded at the first call.

    How it can be hacked: such models reward strong colour and contrast and read text poorly; alone they drive a policy
    to one glossy look.
    """

    def __init__(self, source: str, device: str = "cpu") -> None:
        self.source, self.device = source, device
        self.name = f"clip {source}"

    def __call__(self, images: Sequence[Image.Image], requests: Sequence[PosterRequest]) -> list[RewardResult]:
        check_count(self.name, images, requests)
        cosines = self._model.score(images, [request.caption or request.as_instruction() for request in requests])
        return [RewardResult(value := ramp(cosine, *COSINES), {"agreement": value}) for cosine in cosines]

    @cached_property
    def _model(self) -> ImageTextModel:
        return ImageTextModel(self.source, self.device)


class FeatureIdentity(PosterReward):
    """How well the reference's subject survives: cosine of a vision model's features, in [0, 1], mean over references.

    The subject, cut out of its plain ground, is compared with fourteen windows of the poster; the most similar one
    counts, and a negative cosine is 0. The model is loaded at the first call; safetensors only, no code of its folder
    runs.

    How it can be hacked: the reference pasted in (see `CompletionReward`); textures without a body score high too.

    Raises:
        AnswerError: at the first call, where the model cannot be loaded.
    """

    def __init__(self, source: str, device: str = "cpu") -> None:
        self.source, self.device, self.name = source, device, f"identity by {source}"

    def applies(self, request: PosterRequest) -> bool:
        return bool(request.references)

    def score(self, poster: Image.Image, request: PosterRequest) -> RewardResult:
        cut = [Image.fromarray(one).crop(box_of(subject_mask(one))) for one in request.references]
        pictures = cut, windows(poster)
        subjects, seen = (torch.nn.functional.normalize(self._model.image_features(one), dim=-1) for one in pictures)
        value = (subjects @ seen.T).amax(1).clamp(0, 1).mean().item()
        return RewardResult(value, {"features": value})

    @cached_property
    def _model(self) -> ImageModel:
        return ImageModel(self.source, self.device)


def windows(poster: Image.Image) -> list[Image.Image]:
    """The whole poster, four windows of two thirds of it, and nine of half of it."""
    found = []
    for side, count in WINDOWS:
        width, height = round(poster.width * side), round(poster.height * side)
        for n in range(count * count):
            x = (poster.width - width) * (n % count) // max(1, count - 1)
            y = (poster.height - height) * (n // count) // max(1, count - 1)
            found.append(poster.crop((x, y, x + width, y + height)))
    return found


class ImageModel:
    """A vision model, or the picture encoder of a CLIP-like one; safetensors only, no code of its folder runs.

    Args:
        source: a folder in transformers' layout with model and image processor, or a hub id.
        device: where it runs; the caller knows the hardware.

    Raises:
        AnswerError: it cannot be loaded.
    """

    kind = "vision model"

    def __init__(self, source: str | Path, device: str | torch.device = "cpu") -> None:
        self.name = str(source)
        try:
            self._load()
        except Exception as fault:  # a foreign folder fails in its own way
            raise AnswerError(f"{self.name}: cannot load this {self.kind}: {error_line(fault)}") from None
        self._model = self._model.to(device).eval()

    def _load(self) -> None:
        from transformers import AutoImageProcessor, AutoModel

        # the same pixels with and without torchvision
        self._pixels: Any = AutoImageProcessor.from_pretrained(self.name, trust_remote_code=False, backend="pil")
        self._model: Any = AutoModel.from_pretrained(
            self.name, trust_remote_code=False, use_safetensors=True, dtype=torch.float32
        )

    @torch.no_grad()
    def image_features(self, images: Sequence[Image.Image]) -> Tensor:
        """`(B, D)`, float32, not normalised."""
        pixels = self._pixels(images=[image.convert("RGB") for image in images], return_tensors="pt")
        encode = getattr(self._model, "get_image_features", self._model)
        return _pooled(encode(**pixels.to(self._model.device)))


class ImageTextModel(ImageModel):
    """A model with a picture and a text encoder into one space, with its tokenizer in the same folder.

    Raises:
        AnswerError: it cannot be loaded, or has no encoders for both.
    """

    kind = "image-text model"

    def __init__(self, source: str | Path, device: str | torch.device = "cpu") -> None:
        super().__init__(source, device)
        model = self._model
        if not (hasattr(model, "get_image_features") and hasattr(model, "get_text_features")):
            found = type(model).__name__
            raise AnswerError(f"{self.name}: a {found} compares no pictures with texts; take a CLIP or SigLIP folder")
        most = getattr(model.config.get_text_config(), "max_position_embeddings", self._tokenizer.model_max_length)
        self._tokens = min(most, self._tokenizer.model_max_length)

    def _load(self) -> None:
        from transformers import AutoTokenizer

        self._tokenizer: Any = AutoTokenizer.from_pretrained(self.name, trust_remote_code=False)
        super()._load()

    def score(self, images: Sequence[Image.Image], texts: Sequence[str]) -> list[float]:
        """The cosine between each picture and its text, without the model's own temperature.

        This is the scale on which HPSv2's scores are published (PosterCraft keeps 0.25 and more). What is longer than
        the model's limit is cut off at its end, as those models do.

        Args:
            images: RGB.
            texts: as many.

        Returns:
            One value in [-1, 1] for each pair.

        Raises:
            ValueError: the numbers differ.
            AnswerError: the model fails (out of memory).
        """
        if len(images) != len(texts):
            raise ValueError(f"{len(images)} pictures for {len(texts)} texts; give one text for each")
        if not images:
            return []
        try:
            return torch.cosine_similarity(self.image_features(images), self.text_features(texts)).tolist()
        except Exception as fault:
            raise AnswerError(f"{self.name}: this image-text model fails: {error_line(fault)}") from None

    @torch.no_grad()
    def text_features(self, texts: Sequence[str]) -> Tensor:
        """`(B, D)`, float32, not normalised."""
        # filled up to the limit: SigLIP was trained so, and CLIP does not see what follows the text's end
        tokens = self._tokenizer(
            list(texts), padding="max_length", truncation=True, max_length=self._tokens, return_tensors="pt"
        )
        return _pooled(self._model.get_text_features(**tokens.to(self._model.device)))


def _pooled(features: Any) -> Tensor:
    """The projected vectors: what the method returns, or from transformers 5 on its `pooler_output`."""
    return getattr(features, "pooler_output", features)
