"""Any sequence classifier of transformers as a harm detector: toxicity models, or MLLM-Protector's kind."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

from posterkit.llm.client import AnswerError
from posterkit.messages import error_line
from posterkit.safety.detectors.detector import HarmDetector, Verdict

_SAFE = ("safe", "harmless", "non-toxic", "not_toxic", "neutral", "benign", "ok", "is_safe", "nothate", "non_hate")


class ClassifierDetector(HarmDetector):
    """A text classifier from a transformers folder or the hub; safetensors only, no code of the folder runs.

    A model with one logit says how harmful a text is, or how safe where its label is a safe one (MLLM-Protector's
    is_safe). With several labels, all but the safe ones are harms: they share one softmax, or have a sigmoid each
    where the config says "multi_label_classification".

    Args:
        source: a folder, or a hub id.
        threshold: of p_harm.

    Raises:
        AnswerError: it cannot be loaded.
        ValueError: none of its labels is a harm.
    """

    def __init__(self, source: str, *, device: str = "cpu", threshold: float = 0.5) -> None:
        self.source, self.threshold, self._lock = source, threshold, threading.Lock()
        try:
            from transformers import AutoModelForSequenceClassification, AutoTokenizer

            self._tokenizer: Any = AutoTokenizer.from_pretrained(source, trust_remote_code=False)
            model, loaded = AutoModelForSequenceClassification.from_pretrained(
                source, trust_remote_code=False, use_safetensors=True, output_loading_info=True
            )
            if loaded["missing_keys"]:
                raise ValueError(f"its files lack {sorted(loaded['missing_keys'])[0]}")
            self._model: Any = model.to(device).eval()
        except Exception as fault:  # a foreign folder fails in its own ways
            raise AnswerError(f"{source}: cannot load this classifier: {error_line(fault)}") from None
        labels = self._model.config.id2label
        self.labels = [str(labels[number]) for number in range(self._model.config.num_labels)]
        self._safe = [n for n, label in enumerate(self.labels) if label.lower().replace(" ", "_") in _SAFE]
        if len(self.labels) > 1 and len(self._safe) == len(self.labels):
            raise ValueError(f"{Path(source).name}: none of its labels is a harm: {', '.join(self.labels)}")

    @property
    def name(self) -> str:
        return self.source

    def __call__(self, text: str, context: str | None = None) -> Verdict:
        import torch

        with self._lock, torch.no_grad():
            given = (context, text) if context else (text,)
            inputs = self._tokenizer(*given, return_tensors="pt", truncation=True).to(self._model.device)
            logits = self._model(**inputs).logits[0].float().cpu()
        harms = [number for number in range(len(self.labels)) if number not in self._safe]
        if len(self.labels) == 1:
            p = torch.sigmoid(logits[0]).item()
            p_harm, scores = (1 - p if self._safe else p), {}
        elif self._model.config.problem_type == "multi_label_classification" or not self._safe:
            marks = torch.sigmoid(logits)
            scores = {self.labels[number]: marks[number].item() for number in harms}
            p_harm = max(scores.values())
        else:
            marks = logits.softmax(0)
            scores = {self.labels[number]: marks[number].item() for number in harms}
            p_harm = 1 - sum(marks[number].item() for number in self._safe)
        category = max(scores, key=scores.__getitem__) if scores else None
        harmful = p_harm >= self.threshold
        why = f"{category or 'harmful'} (p_harm {p_harm:.2f}, threshold {self.threshold:.2f})" if harmful else ""
        return Verdict(p_harm, harmful, category, self.name, why, scores=scores)
