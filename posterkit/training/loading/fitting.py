"""The size that a poster is trained at, decided before anything is encoded, and the poster at that size."""

from __future__ import annotations

import functools
import math
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageFilter

from posterkit.datasets.file_index import FileIndex
from posterkit.datasets.sample_files import Row
from posterkit.messages import error_line
from posterkit.schema import Box, PosterSample
from posterkit.sizing import Size, buckets, nearest_bucket
from posterkit.tasks import BLANK, SLIVER
from posterkit.training.loading.data_report import Lost, leave_out

SAME_AREA = 0.1  # a poster on the grid whose area differs by less stays as it is
ENLARGED = 1.5  # posters that would be enlarged more are blurred, and left out
OTHER_AREA = 64  # times a checkpoint's own area; it has learnt nothing of larger or smaller posters
LONGEST = 3.0  # of the longer side to the shorter one
CANNOT_READ = "cannot be read"
_GRID = 16
_REACH = 4  # pixels that scaling mixes at an edge; so far around what is made nothing counts as kept


class Plan(NamedTuple):
    """How one row is encoded."""

    name: str  # of its entry in the encoder cache
    size: Size  # of the target that is encoded
    original: Size  # of the target on disk


def check_area(area: int, native: int, key: str = "data.area") -> int:
    """The area, if it can be one beside the checkpoint's `native`; ValueError where it is more likely a square's
    side.
    """
    if not 1 / OTHER_AREA <= area / native <= OTHER_AREA:
        meant = f"; {area}x{area} is {key}={area * area}" if area < native else ""
        raise ValueError(
            f"{key} is {area} pixels, width times height, and the checkpoint's own {native}: too far apart{meant}"
        )
    return area


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

    Where a task keeps pixels, mask and reference 0 lie on the target and go with it. Other references stay. Boxes that
    are cut off altogether are dropped.

    Raises:
        ValueError: nothing is left to be made, or to be kept.
    """
    height, width = sample.target.shape[:2]
    original = Size(width, height)
    if original == size:
        return sample

    def moved(box: Box | None) -> Box | None:
        return box and move_box(box, original, size)

    regions = [replace(region, box=box) for region in sample.regions if (box := moved(region.box))]
    texts = [replace(text, box=moved(text.box), lines=()) for text in sample.texts]
    target = np.asarray(_covering(Image.fromarray(sample.target), size, Image.Resampling.LANCZOS))
    fitted = replace(sample, target=target, regions=regions, texts=texts, subject=None)
    return _fit_kept(fitted, sample.target, size) if sample.placed or sample.mask is not None else fitted


def _fit_kept(sample: PosterSample, original: np.ndarray, size: Size) -> PosterSample:
    """Mask, place and reference 0 of a sample whose target has been brought to a size.

    Kept pixels are the reference's own, scaled on the original's canvas, so that target and reference stay alike;
    those that scaling mixes with what is made are made too.
    """
    height, width = original.shape[:2]
    x0, y0, x1, y1 = sample.placed or (0, 0, width, height)
    made = sample.mask
    if made is None:
        made = np.full((height, width), 255, np.uint8)
        made[y0:y1, x0:x1] = 0
    hole = _covering(Image.fromarray(made).point([0] * 128 + [255] * 128), size, Image.Resampling.BOX)
    hole = hole.point([0] + [255] * 255).filter(ImageFilter.MaxFilter(2 * _REACH + 1))
    mask = np.asarray(hole)
    if mask.all() or not mask.any():
        raise ValueError(f"{sample.id}: nothing of it is {'kept' if mask.all() else 'to be made'} at {size}")
    canvas = Image.fromarray(original)
    reference = Image.fromarray(sample.references[0])
    canvas.paste(reference.resize((x1 - x0, y1 - y0), Image.Resampling.LANCZOS), (x0, y0))
    scaled = _covering(canvas, size, Image.Resampling.LANCZOS)
    scaled.paste(BLANK, (0, 0), hole)
    placed: Box = (0, 0, size.width, size.height)
    if sample.task == "extending":
        rows, columns = np.flatnonzero(~mask.all(1)), np.flatnonzero(~mask.all(0))
        placed = int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1
    references = [np.asarray(scaled.crop(placed)), *sample.references[1:]]
    return replace(sample, references=references, mask=mask, placed=placed)


def _covering(picture: Image.Image, size: Size, resample: Image.Resampling) -> Image.Image:
    """A picture at a size: scaled until it covers it, cropped evenly."""
    scale, (left, top) = _cover(Size(*picture.size), size)
    box = (left / scale, top / scale, (left + size.width) / scale, (top + size.height) / scale)
    return picture.resize(size, resample, box=box, reducing_gap=3.0)


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
    if row.get("task") == "extending" and row.get("placed"):
        x0, y0, x1, y1 = move_box(tuple(row["placed"]), original, size) or (0, 0, 0, 0)
        if not 0 < (x1 - x0) * (y1 - y0) < (1 - SLIVER) * size.area:
            return "would leave next to nothing to extend"
    return None
