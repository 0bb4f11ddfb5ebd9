"""Similarity of picture and text by CLIP-like models: HPSv2, PickScore, SigLIP."""

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
from posterkit.rewards.reward import RewardResult, check_count
from posterkit.schema import PosterRequest

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


class ImageTextModel:
    """A model with a picture and a text encoder into one space; safetensors only, no code of its folder runs.

    Args:
        source: a folder in transformers' layout with model, tokenizer and image processor, or a hub id.
        device: where it runs; the caller knows the hardware.

    Raises:
        AnswerError: it cannot be loaded, or has no encoders for both.
    """

    def __init__(self, source: str | Path, device: str | torch.device = "cpu") -> None:
        from transformers import AutoImageProcessor, AutoModel, AutoTokenizer

        self.name = str(source)
        try:
            self._tokenizer: Any = AutoTokenizer.from_pretrained(self.name, trust_remote_code=False)
            # the same pixels with and without torchvision
            self._pixels: Any = AutoImageProcessor.from_pretrained(self.name, trust_remote_code=False, backend="pil")
            model: Any = AutoModel.from_pretrained(
                self.name, trust_remote_code=False, use_safetensors=True, dtype=torch.float32
            )
        except Exception as fault:  # a foreign folder fails in its own way
            raise AnswerError(f"{self.name}: cannot load this image-text model: {error_line(fault)}") from None
        if not (hasattr(model, "get_image_features") and hasattr(model, "get_text_features")):
            found = type(model).__name__
            raise AnswerError(f"{self.name}: a {found} compares no pictures with texts; take a CLIP or SigLIP folder")
        self._model = model.to(device).eval()
        most = getattr(model.config.get_text_config(), "max_position_embeddings", self._tokenizer.model_max_length)
        self._tokens = min(most, self._tokenizer.model_max_length)

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
    def image_features(self, images: Sequence[Image.Image]) -> Tensor:
        """`(B, D)`, float32, not normalised."""
        pixels = self._pixels(images=[image.convert("RGB") for image in images], return_tensors="pt")
        return _pooled(self._model.get_image_features(**pixels.to(self._model.device)))

    @torch.no_grad()
    def text_features(self, texts: Sequence[str]) -> Tensor:
        """`(B, D)`, float32, not normalised."""
        # filled up to the limit: SigLIP was trained so, and CLIP does not see what follows the text's end
        tokens = self._tokenizer(
            list(texts), padding="max_length", truncation=True, max_length=self._tokens, return_tensors="pt"
        )
        return _pooled(self._model.get_text_features(**tokens.to(self._model.device)))


def _pooled(features: Any) -> Tensor:
    """The projected vectors: what the method returns, or, from transformers 5 on, stands in its `pooler_output`."""
    return getattr(features, "pooler_output", features)
