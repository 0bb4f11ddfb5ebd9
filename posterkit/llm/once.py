"""What is opened once a process, whoever asks for it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import lru_cache, wraps
from typing import TypeVar

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
            with lock:
                return cached(*arguments, **named)

        return opened  # type: ignore[return-value]

    return decorate
