"""Identity by the features of a vision model in a local transformers folder: DINOv2, CLIP, SigLIP."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
from PIL import Image

from posterkit.messages import error_line
from posterkit.metrics.arrangement import subject_mask
from posterkit.rewards.reward import PosterReward, RewardResult
from posterkit.schema import PosterRequest

WINDOWS = ((1.0, 1), (0.66, 2), (0.5, 3))  # side as a part of the poster's, and how many across and down
AT_ONCE = 16


class FeatureIdentity(PosterReward):
    """How well the reference's subject survives: cosine of a vision model's features, in [0, 1], mean over references.

    The subject, cut out of its plain ground, is compared with fourteen windows of the poster; the most similar one
    counts, and a negative cosine is 0. The model is loaded at the first call; safetensors only, no code of its folder
    runs.

    How it can be hacked: the reference pasted in (see `Completion`); textures without a body raise such features too.

    Raises:
        AnswerError: at the first call, where the model cannot be loaded.
    """

    def __init__(self, source: str, device: str = "cpu") -> None:
        self.source, self.device, self.name = source, device, f"identity by {source}"

    def applies(self, request: PosterRequest) -> bool:
        return bool(request.references)

    def score(self, poster: Image.Image, request: PosterRequest) -> RewardResult:
        subjects = self._model.features([_cut_out(reference) for reference in request.references])
        alike = (subjects @ self._model.features(windows(poster)).T).max(1)
        value = float(np.clip(alike, 0, 1).mean())
        return RewardResult(value, {"features": value})

    @cached_property
    def _model(self) -> _Vision:
        return _Vision(self.source, self.device)


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


def _cut_out(reference: np.ndarray) -> Image.Image:
    mask = subject_mask(reference)
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return Image.fromarray(reference[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1])


class _Vision:
    """A vision model: pictures to vectors of length 1."""

    def __init__(self, source: str, device: str) -> None:
        import torch
        from transformers import AutoImageProcessor, AutoModel

        from posterkit.llm.client import AnswerError

        try:
            # the same pixels with and without torchvision
            self._pixels: Any = AutoImageProcessor.from_pretrained(source, trust_remote_code=False, backend="pil")
            model: Any = AutoModel.from_pretrained(
                source, trust_remote_code=False, use_safetensors=True, dtype=torch.float32
            )
        except Exception as fault:  # a foreign folder fails in its own way
            raise AnswerError(f"{source}: cannot load this vision model: {error_line(fault)}") from None
        self._model = model.to(device).eval()

    def features(self, pictures: Sequence[Image.Image]) -> np.ndarray:
        """`(B, D)` float32."""
        import torch

        found = []
        for start in range(0, len(pictures), AT_ONCE):
            pixels = self._pixels(images=list(pictures[start : start + AT_ONCE]), return_tensors="pt")
            with torch.no_grad():
                whole = hasattr(self._model, "get_image_features")  # a CLIP with its text encoder
                run = self._model.get_image_features if whole else self._model
                made = run(**pixels.to(self._model.device))
            pooled = getattr(made, "pooler_output", made)
            found.append(torch.nn.functional.normalize(pooled, dim=-1).cpu().numpy())
        return np.concatenate(found)
