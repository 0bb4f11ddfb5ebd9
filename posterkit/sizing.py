"""Sizes of posters and references: rounding to the model's grid, areas, aspect buckets. Pure functions of integers."""

from __future__ import annotations

import math
from typing import NamedTuple

MAX_SIDE = 16384  # pixels of a poster; more is a typing mistake
SHAPE_TOLERANCE = 0.08  # two aspect ratios may differ by what rounding to the grid explains


class Size(NamedTuple):
    """Width and height in pixels."""

    width: int
    height: int

    @property
    def area(self) -> int:
        return self.width * self.height

    @property
    def aspect(self) -> float:
        return self.width / self.height

    def __str__(self) -> str:
        return f"{self.width}x{self.height}"


def fit_area(size: tuple[int, int], area: int, multiple: int = 16) -> Size:
    """The size on the grid nearest in shape to `size` whose area is about `area`.

    Among the grid sizes around the exact one, the one with the nearest aspect ratio wins, an error in area counting
    half, so that a size already on the grid and of that area comes back unchanged.

    Args:
        size: width and height in pixels; only their ratio matters.
        area: wanted area in pixels.
        multiple: grid step in pixels (one patch token is 16 px).

    Raises:
        ValueError: a side or the area is not positive.
    """
    width, height = size
    if width <= 0 or height <= 0 or area <= 0:
        raise ValueError(f"a size needs positive sides and area, got {width}x{height} and area {area}")
    exact = math.sqrt(area * width / height)
    columns = _around(exact / multiple)
    rows = _around(exact * height / width / multiple)

    def distance(cell: tuple[int, int]) -> float:
        c, r = cell
        shape = abs(math.log((c / r) / (width / height)))
        return shape + 0.5 * abs(math.log(c * r * multiple * multiple / area))

    c, r = min(((c, r) for c in columns for r in rows), key=distance)
    return Size(c * multiple, r * multiple)


def round_sides(size: tuple[int, int], area: int, multiple: int = 32) -> Size:
    """The size of about `area` with each side rounded by itself, as Qwen-Image-Edit's stock pipeline does it.

    `fit_area` keeps the shape better; this one is for results that must equal the stock pipeline's.
    """
    width = math.sqrt(area * (size[0] / size[1]))
    height = width / (size[0] / size[1])
    return Size(*(max(multiple, round(side / multiple) * multiple) for side in (width, height)))


def check_on_grid(width: int, height: int, multiple: int = 16) -> Size:
    """Return the size, or say which sizes near it are accepted.

    Raises:
        ValueError: a side is not a positive multiple of `multiple`.
    """
    if width < multiple or height < multiple or width % multiple or height % multiple:
        near = Size(*(max(multiple, round(side / multiple) * multiple) for side in (width, height)))
        raise ValueError(f"size {width}x{height} is off the grid of {multiple} pixels; the nearest size is {near}")
    return Size(width, height)


def contain(size: tuple[int, int], box: tuple[int, int]) -> Size:
    """The largest size of the same shape that fits in `box` and is not larger than `size` itself (no enlarging)."""
    scale = min(1.0, box[0] / size[0], box[1] / size[1])
    return Size(*(max(1, min(limit, round(side * scale))) for side, limit in zip(size, box, strict=True)))


def buckets(area: int, multiple: int = 16, max_aspect: float = 3.0) -> tuple[Size, ...]:
    """Aspect-ratio buckets: every grid width with the height that brings the area nearest to `area`, both ways up."""
    found = set()
    for columns in range(1, math.ceil(math.sqrt(area * max_aspect) / multiple) + 1):
        rows = max(1, round(area / (columns * multiple) / multiple))
        if max(columns / rows, rows / columns) <= max_aspect:
            found |= {Size(columns * multiple, rows * multiple), Size(rows * multiple, columns * multiple)}
    return tuple(sorted(found))


def nearest_bucket(size: tuple[int, int], choices: tuple[Size, ...]) -> Size:
    """The bucket nearest in log aspect ratio."""
    return min(choices, key=lambda bucket: abs(math.log(bucket.aspect / (size[0] / size[1]))))


def _around(cells: float) -> range:
    return range(max(1, math.floor(cells)), max(1, math.ceil(cells)) + 1)
