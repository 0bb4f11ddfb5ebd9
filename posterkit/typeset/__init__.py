"""Real letters on pictures: `typeset(image, brief)` gives a poster as pixels, SVG, PDF and PSD.

`posterkit.typeset` is both this package and the function.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import Any

_PUBLIC = {
    "TypesetPoster": "posterkit.typeset.poster",
    "PlacedText": "posterkit.typeset.placed_text",
    "FACES": "posterkit.typeset.fonts",
    "PAIRINGS": "posterkit.typeset.fonts",
}

__all__ = ["FACES", "PAIRINGS", "PlacedText", "TypesetPoster"]  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        return getattr(importlib.import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


class _CallableModule(ModuleType):
    """Makes `from posterkit import typeset` a function without hiding the package of the same name."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        from posterkit.typeset.poster import typeset

        return typeset(*args, **kwargs)


sys.modules[__name__].__class__ = _CallableModule
