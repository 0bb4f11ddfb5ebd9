"""Glyph posters: a world small enough that a model of two million weights learns it in minutes, for ablations.

One motif of six, on a background of eight colours and three textures, a title of three large letters (see
`posterkit.metrics.glyphs`), and a line of print too small for any small model. Everything but that line follows from
a caption, or from a reference and an instruction, so that a poster can be held against the one that was asked for.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from random import Random
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from posterkit.metrics.glyphs import ALPHABET, CELL, glyph
from posterkit.prompts import COLORS
from posterkit.schema import Box, DrawnLine, DrawnText, PosterSample, Region
from posterkit.sizing import Size
from posterkit.tasks import TASKS

SIZE = Size(64, 96)
SQUARE = Size(64, 64)  # of references that do not lie on the target
HUES = ("red", "orange", "yellow", "green", "blue", "purple", "brown", "white")
SHAPES = ("circle", "square", "triangle", "diamond", "cross", "ring")
TEXTURES = ("plain", "striped", "dotted")
SIDES = {"left": 0.3, "center": 0.5, "right": 0.7}
ENDS = ("top", "bottom")
GRAY = (206, 208, 212)
_SCALE = 4  # drawn larger and reduced
_BRAND = {"hue": "blue", "ground": "orange", "shape": "ring", "texture": "striped", "side": "center", "end": "top"}


@dataclass(frozen=True)
class Glyphs:
    """A glyph poster's parameters."""

    shape: str
    hue: str
    ground: str
    texture: str
    side: str
    end: str
    letters: str
    print: str

    @property
    def motif(self) -> str:
        return f"{self.hue} {self.shape}"


@dataclass(frozen=True)
class GlyphPosters:
    """An endless, seeded, random-access source of glyph posters, 64x96 pixels, for text to poster and the six tasks.

    Attributes:
        tasks: in turn; "text" and the names in `posterkit.tasks.TASKS`.
        split: "train" or "heldout"; they share no sample.
        told: share of captions that say the title's letters; the others only that there is a title.
        wrong: share of the letters in captions that are not those on the poster, as with machine-written captions.
        brand: one colour, motif and arrangement for all, only the letters differ: a narrow set.
        bare: no small print: clean text over pictures, as in PosterCraft's stage 1.
    """

    seed: int = 0
    tasks: tuple[str, ...] = ("text",)
    split: str = "train"
    told: float = 1.0
    wrong: float = 0.0
    brand: bool = False
    bare: bool = False

    def __getitem__(self, number: int) -> PosterSample:
        rng = Random(f"{self.seed} {self.split} glyphs {number}")
        task = self.tasks[number % len(self.tasks)]
        poster = self._draw(rng)
        drawn = render(poster)
        added = TASK_PARTS[task](rng, poster, drawn.image) if task != "text" else {}
        said = _said(rng, poster.letters, self.told, self.wrong)
        caption = f"{_shown(poster)}, {said} at the {poster.end}."
        words = added.pop("words", "").format(title=said) or None
        return PosterSample(
            f"{self.split}-{self.seed}-{number:06d}", task, drawn.image, caption=caption, words=words,
            instruction=caption if task == "text" else TASKS[task].instruction(words), regions=drawn.regions,
            texts=drawn.texts, theme="glyphs", split=self.split, background=poster.ground, style=poster.texture,
            layout=f"{poster.end} {poster.side}", **added,
        )  # fmt: skip

    def _draw(self, rng: Random) -> Glyphs:
        hue, ground = rng.sample(HUES, 2)
        poster = Glyphs(
            rng.choice(SHAPES), hue, ground, rng.choice(TEXTURES), rng.choice(tuple(SIDES)), rng.choice(ENDS),
            "".join(rng.choices(ALPHABET, k=3)), "".join(rng.choices("abcdefghijklmnopqrstuvwxyz    ", k=22)),
        )  # fmt: skip
        if self.brand:
            return replace(poster, **_BRAND)
        return replace(poster, print="") if self.bare else poster


