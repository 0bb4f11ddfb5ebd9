"""The interface of all harm detectors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True)
class Verdict:
    """What a detector says of a text.

    Attributes:
        p_harm: the probability that it is harmful; 1 - p_safe.
        harmful: whether that is enough, by the detector's own threshold.
        category: the likeliest one; None where it knows none.
        by: the detector's name.
        why: one line; empty where it is not harmful.
        spans: where the harm lies, start and end in the text; empty where it is the whole text.
        scores: by category.
    """

    p_harm: float
    harmful: bool
    category: str | None
    by: str
    why: str = ""
    spans: tuple[tuple[int, int], ...] = ()
    scores: dict[str, float] = field(default_factory=dict)


class HarmDetector(Protocol):
    """Judges texts; raises AnswerError where it cannot."""

    @property
    def name(self) -> str: ...

    def __call__(self, text: str, context: str | None = None) -> Verdict:
        """The verdict on a text.

        Args:
            context: what it belongs to: the prompt of a poster's copy.
        """
        ...

    def verdicts(self, texts: Sequence[tuple[str, str | None]]) -> list[Verdict]:
        """The verdict on each text with its context; one after another, unless a detector reads several at once."""
        return [self(text, context) for text, context in texts]


@dataclass(frozen=True)
class UnionDetector(HarmDetector):
    """Several detectors; what any of them finds is harmful. Their spans are joined."""

    detectors: tuple[HarmDetector, ...]

    @property
    def name(self) -> str:
        return "+".join(detector.name for detector in self.detectors)

    def __call__(self, text: str, context: str | None = None) -> Verdict:
        return self.verdicts([(text, context)])[0]

    def verdicts(self, texts: Sequence[tuple[str, str | None]]) -> list[Verdict]:
        return [_joined(of_text) for of_text in zip(*(one.verdicts(texts) for one in self.detectors), strict=True)]


def _joined(verdicts: Sequence[Verdict]) -> Verdict:
    found = [verdict for verdict in verdicts if verdict.harmful] or verdicts
    worst = max(found, key=lambda verdict: verdict.p_harm)
    if not worst.harmful or len(found) == 1:
        return worst
    spans = tuple(sorted({span for verdict in found for span in verdict.spans}))
    return Verdict(
        worst.p_harm, True, worst.category, "+".join(verdict.by for verdict in found), worst.why, spans, worst.scores
    )
