"""A reward that was learnt from comparisons: the reward model that `train/reward_model.py` leaves behind."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import torch
from PIL import Image

from posterkit.pipelines.loading import quiet_bars
from posterkit.pipelines.registry import resolve
from posterkit.rewards.models.scorer import BACKBONE, CONFIG, WEIGHTS, Scorer
from posterkit.rewards.reward import RewardResult
from posterkit.schema import PosterRequest


class Learned:
    """What a reward model says of posters: the chance that a poster with its score is one that is chosen.

    What hacks it: a poster unlike any that it was shown, pretty or not; and whatever its negatives lack. Trained
    without the untouched inputs as negatives it pays for doing nothing, and without the prompt for any good poster.

    Args:
        source: the run folder of `train/reward_model.py` (its averaged weights, else its last ones), or the folder of
            the weights.
        device: where it runs; the caller knows the hardware.
        dtype: of the backbone.

    Raises:
        FileNotFoundError: there is no reward model.
        ValueError: it was saved before it was held against held-out pairs, or its weights do not fit.
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
        self._name = f"learned-{digest.hexdigest()[:12]}"

    @property
    def name(self) -> str:
        """`learned-` and a hash of its weights and settings."""
        return self._name

    def __call__(self, images: Sequence[Image.Image], rows: Sequence[PosterRequest]) -> list[RewardResult]:
        """One worth for each poster; `parts` has it under `learned`, `why` says the score itself.

        Raises:
            ValueError: as many rows are not there.
        """
        if len(images) != len(rows):
            raise ValueError(f"{len(images)} posters and {len(rows)} rows; there must be one row for each poster")
        settings = self.scorer.settings
        scores = self.scorer.scores(rows, images).double()
        values = torch.sigmoid(settings["scale"] * scores + settings["offset"]).tolist()
        return [
            RewardResult(value, {"learned": value}, f"score {score:+.2f}")
            for value, score in zip(values, scores.tolist(), strict=True)
        ]
