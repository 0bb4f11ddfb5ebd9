"""layout_driven and style_driven from a finished poster (PosterOmni section 4): the reference is another poster.

Its scene is another poster's, recoloured, or a plain shade where there is no other; never the target's own. With a
painter that draws, the other content is painted; without one it is a drawn motif.
"""

from __future__ import annotations

import math
from random import Random

import numpy as np
from PIL import Image, ImageDraw, ImageOps

from posterkit.datagen.omni.cutouts import background_of, paste, reshaped
from posterkit.datagen.omni.leaks import LEAKED, leaked_share
from posterkit.datagen.omni.motifs import draw_motif, drawing_style, duotone, inside, palette_of, recoloured
from posterkit.datagen.omni.painters import Painter
from posterkit.datagen.omni.posters import CannotBuild, SourcePoster, TaskInputs, seed_of
from posterkit.datagen.prompts import LANGUAGES, text_like, with_article, word_list
from posterkit.pipelines.segmenters import Box
from posterkit.prompts import PosterBrief
from posterkit.sizing import Size, fit_area
from posterkit.synthetic.palettes import ColorScheme, distance, draw_palette
from posterkit.typeset.poster import typeset

ASPECTS = (2 / 3, 3 / 2, 1.0, 3 / 4)
SHEET, SUBJECT, TITLE, TEXT = (252, 252, 252), (176, 176, 176), (96, 96, 96), (140, 140, 140)  # of a wireframe
TRIES = 12  # texts tried until one fits its box
# where a style reference has its subject, as shares of the canvas, and the arrangement of texts that leaves it free
TALL = (
    ((0.08, 0.42, 0.62, 0.92), "top-stack"), ((0.38, 0.42, 0.92, 0.92), "top-stack"),
    ((0.22, 0.42, 0.78, 0.92), "top-center"), ((0.22, 0.08, 0.78, 0.56), "bottom-center"),
)  # fmt: skip
WIDE = (((0.54, 0.12, 0.94, 0.9), "left-column"), ((0.06, 0.12, 0.46, 0.9), "right-column"))


def layout_driven(poster: SourcePoster, rng: Random, painter: Painter, other: SourcePoster | None) -> TaskInputs:
    """Reference 0 has the poster's arrangement: its wireframe, or other content and colours in the same places.

    Raises:
        CannotBuild: no text fits a title's box, or the reference shows the poster's own scene.
    """
    if rng.random() < 0.4:
        return TaskInputs([np.asarray(wireframe(poster))], poster.caption, how="wireframe")
    colors = draw_palette(rng)
    while distance(colors.bg, palette_of(poster).bg) < 25:
        colors = draw_palette(rng)
    canvas = duotone(ImageOps.fit(_scene(other, painter), poster.picture.size), colors)
    boxes = [subject.box for subject in poster.subjects]
    canvas = _filled(canvas, boxes, colors, drawing_style(poster), rng, painter)
    reference = np.asarray(_lettered(canvas, poster, rng))
    return TaskInputs([_unleaked(reference, poster)], poster.caption, how="re-rendered in other colours", painted=True)


def wireframe(poster: SourcePoster) -> Image.Image:
    """Gray blocks on white: subjects, the title dark, other texts lighter."""
    image = Image.new("RGB", poster.picture.size, SHEET)
    draw = ImageDraw.Draw(image)
    radius = max(2, round(0.02 * math.sqrt(image.width * image.height)))
    for subject in poster.subjects:
        x0, y0, x1, y1 = subject.box
        draw.rounded_rectangle((x0, y0, x1 - 1, y1 - 1), radius=radius, fill=SUBJECT)
    for text in poster.texts or ():
        x0, y0, x1, y1 = text.box
        draw.rectangle((x0, y0, x1 - 1, y1 - 1), fill=TITLE if text.role == "major" else TEXT)
    return image


