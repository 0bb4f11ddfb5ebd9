"""`typeset` sets the texts of a brief on a picture: choose faces, plan, fit, colour, draw."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import cast, get_args

import numpy as np
from PIL import Image

from posterkit.image_io import as_rgb
from posterkit.layout import (
    PILL,
    Align,
    Box,
    Element,
    Layout,
    check_roles,
    infer_roles,
    legible_size,
    plan,
)
from posterkit.prompts import PosterBrief
from posterkit.typeset.contrast import (
    MINIMUM,
    Color,
    Ink,
    choose_ink,
    contrast,
    parse_color,
    sample,
    signal_color,
    underlay,
)
from posterkit.typeset.fonts import Face, is_ignorable, load_face, pairing_for
from posterkit.typeset.line_breaking import Block, FontMeasurer, TextStyle, fit, text_style
from posterkit.typeset.placed_text import Composition, PlacedLine, PlacedText
from posterkit.typeset.raster import draw, draw_rule, tinted

_TRIAL = 1_500_000  # pixels on which the strength of an underlay is tried out
SMALLEST = 48  # pixels; below this no text is legible


class TypesetPoster(Composition):
    """A picture with its texts set, as pixels (`image`), SVG and PDF."""

    def svg(self) -> str:
        """An SVG of the same size in pixels: the background embedded as PNG, the texts live, their fonts embedded."""
        from posterkit.typeset.svg import to_svg

        return to_svg(self)

    def pdf(self) -> bytes:
        """A PDF page (1 px = 0.75 pt) with selectable text in embedded fonts over the background."""
        from posterkit.typeset.pdf import to_pdf

        return to_pdf(self)

    def save(self, path: str | Path) -> Path:
        """Write the poster; the suffix decides: .png, .jpg, .webp, .tif, .svg or .pdf.

        Raises:
            ValueError: another suffix.
        """
        file = Path(path)
        suffix = file.suffix.lower()
        if suffix == ".svg":
            file.write_text(self.svg(), encoding="utf-8")
        elif suffix == ".pdf":
            file.write_bytes(self.pdf())
        elif suffix in (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff"):
            self.image.save(file, quality=95) if suffix in (".jpg", ".jpeg", ".webp") else self.image.save(file)
        else:
            raise ValueError(f"{file}: cannot save a poster as {suffix or 'a file without suffix'}; "
                             "use .png, .jpg, .webp, .tif, .svg or .pdf")  # fmt: skip
        return file


def typeset(
    image: Image.Image,
    brief: PosterBrief,
    *,
    style: str | None = None,
    fonts: Sequence[str | Path] = (),
    roles: Sequence[str] | None = None,
    boxes: Sequence[tuple[float, float, float, float]] | None = None,
    align: str | None = None,
    archetype: str | None = None,
) -> TypesetPoster:
    """Set the brief's texts on a picture with real fonts.

    Args:
        image: the picture, read as `posterkit.image_io.as_rgb` does: alpha on white, turned by its EXIF.
        brief: `texts` are set letter for letter; `colors` may colour the title; `style`, `mood` and `theme` choose the
            pairing of faces where `style` is not given.
        style: a pairing: modern, condensed, swiss, geometric, elegant, slab, script, handwriting, rounded.
        fonts: the user's own font files, tried before the shipped ones.
        roles: title, subtitle, body or cta, one per text; inferred where not given.
        boxes: `x0, y0, x1, y1` in pixels, one per text; placed by the planner where not given.
        align: left, center or right, for `boxes`; the default is center.
        archetype: take this arrangement instead of the best.

    Raises:
        ValueError: no texts, an empty text, a control character, a character that no font has, a text that does not
            fit at a legible size, a picture under 48 pixels, or an option that is unknown.
    """
    if min(image.size) < SMALLEST:
        raise ValueError(f"the picture is {image.width}x{image.height}; text needs at least {SMALLEST} pixels a side")
    picture = as_rgb(image)
    texts = clean_texts(brief.texts)
    assigned = infer_roles(texts) if roles is None else check_roles(roles, texts)
    words = [word for word in (brief.style, brief.theme, *brief.mood) if word]
    chosen = style or pairing_for(words, texts[assigned.index("title")] if "title" in assigned else texts[0])
    extra = tuple(load_face(path) for path in fonts)
    for text, role in zip(texts, assigned, strict=True):
        text_style(text, role, chosen, extra)
    if boxes is None:
        measurer = FontMeasurer(chosen, extra, legible_size(*picture.size))
        layout = plan(picture, replace(brief, texts=texts), measurer=measurer, roles=assigned, archetype=archetype)
    else:
        layout = _given(texts, assigned, boxes, align, picture.size)
    placed = [_set(element, chosen, extra, free=boxes is not None, size=picture.size) for element in layout]
    return _painted(picture, placed, layout, brief.colors, chosen)


def clean_texts(texts: Sequence[str]) -> list[str]:
    """The texts in composed form (NFC) with plain newlines, no blanks around them and no soft hyphens.

    Raises:
        ValueError: none at all, one has nothing to see, or one has a control character.
    """
    if not texts:
        raise ValueError("the brief has no texts to set; give at least one")
    found = []
    for number, text in enumerate(texts, 1):
        # fonts have the composed letters; words are never hyphenated, so a soft hyphen would only break them
        plain = unicodedata.normalize("NFC", text).replace("\u00ad", "").replace("\t", " ")
        lines = (line.strip() for line in plain.replace("\r\n", "\n").replace("\r", "\n").split("\n"))
        plain = "\n".join(line for line in lines if not all(c.isspace() or is_ignorable(c) for c in line))
        if not plain:
            raise ValueError(f"text {number} is empty")
        for character in plain:
            if unicodedata.category(character) in ("Cc", "Cs", "Cn", "Co") and character != "\n":
                raise ValueError(
                    f"text {number} ({plain!r}) has the character U+{ord(character):04X}, which cannot be set"
                )
        found.append(plain)
    return found


def _given(
    texts: Sequence[str], roles: Sequence, boxes: Sequence[tuple], align: str | None, size: tuple[int, int]
) -> Layout:
    """A layout from the user's own boxes."""
    if len(boxes) != len(texts):
        raise ValueError(f"{len(boxes)} boxes for {len(texts)} texts; give one box per text")
    if align not in (None, *get_args(Align)):
        raise ValueError(f"unknown align {align!r}; use {', '.join(get_args(Align))}")
    side = cast(Align, align or "center")
    elements = []
    for index, (text, role, corners) in enumerate(zip(texts, roles, boxes, strict=True)):
        box = Box(*(float(side) for side in corners))
        if box.width <= 0 or box.height <= 0 or min(box.x0, box.y0) < 0 or box.x1 > size[0] or box.y1 > size[1]:
            raise ValueError(
                f"box {index + 1} {tuple(corners)} is not x0, y0, x1, y1 in the {size[0]}x{size[1]} picture"
            )
        elements.append(Element(index, text, role, box, side, group=index))
    return Layout(*size, tuple(elements))


