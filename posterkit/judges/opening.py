"""Judges and language models by their address."""

from __future__ import annotations

import threading
from functools import lru_cache
from pathlib import Path

from posterkit.judges.chat import Chat
from posterkit.judges.judge import Judge

RULES, BLIND = "rules", "rules-blind"
_OPENING = threading.Lock()


def open_chat(source: str, model: str | None = None, device: str = "cpu") -> Chat:
    """A language model by its address.

    Args:
        source: the URL of an OpenAI-compatible endpoint, or a local model's folder or hub id.
        model: the model's name at the endpoint.
        device: where a local model runs.

    Raises:
        AnswerError: a local model cannot be loaded.
        ValueError: the URL is none, or the key for it cannot be sent.
    """
    if source.startswith(("http://", "https://")):
        from posterkit.judges.endpoint import Endpoint

        return Endpoint(source, model)
    from posterkit.judges.local import LocalModel

    return LocalModel(source, device=device)


def open_judge(
    source: str = RULES, *, model: str | None = None, device: str = "cpu", cache: str | Path | None = None
) -> Judge:
    """A judge by its address; the same one for the same arguments within a process, so that a model is loaded once.

    Args:
        source: "rules" (measures and OCR, no model), "rules-blind" (without OCR: quick, and without texts), the URL of
            an OpenAI-compatible endpoint whose model can see, or the folder or hub id of a local one.
        model: the model's name at the endpoint; None takes its first one.
        device: where a local model runs.
        cache: a folder that keeps a model's answers; None asks anew each time. Rules need none.

    Raises:
        AnswerError: a local model cannot be loaded.
        ValueError: the source cannot be a judge at all.
    """
    with _OPENING:  # lru_cache alone would load a model twice for two threads
        return _judge(source.strip(), model, device, None if cache is None else str(cache))


@lru_cache
def _judge(source: str, model: str | None, device: str, cache: str | None) -> Judge:
    if source in (RULES, BLIND):
        from posterkit.judges.rules import RulesJudge

        return RulesJudge(read_text=source == RULES)
    raise ValueError(source)