def style_driven(poster: SourcePoster, rng: Random, painter: Painter, other: SourcePoster | None) -> TaskInputs:
    """Reference 0 has the poster's colours and way of drawing; scene, subject, texts, places and shape are others.

    Raises:
        CannotBuild: the reference shows the poster's own scene.
    """
    size = fit_area((round(1000 * rng.choice(ASPECTS)), 1000), min(Size(*poster.picture.size).area, 768 * 768))
    if other and drawing_style(other) != drawing_style(poster):
        other = None
    ground = recoloured(_scene(other, painter), background_of(poster, painter, seed_of(poster.name)))
    canvas = reshaped(ground, size, painter, rng.getrandbits(31)) if other else ground.resize(size)
    cell, archetype = rng.choice(WIDE if size.aspect > 1.2 else TALL)
    x0, y0, x1, y1 = (round(part * size[side % 2]) for side, part in enumerate(cell))
    canvas = _filled(canvas, [(x0, y0, x1, y1)], palette_of(poster), drawing_style(poster), rng, painter)
    if poster.texts:
        texts = sorted(poster.texts, key=lambda text: text.role != "major")[:2]
        lines = [text_like(text.text, number == 0, rng) for number, text in enumerate(texts)]
        canvas = typeset(canvas, PosterBrief(texts=list(dict.fromkeys(lines))), archetype=archetype).image
    reference = _unleaked(np.asarray(canvas), poster)
    return TaskInputs([reference], poster.caption, how="another scene in its colours", painted=True)


def _scene(other: SourcePoster | None, painter: Painter) -> Image.Image:
    """Another poster's background, or a shade from dark to light where there is none."""
    if other is None:
        return Image.linear_gradient("L").convert("RGB")
    return background_of(other, painter, seed_of(other.name))


def _unleaked(reference: np.ndarray, poster: SourcePoster) -> np.ndarray:
    hidden = [part.box for part in (*(poster.texts or ()), *poster.subjects)]
    if (share := leaked_share(reference, poster.pixels, hidden)) > LEAKED:
        raise CannotBuild("a leak", f"the reference shows {share:.0%} of the poster's own pieces")
    return reference


def _filled(
    canvas: Image.Image, boxes: list[Box], colors: ColorScheme, style: str, rng: Random, painter: Painter
) -> Image.Image:
    """Other content in each box: painted where the painter draws, else a motif."""
    entities = word_list("entities")
    for x0, y0, x1, y1 in boxes:
        if painter.draws:
            hole = Image.new("L", canvas.size, 0)
            radius = 0.3 * min(x1 - x0, y1 - y0)
            ImageDraw.Draw(hole).rounded_rectangle((x0, y0, x1 - 1, y1 - 1), radius=radius, fill=255)
            entity = rng.choice(entities[rng.choice(sorted(entities))])[LANGUAGES.index("en")]
            canvas = painter(canvas, np.asarray(hole) > 0, with_article(entity), rng.getrandbits(31))
        else:
            canvas = canvas.copy()
            motif = draw_motif(rng, colors, style, max(48, x1 - x0, y1 - y0))
            paste(canvas, motif, inside(motif, (x0, y0, x1, y1)))
    return canvas


def _lettered(canvas: Image.Image, poster: SourcePoster, rng: Random) -> Image.Image:
    """Other texts in the boxes of the poster's, each about as long as the one that it stands for.

    Small print whose box holds nothing at a legible size is left out; CannotBuild where no text fits a title's box.
    """
    for text in poster.texts or ():
        role = "title" if text.role == "major" else "subtitle"
        for _ in range(TRIES):
            try:
                line = text_like(text.text, text.role == "major", rng)
                canvas = typeset(canvas, PosterBrief(texts=[line]), boxes=[text.box], roles=[role]).image
                break
            except ValueError:
                continue
        else:
            if text.role == "minor":
                continue
            raise CannotBuild("texts too small", f"no text fits the box {text.box} of {text.text!r}")
    return canvas


BUILDERS = {builder.__name__: builder for builder in (layout_driven, style_driven)}
