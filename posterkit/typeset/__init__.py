"""Real letters on pictures: `typeset(image, brief)` gives a poster as pixels, SVG, PDF and PSD.

`posterkit.typeset` is both this package and the function.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any


class _CallableModule(ModuleType):
    """Makes `from posterkit import typeset` a function without hiding the package of the same name."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        from posterkit.typeset.poster import typeset

        return typeset(*args, **kwargs)


sys.modules[__name__].__class__ = _CallableModule
