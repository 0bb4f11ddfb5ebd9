"""Nine posters whose layers are known, to be damaged: drawn, typeset over photographs, and over synthetic art."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from random import Random

import numpy as np
from PIL import Image, ImageDraw, ImageFont, ImageOps

from posterkit.generate.obstacles import find_obstacles
from posterkit.image_io import read_image
from posterkit.metrics.appearance import Appearance
from posterkit.metrics.color import nearest_color_name
from posterkit.prompts import COLORS, PosterBrief, in_quotes
from posterkit.schema import Box, PosterRequest, Region
from posterkit.sizing import Size
from posterkit.synthetic.synthetic_poster import draw_poster, render
from posterkit.tasks import BLANK
from posterkit.typeset.fonts import FACES
from posterkit.typeset.poster import TypesetPoster, typeset

SIZE = Size(416, 608)
PHOTOS = Path(__file__).parents[1] / "examples" / "photos"
# photographs, and where their subject is in parts of the poster's sides
SUBJECTS = {
    "astronaut": (0.18, 0.02, 0.66, 0.38), "coffee": (0.05, 0.03, 0.95, 0.8), "rocket": (0.42, 0.28, 0.6, 0.98),
}  # fmt: skip
BRIEFS = (
    ("NORTH LIGHT", "Open air cinema", "Friday 8 pm, Harbour Square"),
    ("MORNING CUP", "Fresh roast coffee", "Daily from seven"),
    ("LIFT OFF", "A night of rockets", "Saturday 21 June"),
    ("JAZZ NIGHT", "Live at the Blue Note", "Doors open at eight"),
    ("SUMMER FAIR", "Music and market", "Sunday in the park"),
    ("WINTER TALES", "Stories by the fire", "Town library, six pm"),
)
DRAWN = (11, 23, 41)  # seeds of posters with a title and a subtitle
ART = (5, 7, 12)
TITLE_FACE = next(face.path for face in FACES if face.name == "InterDisplay-Black")


@dataclass(frozen=True)
class SetText:
    """A text as it stands on a poster: its wording line by line, the box of its ink, its colour and its font file."""

    lines: tuple[str, ...]
    box: Box
    color: tuple[int, int, int]
    font: Path

    @property
    def text(self) -> str:
        return " ".join(self.lines)


@dataclass(frozen=True, eq=False)
class LayeredPoster:
    """A sound poster and what it is made of.

    Attributes:
        image: the poster, RGB.
        ground: the same without its texts.
        texts: the title first.
        subject: the box of what it shows.
        background, accent: names of two of its colours, which its prompt asks for.
    """

    name: str
    image: Image.Image
    ground: Image.Image
    texts: tuple[SetText, ...]
    subject: Box
    background: str
    accent: str

    @property
    def request(self) -> PosterRequest:
        """What the poster answers, as text to poster."""
        said = [f"{in_quotes(text.text)} at the {self._half(text)}" for text in self.texts]
        prompt = f"A poster on a {self.background} background with {self.accent}. {'. '.join(said)}."
        texts = [text.text for text in self.texts]
        return PosterRequest(prompt, texts=texts, size=SIZE, id=self.name)

    @property
    def requests(self) -> dict[str, PosterRequest]:
        """What the poster answers under each task that is measured."""
        x0, y0, x1, y1 = self.subject
        mask = np.zeros(SIZE[::-1], np.uint8)
        mask[y0 + (y1 - y0) // 4 : y1 - (y1 - y0) // 4, x0 + (x1 - x0) // 4 : x1 - (x1 - x0) // 4] = 255
        kept = np.where(mask[..., None] > 0, np.uint8(BLANK), np.asarray(self.image))
        regions = [Region(text.box, "minor" if n else "major", text.text) for n, text in enumerate(self.texts)]
        images = {
            "id_driven": _portrait(self.ground.crop(self.subject)), "style_driven": _tiles(self.ground),
            "layout_driven": self._wireframe(), "filling": kept,
        }  # fmt: skip
        asked = {task: replace(self.request, task=task, images=[image]) for task, image in images.items()}
        asked["layout_driven"] = replace(asked["layout_driven"], regions=regions)
        asked["filling"] = replace(asked["filling"], mask=mask, placed=(0, 0, *SIZE))
        return {"text": self.request, **asked}

    def _half(self, text: SetText) -> str:
        return "top" if text.box[1] + text.box[3] < SIZE.height else "bottom"

    def _wireframe(self) -> np.ndarray:
        plan = Image.new("RGB", SIZE, (225, 225, 225))
        draw = ImageDraw.Draw(plan)
        draw.rectangle(self.subject, fill=(150, 150, 150))
        for text in self.texts:
            x0, y0, x1, y1 = text.box
            for x in range(x0, x1, 6):
                draw.line((x, y0, x, y1), fill=(40, 40, 40), width=3)
        return np.asarray(plan)


def lettered(canvas: Image.Image, lines: Sequence[str], box: Box, color: tuple[int, int, int], font: Path) -> None:
    """Draw lines on a picture, as large as they fit the box, in its middle."""
    text, (x0, y0, x1, y1) = "\n".join(lines), box
    draw, trial = ImageDraw.Draw(canvas), ImageFont.truetype(str(font), 100)
    left, top, right, low = draw.multiline_textbbox((0, 0), text, trial, align="center", spacing=10)
    size = max(6, round(100 * min((x1 - x0) / (right - left), (y1 - y0) / (low - top))))
    face, at = ImageFont.truetype(str(font), size), size / 100
    middle = (x0 + x1) / 2 - (left + right) / 2 * at, (y0 + y1) / 2 - (top + low) / 2 * at
    draw.multiline_text(middle, text, color, face, align="center", spacing=10 * at)


def layered_posters(count: int = 9) -> list[LayeredPoster]:
    """Of each of the three kinds in turn; the same ones every time, at most nine."""
    made = [_drawn, _over_photo, _over_art]
    return [made[number % 3](number // 3) for number in range(count)]


@cache
def _drawn(number: int) -> LayeredPoster:
    poster, seed = None, DRAWN[number]
    while poster is None or not (poster.lettering and poster.lettering.subtitle):
        poster, seed = draw_poster(Random(seed), aspect=SIZE.aspect), seed + 1
    made, bare = render(poster, SIZE), render(replace(poster, lettering=None), SIZE)
    image, ground = Image.fromarray(made.image), Image.fromarray(bare.image)
    texts = []
    for text in made.texts:
        assert text.box is not None
        lines = tuple(line.text for line in text.lines) or (text.text,)
        texts.append(SetText(lines, text.box, _ink(image, ground, text.box), TITLE_FACE))
    return _layered(f"drawn {number}", image, ground, texts, _inside(made.subject))


@cache
def _over_photo(number: int) -> LayeredPoster:
    name = list(SUBJECTS)[number]
    picture = ImageOps.fit(read_image(PHOTOS / f"{name}.jpg"), SIZE)
    set_ = typeset(picture, _brief(number), roles=["title", "subtitle", "body"], avoid=find_obstacles(picture))
    x0, y0, x1, y1 = SUBJECTS[name]
    wide, high = SIZE
    return _typeset(name, set_, (int(x0 * wide), int(y0 * high), int(x1 * wide), int(y1 * high)))


@cache
def _over_art(number: int) -> LayeredPoster:
    made = render(draw_poster(Random(ART[number]), aspect=SIZE.aspect, text=False), SIZE)
    set_ = typeset(Image.fromarray(made.image), _brief(number + 3), roles=["title", "subtitle", "body"])
    return _typeset(f"art {number}", set_, _inside(made.subject))


def _brief(number: int) -> PosterBrief:
    return PosterBrief(texts=list(BRIEFS[number]))


def _typeset(name: str, made: TypesetPoster, subject: Box) -> LayeredPoster:
    texts = []
    for placed in made.boxes:
        x0, y0, x1, y1 = placed.box
        font = next(face.path for face in FACES if face.family == placed.font)
        texts.append(SetText(placed.lines, _inside((int(x0), int(y0), int(x1) + 1, int(y1) + 1)), placed.color, font))
    return _layered(name, made.image, made.background, texts, subject)


def _layered(
    name: str, image: Image.Image, ground: Image.Image, texts: Sequence[SetText], subject: Box
) -> LayeredPoster:
    looks = Appearance(image)
    a, b = looks.palette.colors[:, 1], looks.palette.colors[:, 2]
    grey = {"black", "white", "gray", looks.background}
    vivid = looks.palette.colors[np.argsort(-np.hypot(a, b))]
    names = [found for color in vivid if (found := nearest_color_name(color)) not in grey]
    shares = dict(zip(COLORS, looks.shares, strict=True))
    accent = next((found for found in names if shares[found] >= 0.03), max(shares, key=lambda one: shares[one]))
    return LayeredPoster(name, image, ground, tuple(texts), subject, looks.background, accent)


def _ink(image: Image.Image, ground: Image.Image, box: Box) -> tuple[int, int, int]:
    """The colour of a text: the median of the tenth of its box that differs most from the ground."""
    seen, bare = (np.asarray(one.crop(box)).reshape(-1, 3).astype(int) for one in (image, ground))
    away = np.abs(seen - bare).sum(1)
    red, green, blue = np.median(seen[away >= np.percentile(away, 90)], axis=0)
    return int(red), int(green), int(blue)


def _inside(box: Box) -> Box:
    x0, y0, x1, y1 = box
    return max(0, x0), max(0, y0), min(SIZE.width, x1), min(SIZE.height, y1)


def _portrait(subject: Image.Image) -> np.ndarray:
    """A subject mirrored and turned on a ground of its own: it alone, and no copy."""
    turned = ImageOps.mirror(subject).convert("RGBA").rotate(12, Image.Resampling.BICUBIC, expand=True)
    ground = Image.new("RGBA", (turned.width + 40, turned.height + 40), (214, 216, 212, 255))
    ground.alpha_composite(turned, (20, 20))
    return np.asarray(ground.convert("RGB"))


def _tiles(picture: Image.Image) -> np.ndarray:
    """The picture cut into 4x4 tiles in another order: its colours and texture, and no copy of it."""
    wide, high = picture.width // 4, picture.height // 4
    places = [(x * wide, y * high) for y in range(4) for x in range(4)]
    shuffled = picture.copy()
    for (x, y), to in zip(places, Random(0).sample(places, len(places)), strict=True):
        shuffled.paste(picture.crop((x, y, x + wide, y + high)), to)
    return np.asarray(shuffled)
