"""Measures of layouts: those of any layout (alignment, overlap, violation), and those of posters on pictures.

The poster measures come in two forms. "corrected" is the form of RALF (Horita et al., CVPR 2024), with Re by |d|;
"pku" repeats PKU PosterLayout's published evaluation with its quirks, so that its tables can be compared with. They
give other numbers for the same layouts: name the form beside each of them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import combinations
from typing import Literal

import numpy as np
from PIL import Image
from scipy import ndimage

from posterkit.layout.layout_request import Relation
from posterkit.layout.similarity import LabelledBoxes, areas, intersections, iou
from posterkit.layout.types import Box
from posterkit.lettering import ROLES

Form = Literal["corrected", "pku"]
TEXT, LOGO, UNDERLAY = "text", "logo", "underlay"
PKU_SIZE = (513, 750)  # pixels that the published evaluation works at
_PKU_SCALE = np.array(PKU_SIZE * 2, np.float32)
_SMALLEST = 1e-3  # of the canvas; a smaller element is none
_FLAT = math.log(1.1)  # of Re: within a tenth of the usual area nothing is taken off


def poster_labels(layout: LabelledBoxes) -> LabelledBoxes:
    """The poster measures' three labels: every text is "text"; what is neither text, logo nor underlay drops out."""
    labels = np.array([TEXT if label in ROLES else label for label in layout.labels.tolist()], str)
    kept = np.isin(labels, (TEXT, LOGO, UNDERLAY))
    return LabelledBoxes(labels[kept], layout.boxes[kept])


def alignment(layout: LabelledBoxes) -> float:
    """Mean over elements of -ln(1 - d), d the distance to the nearest of six guide lines; 0 for a single element."""
    return _alignment(layout.boxes, math.e)


def _alignment(boxes: np.ndarray, base: float) -> float:
    if len(boxes) < 2:
        return 0.0
    apart = np.abs(_guides(boxes)[:, None] - _guides(boxes)[None])
    apart[np.arange(len(boxes)), np.arange(len(boxes))] = 1.0
    nearest = np.clip(apart.min((1, 2)), 0, 1 - 1e-9)
    return float((-np.log(1 - nearest) / math.log(base)).mean())


def _guides(boxes: np.ndarray) -> np.ndarray:
    """Left, top, centre x, centre y, right, bottom: `(N, 4)` -> `(N, 6)`."""
    return np.concatenate([boxes[:, :2], (boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:]], axis=1)


def overlap(layout: LabelledBoxes) -> float:
    """Mean over elements of the parts of it that others cover (LayoutGAN++'s form)."""
    if len(layout) < 2:
        return 0.0
    common = intersections(layout.boxes, layout.boxes)
    np.fill_diagonal(common, 0)
    own = areas(layout.boxes)
    return float((common.sum(1) / np.where(own > 0, own, 1)).mean())


def violation(boxes: Sequence[Box], relations: Sequence[Relation], height: float) -> float:
    """The share of relations that do not hold; 0 where there are none."""
    broken = sum(not relation.holds(boxes, height) for relation in relations)
    return broken / len(relations) if relations else 0.0


def area_ratio_score(usual: Mapping[str, float], found: Mapping[str, float], form: Form = "corrected") -> float:
    """Re of LayoutCoT: exp(-rms of max(0, |ln r| - ln 1.1)), r an element's mean area over its label's usual one.

    As printed in the paper (form "pku") the bars are missing, so that a box too small costs nothing.

    Args:
        usual, found: mean areas by label; labels that only one of them has do not count.
    """
    both = [label for label in usual if found.get(label, 0) > 0 and usual[label] > 0]
    if not both:
        return math.nan
    logs = [math.log(found[label] / usual[label]) for label in both]
    over = [max(0.0, (abs(log) if form == "corrected" else log) - _FLAT) for log in logs]
    return math.exp(-math.sqrt(sum(one * one for one in over) / len(over)))


def mean_areas(layouts: Sequence[LabelledBoxes]) -> dict[str, float]:
    """The mean area of the elements of each label, as shares of the canvas."""
    labels = np.concatenate([one.labels for one in layouts] or [np.array([], str)])
    sizes = np.concatenate([areas(one.boxes) for one in layouts] or [np.array([])])
    return {str(label): float(sizes[labels == label].mean()) for label in np.unique(labels)}


