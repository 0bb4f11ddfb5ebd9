"""Harm detectors: rules, a shipped small network, any sequence classifier, any language model, a verdict's shift."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from posterkit.llm.open_model import open_reachable_model
from posterkit.safety.detectors.detector import HarmDetector, UnionDetector, Verdict
from posterkit.safety.policies import SafetyPolicy

__all__ = ["DEFAULT", "HarmDetector", "UnionDetector", "Verdict", "open_detector"]

DEFAULT = "rules+tiny"


def open_detector(spec: str, policies: Sequence[SafetyPolicy], device: str = "cpu") -> HarmDetector:
    """A detector by its address.

    Args:
        spec: "rules", "tiny", a file of `train/harm_detector.py`, `hf:FOLDER` (a sequence classifier's folder or hub
            id), the URL of an OpenAI-compatible endpoint, `coca:FOLDER` (a local language model, whose verdict the
            policies shift) or `coca:FILE.json` (the same, fitted), or several of these with + between them.

    Raises:
        AnswerError: a model cannot be loaded, or an endpoint does not answer.
        ValueError: there is no such detector.
    """
    several = tuple(_open(one.strip(), policies, device) for one in spec.split("+"))
    return several[0] if len(several) == 1 else UnionDetector(several)


def _open(source: str, policies: Sequence[SafetyPolicy], device: str) -> HarmDetector:
    if source == "rules":
        from posterkit.safety.detectors.terms import RulesDetector

        return RulesDetector(policies)
    if source == "tiny" or Path(source).suffix == ".safetensors":
        from posterkit.safety.detectors.tiny import TinyDetector

        return TinyDetector(None if source == "tiny" else source)
    if source.startswith("hf:"):
        from posterkit.safety.detectors.classifier import ClassifierDetector

        return ClassifierDetector(source.removeprefix("hf:"), device=device)
    if source.startswith(("http://", "https://")):
        from posterkit.safety.detectors.chat import ChatDetector

        return ChatDetector(open_reachable_model(source), policies)
    if source.startswith("coca:"):
        from posterkit.safety.detectors.chat import listed
        from posterkit.safety.detectors.verdict_shift import open_verdict_shift

        principle = f"A text may not break any of these policies:\n{listed(policies)}" if policies else ""
        return open_verdict_shift(source.removeprefix("coca:"), principle, device)
    raise ValueError(
        f"{source!r}: there is no such detector; use rules, tiny, a .safetensors file, hf:FOLDER, coca:FOLDER, or an "
        "endpoint's URL"
    )