def _set(element: Element, style: str, extra: tuple[Face, ...], free: bool, size: tuple[int, int]) -> PlacedText:
    """Fit a text into its box: the planner's boxes are as large as the text, a user's (`free`) may be larger."""
    how = text_style(element.text, element.role, style, extra)
    box = element.box
    least = 0.5 * min(legible_size(*size), element.size)
    if free and element.role == "cta":
        block = _fit_in_button(element, how)
    else:
        loose = 0.0 if free else 0.02 * element.size
        block = fit(element.text, how, box.width + loose, box.height + loose, element.size, least)
    if block is None or block.size < min(legible_size(*size), element.size) * 0.999:
        raise ValueError(_does_not_fit(element, block, size))
    pad = PILL[0] * block.size if free and element.role == "cta" else 0.0
    y = box.y0 + (box.height - block.height) / 2
    lines = []
    for number, line in enumerate(block.lines):
        slack = box.width - line.ink * block.size
        # the ink, not the advance box, stands on the margin
        offset = {"left": pad, "center": slack / 2, "right": slack - pad}[element.align]
        x = box.x0 + offset - line.left * block.size
        lines.append(PlacedLine(line, x, y + block.baseline(number)))
    return _placed(element, block, tuple(lines), y)


def _fit_in_button(element: Element, how: TextStyle) -> Block | None:
    """The largest setting whose button, padding and all, lies in the box."""
    size = min(element.size, element.box.height / (0.8 + 2 * PILL[1]))
    for _ in range(30):
        block = fit(element.text, how, element.box.width - 2 * PILL[0] * size, element.box.height, size)
        if block is not None and block.size > 0.99 * size and block.height <= element.box.height - 2 * PILL[1] * size:
            return block
        size *= 0.92
    return None


def _placed(element: Element, block: Block, lines: tuple[PlacedLine, ...], y: float) -> PlacedText:
    x0 = min(at.x + at.line.left * block.size for at in lines)
    x1 = max(at.x + at.line.right * block.size for at in lines)
    ink = Box(x0, y, x1, y + block.height)
    families: dict[str, int] = {}
    for at in lines:
        for run in at.line.runs:
            families[run.face.family] = families.get(run.face.family, 0) + len(run.text)
    button = None
    if element.role == "cta":
        px, py = PILL[0] * block.size, PILL[1] * block.size
        # centred on the capitals, not on descenders, and on whole pixels so that every output agrees
        middle = (lines[0].baseline - 0.36 * block.size + lines[-1].baseline - 0.36 * block.size) / 2
        half = (lines[-1].baseline - lines[0].baseline + 0.72 * block.size) / 2 + py
        button = Box(*(float(round(side)) for side in (x0 - px, middle - half, x1 + px, middle + half)))
    return PlacedText(
        element.text, element.role, ink, max(families, key=lambda name: families[name]), block.size, (0, 0, 0),
        tuple(at.line.text for at in lines), 0.0, lines, button, group=element.group,
    )  # fmt: skip