def poster_measures(
    layouts: Sequence[LabelledBoxes],
    *,
    form: Form = "corrected",
    pictures: Sequence[Image.Image] | None = None,
    saliency: Sequence[np.ndarray] | None = None,
    usual: Mapping[str, float] | None = None,
) -> dict[str, float]:
    """The content-aware measures of a set, by their usual short names.

    `val`, `und_l`, `und_s`, `uti` and `re` are better when larger; `ove`, `ali`, `occ` and `rea` when smaller. NaN
    where no layout of the set says anything of a measure.

    Args:
        layouts: with the labels text, logo and underlay, see `poster_labels`.
        pictures: RGB, one per layout, for `rea`.
        saliency: one per layout, for `occ` and `uti`: `(h, w)` in [0, 1], of the whole canvas.
        usual: mean areas by label, for `re`.
    """
    pku = form == "pku"
    if pku:
        layouts = [LabelledBoxes(one.labels, np.float32(one.boxes) * _PKU_SCALE) for one in layouts]
    valid = [_valid(one.boxes, pku) for one in layouts]
    total = sum(len(one) for one in layouts)
    found = {"val": sum(int(one.sum()) for one in valid) / total if total else math.nan}
    kept = [LabelledBoxes(one.labels[good], one.boxes[good]) for one, good in zip(layouts, valid, strict=True)]
    found |= {
        "ove": _mean([_ove(one, pku) for one in kept]),
        "ali": _mean([_ali(one, pku) for one in kept]),
        "und_l": _mean([_underlays(one, _held) for one in kept]),
        "und_s": _mean([_underlays(one, _contained_pku if pku else _contained) for one in kept]),
    }
    if saliency is not None:
        pairs = list(zip(kept, saliency, strict=True))
        found["uti"] = _mean([_uti(one, seen, pku) for one, seen in pairs])
        found["occ"] = _mean([_occ(one, seen, pku) for one, seen in pairs])
    if pictures is not None:
        found["rea"] = _mean([_rea(one, picture, pku) for one, picture in zip(kept, pictures, strict=True)])
    if usual is not None:
        found["re"] = area_ratio_score(usual, mean_areas(kept), form)
    return found


def _mean(values: Sequence[float | None]) -> float:
    counted = [value for value in values if value is not None]
    return float(np.mean(counted)) if counted else math.nan


def _valid(boxes: np.ndarray, pku: bool) -> np.ndarray:
    if not pku:
        return areas(boxes) > _SMALLEST
    w, h = PKU_SIZE
    cut = np.stack([np.maximum(boxes[:, 0], 0), np.maximum(boxes[:, 1], 0),
                    np.minimum(boxes[:, 2], w), np.minimum(boxes[:, 3], h)], axis=1)  # fmt: skip
    return np.abs((cut[:, 2] - cut[:, 0]) * (cut[:, 3] - cut[:, 1])) >= 5.13 * 7.50 * 10


def _ove(layout: LabelledBoxes, pku: bool) -> float | None:
    boxes = layout.boxes[layout.labels != UNDERLAY]
    if len(boxes) < 2 and not (pku and len(boxes)):
        return None
    pairs = iou(boxes, boxes)[np.triu_indices(len(boxes), 1)]
    return float(pairs.sum() / len(boxes)) if pku else float(pairs.mean())


def _ali(layout: LabelledBoxes, pku: bool) -> float | None:
    if not pku:
        return _alignment(layout.boxes, 10) if len(layout) > 1 else None
    n = len(layout)
    if n < 2:
        return 0.0
    # one nearest pair for the whole layout, counted once per element
    guides = _guides((layout.boxes / _PKU_SCALE).astype(float))
    nearest = min(float(np.abs(guides[i] - guides[j]).min()) for i, j in combinations(range(n), 2))
    return -n * math.log10(1 - nearest)


