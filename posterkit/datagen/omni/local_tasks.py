"""Extending, filling, rescaling and id_driven from a finished poster (PosterOmni section 4)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from random import Random

import numpy as np
from PIL import Image, ImageDraw

from posterkit.datagen.omni.cutouts import (
    background_of,
    cut_subject,
    cut_text,
    grown,
    paste,
    reshaped,
    text_area,
    veiled,
)
from posterkit.datagen.omni.painters import Painter
from posterkit.datagen.omni.portraits import portrait
from posterkit.datagen.omni.posters import CannotBuild, SourcePoster, TaskInputs, seed_of
from posterkit.datagen.omni.rearrangement import rearranged
from posterkit.datagen.prompts import language_of, without_text_sentences
from posterkit.metrics.ocr import respaced, word_similarity, words
from posterkit.metrics.poster_reader import open_poster_reader
from posterkit.metrics.prompt_requirements import unlikeness
from posterkit.metrics.text_regions import DetectedText
from posterkit.prompts import in_quotes, quotes
from posterkit.schema import Box
from posterkit.sizing import Size, fit_area
from posterkit.tasks import BLANK

ASPECTS = (2 / 3, 3 / 2, 1.0, 9 / 16, 3 / 4)
APART = 0.25  # natural logarithm of two aspect ratios from which they count as different
HOLE = (0.03, 0.45)  # share of the poster that is erased
MARGIN = 0.03  # of the longer side, left around a subject that must stay inside
LARGEST = 0.85  # share of the poster that a crop to extend may show
READ = 0.85  # of the letters of a rearranged poster that must be read, each once
TRIES = 12  # crops tried until one is small enough


def extending(poster: SourcePoster, rng: Random, painter: Painter) -> TaskInputs:
    """Reference 0 is a rectangle of the poster with the whole main subject in it, and no text cut by its sides.

    Raises:
        CannotBuild: the subject leaves nothing to make, or every rectangle cuts a text.
    """
    del painter
    width, height = poster.picture.size
    x0, y0, x1, y1 = poster.subjects[0].box
    pad = round(MARGIN * max(width, height))
    x0, y0, x1, y1 = max(0, x0 - pad), max(0, y0 - pad), min(width, x1 + pad), min(height, y1 + pad)
    for _ in range(TRIES):
        share, stretch = rng.uniform(0.25, 0.6), math.exp(rng.uniform(-0.35, 0.35))
        columns = round(min(width, max(x1 - x0, 16, math.sqrt(share) * stretch * width)))
        rows = round(min(height, max(y1 - y0, 16, share * width * height / columns)))
        left = rng.randint(max(0, x1 - columns), min(x0, width - columns))
        top = rng.randint(max(0, y1 - rows), min(y0, height - rows))
        box = _whole_texts(poster, (left, top, left + columns, top + rows))
        columns, rows = box[2] - box[0], box[3] - box[1]
        if columns * rows <= LARGEST * width * height:
            break
    else:
        raise CannotBuild(
            "subject fills the poster", f"a crop around it and whole texts is {columns}x{rows} of {width}x{height}"
        )
    mask = np.full((height, width), 255, np.uint8)
    mask[box[1] : box[3], box[0] : box[2]] = 0
    photo = np.asarray(poster.picture.crop(box))
    said = _naming(_texts_in(poster, mask > 0), _short(poster, rng))
    return TaskInputs([photo], said, mask=mask, placed=box, subject=poster.subjects[0].box, how="crop")


def _whole_texts(poster: SourcePoster, box: Box) -> Box:
    """The box grown around every text that it would cut."""
    for _ in poster.texts or ():
        for text in poster.texts or ():
            a, b, c, d = text.box
            meets = a < box[2] and c > box[0] and b < box[3] and d > box[1]
            if meets:
                box = (min(box[0], a), min(box[1], b), max(box[2], c), max(box[3], d))
    return box


def filling(poster: SourcePoster, rng: Random, painter: Painter) -> TaskInputs:
    """Reference 0 is the poster with a subject, a text or an area erased; the mask says where.

    No text is cut: one that the hole meets is erased whole, and the instruction says it.

    Raises:
        CannotBuild: nothing of a useful size can be erased.
    """
    del painter
    kinds = ["subject"] * 5 + ["text"] * (3 if poster.texts else 0) + ["area"] * 2
    rng.shuffle(kinds)
    for kind in dict.fromkeys(kinds):
        hole, scene = _ERASED[kind](poster, rng)
        hole |= _margins(poster, _texts_in(poster, hole))
        if HOLE[0] <= hole.mean() <= HOLE[1]:
            break
    else:
        found = f"no subject, text or area is {HOLE[0]:.0%} to {HOLE[1]:.0%} of the poster"
        raise CannotBuild("nothing to erase", found)
    reference = poster.pixels.copy()
    reference[hole] = BLANK  # so that nobody can read the answer off the reference
    mask = np.where(hole, 255, 0).astype(np.uint8)
    said = _naming(_texts_in(poster, hole), scene)
    return TaskInputs([reference], said, mask=mask, placed=(0, 0, *poster.picture.size), how=f"erased {kind}")


def _texts_in(poster: SourcePoster, hole: np.ndarray) -> list[DetectedText]:
    """The texts of which an area, `(H, W)` bool, covers anything."""
    return [text for text in poster.texts or () if hole[text.box[1] : text.box[3], text.box[0] : text.box[2]].any()]


def _margins(poster: SourcePoster, texts: Sequence[DetectedText]) -> np.ndarray:
    """`(H, W)` bool: texts with their margins, as far as no other text stands there."""
    area = text_area(poster, [text.box for text in texts])
    for text in poster.texts or ():
        if text not in texts:
            x0, y0, x1, y1 = text.box
            area[y0:y1, x0:x1] = False
    return area


def _naming(texts: Sequence[DetectedText], scene: str | None) -> str | None:
    """What the picture shows, and every text that is to be written, each in quotes."""
    said = []
    for text in texts:
        quoted = in_quotes(text.text)
        said.append(f"空白处写着{quoted}。" if language_of(text.text) == "zh" else f"It says {quoted} there.")
    return " ".join(filter(None, (scene, *said))) or None


def _erased_subject(poster: SourcePoster, rng: Random) -> tuple[np.ndarray, str | None]:
    return grown(rng.choice(poster.subjects).mask > 0, rng.uniform(0.015, 0.04)), _scene(poster)


def _erased_text(poster: SourcePoster, rng: Random) -> tuple[np.ndarray, str | None]:
    return _margins(poster, [rng.choice(poster.texts or ())]), None


def _erased_area(poster: SourcePoster, rng: Random) -> tuple[np.ndarray, str | None]:
    """A rectangle or an ellipse anywhere."""
    width, height = poster.picture.size
    ellipse, share, stretch = rng.random() < 0.5, rng.uniform(0.1, 0.32), math.exp(rng.uniform(-0.45, 0.45))
    share *= 4 / math.pi if ellipse else 1
    w, h = min(0.95, math.sqrt(share) * stretch) * width, min(0.95, math.sqrt(share) / stretch) * height
    x, y = rng.uniform(0, width - w), rng.uniform(0, height - h)
    mask = Image.new("L", poster.picture.size, 0)
    draw = ImageDraw.Draw(mask)
    (draw.ellipse if ellipse else draw.rectangle)((x, y, x + w - 1, y + h - 1), fill=255)
    return np.asarray(mask) > 0, _short(poster, rng)


_ERASED = {"subject": _erased_subject, "text": _erased_text, "area": _erased_area}


def rescaling(poster: SourcePoster, rng: Random, painter: Painter) -> TaskInputs:
    """Reference 0 is the poster rearranged for another shape: its parts lifted off and set down on a new ground.

    The finished poster is the target, since a target must be clean; what the rearrangement leaves behind (a smooth
    patch of ground, a soft edge) then only stands in the input, where a user's own poster will have none.

    Raises:
        CannotBuild: the subject runs off two opposite sides, the parts do not fit the new shape, or the input does not
            read as the poster does: letters are cut, or a line stands twice.
    """
    here = poster.picture.width / poster.picture.height
    aspect = rng.choice([other for other in ASPECTS if abs(math.log(other / here)) > APART])
    size = fit_area((round(1000 * aspect), 1000), Size(*poster.picture.size).area)
    ground = background_of(poster, painter, seed_of(poster.name))
    old = Size(*poster.picture.size)
    texts = [_whole_letters(text.box, poster.picture.size) for text in poster.texts or ()]
    places = rearranged(old, size, [one.box for one in poster.subjects], texts, rng)
    canvas = reshaped(ground, size, painter, rng.getrandbits(31))
    for number, box in enumerate(places.subjects):
        paste(canvas, cut_subject(poster, number), box)
    cuts = [(cut_text(poster, text, ground), box) for text, box in zip(texts, places.texts, strict=True)]
    for cut, box in cuts:
        if cut.ink:
            canvas = veiled(canvas, [box], cut.ink)
    for cut, box in cuts:
        paste(canvas, cut, box)
    _check_texts(canvas, poster)
    said = _scene(poster) if rng.random() < 0.5 else None
    return TaskInputs([np.asarray(canvas)], said, how="rearranged", painted=True)


def _whole_letters(box: Box, size: tuple[int, int]) -> Box:
    """A text's box as far as its ascenders and descenders reach, where OCR drew it closely."""
    pad = max(2, round(0.12 * min(box[2] - box[0], box[3] - box[1])))
    return max(0, box[0] - pad), max(0, box[1] - pad), min(size[0], box[2] + pad), min(size[1], box[3] + pad)


