"""Opens language models by their address, once a process."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import lru_cache, wraps
from inspect import signature
from pathlib import Path
from typing import TypeVar

from posterkit.llm.client import LanguageModel, VisionLanguageModel
from posterkit.llm.principle import Principle

Opener = TypeVar("Opener", bound=Callable)


def opened_once(kept: int | None = None) -> Callable[[Opener], Opener]:
    """A cache of what a function opens; `lru_cache` alone would load a model twice for two threads.

    Args:
        kept: the most that stay open; None for all.
    """

    def decorate(opens: Opener) -> Opener:
        lock, cached = threading.Lock(), lru_cache(kept)(opens)

        @wraps(opens)
        def opened(*arguments, **named):
            given = signature(opens).bind(*arguments, **named)  # one way to pass them, by which opened ones are known
            given.apply_defaults()
            with lock:
                return cached(*given.args, **given.kwargs)

        return opened  # type: ignore[return-value]

    return decorate


def open_language_model(
    source: str, model: str | None = None, device: str = "cpu", principle: Principle | None = None
) -> LanguageModel:
    """A language model by its address.

    Args:
        source: the URL of an OpenAI-compatible endpoint, a local model's folder or hub id, or a .jsonl file of
            recorded answers.
        model: the model's name at the endpoint.
        device: where a local model runs.
        principle: what a local model's answers are steered by.

    Raises:
        AnswerError: a local model cannot be loaded.
        ValueError: the URL is none, the key for it cannot be sent, the recorded answers cannot be read, or there is a
            principle and the model is not a local one.
    """
    if principle is not None:
        check_steerable(source)
    if source.startswith(("http://", "https://")):
        from posterkit.llm.endpoint import Endpoint

        return Endpoint(source, model)
    if source.endswith(".jsonl") and Path(source).is_file():
        from posterkit.llm.replay import ReplayModel

        return ReplayModel(source)
    if not ("/" in source or ":" in source or Path(source).is_dir()):
        raise ValueError(
            f"{source!r}: there is no such language model; give a URL, a folder, or a hub id (OWNER/NAME)"
        )
    from posterkit.llm.local import LocalModel

    return LocalModel(source, device=device, principle=principle)


def open_reachable_model(source: str, device: str = "cpu") -> LanguageModel:
    """As `open_language_model`; AnswerError where no server answers at a URL."""
    model = open_language_model(source, device=device)
    if source.startswith(("http://", "https://")):
        from posterkit.llm.endpoint import Endpoint

        assert isinstance(model, Endpoint)
        model.reach()
    return model


def check_steerable(source: str) -> None:
    """Raise ValueError where a principle cannot steer a model, since it is not a local one."""
    if source.startswith(("http://", "https://")) or source.endswith(".jsonl"):
        raise ValueError(f"{source}: a principle steers the tokens of a local model; give a folder or hub id")


@opened_once()
def open_vision_language_model(
    source: str, model: str | None, device: str, tokens: int = 4096, principle: Principle | None = None
) -> VisionLanguageModel:
    """A model that judges pictures: it sees, and always gives its likeliest answer, of so many tokens at most.

    Other arguments and errors are those of `posterkit.critic.open_critic`.
    """
    if principle is not None:
        check_steerable(source)
    if source.startswith(("http://", "https://")):
        from posterkit.llm.endpoint import Endpoint

        endpoint = Endpoint(source, model, temperature=0.0, max_tokens=tokens)
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

    local = LocalModel(source, device=device, temperature=0.0, max_new_tokens=tokens, principle=principle)
    if not local.sees:
        raise ValueError(f"judge {source}: this model reads text alone; a judge has to see")
    return local
