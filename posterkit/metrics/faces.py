"""Where faces look out of a picture: a cascade of multi-block local binary patterns, in numpy."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from safetensors.numpy import load_file

_CASCADE = Path(__file__).with_name("frontal_faces.safetensors")  # OpenCV's, see frontal_faces.txt
_WINDOW = 24  # pixels a side, that the cascade looks at
_LONGEST = 320  # pixels that a picture is reduced to: faces down to a thirteenth of it are found
_SCALE = 1.15  # from one size of face to the next
_STEP = 2  # pixels from one window to the next
_AGREEING = 3  # overlapping finds; fewer are chance
_Box = tuple[float, float, float, float]


def find_faces(image: Image.Image) -> list[_Box]:
    """The faces that look towards the viewer, largest first, as x0, y0, x1, y1 in pixels.

    Zhang, Chu, Xiang, Liao and Li 2007 ("Face detection based on multi-block LBP representation") with Viola and
    Jones' cascade. Profiles, faces under about a thirteenth of the picture and most drawn ones are missed.
    """
    grey = image.convert("L")
    scale = min(1.0, _LONGEST / max(grey.size))
    found: list[_Box] = []
    face = float(_WINDOW)
    while face <= scale * min(grey.size):
        shrink = scale * _WINDOW / face
        size = round(grey.width * shrink), round(grey.height * shrink)
        pixels = np.asarray(grey.resize(size, Image.Resampling.BOX), np.int64)
        for y, x in _windows(pixels):
            found.append((x / shrink, y / shrink, (x + _WINDOW) / shrink, (y + _WINDOW) / shrink))
        face *= _SCALE
    return sorted(_grouped(found), key=lambda box: box[0] - box[2])


def _windows(pixels: NDArray[np.int64]) -> NDArray[np.intp]:
    """Rows and columns of the windows that pass every stage; `(n, 2)`."""
    cascade = _cascade()
    height, width = pixels.shape[0] - _WINDOW + 1, pixels.shape[1] - _WINDOW + 1
    if height < 1 or width < 1:
        return np.zeros((0, 2), np.intp)
    sums = np.pad(pixels.cumsum(0).cumsum(1), ((1, 0), (1, 0))).astype(np.int32)
    y, x = (axis.ravel() for axis in np.mgrid[0:height:_STEP, 0:width:_STEP])
    first = 0
    for count, threshold in zip(cascade["counts"], cascade["thresholds"], strict=True):
        score = np.zeros(len(y), np.float32)
        for weak in range(first, first + int(count)):
            pattern = _pattern(sums, y, x, cascade["features"][cascade["feature"][weak]])
            listed = cascade["codes"][weak][pattern >> 5] >> (pattern & 31) & 1
            score += np.where(listed, *cascade["leaves"][weak])
        first += int(count)
        y, x = y[score >= threshold], x[score >= threshold]
        if not len(y):
            break
    return np.stack([y, x], -1)


def _pattern(
    sums: NDArray[np.int32], y: NDArray[np.intp], x: NDArray[np.intp], feature: NDArray[np.uint8]
) -> NDArray[np.uint32]:
    """Which of the eight blocks around the middle one are at least as bright, from the top left; 0 to 255."""
    left, top, wide, high = (int(side) for side in feature)
    j, i, width = np.arange(4)[:, None], np.arange(4), sums.shape[1]
    offsets = (top + j * high) * width + left + i * wide
    corners = sums.ravel()[offsets[..., None] + (y * width + x)]
    blocks = np.diff(np.diff(corners, axis=0), axis=1)
    ring = blocks[(0, 0, 0, 1, 2, 2, 2, 1), (0, 1, 2, 2, 2, 1, 0, 0)]
    return np.packbits(ring >= blocks[1, 1], axis=0)[0].astype(np.uint32)


def _grouped(found: list[_Box]) -> list[_Box]:
    """The mean of finds that agree; those alone are dropped, and so is a face within a larger one."""
    groups: list[list[_Box]] = []
    for box in found:
        near = [group for group in groups if any(_same(box, other) for other in group)]
        groups = [group for group in groups if group not in near]
        groups.append([box, *(other for group in near for other in group)])
    means = [tuple(np.mean(group, 0).tolist()) for group in groups if len(group) >= _AGREEING]
    return [box for box in means if not any(_inside(box, other) for other in means if other is not box)]  # type: ignore[return-value]


def _same(a: _Box, b: _Box) -> bool:
    side = 0.25 * min(a[2] - a[0], b[2] - b[0])
    return all(abs(p - q) <= 1.2 * side for p, q in zip(a, b, strict=True))


def _inside(a: tuple[float, ...], b: tuple[float, ...]) -> bool:
    x, y = (a[0] + a[2]) / 2, (a[1] + a[3]) / 2
    return b[0] < x < b[2] and b[1] < y < b[3] and a[2] - a[0] < b[2] - b[0]


@cache
def _cascade() -> dict[str, NDArray]:
    arrays = load_file(_CASCADE)
    return arrays | {"codes": arrays["codes"].view(np.uint32)}
