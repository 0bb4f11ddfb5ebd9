"""The shipped detector: hashed n-grams and a small network, in NumPy; trained by `train/harm_detector.py`.

It knows English and Chinese. A text of several lines, or a long one, is judged by its worst sentence.
"""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from posterkit.documents import read_json
from posterkit.safety.detectors.detector import HarmDetector, Verdict
from posterkit.safety.features import BITS, hashed, segments
from posterkit.safety.text_variants import variants

SHIPPED = Path(__file__).parent.parent / "tiny.safetensors"
CATEGORIES: tuple[str, ...] = (
    "alcohol", "medicine", "finance", "elections", "minors", "trademarks", "real_persons", "hate", "violence",
    "illegal", "adult", "injection",
)  # fmt: skip
_READINGS = 4  # of one sentence; more are no longer read
_SHORT = 100  # letters of a text that is judged as a whole; by its lines too, where it has several


class TinyDetector(HarmDetector):
    """A small network on hashed n-grams.

    Args:
        path: a file that `train/harm_detector.py` wrote; None for the shipped one.
        threshold: of `p_harm`; None for the file's own.

    Raises:
        ValueError: there is no such file, or it is another kind of file.
    """

    def __init__(self, path: str | Path | None = None, threshold: float | None = None) -> None:
        weights, said = _read(str(path or SHIPPED))
        self._weights = weights | {"table": weights["table"] * weights["scale"]}
        self.temperature: float = said["temperature"]
        self.threshold: float = said["threshold"] if threshold is None else threshold

    @property
    def name(self) -> str:
        return "tiny"

    def __call__(self, text: str, context: str | None = None) -> Verdict:
        around = self._around(context)
        worst, found, spans = 0.0, None, []
        whole = [(0, len(text))] if len(text) <= _SHORT else []
        for start, end in whole + (segments(text) if "\n" in text or not whole else []):
            scores = max((self._scores(reading, around) for reading in _few(text[start:end])), key=lambda one: one[-1])
            if scores[-1] >= self.threshold:
                spans.append((start, end))
            if found is None or scores[-1] > worst:
                worst, found = float(scores[-1]), scores
        if found is None:
            return Verdict(0.0, False, None, self.name)
        by_category = dict(zip(CATEGORIES, map(float, found), strict=False))
        category = max(by_category, key=by_category.__getitem__)
        harmful = bool(spans)
        why = f"{category.replace('_', ' ')} (p_harm {worst:.2f}, threshold {self.threshold:.2f})" if harmful else ""
        return Verdict(worst, harmful, category, self.name, why, tuple(spans), by_category)

    def _scores(self, line: str, around: NDArray[np.float32]) -> NDArray[np.float32]:
        """Probabilities by category, and of any harm as the last."""
        own, (rows, lengths) = self._weights, hashed(line)
        if not len(lengths):  # it says nothing
            return np.zeros(len(own["head"]), np.float32)
        words = np.zeros((len(lengths) + 2, len(own["scale"])), np.float32)  # one more at either end
        if len(lengths):
            sums = np.add.reduceat(own["table"][rows], np.cumsum(lengths) - lengths)
            words[1:-1] = sums / np.sqrt(lengths, dtype=np.float32)[:, None]
        bag = words.sum(0) / np.float32(max(1, len(lengths))) ** np.float32(0.5)
        threes = np.concatenate([words[:-2], words[1:-1], words[2:]], 1)
        single = _strongest(words[1:-1] @ own["word"].T + own["word_bias"])
        three = _strongest(threes @ own["three"].T + own["three_bias"])
        hidden = np.maximum(own["hidden"] @ np.concatenate([bag, single, three, around]) + own["hidden_bias"], 0)
        logits = (own["head"] @ hidden + own["head_bias"]) / self.temperature
        return (1 / (1 + np.exp(-np.clip(logits, -30, 30)))).astype(np.float32)

    def _around(self, context: str | None) -> NDArray[np.float32]:
        rows = hashed(context or "", "context")[0]
        return self._weights["table"][rows].sum(0) / np.float32(max(1, len(rows))) ** np.float32(0.5)


def _strongest(answers: NDArray[np.float32]) -> NDArray[np.float32]:
    """Of each filter over all words, none below 0."""
    return np.max(answers, 0, initial=0)


def _few(line: str) -> list[str]:
    return [reading for reading, _ in zip(variants(line), range(_READINGS), strict=False)]


@lru_cache
def _read(path: str) -> tuple[dict[str, NDArray[np.float32]], dict[str, Any]]:
    try:
        with safe_open(path, framework="np") as file:
            said = read_json((file.metadata() or {}).get("posterkit", "{}"), path)
            weights = {name: file.get_tensor(name).astype(np.float32) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise ValueError(f"{path}: cannot be read as a harm detector ({error})") from None
    missing = {"table", "scale", "word", "three", "hidden", "head"} - weights.keys()
    if missing or "threshold" not in said or weights["table"].shape[0] != 2**BITS:
        raise ValueError(f"{path}: is no harm detector of train/harm_detector.py")
    return weights, said


def metadata(temperature: float, threshold: float, rate: float | None) -> dict[str, str]:
    """What the file says beside its weights.

    Args:
        rate: of false positives, that the threshold was chosen for; None where it was not.
    """
    said = {"categories": CATEGORIES, "temperature": temperature, "threshold": threshold, "rate": rate}
    return {"format": "np", "posterkit": json.dumps(said)}
