"""How far what a segmenter found is a thing of its own, worth being cut out."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from posterkit.metrics.appearance import ramp
from posterkit.metrics.color import color_histogram_distance, srgb_to_lab
from posterkit.pipelines.segmenters import box_of, touched_sides

GOOD = 0.4  # quality from which a subject is cut out
SIDE = 256  # px; the longer side at which it is judged
NEAR = 0.06  # of the longer side: how far its surroundings reach
APART = 0.3, 0.6  # colours of the thing and of its surroundings have so much not in common: none of its own, its own
THICK = 0.3, 0.55  # its widest circle against a square of its area: a strip, a compact thing
STEP = 8.0  # Lab units over the outline, from 2 px within to 3 px without, that are an edge
OUTLINED = 0.6, 0.85  # share of the outline that is an edge: a part of something, a thing
CROPPED = {0: 1.0, 1: 0.8}  # by the sides that it runs off; more are a part of something


def subject_quality(picture: Image.Image, mask: NDArray[np.uint8], hidden: NDArray[np.bool_]) -> float:
    """The quality of a subject, in [0, 1]; a patch of sky, a ridge or the sliver of a planet has little.

    The least of four: its colours are not those of its surroundings, there is an edge all around it, it is compact,
    and it is whole.

    Args:
        picture: RGB.
        mask: `(H, W)`, 255 = the subject.
        hidden: `(H, W)`, where texts and other subjects are: no surroundings.
    """
    scale = min(1.0, SIDE / max(picture.size))
    size = max(8, round(picture.width * scale)), max(8, round(picture.height * scale))
    lab = srgb_to_lab(np.asarray(picture.resize(size, Image.Resampling.BOX)))
    inside, away = (np.asarray(Image.fromarray(one).resize(size, Image.Resampling.BOX)) > 127
                    for one in (mask, hidden.astype(np.uint8) * 255))  # fmt: skip
    if inside.sum() < 16:
        return 0.0
    reach = np.asarray(ndimage.distance_transform_edt(~inside))
    around = (reach > 1.5) & (reach <= NEAR * max(size)) & ~away
    if around.sum() < 16:
        return 0.0
    depth = float(np.asarray(ndimage.distance_transform_edt(np.pad(inside, 1))).max())
    return min(
        ramp(color_histogram_distance(lab[inside], lab[around]), *APART),
        ramp(_outlined(lab, inside, away, reach), *OUTLINED),
        ramp(2 * depth / float(inside.sum()) ** 0.5, *THICK),
        CROPPED.get(len(touched_sides(box_of(inside), size)), 0.3),
    )


def _outlined(lab: NDArray[np.float64], inside: NDArray[np.bool_], away: NDArray[np.bool_], reach: NDArray) -> float:
    """The share of the outline over which colours step; texts and the picture's sides do not count."""
    core = np.asarray(ndimage.binary_erosion(inside, iterations=2), bool)
    without = (reach > 2.5) & (reach <= 3.5) & ~away
    if not core.any() or not without.any():
        return 0.0
    y, x = np.asarray(ndimage.distance_transform_edt(~core, return_distances=False, return_indices=True))
    steps = np.linalg.norm(lab[without] - lab[y[without], x[without]], axis=1)
    return float((steps > STEP).mean())
