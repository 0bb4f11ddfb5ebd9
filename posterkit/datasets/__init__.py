"""Data sets of posters: samples as files, sets on disk, pairs, their validation, batches of one shape."""

from posterkit.datasets.dataset import PosterDataset
from posterkit.datasets.sample_files import read_sample, write_sample
from posterkit.schema import DrawnText, PosterSample, Region
from posterkit.synthetic import SyntheticPosters, background_name, border_lab, caption_vocabulary, title_words

__all__ = ["DrawnText", "PosterDataset", "PosterSample", "Region", "SyntheticPosters", "background_name", "border_lab",
           "caption_vocabulary", "read_sample", "title_words", "write_sample"]  # fmt: skip
