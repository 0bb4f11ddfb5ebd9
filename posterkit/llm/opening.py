"""Language models by their address."""

from __future__ import annotations

from pathlib import Path

from posterkit.llm.client import LanguageModel, VisionLanguageModel
from posterkit.llm.once import opened_once


def open_language_model(source: str, model: str | None = None, device: str = "cpu") -> LanguageModel:
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
        from posterkit.llm.endpoint import Endpoint

        return Endpoint(source, model)
    from posterkit.llm.local import LocalModel

    return LocalModel(source, device=device)


@opened_once()
def open_vision_language_model(source: str, model: str | None, device: str) -> VisionLanguageModel:
    """A chat for judging: always the likeliest answer, and one that can see; arguments and errors as `open_critic`."""
    if source.startswith(("http://", "https://")):
        from posterkit.llm.endpoint import Endpoint

        endpoint = Endpoint(source, model, temperature=0.0)
        if model is None:
            endpoint.find_model()  # records and cache keys carry the model's name
        else:
            endpoint.reach()
        return endpoint
    if not source or "://" in source or not ("/" in source or Path(source).is_dir()):
        raise ValueError(
            f"judge {source!r}: there is no such judge; use rules, rules-blind, the http(s) URL of an endpoint, or a "
            "model's folder or hub id"
        )
    from posterkit.llm.local import LocalModel

    local = LocalModel(source, device=device, temperature=0.0)
    if not local.sees:
        raise ValueError(f"judge {source}: this model reads text alone; a judge has to see")
    return local
