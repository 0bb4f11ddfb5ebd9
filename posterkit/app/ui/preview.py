"""What the stage shows: the plan of a poster before it is drawn, and finished posters, as HTML."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass, replace
from html import escape

from PIL import Image, ImageDraw

from posterkit.generate.draw import PreparedPoster
from posterkit.generate.maker import PosterMaker
from posterkit.generate.obstacles import find_subject
from posterkit.generate.poster_plan import PosterPlan
from posterkit.layout import Box
from posterkit.messages import caught_warnings
from posterkit.sizing import Size
from posterkit.typeset.poster import typeset
from posterkit.typeset.texts import type_options

_LONGEST = 1216  # pixels of a preview's longer side
_PAPER, _HATCH = (239, 236, 229), (214, 208, 196)  # where nothing is drawn yet
_STEP = 22  # pixels between two hatches


@dataclass(frozen=True)
class StageView:
    """A picture on the stage.

    Attributes:
        boxes: where things stand, by their role.
        before: what the poster was made from.
    """

    image: Image.Image
    title: str
    boxes: Sequence[tuple[str, Box]] = ()
    before: Image.Image | None = None


def plan_view(plan: PosterPlan, maker: PosterMaker) -> tuple[StageView, list[str]]:
    """A poster before it is drawn: its draft or its photograph in its place, its texts set, and notes.

    Raises:
        ValueError: a picture cannot be read.
    """
    scale = min(1.0, _LONGEST / max(plan.finished))
    size = Size(*(max(16, round(side * scale)) for side in plan.finished))
    prepared = maker.prepare([plan])[0] if plan.request.images else None
    if isinstance(prepared, ValueError):
        raise prepared
    ground = _ground(plan, prepared, size)
    boxes = [("photo", Box(*(side * scale for side in plan.box)))] if plan.box else []
    if plan.brief is None:
        return StageView(ground, "The plan", boxes, ground), []
    sheet = plan.request.sheet and replace(plan.request.sheet, dpi=max(1, round(plan.request.sheet.dpi * scale)))
    trim = sheet.trim(size) if sheet else size
    options = type_options(plan.request.lettering, plan.row["texts"], plan.brief.texts, trim)
    options |= {"sheet": sheet} if sheet else {}
    with caught_warnings() as notes:
        placed = options.get("plan") or options.get("boxes")
        poster = typeset(ground, plan.brief, avoid=[] if placed else find_subject(ground), **options)
    boxes += [(thing.role, thing.box) for thing in poster.layout.things]
    boxes += [(text.role, text.button or text.box) for text in poster.boxes]
    return StageView(poster.image.convert("RGB"), "The plan", boxes, ground), notes


def _ground(plan: PosterPlan, prepared: PreparedPoster | None, size: Size) -> Image.Image:
    """What the texts of a plan stand on, as far as it is known."""
    if prepared is not None and prepared.canvas is not None and prepared.region is not None:
        ground = prepared.canvas.resize(size)
        ground.paste(hatched(size), mask=prepared.region.resize(size))
    elif plan.draft is not None and not plan.preserve:
        drawing = plan.draft.picture(plan.request, plan.native)
        ground = drawing.resize(size, Image.Resampling.BICUBIC)
    else:
        ground = hatched(size)
    for layer in (prepared.shadows, prepared.things) if prepared else ():
        if layer is not None:
            ground = Image.alpha_composite(ground.convert("RGBA"), layer.resize(size))
    return ground.convert("RGB")


def hatched(size: Size) -> Image.Image:
    """Paper with hatches: here the model will draw."""
    paper = Image.new("RGB", size, _PAPER)
    pen = ImageDraw.Draw(paper)
    for x in range(-size.height, size.width, _STEP):
        pen.line((x, size.height, x + size.height, 0), _HATCH)
    return paper


def stage_html(view: StageView | None, how: str = "poster") -> str:
    """The stage with a picture: alone, with its boxes ("layout"), or beside what it was made from ("compare")."""
    if view is None:
        return _EMPTY
    image = shown(view.image)
    width, height = image.size
    picture = f'<img src="{data_url(image)}" alt="{escape(view.title)}" width="{width}" height="{height}">'
    if how == "compare" and view.before is not None:
        before = data_url(view.before.convert("RGB").resize(image.size))
        picture = (
            f'<div class="pk-compare"><img src="{before}" alt="Before" width="{width}" height="{height}">'
            f'<div class="pk-after">{picture}</div><input type="range" min="0" max="100" value="50" '
            'aria-label="Before and after: how much of the poster is seen" '
            "oninput=\"this.parentNode.style.setProperty('--cut', this.value + '%')\"></div>"
        )
    elif how == "layout":
        picture += _boxes_svg(view.boxes, view.image.size)
    shape = "wide" if width > height else "tall"
    return f'<figure class="pk-figure pk-{shape}" style="--shape: {width / height:.4f}">{picture}</figure>'


def _boxes_svg(boxes: Sequence[tuple[str, Box]], size: tuple[int, int]) -> str:
    letter = 0.034 * min(size)
    lines = []
    for role, box in boxes:
        y = max(box.y0 - 1.5 * letter, 0)
        lines.append(
            f'<rect x="{box.x0:.0f}" y="{box.y0:.0f}" width="{box.width:.0f}" height="{box.height:.0f}" '
            f'stroke-width="{0.16 * letter:.1f}"/><rect class="pk-tag" x="{box.x0:.0f}" y="{y:.0f}" '
            f'width="{(0.6 * len(role) + 0.8) * letter:.0f}" height="{1.5 * letter:.0f}"/>'
            f'<text x="{box.x0 + 0.4 * letter:.0f}" y="{y + 1.08 * letter:.0f}" font-size="{letter:.1f}">'
            f"{escape(role)}</text>"
        )
    return (
        f'<svg class="pk-boxes" viewBox="0 0 {size[0]} {size[1]}" role="img" '
        f'aria-label="The layout: {escape(", ".join(role for role, _ in boxes))}">{"".join(lines)}</svg>'
    )


def shown(image: Image.Image) -> Image.Image:
    """The picture at a size for the screen, RGB."""
    image = image.convert("RGB")
    image.thumbnail((_LONGEST, _LONGEST), reducing_gap=2)
    return image


def data_url(image: Image.Image) -> str:
    """A picture as an address that holds it."""
    file = io.BytesIO()
    image.save(file, "JPEG", quality=88)
    return f"data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode()}"


def status_html(words: str, done: int = 0, total: int = 0, notes: Sequence[str] = ()) -> str:
    """A line on what goes on, with a bar where steps are known, and notes under it."""
    bar = f'<progress max="{total}" value="{done}" aria-label="Denoising steps"></progress>' if total else ""
    said = "".join(f"<li>{escape(note)}</li>" for note in notes)
    listed = f"<ul>{said}</ul>" if said else ""
    return f'<div class="pk-status" role="status"><p>{escape(words)}</p>{bar}{listed}</div>'


def error_html(line: str) -> str:
    """What went wrong, in one line."""
    return f'<div class="pk-status pk-error" role="alert"><p>{escape(line)}</p></div>'


_EMPTY = (
    '<figure class="pk-figure pk-empty" style="--shape: 0.684"><p>Say what the poster shows, and its title. '
    "Its plan appears here while you write.</p></figure>"
)
