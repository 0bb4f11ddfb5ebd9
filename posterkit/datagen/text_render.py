"""Text-Render: clean text set over pictures, with captions that say every letter of it (PosterCraft, stage 1's data).

A sample follows from the set's seed and its own number alone.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
from PIL import Image

from posterkit.documents import read_text
from posterkit.metrics.arrangement import box_overlap
from posterkit.prompts import COLORS
from posterkit.schema import RGB, Box, DrawnLine, DrawnText, PosterSample, Region
from posterkit.sizing import Size
from posterkit.typeset.contrast import luminance
from posterkit.typeset.fonts import FACES, Face
from posterkit.typeset.raster import lettering
from posterkit.typeset.shaping import ShapedLine, shape

WORDS = Path(__file__).parent / "words"
SCRIPTS = {"latin": "Latin", "cyrillic": "Cyrillic", "greek": "Greek", "chinese": "Han"}
ROWS, COLUMNS = ("top", "middle", "bottom"), ("left", "center", "right")
TURNS = {"level": 0.45, "lines": 0.25, "tilted": 0.15, "vertical": 0.15}  # how often an instance is set that way
LEADING = 1.2
MARGIN = 0.04  # of the shorter side, kept free at the edges
CONTRAST = 3.0  # WCAG, large type; against the pixels behind a text
WORST = 0.01  # of which so many may fail
EVERY = 2  # contrast is measured on every second pixel each way
_TRIES = 20  # for each text

_LIGHT = {name: float(luminance(color)) for name, color in COLORS.items()}
_FORMS = (
    "The text {text} is written in {color} {place}{more}.",
    "{Place} it says {text} in {color}{more}.",
    "{text} stands {place} in {color} letters{more}.",
)
_STYLES = {"display": "", "text": "", "serif": "in a classic style", "script": "in a handwritten style"}


@dataclass(frozen=True)
class Wording:
    """What is written: words, frames with `{}` where words go, and what stands between two words."""

    words: tuple[str, ...]
    frames: tuple[str, ...] = ()
    gap: str = " "

    def draw(self, rng: Random) -> str:
        """A frame filled with words, or a random string of one to five of them."""
        if self.frames and rng.random() < 0.5:
            first, *rest = rng.choice(self.frames).split("{}")  # other braces mean nothing
            return first + "".join(rng.choice(self.words) + piece for piece in rest)
        text = self.gap.join(rng.choice(self.words) for _ in range(rng.randint(1, 5)))
        return rng.choice((text, capitals(text), text[:1].upper() + text[1:]))


def capitals(text: str) -> str:
    """A text in capitals; Greek ones bear no accent (but keep a diaeresis)."""
    kept, base = "", ""
    for letter in unicodedata.normalize("NFD", text.upper()):
        base = base if unicodedata.combining(letter) else letter
        if letter != "\N{COMBINING ACUTE ACCENT}" or not unicodedata.name(base, "").startswith("GREEK"):
            kept += letter
    return unicodedata.normalize("NFC", kept)


@cache
def shipped_wording(script: str) -> Wording:
    """The words and frames that come with posterkit; ValueError for an unknown script."""
    if script not in SCRIPTS:
        raise ValueError(f"unknown script {script!r}; there are {', '.join(SCRIPTS)}")
    return read_wording(WORDS / f"{script}.txt")


def read_wording(path: Path) -> Wording:
    """A word list: a word or a text in each line, lines with `{}` are frames, lines with # are comments.

    Raises:
        ValueError: the file is missing, no UTF-8, or holds no word.
    """
    if not path.is_file():
        raise ValueError(f"{path}: there is no such word list")
    lines = [line.strip() for line in read_text(path).split("\n")]
    found = [line for line in lines if line and not line.startswith("#")]
    words, frames = ([line for line in found if ("{}" in line) is frame] for frame in (False, True))
    if not words:
        raise ValueError(f"{path}: holds no word; a word stands on each line")
    written_apart = sum(word.isascii() or not 0x2E80 <= ord(word[0]) <= 0x9FFF for word in words) * 2 > len(words)
    return Wording(tuple(words), tuple(frames), " " if written_apart else "")


def check_faces(wording: Wording, faces: Sequence[Face], name: str) -> None:
    """ValueError where no face has the letters of any word of a wording."""
    if not any(face.covers(word) for face in faces for word in wording.words):
        those = ", ".join(face.family for face in faces)
        raise ValueError(
            f"{name}: no font has its letters ({those}); add one to --fonts that has, or leave --fonts out"
        )


@dataclass(frozen=True)
class Instance:
    """One text and where it will stand: nothing is drawn yet, so that a place where it cannot be read costs little."""

    text: str
    lines: tuple[ShapedLine, ...]  # top to bottom
    face: Face
    size: float  # of the font, in pixels
    turn: str
    degrees: float  # counter-clockwise
    row: int  # of the 3x3 grid, as the column
    column: int
    box: Box  # of its ink on the picture in pixels, half open

    def draw(self, align: float) -> tuple[Image.Image, tuple[int, int], tuple[DrawnLine, ...]]:
        """Its ink (mode L), the ink's place on the picture, and its lines' boxes there."""
        ink, boxes = lettering(self.lines, self.size, align, LEADING)
        if self.degrees:
            ink, boxes = _turned(ink, boxes, self.degrees)
        x, y = round((self.box[0] + self.box[2] - ink.width) / 2), round((self.box[1] + self.box[3] - ink.height) / 2)
        placed = ((x + b[0], y + b[1], x + b[2], y + b[3]) for b in boxes)
        return ink, (x, y), tuple(DrawnLine(line.text, b) for line, b in zip(self.lines, placed, strict=True))


def render_text(
    picture: Image.Image,
    caption: str,
    rng: Random,
    wordings: Sequence[Wording],
    faces: Sequence[Face] = FACES,
    *,
    name: str,
    count: int | None = None,
    **about: Any,
) -> PosterSample:
    """One to three texts over a picture.

    Args:
        picture: RGB.
        caption: what it shows, in words.
        wordings: one is drawn for each text.
        faces: fonts to draw from; only one that has every letter of a text sets it.
        name: the sample's id.
        count: how many texts; drawn where None.
        about: further fields of the sample.

    Raises:
        ValueError: no face has the letters of any script, or nothing found a place.
    """
    number = count or rng.choices((1, 2, 3), (5, 3, 2))[0]
    light = luminance(np.asarray(picture)[::EVERY, ::EVERY])
    placed: list[tuple[Instance, RGB, str]] = []
    for attempt in range(number * _TRIES):
        if len(placed) == number:
            break
        least = 1 + (CONTRAST - 1) * (1 - attempt / (number * _TRIES))  # a busy photograph takes what it can get
        instance = _instance(Size(*picture.size), rng, rng.choice(wordings), faces)
        if instance is None or any(box_overlap(instance.box, other.box) for other, _, _ in placed):
            continue
        if found := _color(light, instance, rng, least):
            placed.append((instance, *found))
    if not placed:
        raise ValueError(f"{name}: no text found a place on a picture of {Size(*picture.size)}")
    canvas = picture.copy()
    texts: list[DrawnText] = []
    clauses: list[str] = []
    regions: list[Region] = []
    largest = max(instance.size for instance, _, _ in placed)
    for instance, color, said in placed:
        ink, (x, y), lines = instance.draw(align=instance.column / 2)
        canvas.paste(color, (x, y), ink)
        box = (x, y, x + ink.width, y + ink.height)
        texts.append(DrawnText(instance.text, box, color, instance.face.name, lines))
        regions.append(Region(box, "major" if instance.size == largest else "minor", instance.text))
        clauses.append(_clause(instance, said, rng))
    full = " ".join([caption.strip().rstrip(".") + ".", *clauses]) if caption.strip() else " ".join(clauses)
    return PosterSample(
        id=name, task="text", target=np.asarray(canvas), texts=texts, regions=regions, caption=full, instruction=full,
        words=full, **about,
    )  # fmt: skip


def _instance(canvas: Size, rng: Random, wording: Wording, faces: Sequence[Face]) -> Instance | None:
    """A text in a face that has it, at a drawn size, turn and place; None where it does not fit."""
    text = wording.draw(rng)
    able = [face for face in faces if face.covers(text)]
    if not able:
        return None
    face, turn = rng.choice(able), rng.choices(list(TURNS), list(TURNS.values()))[0]
    if is_unicase(face):
        text = capitals(text)
    column, row = rng.randrange(3), rng.randrange(3)
    lines = tuple(shape(line, (face,)) for line in (_broken(text, rng) if turn == "lines" else [text]))
    margin = MARGIN * min(canvas)
    room = (canvas.height if turn == "vertical" else canvas.width) - 2 * margin
    widest = max(line.ink for line in lines)
    size = min(canvas) * math.exp(rng.uniform(math.log(0.05), math.log(0.16)))
    size = min(size, room / widest, 0.6 * min(canvas) / (LEADING * len(lines)))
    if size < max(9.0, 0.03 * min(canvas)):
        return None
    degrees = {"vertical": 90.0, "tilted": rng.choice((-1, 1)) * rng.uniform(4, 14)}.get(turn, 0.0)
    across, down = widest * size, (lines[0].top + (len(lines) - 1) * LEADING + lines[-1].bottom) * size
    cos, sin = abs(math.cos(math.radians(degrees))), abs(math.sin(math.radians(degrees)))
    extents = across * cos + down * sin + 1, across * sin + down * cos + 1  # and a pixel of antialiasing
    if any(extent > side - 2 * margin for extent, side in zip(extents, canvas, strict=True)):
        return None
    # the text's middle lies in its cell; so far to the outside as the margin lets it
    x, y = (
        min(max(margin, (cell + rng.uniform(0.3, 0.7)) * side / 3 - extent / 2), side - margin - extent)
        for cell, side, extent in zip((column, row), canvas, extents, strict=True)
    )
    middle = (x + extents[0] / 2) / canvas.width, (y + extents[1] / 2) / canvas.height
    box = math.floor(x), math.floor(y), math.ceil(x + extents[0]), math.ceil(y + extents[1])
    row, column = min(2, int(3 * middle[1])), min(2, int(3 * middle[0]))
    return Instance(text, lines, face, size, turn, degrees, row, column, box)


@cache
def is_unicase(face: Face) -> bool:
    """Whether a face draws small letters as capitals, so that a caption has to say capitals."""
    if not face.covers("aegrAEGR"):
        return False
    small, capital = (shape(letters, (face,)).width for letters in ("aegr", "AEGR"))
    return small == capital


def _broken(text: str, rng: Random) -> list[str]:
    """The text on two or three lines, broken between words (Chinese: anywhere); on one where it has only one word."""
    joint = "" if " " not in text else " "
    pieces = text.split(" ") if joint else ([text] if text.isascii() else list(text))
    count = min(len(pieces) if joint else max(1, len(pieces) // 2), rng.choice((2, 2, 3)))
    cuts = [round(n * len(pieces) / count) for n in range(count + 1)]
    return [joint.join(pieces[a:b]) for a, b in pairwise(cuts) if b > a]


def _turned(ink: Image.Image, boxes: Sequence[Box], degrees: float) -> tuple[Image.Image, list[Box]]:
    """Ink turned counter-clockwise, cropped to itself, and the boxes around the turned lines."""
    turned = ink.rotate(degrees, Image.Resampling.BICUBIC, expand=True)
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    left, top, right, bottom = turned.getbbox() or (0, 0, *turned.size)
    inside = []
    for x0, y0, x1, y1 in boxes:
        corners = np.array([(x0, y0), (x1, y0), (x0, y1), (x1, y1)]) - np.divide(ink.size, 2)
        corners = corners @ [[cos, -sin], [sin, cos]] + np.divide(turned.size, 2) - (left, top)
        (a, b), (c, d) = np.floor(corners.min(0)).astype(int).tolist(), np.ceil(corners.max(0)).astype(int).tolist()
        inside.append((max(0, a), max(0, b), min(right - left, c), min(bottom - top, d)))
    return turned.crop((left, top, right, bottom)), inside


def _color(light: np.ndarray, instance: Instance, rng: Random, least: float) -> tuple[RGB, str] | None:
    """A named colour that stands out from what is behind the text; None where neither a few nor black or white do.

    Args:
        light: luminance of every `EVERY`-th pixel of the picture.
    """
    x0, y0, x1, y1 = instance.box
    behind = np.sort(light[y0 // EVERY : -(-y1 // EVERY), x0 // EVERY : -(-x1 // EVERY)], axis=None)
    for name in (*rng.sample(list(COLORS), 4), "black", "white"):
        darkest, lightest = (_LIGHT[name] + 0.05) / least - 0.05, (_LIGHT[name] + 0.05) * least - 0.05
        too_near = np.searchsorted(behind, lightest) - np.searchsorted(behind, darkest, side="right")
        if too_near <= WORST * len(behind):
            return COLORS[name], name
    return None


def _clause(instance: Instance, color: str, rng: Random) -> str:
    """What the caption says of one text: the words, the colour, the place, and how it is set."""
    row, column = instance.row, instance.column
    place = "in the center" if (row, column) == (1, 1) else f"at the {ROWS[row]} {COLUMNS[column]}"
    ways = {"vertical": "running upwards", "tilted": "slightly tilted", "lines": f"on {len(instance.lines)} lines"}
    turn = ways.get(instance.turn, "") if instance.turn != "lines" or len(instance.lines) > 1 else ""
    more = "".join(f", {way}" for way in (turn, _STYLES[instance.face.style]) if way)
    text = f"\N{LEFT DOUBLE QUOTATION MARK}{instance.text}\N{RIGHT DOUBLE QUOTATION MARK}"
    text = f'"{instance.text}"' if '"' not in instance.text else text
    start = place[:1].upper() + place[1:]
    return rng.choice(_FORMS).format(text=text, color=color, place=place, Place=start, more=more)
