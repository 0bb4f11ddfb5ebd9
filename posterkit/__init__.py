"""posterkit: make posters with diffusion models, and train the models that make them.

Dimension letters used in every docstring: B batch, N reference images, L text tokens, S image tokens, C channels,
H W pixels, h w latent cells. 1 latent cell = 8 px, 1 patch token = 16 px, 1 MP = 2^20 px.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from posterkit import mini, typeset
    from posterkit.generate.maker import PosterMaker
    from posterkit.pipelines.poster_pipeline import PosterPipelineOutput
    from posterkit.pipelines.postercraft import PosterCraftPipeline
    from posterkit.pipelines.posteromni import PosterOmniPipeline
    from posterkit.pipelines.processor import load_processor
    from posterkit.prompts import PosterBrief
    from posterkit.schema import PosterRequest
    from posterkit.tasks import TASKS

__version__ = "0.1.0"

# public name -> where it lives; imported on first use, so that `posterkit --help` does not load torch
_PUBLIC = {
    "PosterOmniPipeline": "posterkit.pipelines.posteromni",
    "PosterCraftPipeline": "posterkit.pipelines.postercraft",
    "PosterPipelineOutput": "posterkit.pipelines.poster_pipeline",
    "load_processor": "posterkit.pipelines.processor",
    "PosterBrief": "posterkit.prompts",
    "PosterMaker": "posterkit.generate.maker",
    "PosterRequest": "posterkit.schema",
    "TASKS": "posterkit.tasks",
}
_MODULES = ("mini", "typeset")

__all__ = ["TASKS", "PosterBrief", "PosterCraftPipeline", "PosterMaker", "PosterOmniPipeline", "PosterPipelineOutput",
           "PosterRequest", "load_processor", "mini", "typeset"]  # fmt: skip


def __getattr__(name: str):
    if name in _PUBLIC:
        return getattr(importlib.import_module(_PUBLIC[name]), name)
    if name in _MODULES:
        return importlib.import_module(f"posterkit.{name}")
    raise AttributeError(f"module 'posterkit' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
