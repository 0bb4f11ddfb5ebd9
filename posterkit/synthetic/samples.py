"""Draws one sample of a task: input pictures, target poster, instruction and caption."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from random import Random
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from posterkit.schema import PosterSample, Region
from posterkit.sizing import Size, fit_area
from posterkit.synthetic import captions
from posterkit.synthetic.canvas import Axes, Canvas, curve, draw_pose
from posterkit.synthetic.contents import draw_left_out, read_contents, short_caption
from posterkit.synthetic.layouts import panel_area, title_area
from posterkit.synthetic.palettes import NEUTRALS, background_name, distance, draw_palette, mix
from posterkit.synthetic.plans import pick
from posterkit.synthetic.synthetic_poster import (
    SUBJECTS,
    SUPERSAMPLE,
    THEMES,
    Rendering,
    SyntheticPoster,
    caption_of,
    clause_of,
    content_of,
    draw_poster,
    motif_area,
    render,
)
from posterkit.tasks import TASKS

ASPECTS = (2 / 3, 3 / 2, 1.0, 0.54, 0.75)


@dataclass(frozen=True)
class Request:
    """Random numbers, the target's size and the references' area in pixels.

    Without `lettering` no picture bears a text; `short` captions are those of `contents.py`; `shapes` are as in
    `SyntheticPosters`.
    """

    rng: Random
    size: Size
    reference_area: int
    lettering: bool = True
    short: bool = False
    shapes: int | None = None

    @property
    def fixed(self) -> dict[str, Any]:
        """What `draw_poster` takes for it."""
        return {"shapes": self.shapes} | ({} if self.lettering else {"text": False})


@dataclass
class Draft:
    """A poster, its rendering, and what the task adds to it."""

    poster: SyntheticPoster
    target: Rendering
    words: str | None = None
    references: list[np.ndarray] | None = None
    mask: np.ndarray | None = None
    placed: tuple[int, int, int, int] | None = None


def build(task: str, request: Request, name: str, split: str) -> PosterSample:
    """One sample of a task."""
    draft = BUILDERS[task](request)
    poster, target, rng = draft.poster, draft.target, request.rng
    background = background_name(target.image)
    caption = caption_of(rng, poster, request.size, background)
    shows = read_contents(poster, motif_area(poster, request.size), request.size, background)
    words = caption if task == "text" else draft.words
    if request.short:
        left_out = draw_left_out(rng) if split == "train" else set()
        caption = short_caption(shows, left_out)
        words = None if words is None else short_caption(shows, left_out | _FROM_REFERENCE.get(task, set()))
    instruction = caption if task == "text" else TASKS[task].instruction(words)
    roles = ("major", "minor")
    return PosterSample(
        id=name, task=task, target=target.image, references=draft.references or [], mask=draft.mask,
        regions=[Region(text.box, roles[min(n, 1)], text.text) for n, text in enumerate(target.texts) if text.box],
        texts=list(target.texts), caption=caption, instruction=instruction, words=words, theme=poster.theme,
        split=split, background=background, palette=poster.palette.colors, style=poster.style,
        layout=poster.layout.name, subject=target.subject, placed=draft.placed,
        shows={} if request.lettering else shows.labels,
    )  # fmt: skip


# what a short caption must not say, since a reference shows it
_FROM_REFERENCE = {
    "id_driven": {"color", "details"},
    "layout_driven": {"place"},
    "style_driven": {"colors", "background", "style"},
}


def text(request: Request) -> Draft:
    """A poster from words alone."""
    poster = draw_poster(request.rng, aspect=request.size.aspect, **request.fixed)
    return Draft(poster, render(poster, request.size))


def extending(request: Request) -> Draft:
    """Reference 0 is a rectangle of the target, a quarter to three fifths of it, around the subject."""
    rng, draft = request.rng, text(request)
    width, height = request.size
    share = rng.uniform(0.25, 0.6)
    stretch = math.exp(rng.uniform(-0.35, 0.35))
    w = min(0.96, math.sqrt(share) * stretch)
    h = min(0.96, share / w)
    w = min(0.96, share / h)
    cols, rows = max(16, round(w * width)), max(16, round(h * height))
    x0, y0, x1, y1 = draft.target.subject
    x = (x0 + x1 - cols) / 2 + rng.uniform(-0.12, 0.12) * width
    y = (y0 + y1 - rows) / 2 + rng.uniform(-0.12, 0.12) * height
    left, top = (round(min(max(0, v), room)) for v, room in ((x, width - cols), (y, height - rows)))
    box = (left, top, left + cols, top + rows)
    mask = np.full((height, width), 255, np.uint8)
    mask[top : top + rows, left : left + cols] = 0
    photo = draft.target.image[top : top + rows, left : left + cols].copy()
    return replace(draft, words=_short(rng, draft), references=[photo], mask=mask, placed=box)


def filling(request: Request) -> Draft:
    """Reference 0 is the target; rectangles, ellipses or blobs of 8 to 35 % of it are masked."""
    rng, draft = request.rng, text(request)
    mask = _holes(rng, request.size)
    words = _short(rng, draft)
    return replace(draft, words=words, references=[draft.target.image.copy()], mask=mask, placed=(0, 0, *request.size))


def _holes(rng: Random, size: Size) -> np.ndarray:
    width, height = size
    while True:
        mask = Image.new("L", size, 0)
        draw = ImageDraw.Draw(mask)
        share, count, kind = rng.uniform(0.1, 0.32), 1 + int(rng.random() * 3), int(rng.random() * 3)
        for _ in range(count):
            area = share / count * width * height * (1.0 if kind == 0 else 1.27)
            stretch = math.exp(rng.uniform(-0.45, 0.45))
            w, h = min(width * 0.95, math.sqrt(area) * stretch), min(height * 0.95, math.sqrt(area) / stretch)
            x, y = rng.uniform(0, width - w), rng.uniform(0, height - h)
            if kind == 0:
                draw.rectangle((x, y, x + w - 1, y + h - 1), fill=255)
            elif kind == 1:
                draw.ellipse((x, y, x + w, y + h), fill=255)
            else:
                phases = [rng.uniform(0, 6.3) for _ in range(3)]
                t = np.linspace(0, 2 * math.pi, 40, endpoint=False)
                r = 1 + 0.14 * sum(np.sin((k + 2) * t + p) / (k + 1) for k, p in enumerate(phases))
                points = curve(x + w / 2 * (1 + r * np.cos(t)), y + h / 2 * (1 + r * np.sin(t)))
                draw.polygon(points.ravel().tolist(), fill=255)
        made = np.asarray(mask)
        if 0.08 <= np.count_nonzero(made) / made.size <= 0.35:
            return made


def _short(rng: Random, draft: Draft) -> str | None:
    if rng.random() < 0.5:
        return None
    background = background_name(draft.target.image)
    return captions.compose(rng, "short", content=content_of(rng, draft.poster), bg=background)


def rescaling(request: Request) -> Draft:
    """Reference 0 is the same poster arranged for another aspect ratio."""
    rng, draft = request.rng, text(request)
    others = [a for a in ASPECTS if abs(math.log(a / request.size.aspect)) > 0.25]
    size = _reference_size(request, pick(rng, others))
    reference = render(draft.poster, size, colors=[text.color for text in draft.target.texts if text.color])
    return replace(draft, words=_short(rng, draft), references=[reference.image])


def _reference_size(request: Request, aspect: float) -> Size:
    return fit_area((round(1000 * aspect), 1000), request.reference_area)


def id_driven(request: Request) -> Draft:
    """One to four pictures of a subject by itself; the target shows it in a scene, in another pose."""
    rng = request.rng
    theme = ("mascot", "mascot", "product", "food")[int(rng.random() * 4)]
    poster = draw_poster(rng, theme=theme, aspect=request.size.aspect, **request.fixed)
    target = render(poster, request.size)
    count = 1 + int(4 * rng.random() ** 1.5)
    # of one shape, as a batch must be: four references of any shape would make hundreds of geometries
    aspect = (2 / 3, 1.0, 1.0, 1.5)[int(rng.random() * 4)]
    references = [draw_portrait(rng, poster, _reference_size(request, aspect)) for _ in range(count)]
    kind = poster.plan["slots"]["kind"]
    if theme == "food":
        kind = captions.FOOD_NAMES[kind].removeprefix("an ").removeprefix("a ")
    assert poster.backdrop is not None
    words = captions.compose(
        rng, "subject", kind=kind, backdrop=captions.backdrop_words(rng, poster.backdrop["slots"]),
        bg=background_name(target.image), title=clause_of(rng, poster),
    )  # fmt: skip
    return Draft(poster, target, words, references)


def draw_portrait(rng: Random, poster: SyntheticPoster, size: Size) -> np.ndarray:
    """A poster's subject by itself on a plain ground, `(H, W, 3)` uint8, in a pose of its own."""
    body = next(v for k, v in poster.plan.items() if k in ("body", "main"))
    pool = [q for q in (*NEUTRALS, poster.palette.bg) if distance(q, body) > 25]
    ground = pick(rng, pool)
    c = Canvas(size.width * SUPERSAMPLE, size.height * SUPERSAMPLE, ground, poster.style, poster.inner.ink)
    if rng.random() < 0.6:
        c.vertical(mix(ground, (255, 255, 255), 0.25), mix(ground, (30, 28, 36), 0.1))
    r = min(c.w, c.h) * rng.uniform(0.34, 0.44)
    x, y = c.w / 2 + rng.uniform(-0.06, 0.06) * c.w, c.h / 2 + rng.uniform(-0.02, 0.05) * c.h
    c.glow(x, y + r * 0.95, r * 0.95, r * 0.2, mix(ground, (24, 22, 30), 0.5), 0.7)
    pose = draw_pose(rng)
    SUBJECTS[poster.theme].draw(c, poster.plan, Axes(x, y, r, pose.turn, pose.flip), pose)
    return c.finish(SUPERSAMPLE)


