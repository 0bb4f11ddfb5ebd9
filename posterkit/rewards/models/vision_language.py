"""Rewards of vision-language models: the expected digit of an answer to a question a part, or a scalar head."""

# pyright: standard
from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from safetensors import safe_open
from torch import Tensor
from transformers import AutoModel

from posterkit.documents import read_text, read_yaml
from posterkit.llm.client import AnswerError, VisionLanguageModel
from posterkit.messages import error_line
from posterkit.pipelines.loading import quiet_bars
from posterkit.pipelines.processor import load_processor
from posterkit.rewards.models.reward_model import CONVERSATION, folder_of
from posterkit.rewards.reward import PosterReward, RewardResult
from posterkit.schema import PosterRequest

IMAGE = "<|vision_start|><|image_pad|><|vision_end|>"
DIGITS = tuple("012345")
_ASKED = read_yaml(read_text(Path(__file__).with_name("questions.yaml")))
SYSTEM, QUESTION, QUESTIONS = (_ASKED[key] for key in ("system", "question", "questions"))
WHOLE = ("aesthetics", "text", "agreement")


class VisionLanguageReward(PosterReward):
    """The expected digit of a vision-language model's answer, as a share of 5 (Edit-R1).

    No word is generated and no answer has to be parsed: a score costs reading its question. It is the mean over the
    model's probabilities of each digit, so that posters of one prompt hardly ever tie. The input images and then the
    poster are read once for all questions.

    How it can be hacked: a model believes what it can read; a poster with praise or instructions on it may get higher
    scores, and small misspellings escape it. Keep OCR beside it.

    Args:
        source: for the name.
        open_model: called at the first poster.
        only: one of `QUESTIONS`; None asks those of `WHOLE` and takes their mean.
    """

    def __init__(self, source: str, open_model: Callable[[], VisionLanguageModel], only: str | None = None) -> None:
        self.name, self._open = f"{only or 'rating'} by {source}", open_model
        self.questions = (only,) if only else WHOLE

    def applies(self, request: PosterRequest) -> bool:
        return self.questions != ("identity",) or bool(request.references)

    def score(self, poster: Image.Image, request: PosterRequest) -> RewardResult:
        images = [*request.inputs(), poster]
        words = request.as_instruction() if request.images else request.caption or request.as_instruction()
        questions = [QUESTION.format(request=words, question=QUESTIONS[part]) for part in self.questions]
        probabilities = self._model.choice_probabilities(SYSTEM, questions, DIGITS, images)
        expected = np.asarray(probabilities) @ [int(digit) for digit in DIGITS] / int(DIGITS[-1])
        parts = dict(zip(self.questions, expected.tolist(), strict=True))
        weakest = min(parts, key=lambda part: parts[part])
        return RewardResult(
            float(np.mean(list(parts.values()))), parts, f"weakest in {weakest} ({parts[weakest]:.2f})"
        )

    @cached_property
    def _model(self) -> VisionLanguageModel:
        return self._open()


class ScalarHeadReward(PosterReward):
    """One score for poster and prompt; the value is its sigmoid, a probability in the Bradley-Terry model.

    A Qwen2.5-VL or Qwen3-VL reads the poster and then the caption (the prompt where there is none) as a user message;
    a linear head reads the last state. The model is loaded at the first poster; safetensors only.

    How it can be hacked: such models know only finished posters. They do not see the input images, so copying them
    costs nothing, and what no poster of their training set had (noise at the edges) may get any score.

    Raises:
        AnswerError: at the first poster, where the folder cannot be loaded or its head is no single linear layer.
    """

    def __init__(self, source: str, device: str = "cpu") -> None:
        self.source, self.device, self.name = source, device, f"score by {source}"

    def score(self, poster: Image.Image, request: PosterRequest) -> RewardResult:
        processor, backbone, weight, bias = self._model
        words = (request.caption or request.as_instruction()).replace("<|", "< |")  # words place no pictures
        read = processor(
            text=[CONVERSATION.format(IMAGE + words)], images=[poster.convert("RGB")], return_tensors="pt"
        )
        ids = read["input_ids"].to(self.device)
        with torch.no_grad():
            states = backbone(
                input_ids=ids,
                attention_mask=torch.ones_like(ids),
                pixel_values=read["pixel_values"].to(self.device, backbone.dtype),
                image_grid_thw=read["image_grid_thw"].to(self.device),
                mm_token_type_ids=(ids == backbone.config.image_token_id).int(),
                use_cache=False,
            )[0]
        score = float(states[0, -1].float().cpu() @ weight + bias)
        value = float(torch.sigmoid(torch.tensor(score, dtype=torch.float64)))
        return RewardResult(value, {"score": value}, f"score {score:+.2f}")

    @cached_property
    def _model(self) -> tuple[Any, Any, Tensor, float]:
        """The processor, the backbone, and the head's weight `(D,)` and bias."""
        quiet_bars()
        try:
            folder = folder_of(self.source)
            weight, bias = _head(folder)
            backbone, loaded = AutoModel.from_pretrained(
                folder, dtype="auto", use_safetensors=True, trust_remote_code=False, output_loading_info=True
            )
            if loaded["missing_keys"]:
                raise ValueError(f"its files lack {sorted(loaded['missing_keys'])[0]}")
            return load_processor(folder), backbone.to(self.device).eval(), weight, bias
        except Exception as fault:  # a foreign folder and a device fail in their own ways
            raise AnswerError(f"{self.source}: cannot load this reward model: {error_line(fault)}") from None


def _head(folder: Path) -> tuple[Tensor, float]:
    """The weight `(D,)` and the bias of the head."""
    found = {}
    for file in sorted(folder.glob("*.safetensors")):
        with safe_open(file, "pt") as tensors:
            names = [name for name in tensors.keys() if ".score." in f".{name}"]  # noqa: SIM118 - no mapping
            found |= {name.rpartition("score.")[2]: tensors.get_tensor(name).float() for name in names}
    if not {"weight"} <= found.keys() <= {"weight", "bias"} or len(found["weight"]) != 1:
        shapes = ", ".join(f"score.{name} {tuple(value.shape)}" for name, value in sorted(found.items()))
        raise ValueError(f"its head must be one linear layer, score.weight (1, D); it has {shapes or 'none'}")
    return found["weight"][0], found["bias"].item() if "bias" in found else 0.0
