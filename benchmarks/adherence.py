"""Does a poster do what its task asked? One pure function per measure of the mini report.

Pictures are `(H, W, 3)` uint8 RGB. "Own" is what belongs to the poster, "other" the same thing of another sample: a
measure that cannot tell the two apart is at chance, 0.5.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import binary_dilation

from posterkit.metrics.arrangement import arrangement_similarity, color_signature, subject_mask, subject_presence
from posterkit.metrics.color import border_color, nearest_color_name, palette, palette_distance
from posterkit.metrics.fidelity import appearance_distance, edge_replication

Picture = NDArray[np.uint8]


def background_obeyed(poster: Picture, name: str) -> float:
    """1 where the palette name nearest to the median Lab of the border is the one asked for, else 0."""
    return float(nearest_color_name(border_color(poster)) == name)


def prefers(own: float, other: float) -> float:
    """1 where own is better (larger), 0 where other is, 0.5 for a tie."""
    return 1.0 if own > other else 0.5 if own == other else 0.0


def style_preferred(poster: Picture, own: Picture, other: Picture) -> float:
    """1 where the poster's palette is nearer to its own reference's than to another's."""
    colors = palette(poster)
    return prefers(-palette_distance(colors, palette(own)), -palette_distance(colors, palette(other)))


def border_fill(image: Picture, made: NDArray[np.bool_], reach: int = 2) -> Picture:
    """A baseline: the made area in the mean colour of the kept pixels next to it.

    Args:
        made: `(H, W)`, True where the picture is to be made, neither all nor nothing.
        reach: how many px from the made area a kept pixel may lie.
    """
    rim = np.asarray(binary_dilation(made, iterations=reach), dtype=bool) & ~made
    filled = image.copy()
    filled[made] = np.round(image[rim].mean(0)).astype(np.uint8)
    return filled


def made_area_wins(poster: Picture, truth: Picture, made: NDArray[np.bool_]) -> tuple[float, float]:
    """Whether the made area is nearer to the truth than two fillings that need no model.

    Args:
        made: `(H, W)`, True where the picture was made; the kept pixels are taken from the truth.

    Returns:
        Against the mean colour of the border, and against edge replication: 1 nearer, 0 farther, 0.5 a tie.
    """
    own = appearance_distance(poster, truth, made)
    flat = appearance_distance(border_fill(truth, made), truth, made)
    edges = appearance_distance(edge_replication(truth, made), truth, made)
    return prefers(-own, -flat), prefers(-own, -edges)


def rescaling_wins(poster: Picture, truth: Picture, source: Picture) -> float:
    """1 where the poster is nearer to the truth than the source is when it is merely stretched to the size."""
    height, width = truth.shape[:2]
    stretched = np.asarray(Image.fromarray(source).resize((width, height), Image.Resampling.LANCZOS))
    return prefers(-appearance_distance(poster, truth), -appearance_distance(stretched, truth))


def layout_agreement(poster: Picture, reference: Picture) -> float:
    """Correlation of the arrangements, in [-1, 1]."""
    return arrangement_similarity(poster, reference)


def identity_agreement(poster: Picture, subjects: Sequence[Picture]) -> float:
    """How much of the subjects the poster shows, mean over subjects, in [0, 1].

    Raises:
        ValueError: there is no subject.
    """
    if not subjects:
        raise ValueError("identity needs at least one subject image")
    shown = color_signature(poster)
    alone = [color_signature(subject, subject_mask(subject)) for subject in subjects]
    return float(np.mean([subject_presence(subject, shown) for subject in alone]))
