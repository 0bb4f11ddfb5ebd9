"""What a stage needs to know of a model family: encode, noise, predict, save. One adapter each."""

from __future__ import annotations

from typing import Any


def adapter_class(family: str) -> Any:
    """The adapter of `postercraft` or `posteromni`; the other one's libraries are not imported."""
    if family == "postercraft":
        from posterkit.training.adapters.flux import FluxAdapter

        return FluxAdapter
    from posterkit.training.adapters.qwen import QwenAdapter

    return QwenAdapter
