"""Whether a reference shows the target's own scene: as a whole, or piece by piece, mirrored or not, at other sizes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps
from scipy.ndimage import gaussian_filter
from scipy.signal import fftconvolve

from posterkit.schema import Box

Picture = NDArray[np.uint8]
Array = NDArray[np.float64]

SIDE = 160  # px; the longer side at which pictures are compared
PIECE = 24  # px of a side of a piece
PIECES = 24  # of a target, those with the most corners in them
FEWEST = 4  # pieces; a target with fewer has no scene that could leak
CORNERS = 4.0  # of the structure tensor's lesser eigenvalue, levels a pixel squared; less is a straight edge
SCALES = tuple(0.66 * 1.09**n for n in range(11))
ALIKE = 0.7  # correlation from which a piece is found again
TOGETHER = 4  # px by which the shifts of pieces that are found together may differ
LEAKED = 0.3  # share of the pieces from which a reference shows the target's scene


def leaked_share(reference: Picture, target: Picture, hidden: Sequence[Box] = ()) -> float:
    """The share of a target's pieces that a reference shows too, at the same distances; in [0, 1].

    Colours do not count, but for their lightness.

    Args:
        reference, target: `(H, W, 3)` uint8, of any sizes.
        hidden: boxes of texts and subjects on the target, of which no piece is taken: they are no scene.
    """
    seen = _light(Image.fromarray(target))
    scale = seen.shape[1] / target.shape[1]
    pieces = _pieces(seen, [[side * scale for side in box] for box in hidden])
    if len(pieces) < FEWEST:
        return 0.0
    most, picture = 0, Image.fromarray(reference)
    for shown in (picture, ImageOps.mirror(picture)):
        for scale in SCALES:
            field = _light(shown, scale * max(picture.size) / max(target.shape[:2]))
            if min(field.shape) <= PIECE:
                continue
            found = [(_place(field, piece), at) for at, piece in pieces]
            shifts = np.array([(y - at[0], x - at[1]) for (alike, y, x), at in found if alike > ALIKE])
            if len(shifts) > most:
                apart = np.abs(shifts[:, None] - shifts).max(2)
                most = max(most, int((apart <= TOGETHER).sum(1).max()))
    return most / len(pieces)


def _light(picture: Image.Image, scale: float = 1.0) -> Array:
    """Lightness less its surroundings, at the working size times a scale."""
    shrink = scale * SIDE / max(picture.size)
    size = [max(8, round(side * shrink)) for side in picture.size]
    light = np.asarray(picture.convert("L").resize(size, Image.Resampling.BOX), np.float64)
    return light - gaussian_filter(light, 8)


def _pieces(light: Array, hidden: Sequence[Sequence[float]]) -> list[tuple[tuple[int, int], Array]]:
    """Pieces with their places, y and x, that have structure in both directions, the most structured first."""
    dy, dx = (np.asarray(part) for part in np.gradient(light))
    found = []
    for y in range(0, light.shape[0] - PIECE + 1, PIECE):
        for x in range(0, light.shape[1] - PIECE + 1, PIECE):
            if any(x < c and x + PIECE > a and y < d and y + PIECE > b for a, b, c, d in hidden):
                continue
            window = np.s_[y : y + PIECE, x : x + PIECE]
            across, down = dx[window].ravel(), dy[window].ravel()
            tensor = np.array([[across @ across, across @ down], [across @ down, down @ down]]) / across.size
            corners = float(np.linalg.eigvalsh(tensor)[0])
            if corners > CORNERS:
                found.append((corners, (y, x), light[window]))
    found.sort(key=lambda one: -one[0])
    return [(at, piece) for _, at, piece in found[:PIECES]]


def _place(field: Array, piece: Array) -> tuple[float, int, int]:
    """The highest normalised correlation of a piece with any window of a field, and where that is."""
    piece = piece - piece.mean()
    ones = np.ones_like(piece)
    found = fftconvolve(field, piece[::-1, ::-1], mode="valid")
    sums, squares = fftconvolve(field, ones, mode="valid"), fftconvolve(field**2, ones, mode="valid")
    alike = found / np.sqrt((piece**2).sum() * np.maximum(squares - sums**2 / piece.size, piece.size))
    y, x = np.unravel_index(alike.argmax(), alike.shape)
    return float(alike[y, x]), int(y), int(x)
