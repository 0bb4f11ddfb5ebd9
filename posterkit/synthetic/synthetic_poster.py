"""A poster as parameters, and its rendering at any size and shape."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from posterkit.schema import DrawnText
from posterkit.synthetic import captions
from posterkit.synthetic.abstract import Aurora, Botanical, Geometric, Music
from posterkit.synthetic.backdrops import draw_backdrop, plan_backdrop
from posterkit.synthetic.canvas import STYLES, Axes, Canvas, Pose, draw_pose
from posterkit.synthetic.food import Food
from posterkit.synthetic.layouts import (
    CALM,
    LAYOUTS,
    PANELS,
    Rect,
    TitleLayout,
    panel_area,
    place_words,
    subject_area,
    title_area,
)
from posterkit.synthetic.mascots import Mascot
from posterkit.synthetic.palettes import RGB, ColorScheme, background_name, distance, draw_palette, lab_of, mix
from posterkit.synthetic.places import City, Sea, Space
from posterkit.synthetic.plans import Plan, pick
from posterkit.synthetic.products import Product
from posterkit.synthetic.scenery import Mountains, Sky
from posterkit.synthetic.title_text import TitleText, set_text

SCENES: dict[str, Any] = {
    "sky": Sky(), "mountains": Mountains(), "city": City(), "sea": Sea(), "space": Space(), "geometric": Geometric(),
    "aurora": Aurora(), "music": Music(), "botanical": Botanical(),
}  # fmt: skip
SUBJECTS: dict[str, Any] = {"mascot": Mascot(), "product": Product(), "food": Food()}
THEMES = (*SCENES, *SUBJECTS)
SUPERSAMPLE = 2


@dataclass(frozen=True)
class SyntheticPoster:
    """A poster's parameters; nothing here depends on the size it is drawn at."""

    theme: str  # one of `THEMES`
    plan: Plan  # the theme's own numbers, with `slots` for words
    palette: ColorScheme  # what is drawn outside the panel; its first colour is the background
    inner: ColorScheme  # what the picture is drawn with; equal to `palette` where there is no panel
    style: str  # one of `canvas.STYLES`
    layout: TitleLayout
    panel: str | None  # one of `PANELS`, or None for a picture to the edge
    backdrop: Plan | None  # what stands behind a subject; None for scenes
    pose: Pose
    lettering: TitleText | None
    mood: str


@dataclass(frozen=True)
class Rendering:
    """A poster's picture, uint8 `(H, W, 3)`, the boxes of its texts, and the box of its subject, in pixels."""

    image: np.ndarray
    texts: tuple[DrawnText, ...]
    subject: tuple[int, int, int, int]


def draw_poster(rng: Random, **fixed: Any) -> SyntheticPoster:
    """Draw a poster's parameters.

    Args:
        fixed: any of the parameters given beforehand; also `text` (whether it has a title), `words` (how many the
            title has), `aspect` (width / height that the arrangement has to suit) and `shapes` (so many a theme).
    """
    theme = fixed.get("theme") or pick(rng, THEMES)
    palette: ColorScheme = fixed.get("palette") or draw_palette(rng)
    style = fixed.get("style") or STYLES[int(rng.random() * 1.6 * len(STYLES)) % len(STYLES)]
    panel = fixed["panel"] if "panel" in fixed else (pick(rng, PANELS) if rng.random() < 0.3 else None)
    layout = fixed.get("layout") or _draw_layout(rng, theme, panel, fixed.get("aspect", 1.0))
    inner = fixed.get("inner") or palette
    if panel and not fixed.get("inner"):
        pool = [c for c in palette.accents if distance(c, palette.bg) > 24] or list(palette.accents)
        inner = palette.with_background(pick(rng, pool))
    text = fixed.get("text", rng.random() < 0.67)
    shapes = fixed.get("shapes")

    def few(kind: str) -> Random:
        return Random(f"{kind} {int(rng.random() * shapes)}") if shapes else rng

    plan = fixed.get("plan") or (SCENES.get(theme) or SUBJECTS[theme]).plan(few(theme), inner)
    backdrop = plan_backdrop(few("backdrop"), inner, plan) if theme in SUBJECTS else None
    pose = draw_pose(few("pose"))
    pose = replace(pose, light=0.0, turn=pose.turn * 0.4)
    lettering = _draw_lettering(rng, theme) if text else None
    if lettering and layout.name in ("left", "right"):  # a narrow column takes short words only
        while max(len(word) for word in lettering.title.split()) > 5:
            lettering = replace(lettering, title=captions.draw_title(rng, pick(rng, THEMES)))
    if lettering and fixed.get("words"):
        while len(lettering.title.split()) != fixed["words"]:
            lettering = replace(lettering, title=captions.draw_title(rng, theme))
    mood = _mood(rng, palette, theme, style)
    return SyntheticPoster(theme, plan, palette, inner, style, layout, panel, backdrop, pose, lettering, mood)