def _underlays(layout: LabelledBoxes, score: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> float | None:
    """The mean over underlays of the best score with what is no underlay."""
    is_underlay = layout.labels == UNDERLAY
    under, others = layout.boxes[is_underlay], layout.boxes[~is_underlay]
    if not len(under):
        return None
    return float(score(under, others).max(1).mean()) if len(others) else 0.0


def _held(under: np.ndarray, others: np.ndarray) -> np.ndarray:
    """The part of an element that lies on an underlay."""
    return intersections(under, others) / np.maximum(areas(others), 1e-12)


def _contained(under: np.ndarray, others: np.ndarray) -> np.ndarray:
    return (_held(under, others) >= 1 - 1e-6).astype(float)


def _contained_pku(under: np.ndarray, others: np.ndarray) -> np.ndarray:
    """The published test, which does not look at the right edge."""
    a, b = under[:, None], others[None]
    return ((a[..., 0] <= b[..., 0]) & (a[..., 1] <= b[..., 1]) & (a[..., 3] >= b[..., 3])).astype(float)


def covered_cells(boxes: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Cells of a map of `shape` whose centres lie in one of the boxes (shares of the canvas): bool."""
    covered = np.zeros(shape, bool)
    h, w = shape
    for x0, y0, x1, y1 in boxes:
        rows, columns = (slice(*(max(0, math.ceil(side * full - 0.5)) for side in span))
                         for span, full in (((y0, y1), h), ((x0, x1), w)))  # fmt: skip
        covered[rows, columns] = True
    return covered


def _covered_pku(boxes: np.ndarray) -> np.ndarray:
    covered = np.zeros(PKU_SIZE[::-1], bool)
    for x0, y0, x1, y1 in boxes.astype(int):
        covered[y0:y1, x0:x1] = True
    return covered


def _map(values: np.ndarray, pku: bool) -> np.ndarray:
    """In the published evaluation maps are 8-bit pictures, resized."""
    if not pku:
        return np.asarray(values, float)
    picture = Image.fromarray((np.clip(values, 0, 1) * 255).round().astype(np.uint8))
    return np.asarray(picture.resize(PKU_SIZE)) / 255


def _uti(layout: LabelledBoxes, saliency: np.ndarray, pku: bool) -> float | None:
    free = 1 - _map(saliency, pku)
    covered = _covered_pku(layout.boxes) if pku else covered_cells(layout.boxes, free.shape)
    if not free.sum():
        return 0.0 if pku else None
    return float(free[covered].sum() / free.sum())


def _occ(layout: LabelledBoxes, saliency: np.ndarray, pku: bool) -> float | None:
    seen = _map(saliency, pku)
    covered = _covered_pku(layout.boxes) if pku else covered_cells(layout.boxes, seen.shape)
    if not covered.any():
        return 0.0 if pku else None
    return float(seen[covered].mean())


def _rea(layout: LabelledBoxes, picture: Image.Image, pku: bool) -> float | None:
    texts, under = layout.boxes[layout.labels == TEXT], layout.boxes[layout.labels == UNDERLAY]
    unrest = _gradient_pku(picture) if pku else gradient(picture)
    covered = _covered_pku if pku else lambda boxes: covered_cells(boxes, unrest.shape)
    bare = covered(texts) & ~covered(under)
    if not bare.any():
        return 0.0 if pku else None
    return float(unrest[bare].mean())


def gradient(picture: Image.Image) -> np.ndarray:
    """sqrt((gx^2 + gy^2) / 2) of the luminance over its own maximum, `(H, W)` in [0, 1]; 0 for an even picture."""
    light = np.asarray(picture.convert("L"), float)
    both = np.sqrt((ndimage.sobel(light, 1, mode="mirror") ** 2 + ndimage.sobel(light, 0, mode="mirror") ** 2) / 2)
    return both / max(float(both.max()), 1e-9)


def _gradient_pku(picture: Image.Image) -> np.ndarray:
    """The published gradient: falling edges count as 0, squares wrap at 256, and the result has 8 bits."""
    rgb = np.asarray(picture.convert("RGB").resize(PKU_SIZE), float)
    light = (rgb @ (0.299, 0.587, 0.114)).round()
    steps = [np.clip(ndimage.sobel(light, axis, mode="mirror"), 0, 255).astype(np.uint8) for axis in (1, 0)]
    both = np.sqrt((steps[0] ** 2 + steps[1] ** 2) / 2)
    return np.floor(both / max(float(both.max()), 1e-9) * 255) / 255