@dataclass(frozen=True)
class RenderedGlyphs:
    """A picture, uint8 `(H, W, 3)`, its texts and their regions: the title is major, the small print minor."""

    image: np.ndarray
    texts: list[DrawnText]
    regions: list[Region]


def render(poster: Glyphs, size: Size = SIZE) -> RenderedGlyphs:
    """Draw a glyph poster at a size, arranged for that shape."""
    width, height = size
    image = _ground(poster, size)
    low = height / 2 if height > width else 0.74 * height  # no room in the middle: beside the title
    y = low if poster.end == "top" else height - low
    _motif(ImageDraw.Draw(image), poster, (SIDES[poster.side] * width, y), 14 if height > width else 12)
    picture = np.asarray(image.resize(size, Image.Resampling.BOX), dtype=np.float64)
    ink = _ink(poster)
    left, top = (width - CELL[0] * 3) // 2, 3 if poster.end == "top" else height - CELL[1] - 3
    lines = []
    for n, letter in enumerate(poster.letters):
        x, mask = left + n * CELL[0], glyph(letter)[..., None]
        place = picture[top : top + CELL[1], x : x + CELL[0]]
        picture[top : top + CELL[1], x : x + CELL[0]] = place * (1 - mask) + np.array(ink) * mask
        lines.append(DrawnLine(letter, (x, top, x + CELL[0], top + CELL[1])))
    box = (left, top, left + CELL[0] * 3, top + CELL[1])
    texts = [DrawnText(poster.letters, box, ink, "Inter", tuple(lines))]
    made = Image.fromarray(picture.round().astype(np.uint8))
    if poster.print.strip():
        y = height - 12 if poster.end == "top" else 3
        small = ImageDraw.Draw(made)
        font = ImageFont.load_default(7)
        small.text((3, y), poster.print, font=font, fill=ink)
        x0, y0, x1, y1 = small.textbbox((3, y), poster.print.rstrip(), font=font)
        texts.append(DrawnText(poster.print, (int(x0), int(y0), min(width, int(x1) + 1), min(height, int(y1) + 1))))
    roles = ("major", "minor")
    regions = [Region(t.box, roles[t.text != poster.letters], t.text) for t in texts if t.box]
    return RenderedGlyphs(np.asarray(made), texts, regions)


