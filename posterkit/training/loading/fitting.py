"""The size that a poster is trained at, decided before anything is encoded, and the poster at that size."""

from __future__ import annotations

import functools
import math
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from PIL import Image

from posterkit.datasets.file_index import FileIndex
from posterkit.datasets.sample_files import Row
from posterkit.messages import error_line
from posterkit.schema import Box, PosterSample
from posterkit.sizing import Size, buckets, nearest_bucket
from posterkit.training.loading.data_report import Lost, leave_out

SAME_AREA = 0.1  # a poster on the grid whose area differs by less stays as it is
ENLARGED = 1.5  # posters that would be enlarged more are blurred, and left out
LONGEST = 3.0  # of the longer side to the shorter one
CANNOT_READ = "cannot be read"
_GRID = 16


class Plan(NamedTuple):
    """How one row is encoded.

    Attributes:
        name: of its entry in the encoder cache.
        size: of the target that is encoded.
        original: of the target on disk.
    """

    name: str
    size: Size
    original: Size


def plan_sizes(memo: FileIndex, area: int) -> tuple[dict[int, Plan], Lost]:
    """A plan for every row that can be trained on, by its number, and the rows that are left out with the reason.

    A row is known by its content alone, with the size where its target is brought to one.

    Args:
        memo: of the set; its pictures are read where they changed since an earlier start.
        area: in pixels; posters of another one, or off the grid of 16 pixels, go to the bucket nearest in shape.
    """
    dataset = memo.dataset
    plans: dict[int, Plan] = {}
    lost: Lost = {}
    for number, row in enumerate(dataset.rows):
        try:
            content, original = memo.facts(number)
            size = target_size(original, area)
            reason = None if size == original else _unfit(row, original, size)
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as fault:
            said = f"{fault} is missing" if isinstance(fault, KeyError) else error_line(fault)
            leave_out(lost, CANNOT_READ, dataset, number, said)
            continue
        if reason:
            leave_out(lost, reason, dataset, number, str(original))
        else:
            plans[number] = Plan(content if size == original else f"{content}-{size}", size, original)
    memo.save()
    return plans, lost


@functools.cache
def target_size(original: Size, area: int) -> Size:
    """The size that a poster is brought to; its own where it is on the grid and of about that area."""
    if not any(side % _GRID for side in original) and abs(original.area / area - 1) < SAME_AREA:
        return original
    return nearest_bucket(original, buckets(area, _GRID, LONGEST))


def fit_sample(sample: PosterSample, size: Size) -> PosterSample:
    """A poster at a size: scaled until it covers it, cropped evenly; its boxes are moved along.

    References stay: they lie on no target of these tasks. Regions that are cut off altogether and boxes of texts are
    dropped.
    """
    height, width = sample.target.shape[:2]
    if (width, height) == size:
        return sample
    scale, (left, top) = _cover(Size(width, height), size)
    picture = Image.fromarray(sample.target)
    box = (left / scale, top / scale, (left + size.width) / scale, (top + size.height) / scale)
    target = np.asarray(picture.resize(size, Image.Resampling.LANCZOS, box=box, reducing_gap=3.0))
    regions = [
        replace(region, box=moved)
        for region in sample.regions
        if (moved := move_box(region.box, Size(width, height), size))
    ]
    texts = [replace(text, box=None, lines=()) for text in sample.texts]
    return replace(sample, target=target, regions=regions, texts=texts, subject=None, placed=None)


def move_box(box: Box, original: Size, size: Size) -> Box | None:
    """Where a box of the original lies on the fitted poster; None where nothing of it is left."""
    scale, (left, top) = _cover(original, size)
    x0, y0 = max(0, math.floor(box[0] * scale - left)), max(0, math.floor(box[1] * scale - top))
    x1, y1 = min(size.width, math.ceil(box[2] * scale - left)), min(size.height, math.ceil(box[3] * scale - top))
    return (x0, y0, x1, y1) if x0 < x1 and y0 < y1 else None


def _cover(original: Size, size: Size) -> tuple[float, tuple[float, float]]:
    """The scale that makes one size cover another, and how much is then cut off at the left and at the top."""
    scale = max(size.width / original.width, size.height / original.height)
    return scale, ((original.width * scale - size.width) / 2, (original.height * scale - size.height) / 2)


def _unfit(row: Row, original: Size, size: Size) -> str | None:
    """Why a poster cannot be brought to a size, if it cannot."""
    if row.get("placed") or row.get("mask"):
        return f"keeps pixels and is not of about {size.area} pixels on the grid of {_GRID}"
    if not 1 / LONGEST <= original.aspect <= LONGEST:
        return f"longer than {LONGEST:g} to 1"
    scale, (left, top) = _cover(original, size)
    if scale > ENLARGED:
        return f"would be enlarged more than {ENLARGED:g} times"
    boxes = (marked.get("box") for marked in (*(row.get("regions") or ()), *(row.get("texts") or ())))
    for x0, y0, x1, y1 in filter(None, boxes):
        across, down = min(x0, original.width - x1) * scale - left, min(y0, original.height - y1) * scale - top
        if min(across, down) < -1:  # a pixel of rounding
            return "a text would be cut off"
    return None
