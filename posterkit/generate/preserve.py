"""id_driven with the subject's own pixels: it is cut out, stood in a studio, and pasted back when all is drawn.

To the model the poster is a picture to be filled around the subject, so every checkpoint that fills can make it.
"""

# pyright: standard
from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter
from scipy import ndimage
from scipy.spatial import ConvexHull, QhullError

from posterkit.image_io import read_cutout
from posterkit.metrics.color import Palette, palette, palette_distance, srgb_to_lab
from posterkit.pipelines.segmenters import Subject, open_segmenter, touched_sides
from posterkit.prompts import quoted_texts, without_texts
from posterkit.prompts.scene import read_scene
from posterkit.schema import ImageSource, PosterRequest, picture_of
from posterkit.sizing import Size
from posterkit.synthetic.studio import Studio, studio_scene

SOLID = 0.82  # share of its convex hull that a thing fills; less may be a scrap of a scene
LIMBS = 0.45  # as much is enough for a figure on a plain ground
PLAIN = 4.5  # Lab units by which such a ground varies at most
ONE = 18.0  # Lab units between the colours of two views of one subject at most
SEEN = 0.04  # share of its photograph that a subject fills at least
CLEAR = 2.0  # times that a subject is enlarged before it looks soft
STAMP = 0.3  # of the poster's width and height; a smaller subject is lost on it
ROUND = 0.035  # radius of a framed photograph's corners, as a share of its shorter side


def studio_of(request: PosterRequest, size: Size, segmenter: str) -> Studio:
    """The request's subjects in a studio of the poster's size.

    Where no outline can be trusted, the whole photographs are framed instead, with a warning. Of several views of one
    subject the first is taken.

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
    things = _different([one for one in cut if one is not None])
    studio = studio_scene(read_scene(without_texts(words)), things, size, request.seed or 0, lettered, framed)
    x0, y0, x1, y1 = studio.things.getbbox() or (0, 0, *size)
    small = x1 - x0 < STAMP * size.width and y1 - y0 < STAMP * size.height
    if small or studio.enlarged > CLEAR:
        looks = "stands small on it" if small else "will look soft"
        warnings.warn(
            f"the poster is {size} and its subject is enlarged {studio.enlarged:.1f} times and {looks}; "
            "give a larger image",
            stacklevel=2,
        )
    return studio


def _different(things: list[Image.Image]) -> list[Image.Image]:
    """The things without further views of the same one, which has the same colours; the first view stays."""
    kept: list[tuple[Image.Image, Palette]] = []
    for thing in things:
        opaque = np.asarray(thing)[..., 3] > 127
        colors = palette(np.asarray(thing.convert("RGB")), 6, opaque)
        if all(palette_distance(colors, other) > ONE for _, other in kept):
            kept.append((thing, colors))
    if len(kept) < len(things):
        warnings.warn("some images show the same subject; its first view stands on the poster", stacklevel=2)
    return [thing for thing, _ in kept]


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
        alpha = _found(open_segmenter(segmenter)(picture, ()), picture)
    if alpha is None or (box := alpha.point([0] * 128 + [255] * 128).getbbox()) is None:
        return None
    whole = picture.convert("RGBA")
    whole.putalpha(alpha)
    return whole.crop(box)


def cut_out_in_place(picture: Image.Image, segmenter: str = "rules") -> Image.Image | None:
    """The subject of an RGB picture where it stands, mode RGBA and the picture's size; None as `cut_out`."""
    alpha = _found(open_segmenter(segmenter)(picture, ()), picture)
    if alpha is None or alpha.getbbox() is None:
        return None
    whole = picture.convert("RGBA")
    whole.putalpha(alpha)
    return whole


def _own_alpha(image: ImageSource) -> Image.Image | None:
    if isinstance(image, str | Path):
        return read_cutout(image)
    picture = Image.fromarray(image) if isinstance(image, np.ndarray) else image
    clear = picture.mode == "RGBA" and (np.asarray(picture)[..., 3] < 128).any()
    return picture if clear else None


def _found(subjects: Sequence[Subject], picture: Image.Image) -> Image.Image | None:
    """The outline of the first subject, where it can be trusted: one solid thing, or any thing on a plain ground."""
    if not subjects or subjects[0].share < SEEN:
        return None
    size = picture.size
    smooth = np.asarray(Image.fromarray(subjects[0].mask).filter(ImageFilter.GaussianBlur(min(size) / 60)))
    thing = smooth > 140
    points = np.argwhere(thing ^ np.roll(thing, 1, 0) | thing ^ np.roll(thing, 1, 1))
    try:
        solid = float(thing.sum() / ConvexHull(points).volume)  # in the plane a hull's volume is its area
    except QhullError:
        return None
    sides = len(touched_sides(subjects[0].box, size))
    if not (solid >= SOLID and not sides) and not (solid >= LIMBS and sides < 2 and _on_plain_ground(picture, thing)):
        return None
    return _soft(thing)


def _on_plain_ground(picture: Image.Image, thing: np.ndarray) -> bool:
    """Whether the ground around a thing `(H, W)` hardly changes, and all of its outline is an edge of the picture."""
    lab = srgb_to_lab(np.asarray(picture))
    reach = max(2, min(picture.size) // 100)
    near, far = (np.asarray(ndimage.binary_dilation(thing, iterations=n * reach), dtype=bool) for n in (1, 4))
    if not (far & ~near).any() or float(lab[far & ~near].std(0).mean()) > PLAIN:
        return False
    slopes = [ndimage.gaussian_gradient_magnitude(lab[..., channel], 0.7 * reach) for channel in range(3)]
    steps = ndimage.maximum_filter(np.sqrt(np.square(slopes).sum(0)) * reach, 2 * reach + 1)
    outline = thing & ~np.asarray(ndimage.binary_erosion(thing), dtype=bool)
    return float((steps[outline] > 4).mean()) > 0.97


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