def _does_not_fit(element: Element, block: Block | None, size: tuple[int, int]) -> str:
    shown = element.text if len(element.text) <= 40 else element.text[:37] + "..."
    box = ", ".join(f"{side:.0f}" for side in element.box)
    reached = "" if block is None else f" (it would be {block.size:.1f} px)"
    return (
        f"text {element.index + 1} ({shown!r}, {len(element.text)} characters) does not fit its box ({box}) at the "
        f"smallest legible size, {legible_size(*size):.0f} px{reached}; shorten it or give it a larger box"
    )


def _painted(
    picture: Image.Image, placed: list[PlacedText], layout: Layout, colors: Sequence[str], style: str
) -> TypesetPoster:
    """Choose colours and underlays, draw everything, and measure the contrast that came out."""
    groups = sorted({item.group for item in placed})
    areas = [[area for item in placed if item.group == group for area in _areas(item)] for group in groups]
    named = [word for word in colors if parse_color(word) is not None]
    inks = choose_ink(picture, areas, named)
    background = _with_underlays(picture, areas, inks)
    canvas = background.copy()
    ink_of = dict(zip(groups, inks, strict=True))
    signal = _signal(placed, inks[-1], background, picture, named)
    rules = []
    for rule in layout.rules:
        x0, y0, wide, high = (round(side) for side in (rule.x0, rule.y0, max(1, rule.width), max(1, rule.height)))
        bar = rule.width < 0.2 * picture.width and rule.height < rule.width
        rules.append((Box(x0, y0, x0 + wide, y0 + high), signal if bar and signal else inks[-1].text))
        draw_rule(canvas, *rules[-1])
    finished = []
    for item in placed:
        item = _colored(item, ink_of[item.group], background, signal)
        draw(canvas, item)
        finished.append(item)
    return TypesetPoster(canvas, background, finished, rules, layout, style)


def _signal(
    placed: list[PlacedText], ink: Ink, background: Image.Image, picture: Image.Image, named: Sequence[str]
) -> Color | None:
    """The colour of the button and of the accent bar."""
    grounds = [item.button for item in placed if item.button] or [item.box for item in placed]
    pixels = [sample(background, box) for box in grounds]
    return signal_color(picture, named, ink.tint, np.concatenate(pixels))


def _areas(item: PlacedText) -> list[Box]:
    return [item.button] if item.button is not None else item.line_boxes()


def _colored(item: PlacedText, ink: Ink, background: Image.Image, signal: Color | None) -> PlacedText:
    if item.button is not None:
        fill = signal or ink.text
        # the label takes whichever of the poster's two neutrals reads better on the button
        label = max((ink.tint, ink.text), key=lambda color: contrast(color, np.asarray([fill], np.uint8)))
        return replace(item, color=label, button_color=fill, contrast=contrast(label, np.asarray([fill], np.uint8)))
    color = ink.title if item.role == "title" else ink.text
    worst = min(contrast(color, sample(background, box)) for box in item.line_boxes())
    return replace(item, color=color, contrast=worst)


def _with_underlays(picture: Image.Image, areas: list[list[Box]], inks: list[Ink]) -> Image.Image:
    """Lay the tints under the texts, each as strong as every text in it needs on what really comes out."""
    # tried out on a copy thinned without smoothing, which keeps the worst pixels, then laid once on the picture
    thin = max(1.0, (picture.width * picture.height / _TRIAL) ** 0.5)
    trial = picture.resize([round(side / thin) for side in picture.size], Image.Resampling.NEAREST)
    boxes = [[Box(*(side / thin for side in box)) for box in group] for group in areas]
    strengths = [ink.alpha for ink in inks]
    ground = tinted(trial, _layers(trial.size, boxes, inks, strengths))
    for more in (*[0.08] * 6, 1.0):  # in the end full strength, under which every ink reads
        short = [
            any(
                contrast(color, sample(ground, box)) < MINIMUM + 0.1
                for box in group
                for color in {ink.title, ink.text}
            )
            for group, ink in zip(boxes, inks, strict=True)
        ]
        if not any(short):
            break
        strengths = [min(1.0, alpha + more) if weak else alpha for alpha, weak in zip(strengths, short, strict=True)]
        ground = tinted(trial, _layers(trial.size, boxes, inks, strengths))
    return ground if trial.size == picture.size else tinted(picture, _layers(picture.size, areas, inks, strengths))


def _layers(
    size: tuple[int, int], areas: list[list[Box]], inks: list[Ink], strengths: list[float]
) -> list[tuple[np.ndarray, Color]]:
    return [
        (underlay(size, group, alpha), ink.tint)
        for group, ink, alpha in zip(areas, inks, strengths, strict=True)
        if alpha > 0
    ]
