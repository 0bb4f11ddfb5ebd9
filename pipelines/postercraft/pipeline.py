"""What diffusers' `custom_pipeline=` opens: PosterCraftPipeline, with all its code in the installed posterkit."""

try:
    from posterkit.pipelines.postercraft import PosterCraftPipeline
except ImportError as fault:
    raise ImportError(f"this pipeline lives in posterkit: pip install posterkit ({fault})") from fault

# diffusers runs every local pipeline.py in one module and takes the only class in it: the other one must go
globals().pop("PosterOmniPipeline", None)

__all__ = ["PosterCraftPipeline"]