def _draw_layout(rng: Random, theme: str, panel: str | None, aspect: float) -> TitleLayout:
    while True:
        # half of all posters are centred: that is how most posters are
        layout = LAYOUTS[int(rng.random() * (2 if rng.random() < 0.35 else len(LAYOUTS)))]
        if layout.name == "middle" and not (theme in CALM and panel in (None, "inset")):
            continue
        if layout.name in ("left", "right") and aspect < 0.9 and rng.random() < 0.6:
            continue  # a tall poster has little room for a column
        if layout.name in ("top", "bottom") and aspect > 1.2 and rng.random() < 0.4:
            continue
        return layout


def _draw_lettering(rng: Random, theme: str) -> TitleText:
    subtitle = pick(rng, captions.SUBTITLES) if rng.random() < 0.45 else None
    # fonts are chosen out of 64 steps, so that few sizes of few fonts fill the cache
    font, small_font = int(rng.random() * 64) / 64, int(rng.random() * 64) / 64
    return TitleText(captions.draw_title(rng, theme), subtitle, font, small_font, int(rng.random() * 6))


def _mood(rng: Random, palette: ColorScheme, theme: str, style: str) -> str:
    """A mood that the colours and the theme bear out."""
    light, a, b = lab_of(palette.bg)
    chroma = math.hypot(a, b)
    fit = ["dark"] if light < 30 else ["bright"] if light > 75 else []
    fit += ["warm"] if b > 18 and a > -5 else ["cool"] if b < -12 else []
    fit += ["bold"] if chroma > 55 else ["elegant", "calm"] if chroma < 16 else []
    fit += {"mascot": ["playful"], "food": ["fresh", "playful"], "aurora": ["dreamy"], "botanical": ["fresh"],
            "sky": ["calm", "dreamy"], "sea": ["fresh", "calm"], "product": ["elegant"],
            "music": ["bold"]}.get(theme, [])  # fmt: skip
    return pick(rng, fit) if fit else "bold"


def render(poster: SyntheticPoster, size: tuple[int, int], colors: Sequence[RGB] | None = None) -> Rendering:
    """Draw a poster at a size in pixels (width, height), arranged for that shape."""
    (width, height), factor = size, SUPERSAMPLE
    canvas = Canvas(width * factor, height * factor, poster.palette.bg, poster.style, poster.palette.ink)
    if poster.panel:
        area = panel_area(poster.panel, poster.layout, canvas.w, canvas.h)
        box = (round(area[0]), round(area[1]), round(area[2]), round(area[3]))
        window = Canvas(box[2] - box[0], box[3] - box[1], poster.inner.bg, poster.style, poster.inner.ink)
        window.s, window.line = max(window.s, canvas.s * 0.6), canvas.line
        x0, y0, x1, y1 = title_area(poster.layout, canvas.w, canvas.h)
        window.quiet = (x0 - box[0], y0 - box[1], x1 - box[0], y1 - box[1])
        inside = _window_subject(poster, canvas, window, box)
        _draw_art(window, poster, inside)
        canvas.image.paste(window.image, box[:2], _window_mask(poster.panel, window))
        subject = (inside[0] + box[0], inside[1] + box[1], inside[2] + box[0], inside[3] + box[1])
    else:
        subject = subject_area(poster.layout, canvas.w, canvas.h)
        canvas.quiet = title_area(poster.layout, canvas.w, canvas.h)
        _draw_art(canvas, poster, subject)
    texts: list[DrawnText] = []
    if poster.lettering:
        area = title_area(poster.layout, canvas.w, canvas.h)
        if poster.panel == "inset":
            pad = 0.035 * canvas.s
            down = pad if area[1] + area[3] < canvas.h else -pad  # off the picture's edge, as high as before
            area = (area[0] + pad, area[1] + down, area[2] - pad, area[3] + down)
        texts = set_text(canvas, poster.lettering, area, poster.layout.align, poster.palette, factor, colors)
    x, y, r = _square(subject)
    box = int((x - r) / factor), int((y - r) / factor), int((x + r) / factor), int((y + r) / factor)
    return Rendering(canvas.finish(factor), tuple(texts), box)


