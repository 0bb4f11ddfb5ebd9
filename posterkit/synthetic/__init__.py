"""Synthetic posters: procedural art, palettes, type and words, with ground truth for every task."""

from posterkit.synthetic.captions import caption_vocabulary, title_words
from posterkit.synthetic.contents import short_vocabulary
from posterkit.synthetic.palettes import background_name, border_lab
from posterkit.synthetic.source import TRAINING_SIZES, SyntheticPosters
from posterkit.synthetic.synthetic_poster import Rendering, SyntheticPoster, draw_art, draw_poster, render

__all__ = ["TRAINING_SIZES", "Rendering", "SyntheticPoster", "SyntheticPosters", "background_name", "border_lab",
           "caption_vocabulary", "draw_art", "draw_poster", "render", "short_vocabulary", "title_words"]  # fmt: skip
