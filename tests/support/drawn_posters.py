"""Posters that tests draw to calibrate judges on: typeset art and photographs, sound, and damaged in known ways."""

from __future__ import annotations

from functools import cache
from random import Random

import numpy as np
import skimage.data
from PIL import Image, ImageDraw, ImageFont

from posterkit.prompts import PosterBrief
from posterkit.synthetic import draw_art
from posterkit.typeset.fonts import FACES
from posterkit.typeset.poster import typeset

SIZE = (400, 600)
TEXTS = ("JAZZ NIGHT", "Friday 8 pm", "Blue Note Club")
CREDITS = (
    "A LIGHTHOUSE PICTURES PRESENTATION IN ASSOCIATION WITH NORTH SEA FILMS A FILM BY ANNA BERG MARTIN HOLT SARA LIND "
    "CASTING BY JULIA STERN MUSIC BY PETER WOLF COSTUME DESIGN BY MARIA ROSSI EDITED BY TOM FISCHER PRODUCTION DESIGN "
    "BY LEA KERN DIRECTOR OF PHOTOGRAPHY JAN DE VRIES PRODUCED BY OSCAR LUND WRITTEN AND DIRECTED BY ANNA BERG"
)


@cache
def art(seed: int) -> Image.Image:
    """Procedural art without a text."""
    return Image.fromarray(draw_art(Random(seed), SIZE)[0])


@cache
def photo(name: str) -> Image.Image:
    """A photograph of scikit-image, cut to a poster's shape."""
    picture = Image.fromarray(getattr(skimage.data, name)()).convert("RGB")
    side = min(picture.size)
    return picture.crop((0, 0, side * 2 // 3, side)).resize(SIZE, Image.Resampling.LANCZOS)


@cache
def poster(picture: int | str, *texts: str) -> Image.Image:
    """Texts set by the typesetter on art (by its seed) or on a photograph (by its name)."""
    ground = art(picture) if isinstance(picture, int) else photo(picture)
    return typeset(ground, PosterBrief(texts=list(texts or TEXTS))).image


@cache
def with_credits(picture: int | str) -> Image.Image:
    """A film poster with its billing block at the foot."""
    ground = art(picture) if isinstance(picture, int) else photo(picture)
    brief = PosterBrief(texts=["LIGHTHOUSE", "In cinemas December 14", CREDITS])
    boxes = [(30, 50, 370, 160), (50, 165, 350, 200), (24, 505, 376, 585)]
    return typeset(ground, brief, roles=["title", "subtitle", "body"], boxes=boxes).image


def marked(ground: Image.Image, mark: str, places: list[tuple[int, int]], size: int = 24) -> Image.Image:
    """The picture with half-transparent marks at the given places."""
    veil = Image.new("RGBA", ground.size, (0, 0, 0, 0))
    draw, face = ImageDraw.Draw(veil), ImageFont.truetype(str(FACES[0].path), size)
    for place in places:
        draw.text(place, mark, font=face, fill=(255, 255, 255, 190), stroke_width=1, stroke_fill=(0, 0, 0, 90))
    return Image.alpha_composite(ground.convert("RGBA"), veil).convert("RGB")


def noise(seed: int = 0) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (*SIZE[::-1], 3), np.uint8))


def cluttered(ground: Image.Image, seed: int = 1) -> Image.Image:
    """The picture under hundreds of shapes and shouts."""
    picture, rng = ground.copy(), Random(seed)
    draw = ImageDraw.Draw(picture)

    def color() -> tuple[int, int, int]:
        return rng.randrange(256), rng.randrange(256), rng.randrange(256)

    for _ in range(220):
        x, y, w, h = rng.randrange(-30, 390), rng.randrange(-30, 590), rng.randrange(8, 70), rng.randrange(8, 70)
        (draw.ellipse if rng.random() < 0.5 else draw.rectangle)((x, y, x + w, y + h), fill=color())
        if rng.random() < 0.5:
            draw.text((x, y), rng.choice(("SALE", "NEW!!", "50% OFF", "HOT")), fill=color(), font_size=30)
    return picture
