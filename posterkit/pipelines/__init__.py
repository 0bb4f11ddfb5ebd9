"""The two pipelines: PosterOmni (image to poster) and PosterCraft (text to poster)."""