def _check_texts(reference: Image.Image, poster: SourcePoster) -> None:
    """CannotBuild where a reader does not find the poster's words, each once."""
    expected = [word for text in poster.texts or () for word in words(text.text)]
    texts = open_poster_reader().texts(reference)
    read = respaced([word for text in texts for word in words(text.text)], expected)
    if expected and (found := word_similarity(expected, read)) < READ:
        raise CannotBuild("texts damaged", f'{found:.0%} can be read: "{" ".join(read)[:80]}"')
    titles = [text.text for text in poster.texts or () if text.role == "major"]
    seen = [unlikeness(title, text.text) for title in titles for text in texts]
    if sum(one < 0.2 for one in seen) > len(titles):
        raise CannotBuild("texts damaged", "a title stands twice")


def id_driven(poster: SourcePoster, rng: Random, painter: Painter) -> TaskInputs:
    """A reference for each subject: it alone, in another pose and light, on another ground; never the target's pixels.

    Raises:
        CannotBuild: a reference came out as a copy.
    """
    aspect = rng.choice((2 / 3, 1.0, 1.0, 1.5))  # of one shape, as a batch must be
    size = fit_area((round(1000 * aspect), 1000), min(Size(*poster.picture.size).area, 512 * 512))
    references = [np.asarray(portrait(poster, number, size, rng, painter)) for number in range(len(poster.subjects))]
    return TaskInputs(references, poster.caption, how="re-posed, re-lit, re-grounded", painted=True)


def _scene(poster: SourcePoster) -> str | None:
    """What the caption says of the picture, without its texts."""
    return without_text_sentences(poster.caption) or None


def _short(poster: SourcePoster, rng: Random) -> str | None:
    return _scene(poster) if rng.random() < 0.5 and not quotes(_scene(poster) or "") else None


BUILDERS = {builder.__name__: builder for builder in (extending, filling, rescaling, id_driven)}