def layout_driven(request: Request) -> Draft:
    """Reference 0 has the target's arrangement and another theme, palette and text, or is its wireframe."""
    rng, draft = request.rng, text(request)
    poster = draft.poster
    size = _reference_size(request, request.size.aspect)
    if rng.random() < 0.5:
        reference = _wireframe(poster, size)
    else:
        barred = (poster.theme, *(("city", "mountains") if poster.layout.name == "middle" else ()))
        while (other := pick(rng, THEMES)) in barred:
            pass
        while distance((palette := draw_palette(rng)).bg, poster.palette.bg) < 25:
            pass
        words = len(poster.lettering.title.split()) if poster.lettering else None
        twin = draw_poster(rng, theme=other, palette=palette, layout=poster.layout, panel=poster.panel,
                           text=poster.lettering is not None, words=words, shapes=request.shapes)  # fmt: skip
        if twin.lettering and poster.lettering and bool(twin.lettering.subtitle) != bool(poster.lettering.subtitle):
            subtitle = pick(rng, captions.SUBTITLES) if poster.lettering.subtitle else None
            twin = replace(twin, lettering=replace(twin.lettering, subtitle=subtitle))
        reference = render(twin, size).image
    words = captions.compose(rng, "brief", content=content_of(rng, poster),
                             bg=background_name(draft.target.image),
                             title=clause_of(rng, poster, place=False))  # fmt: skip
    return replace(draft, words=words, references=[reference])


