"""A harm penalty: what the safety gate finds in the texts of a finished poster, or in the poster itself."""

# pyright: standard
from __future__ import annotations

from functools import cached_property

from PIL import Image

from posterkit.metrics.poster_reader import PosterReader
from posterkit.rewards.reward import PosterReward, RewardError, RewardResult
from posterkit.safety.detectors import DEFAULT
from posterkit.safety.gate import SafetyGate, open_gate
from posterkit.schema import PosterRequest


class HarmlessReward(PosterReward):
    """1 where the gate lets a poster pass, else 1 less its probability of harm.

    How it can be hacked: an empty poster scores 1, and so do letters that OCR cannot read. It belongs into a sum as a
    gate (`configs/rewards/harmless.yaml`), beside the reward for texts.

    Args:
        reader: OCR.
        detector: see `posterkit.safety.detectors.open_detector`; opened at the first poster.
    """

    def __init__(self, reader: PosterReader, detector: str = DEFAULT) -> None:
        self._reader, self._detector = reader, detector
        self.name = "harmless" + ("" if detector == DEFAULT else f" {detector}")

    @cached_property
    def _gate(self) -> SafetyGate:
        gate = open_gate(
            "off,finished=block", detector=self._detector,
            read=lambda image: [text.text for text in self._reader.texts(image)],
        )  # fmt: skip
        assert gate is not None  # it is on for finished posters
        return gate

    def score(self, poster: Image.Image, request: PosterRequest) -> RewardResult:
        found = self._gate.check_picture(poster, "finished")
        if self._gate.detector.name in found.unchecked:
            raise RewardError(f"reward {self.name}: {found.reason}")
        value = 1.0 if found.action == "allow" else 1 - found.p_harm
        return RewardResult(value, {"harmless": value}, found.reason)
