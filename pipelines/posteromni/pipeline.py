"""What diffusers' `custom_pipeline=` opens: PosterOmniPipeline, with all its code in the installed posterkit."""

from posterkit.pipelines.posteromni import PosterOmniPipeline

__all__ = ["PosterOmniPipeline"]