def _wireframe(poster: SyntheticPoster, size: Size) -> np.ndarray:
    """Gray blocks on white: the panel or the subject's square, and the lines of text."""
    rendering = render(poster, size)
    image = Image.new("RGB", size, (252, 252, 252))
    draw = ImageDraw.Draw(image)
    radius = max(2, round(0.02 * math.sqrt(size.area)))
    if poster.panel:
        area = panel_area(poster.panel, poster.layout, *size)
        shade = (222, 222, 222)
        if poster.panel == "circle":
            draw.ellipse(area, fill=shade)
        elif poster.panel == "arch":
            draw.rounded_rectangle(area, (area[2] - area[0]) / 2, shade, corners=(True, True, False, False))
        else:
            draw.rectangle(area, fill=shade)
    draw.rounded_rectangle(rendering.subject, radius=radius, fill=(176, 176, 176))
    for n, text in enumerate(rendering.texts):
        if text.box:
            draw.rectangle(text.box, fill=(96, 96, 96) if n == 0 else (140, 140, 140))
    if not rendering.texts:
        draw.rectangle(title_area(poster.layout, *size), outline=(140, 140, 140), width=2)
    return np.asarray(image)


def style_driven(request: Request) -> Draft:
    """Reference 0 has the target's palette and graphic style, and another content and arrangement."""
    rng, draft = request.rng, text(request)
    poster = draft.poster
    while (other := pick(rng, THEMES)) == poster.theme:
        pass
    twin = draw_poster(rng, theme=other, palette=poster.palette, style=poster.style, panel=poster.panel,
                       text=rng.random() < 0.67 and request.lettering, shapes=request.shapes)  # fmt: skip
    if twin.lettering and poster.lettering:
        lettering = replace(twin.lettering, font=poster.lettering.font, small_font=poster.lettering.small_font)
        twin = replace(twin, lettering=lettering)
    if poster.panel:
        twin = replace(twin, inner=poster.inner) if twin.inner.bg == poster.inner.bg else draw_poster(
            rng, theme=other, palette=poster.palette, inner=poster.inner, style=poster.style, panel=poster.panel,
            **request.fixed,
        )  # fmt: skip
    reference = render(twin, _reference_size(request, pick(rng, ASPECTS)))
    content = content_of(rng, poster, colors=False)
    words = captions.compose(rng, "colorless", content=content, title=clause_of(rng, poster))
    return replace(draft, words=words, references=[reference.image])


BUILDERS: dict[str, Callable[[Request], Draft]] = {
    builder.__name__: builder
    for builder in (text, extending, filling, rescaling, id_driven, layout_driven, style_driven)
}
