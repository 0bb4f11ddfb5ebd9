"""Harm by rules: the terms of the policies, in a text and in what it reads as behind a disguise."""

from __future__ import annotations

from collections.abc import Sequence

from posterkit.safety.detectors.detector import HarmDetector, Verdict
from posterkit.safety.features import segments
from posterkit.safety.policies import SafetyPolicy
from posterkit.safety.text_variants import plain, squeezed, variants


class RulesDetector(HarmDetector):
    """Finds the terms of policies; a text that has one is harmful, whatever else it says."""

    def __init__(self, policies: Sequence[SafetyPolicy]) -> None:
        self.policies = policies

    @property
    def name(self) -> str:
        return "rules"

    def __call__(self, text: str, context: str | None = None) -> Verdict:
        spans, first = [], None
        for start, end in segments(text) or [(0, len(text))]:
            if found := self._find(text[start:end]):
                spans.append((start, end))
                first = first or found
        first = first or (self._find(text) if len(text) < 4000 else None)  # what a line break tears apart
        if first is None and context and len(text) < 4000:
            first = self._find_together(text, context)
        if first is None:
            return Verdict(0.0, False, None, self.name)
        policy, term = first
        return Verdict(1.0, True, policy.name, self.name, f'{policy.title}: "{term}"', tuple(spans))

    def _find(self, text: str) -> tuple[SafetyPolicy, str] | None:
        for reading in variants(text):
            for policy in self.policies:
                if term := policy.find(reading):
                    return policy, term
        if letters := squeezed(text):
            for policy in self.policies:
                if term := policy.find_squeezed(letters):
                    return policy, term
        return None

    def _find_together(self, text: str, context: str) -> tuple[SafetyPolicy, str] | None:
        """Words that are harmful together, one of them in the text and the other in its context."""
        line, around = plain(text), plain(context)
        for policy in self.policies:
            if policy.find_together(around) is None and (term := policy.find_together(f"{around} . {line}")):
                return policy, term
        return None