def _square(area: Sequence[float]) -> tuple[float, float, float]:
    return (area[0] + area[2]) / 2, (area[1] + area[3]) / 2, min(area[2] - area[0], area[3] - area[1]) / 2


def _window_subject(poster: SyntheticPoster, canvas: Canvas, window: Canvas, box: Sequence[int]) -> Rect:
    """The subject's area inside a panel, in the panel's pixels."""
    if poster.panel == "inset" or poster.layout.name == "middle":
        x0, y0, x1, y1 = subject_area(poster.layout, canvas.w, canvas.h)
        pad = 0.03 * canvas.s
        return x0 - box[0] + pad, y0 - box[1] + pad, x1 - box[0] - pad, y1 - box[1] - pad
    pad = (0.16 if poster.panel == "circle" else 0.09) * min(window.w, window.h)
    return pad, pad, window.w - pad, window.h - pad


def _window_mask(panel: str, window: Canvas) -> Image.Image:
    mask = Image.new("L", window.image.size, 0)
    draw = ImageDraw.Draw(mask)
    w, h = window.w - 1, window.h - 1
    if panel == "circle":
        draw.ellipse((0, 0, w, h), fill=255)
    elif panel == "arch":
        draw.ellipse((0, 0, w, w), fill=255)
        draw.rectangle((0, w // 2, w, h), fill=255)
    else:
        draw.rounded_rectangle((0, 0, w, h), radius=window.s * 0.03, fill=255)
    return mask


def _draw_art(canvas: Canvas, poster: SyntheticPoster, area: Sequence[float]) -> None:
    x, y, r = _square(area)
    if poster.theme in SCENES:
        SCENES[poster.theme].draw(canvas, poster.plan, poster.inner, x, y, r)
        return
    assert poster.backdrop is not None
    kind = poster.backdrop["kind"]
    draw_backdrop(canvas, poster.backdrop, poster.inner, x, y, r)
    size = r * (0.74 if kind in ("disc", "rays", "arch") else 0.72 if kind == "plinth" else 0.88)
    if kind not in ("disc", "rays", "confetti"):
        foot = y + r * (0.56 if kind == "plinth" else 0.86)
        shadow = mix(poster.inner.ink, poster.inner.bg, 0.15)
        canvas.glow(x, foot, r * 0.85, r * 0.16, shadow, 0.75)
        y = foot - size * 0.94
    subject = SUBJECTS[poster.theme]
    turn = poster.pose.turn if kind in ("disc", "rays", "confetti") or poster.theme == "mascot" else 0.0
    subject.draw(canvas, poster.plan, Axes(x, y, size, turn, poster.pose.flip), poster.pose)


def motif_area(poster: SyntheticPoster, size: tuple[int, int]) -> Rect:
    """The subject's area in pixels, or that of the panel that it stands in."""
    if poster.panel == "inset" or not poster.panel:
        return subject_area(poster.layout, *size)
    return panel_area(poster.panel, poster.layout, *size)


def content_of(rng: Random, poster: SyntheticPoster, colors: bool = True) -> str:
    """What a poster shows, in words."""
    backdrop = poster.backdrop["slots"] if poster.backdrop else None
    return captions.content(rng, poster.theme, poster.plan["slots"], backdrop, colors)


def clause_of(rng: Random, poster: SyntheticPoster, place: bool = True) -> str:
    """A poster's title and its place, in words."""
    title, small = (poster.lettering.title, bool(poster.lettering.subtitle)) if poster.lettering else (None, False)
    return captions.title_clause(rng, title, small, poster.layout.where, place)


def draw_art(rng: Random, size: tuple[int, int]) -> tuple[np.ndarray, str, str]:
    """A picture without a text, uint8 `(H, W, 3)`; what it shows, in words; its theme."""
    poster = draw_poster(rng, aspect=size[0] / size[1], text=False)
    image = render(poster, size).image
    shown = content_of(rng, poster)
    return image, f"{shown[:1].upper()}{shown[1:]}, {background_name(image)} background.", poster.theme


def caption_of(rng: Random, poster: SyntheticPoster, size: tuple[int, int], background: str) -> str:
    """A sentence or three that are true of the rendered poster."""
    return captions.compose(
        rng, "poster", content=content_of(rng, poster), style=pick(rng, captions.STYLE_WORDS[poster.style]),
        place=place_words(motif_area(poster, size), *size), bg=background, mood=poster.mood,
        title=clause_of(rng, poster),
        panel=" " + captions.PANEL_PHRASES[poster.panel] if poster.panel else "",
    )  # fmt: skip
