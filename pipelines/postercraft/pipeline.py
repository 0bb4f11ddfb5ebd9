"""PosterCraft for `DiffusionPipeline.from_pretrained(folder, custom_pipeline="pipelines/postercraft", ...)`."""

try:
    from posterkit.pipelines.postercraft import PosterCraftPipeline
except ImportError as fault:
    raise ImportError(f"this pipeline lives in posterkit: pip install posterkit ({fault})") from fault

__all__ = ["PosterCraftPipeline"]
