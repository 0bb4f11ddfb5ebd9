"""id_driven with the subject's own pixels: it is cut out, stood in a studio, and pasted back when all is drawn.

To the model the poster is a picture to be filled around the subject, so every checkpoint that fills can make it.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter
from scipy.spatial import ConvexHull, QhullError

from posterkit.image_io import read_cutout
from posterkit.pipelines.segmenters import Subject, open_segmenter, touched_sides
from posterkit.prompts import quoted_texts, without_texts
from posterkit.prompts.scene import read_scene
from posterkit.schema import ImageSource, PosterRequest, picture_of
from posterkit.sizing import Size
from posterkit.synthetic.studio import Studio, studio_scene

SOLID = 0.82  # share of its convex hull that a thing fills; less is a scrap of a scene
SEEN = 0.04  # share of its photograph that a subject fills at least
ROUND = 0.035  # radius of a framed photograph's corners, as a share of its shorter side


def studio_of(request: PosterRequest, size: Size, segmenter: str) -> Studio:
    """The request's subjects in a studio of the poster's size.

    Where no outline can be trusted, the whole photographs are framed instead, with a warning.

    Args:
        request: of id_driven; a mask is black where the subject is.
        segmenter: see `open_segmenter`.
    """
    cut = [cut_out(image, request.mask_picture(), segmenter) for image in request.images]
    framed = any(one is None for one in cut)
    if framed:
        number = cut.index(None)
        warnings.warn(
            f"image {number + 1}: no clean outline of a subject found, so the whole photograph is framed; "
            "a PNG with a transparent ground or --mask (black where the subject is) cuts it out",
            stacklevel=2,
        )
        cut = [_framed(picture_of(image)) for image in request.images]
    words = request.expanded or request.prompt
    lettered = bool(request.texts or quoted_texts(words))
    things = [one for one in cut if one is not None]
    return studio_scene(read_scene(without_texts(words)), things, size, request.seed or 0, lettered, framed)


def cut_out(image: ImageSource, mask: Image.Image | None, segmenter: str = "rules") -> Image.Image | None:
    """A subject cropped to what is seen of it, mode RGBA; None where no outline can be trusted.

    Args:
        image: its own alpha is the outline where it has any.
        mask: mode L, the image's size; black is the subject.
    """
    picture = picture_of(image)
    own = None if mask is not None else _own_alpha(image)
    if mask is not None:
        alpha = _soft(np.asarray(mask) < 128)
    elif own is not None:
        picture, alpha = own.convert("RGB"), own.getchannel("A")
    else:
        alpha = _found(open_segmenter(segmenter)(picture, ()), picture.size)
    if alpha is None or (box := alpha.point([0] * 128 + [255] * 128).getbbox()) is None:
        return None
    whole = picture.convert("RGBA")
    whole.putalpha(alpha)
    return whole.crop(box)


def _own_alpha(image: ImageSource) -> Image.Image | None:
    if isinstance(image, str | Path):
        return read_cutout(image)
    picture = Image.fromarray(image) if isinstance(image, np.ndarray) else image
    clear = picture.mode == "RGBA" and (np.asarray(picture)[..., 3] < 128).any()
    return picture if clear else None


def _found(subjects: Sequence[Subject], size: tuple[int, int]) -> Image.Image | None:
    """The outline of the first subject, where it is one solid thing that stands free in its photograph."""
    if not subjects or subjects[0].share < SEEN:
        return None
    smooth = np.asarray(Image.fromarray(subjects[0].mask).filter(ImageFilter.GaussianBlur(min(size) / 60)))
    thing = smooth > 140
    points = np.argwhere(thing ^ np.roll(thing, 1, 0) | thing ^ np.roll(thing, 1, 1))
    try:
        hull = ConvexHull(points).volume  # in the plane a hull's volume is its area
    except QhullError:
        return None
    if touched_sides(subjects[0].box, size) or thing.sum() < SOLID * hull:
        return None
    return _soft(thing)


def _soft(thing: np.ndarray) -> Image.Image:
    """A soft outline just inside a thing `(H, W)`, where its photograph's ground does not shine through."""
    hard = Image.fromarray(np.where(thing, 255, 0).astype(np.uint8)).filter(ImageFilter.MinFilter(3))
    return hard.filter(ImageFilter.GaussianBlur(1))


def _framed(photo: Image.Image) -> Image.Image:
    """A photograph with round corners, mode RGBA."""
    alpha = Image.new("L", (2 * photo.width, 2 * photo.height), 0)
    box = (0, 0, alpha.width - 1, alpha.height - 1)
    ImageDraw.Draw(alpha).rounded_rectangle(box, radius=2 * ROUND * min(photo.size), fill=255)
    framed = photo.convert("RGBA")
    framed.putalpha(alpha.resize(photo.size, Image.Resampling.BOX))
    return framed