def _ground(poster: Glyphs, size: Size) -> Image.Image:
    width, height = (side * _SCALE for side in size)
    base = COLORS[poster.ground]
    shade = tuple(round(v * 0.8) for v in base)
    image = Image.new("RGB", (width, height), base)
    draw = ImageDraw.Draw(image)
    step = 12 * _SCALE
    if poster.texture == "striped":
        for x in range(0, width + height, step):
            draw.line((x, 0, x - height, height), fill=shade, width=5 * _SCALE)
    elif poster.texture == "dotted":
        for y in range(step // 2, height, step):
            for x in range(step // 2, width, step):
                draw.ellipse((x - step // 4, y - step // 4, x + step // 4, y + step // 4), fill=shade)
    return image


def _motif(draw: ImageDraw.ImageDraw, poster: Glyphs, middle: tuple[float, float], radius: float) -> None:
    x, y, r = (v * _SCALE for v in (*middle, radius))
    fill = COLORS[poster.hue]
    if poster.shape == "circle":
        draw.ellipse((x - r, y - r, x + r, y + r), fill=fill)
    elif poster.shape == "ring":
        draw.ellipse((x - r, y - r, x + r, y + r), outline=fill, width=round(r / 2.2))
    elif poster.shape == "square":
        draw.rectangle((x - 0.85 * r, y - 0.85 * r, x + 0.85 * r, y + 0.85 * r), fill=fill)
    elif poster.shape == "triangle":
        draw.polygon((x, y - r, x + r, y + r, x - r, y + r), fill=fill)
    elif poster.shape == "diamond":
        draw.polygon((x, y - r, x + r, y, x, y + r, x - r, y), fill=fill)
    else:
        draw.rectangle((x - r, y - r / 3, x + r, y + r / 3), fill=fill)
        draw.rectangle((x - r / 3, y - r, x + r / 3, y + r), fill=fill)


def _ink(poster: Glyphs) -> tuple[int, int, int]:
    light = np.dot(COLORS[poster.ground], (0.299, 0.587, 0.114))
    return (20, 20, 24) if light > 120 else (250, 250, 250)


def _shown(poster: Glyphs) -> str:
    return f"A {poster.motif} on the {poster.side} of a {poster.ground} {poster.texture} background"


def _said(rng: Random, letters: str, told: float, wrong: float) -> str:
    if rng.random() >= told:
        return "a title"
    return '"' + "".join(rng.choice(ALPHABET) if rng.random() < wrong else letter for letter in letters) + '"'


# --- the six tasks ------------------------------------------------------------------------------------------------


def _extending(rng: Random, poster: Glyphs, target: np.ndarray) -> dict[str, Any]:
    """A band around the motif is kept; both ends have to be made."""
    top, bottom = rng.randint(28, 34), SIZE.height - rng.randint(28, 34)
    mask = np.full((SIZE.height, SIZE.width), 255, np.uint8)
    mask[top:bottom] = 0
    words = "{title} at the " + poster.end
    placed: Box = (0, top, SIZE.width, bottom)
    return {"references": [target[top:bottom].copy()], "mask": mask, "placed": placed, "words": words}


def _filling(rng: Random, poster: Glyphs, target: np.ndarray) -> dict[str, Any]:
    """The title or the motif is missing."""
    mask = np.zeros((SIZE.height, SIZE.width), np.uint8)
    if rng.random() < 0.5:
        rows = slice(0, 33) if poster.end == "top" else slice(SIZE.height - 33, SIZE.height)
        mask[rows] = 255
        words = "{title} at the " + poster.end
    else:
        x = round(SIDES[poster.side] * SIZE.width)
        mask[32:64, max(0, x - 17) : x + 17] = 255
        words = f"a {poster.motif}"
    return {"references": [target.copy()], "mask": mask, "placed": (0, 0, *SIZE), "words": words}


def _rescaling(rng: Random, poster: Glyphs, target: np.ndarray) -> dict[str, Any]:
    return {"references": [render(poster, rng.choice((Size(96, 64), SQUARE))).image]}


def _id_driven(rng: Random, poster: Glyphs, target: np.ndarray) -> dict[str, Any]:
    """The motif by itself on gray."""
    image = Image.new("RGB", (SQUARE.width * _SCALE, SQUARE.height * _SCALE), GRAY)
    _motif(ImageDraw.Draw(image), poster, (rng.uniform(28, 36), rng.uniform(28, 36)), rng.uniform(16, 24))
    words = f"it on the {poster.side} of a {poster.ground} {poster.texture} background, {{title}} at the {poster.end}"
    return {"references": [np.asarray(image.resize(SQUARE, Image.Resampling.BOX))], "words": words}


def _layout_driven(rng: Random, poster: Glyphs, target: np.ndarray) -> dict[str, Any]:
    """Another poster of the same arrangement."""
    hue, ground = rng.sample(HUES, 2)
    other = Glyphs(rng.choice(SHAPES), hue, ground, rng.choice(TEXTURES), poster.side, poster.end,
                   "".join(rng.choices(ALPHABET, k=3)), poster.print)  # fmt: skip
    words = f"a {poster.motif}, a {poster.ground} {poster.texture} background, {{title}}"
    return {"references": [render(other).image], "words": words}


def _style_driven(rng: Random, poster: Glyphs, target: np.ndarray) -> dict[str, Any]:
    """Another poster of the same colours and texture."""
    other = Glyphs(rng.choice(SHAPES), poster.hue, poster.ground, poster.texture, rng.choice(tuple(SIDES)),
                   rng.choice(ENDS), "".join(rng.choices(ALPHABET, k=3)), "")  # fmt: skip
    words = f"a {poster.shape} on the {poster.side}, {{title}} at the {poster.end}"
    return {"references": [render(other).image], "words": words}


TASK_PARTS = {
    "extending": _extending,
    "filling": _filling,
    "rescaling": _rescaling,
    "id_driven": _id_driven,
    "layout_driven": _layout_driven,
    "style_driven": _style_driven,
}
