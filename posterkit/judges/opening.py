"""Judges and language models by their address."""

from __future__ import annotations

from pathlib import Path

from posterkit.judges.chat import Chat, Seer
from posterkit.judges.judge import Judge
from posterkit.judges.once import opened_once

RULES, BLIND = "rules", "rules-blind"


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
        cache: a folder that keeps a model's answers, and what the rules read; None asks and reads anew each time.

    Raises:
        AnswerError: a local model cannot be loaded, or an endpoint does not answer.
        ValueError: the source cannot be a judge at all: no such one, a URL that is none, a model that cannot see.
    """
    return _judge(source.strip(), model, device, None if cache is None else str(cache))


@opened_once()
def _judge(source: str, model: str | None, device: str, cache: str | None) -> Judge:
    if source in (RULES, BLIND):
        from posterkit.judges.rules import RulesJudge

        return RulesJudge(read_text=source == RULES, cache=cache)
    from posterkit.judges.cached import Cached
    from posterkit.judges.model import ModelJudge

    chat = open_seer(source, model, device)
    return ModelJudge(Cached(chat, cache) if cache else chat)


@opened_once()
def open_seer(source: str, model: str | None, device: str) -> Seer:
    """A chat for judging: always the likeliest answer, and one that can see; arguments and errors as `open_judge`."""
    if source.startswith(("http://", "https://")):
        from posterkit.judges.endpoint import Endpoint

        endpoint = Endpoint(source, model, temperature=0.0)
        if model is None:
            endpoint.find_model()  # records and cache keys carry the model's name
        else:
            endpoint.reach()
        return endpoint
    if not source or "://" in source or not ("/" in source or Path(source).is_dir()):
        raise ValueError(
            f"judge {source!r}: there is no such judge; use {RULES}, {BLIND}, the http(s) URL of an endpoint, or a "
            "model's folder or hub id"
        )
    from posterkit.judges.local import LocalModel

    local = LocalModel(source, device=device, temperature=0.0)
    if not local.sees:
        raise ValueError(f"judge {source}: this model reads text alone; a judge has to see")
    return local
