"""The reward of a model trained on preference pairs by `train/reward_model.py`."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import torch
from PIL import Image

from posterkit.pipelines.loading import quiet_bars
from posterkit.pipelines.registry import resolve
from posterkit.rewards.models.scorer import BACKBONE, CONFIG, WEIGHTS, Scorer
from posterkit.rewards.reward import RewardResult, check_count
from posterkit.schema import PosterRequest


class LearnedReward:
    """The probability, by a reward model, that people choose a poster.

    How it can be hacked: posters unlike any in its training set, and whatever its negatives lack. Trained without the
    unedited inputs as negatives it rewards doing nothing, and without the prompt any good poster.

    Args:
        source: the run folder of `train/reward_model.py` (its averaged weights, else its last ones), or the folder of
            the weights.
        device: where it runs.
        dtype: of the backbone.

    Raises:
        FileNotFoundError: there is no reward model.
        ValueError: it was saved before it was calibrated on held-out pairs, or its weights do not fit.
    """

    def __init__(
        self, source: str | Path, *, device: str | torch.device = "cpu", dtype: torch.dtype = torch.float32
    ) -> None:
        self.folder = Path(resolve(source))
        quiet_bars()
        self.scorer = Scorer.from_folder(self.folder, dtype)
        if "scale" not in self.scorer.settings:
            raise ValueError(f"{self.folder / CONFIG}: scale and offset are missing; the run has not come to its end")
        self.scorer.module.to(device)
        digest = hashlib.sha256()
        for file in (self.folder / CONFIG, self.folder / WEIGHTS, *sorted((self.folder / BACKBONE).glob("*.safe*"))):
            digest.update(file.read_bytes())
        self.name = f"learned-{digest.hexdigest()[:12]}"

    def __call__(self, images: Sequence[Image.Image], requests: Sequence[PosterRequest]) -> list[RewardResult]:
        """One result for each poster; `parts` has the value as `learned`, `why` has the raw score."""
        check_count(self.name, images, requests)
        settings = self.scorer.settings
        scores = self.scorer.scores(requests, images).double()
        values = torch.sigmoid(settings["scale"] * scores + settings["offset"]).tolist()
        return [
            RewardResult(value, {"learned": value}, f"score {score:+.2f}")
            for value, score in zip(values, scores.tolist(), strict=True)
        ]
