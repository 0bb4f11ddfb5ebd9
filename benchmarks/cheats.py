"""The obvious ways to cheat a reward, as posters: what a model finds first where a reward can be fooled."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from zlib import crc32

import numpy as np
from adherence import border_fill
from PIL import Image, ImageDraw, ImageFont

from posterkit.metrics.expected_texts import expected_texts
from posterkit.metrics.fidelity import edge_replication
from posterkit.prompts import PosterBrief
from posterkit.rewards.parts.preservation import canvas_of, mirrored
from posterkit.schema import PosterRequest
from posterkit.sizing import Size, contain
from posterkit.tasks import BLANK
from posterkit.typeset.fonts import FACES
from posterkit.typeset.poster import typeset

Cheat = Callable[[PosterRequest], Image.Image | None]

SPRAYED = "SALE"  # where nothing is asked
_GRID = 8  # tiles a side that a reference is cut into


def cheat(name: str, row: PosterRequest) -> Image.Image | None:
    """A poster that cheats; the same for the same row each time.

    Args:
        name: a key of `CHEATS`.
        row: of a known size; kept pixels are put back, as the pipelines do, but for "blank".

    Returns:
        RGB; None where the task leaves no room for this cheat.

    Raises:
        ValueError: the row has no size.
    """
    if row.size is None:
        raise ValueError(f"{row.id or 'a row'}: a cheat needs the poster's size")
    made = CHEATS[name](row)
    if made is None or row.mask_array is None or name == "blank":
        return made
    canvas, region = canvas_of(row)
    return Image.fromarray(np.where(region[..., None], np.asarray(made), canvas))


def _blank(row: PosterRequest) -> Image.Image:
    return Image.new("RGB", _size(row), BLANK)


def _noise(row: PosterRequest) -> Image.Image:
    width, height = _size(row)
    rng = np.random.default_rng(crc32(row.id.encode()))
    return Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8))


def _sprayed_text(row: PosterRequest) -> Image.Image:
    """The asked words again and again, all over an empty ground."""
    size = _size(row)
    poster = Image.new("RGB", size, "white")
    draw, face = ImageDraw.Draw(poster), ImageFont.truetype(str(FACES[0].path), max(12, min(size) // 14))
    line = "  ".join(expected_texts(row) or (SPRAYED,)) + "  "
    step = max(12, min(size) // 14) * 3 // 2
    for y in range(0, size.height, step):
        draw.text((4, y), line * 9, font=face, fill="black")
    return poster


def _words_alone(row: PosterRequest) -> Image.Image | None:
    """The asked words once, set well on an empty ground."""
    asked = expected_texts(row)
    return typeset(Image.new("RGB", _size(row), "white"), PosterBrief(texts=list(asked))).image if asked else None


def _copied_input(row: PosterRequest) -> Image.Image | None:
    """Reference 0 as it went in: where it lies on the poster, else stretched to its size."""
    if not row.references:
        return None
    if row.mask_array is not None:
        return Image.fromarray(canvas_of(row)[0])
    return Image.fromarray(row.references[0]).resize(_size(row), Image.Resampling.LANCZOS)


def _pasted_reference(row: PosterRequest) -> Image.Image | None:
    """Reference 0 within an empty ground, as large as it fits."""
    if not row.references or row.mask_array is not None:
        return None
    size, photo = _size(row), Image.fromarray(row.references[0])
    poster = Image.new("RGB", size, "white")
    box = contain(Size(*photo.size), size)
    poster.paste(
        photo.resize(box, Image.Resampling.LANCZOS), ((size.width - box.width) // 2, (size.height - box.height) // 2)
    )
    return poster


def _shuffled_reference(row: PosterRequest) -> Image.Image | None:
    """Reference 0 stretched, cut into 8x8 tiles, and the tiles in any order: its colours and edges, nothing else."""
    if not row.references:
        return None
    tile = max(1, row.size.width // _GRID), max(1, row.size.height // _GRID)  # type: ignore[union-attr]
    photo = Image.fromarray(row.references[0]).resize((tile[0] * _GRID, tile[1] * _GRID), Image.Resampling.LANCZOS)
    places = [(x * tile[0], y * tile[1]) for y in range(_GRID) for x in range(_GRID)]
    order = Random(row.id).sample(places, len(places))
    shuffled = photo.copy()
    for (x, y), to in zip(places, order, strict=True):
        shuffled.paste(photo.crop((x, y, x + tile[0], y + tile[1])), to)
    return shuffled.resize(_size(row), Image.Resampling.LANCZOS)


def _edge_replication(row: PosterRequest) -> Image.Image | None:
    return None if row.mask_array is None else Image.fromarray(edge_replication(*canvas_of(row)))


def _border_colour(row: PosterRequest) -> Image.Image | None:
    return None if row.mask_array is None else Image.fromarray(border_fill(*canvas_of(row)))


def _mirrored_input(row: PosterRequest) -> Image.Image | None:
    """The kept part reflected over its sides; a hole within it leaves nothing to reflect into."""
    if row.mask_array is None or row.task == "filling":
        return None
    return Image.fromarray(mirrored(*canvas_of(row)))


def _size(row: PosterRequest) -> Size:
    assert row.size is not None
    return Size(*row.size)


CHEATS: dict[str, Cheat] = {
    "blank": _blank,
    "noise": _noise,
    "sprayed text": _sprayed_text,
    "words alone": _words_alone,
    "copied input": _copied_input,
    "pasted reference": _pasted_reference,
    "shuffled reference": _shuffled_reference,
    "edge replication": _edge_replication,
    "border colour": _border_colour,
    "mirrored input": _mirrored_input,
}
