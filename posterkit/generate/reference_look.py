"""What a draft takes from a reference: its colours and style, its arrangement, or all that it shows."""

# pyright: standard
from __future__ import annotations

import warnings
from dataclasses import replace
from typing import Any

import numpy as np
from PIL import Image

from posterkit.generate.reshape import continued, window_of
from posterkit.metrics.appearance import drawing_style
from posterkit.metrics.color import border_color, lab_to_srgb, palette
from posterkit.metrics.ocr import TextReader
from posterkit.pipelines.segmenters import open_segmenter
from posterkit.prompts import quoted_texts
from posterkit.schema import PosterRequest
from posterkit.sizing import Size
from posterkit.synthetic.layouts import Rect, TitleLayout
from posterkit.synthetic.palettes import RGB, ColorScheme, distance

_APART = 16.0  # Lab units between a background and an accent
_READ = 0.6  # confidence of a line that counts as lettering
_TALLEST = 0.3  # of the poster's height that a line of lettering takes
_COARSE = 3.0  # times; a reference that is enlarged further has no detail left
_SMALLEST = 0.35  # of the poster's sides that a subject takes


def look_of(request: PosterRequest) -> dict[str, Any]:
    """What `posterkit.synthetic.scene_draft.draft` takes from the request's reference; nothing where it has none."""
    if request.task == "style_driven":
        picture = request.references[0]
        return {"palette": color_scheme(picture), "style": drawing_style(picture)}
    if request.task == "layout_driven":
        layout = arrangement(request.pictures()[0])
        lettered = bool(request.texts or quoted_texts(request.expanded or request.prompt))
        if lettered and not any(layout.title):  # the reference bears no lettering, and the poster will
            layout = _with_title(layout)
        return {"layout": layout}
    return {}


def color_scheme(picture: np.ndarray) -> ColorScheme:
    """The colour of a picture's border, and the main ones of the rest, the largest first; uint8 `(H, W, 3)`."""
    main = (lab_to_srgb(palette(picture, 7).colors) * 255).round().astype(int).tolist()
    ground = _rgb(lab_to_srgb(border_color(picture)) * 255)
    accents = [color for color in map(_rgb, main) if distance(color, ground) > _APART]
    return ColorScheme(ground, tuple(accents[:5]) or (_rgb([255 - value for value in ground]),))


def arrangement(picture: Image.Image) -> TitleLayout:
    """Where lettering and the subject of a poster stand."""
    texts = _lettering(picture)
    title = _shares(_around(texts), picture) if texts else (0.0, 0.0, 0.0, 0.0)
    found = open_segmenter("rules")(picture, texts)
    subject = _seen(_shares(found[0].box, picture)) if found else _beside(title)
    return TitleLayout("reference", title, "center", subject, "")


def rescaled(picture: Image.Image, size: Size) -> Image.Image:
    """A poster in another format: empty ground is cut, edges go on; what it shows and says stays whole."""
    texts = _lettering(picture)
    blocks = [*texts, *(subject.box for subject in open_segmenter("rules")(picture, texts))]
    part = picture.crop(window_of(picture.size, size.aspect, blocks or [(0, 0, *picture.size)]))
    scale = min(size.width / part.width, size.height / part.height)
    if scale > _COARSE:
        found = f"the reference is {Size(*picture.size)} and is drawn {scale:.1f} times as large"
        warnings.warn(f"{found}: it will look soft; give a larger one", stacklevel=2)
    inside = (min(size.width, round(part.width * scale)), min(size.height, round(part.height * scale)))
    return continued(part.resize(inside, Image.Resampling.LANCZOS), size)


def _lettering(picture: Image.Image) -> list[tuple[int, int, int, int]]:
    return [
        (round(x0), round(y0), round(x1), round(y1))
        for text, (x0, y0, x1, y1), score in TextReader()(np.asarray(picture))
        if score >= _READ and sum(map(str.isalpha, text)) > 1 and y1 - y0 < _TALLEST * picture.height
    ]


def _seen(box: Rect) -> Rect:
    """A box of at least `_SMALLEST` of both sides, about the same middle as far as the poster reaches."""
    spans = []
    for low, high in ((box[0], box[2]), (box[1], box[3])):
        side = max(_SMALLEST, high - low)
        start = min(max(0.03, (low + high - side) / 2), 0.97 - side)
        spans.append((start, start + side))
    return spans[0][0], spans[1][0], spans[0][1], spans[1][1]


def _rgb(values: Any) -> RGB:
    red, green, blue = (round(float(value)) for value in values)
    return red, green, blue


def _around(boxes: list[tuple[int, int, int, int]]) -> tuple[int, int, int, int]:
    left, top, right, bottom = zip(*boxes, strict=True)
    return min(left), min(top), max(right), max(bottom)


def _shares(box: tuple[int, int, int, int], picture: Image.Image) -> Rect:
    width, height = picture.size
    return box[0] / width, box[1] / height, box[2] / width, box[3] / height


def _with_title(layout: TitleLayout) -> TitleLayout:
    """A layout without lettering, with room for a title above or below its subject, which gives way to it."""
    title, (x0, y0, x1, y1) = _beside(layout.subject), layout.subject
    below = title[1] + title[3] > y0 + y1
    subject = (x0, y0, x1, min(y1, title[1] - 0.02)) if below else (x0, max(y0, title[3] + 0.02), x1, y1)
    return replace(layout, title=title, subject=subject)


def _beside(block: Rect) -> Rect:
    """The larger part above or below a block."""
    above, below = block[1], 1 - block[3]
    return (0.1, 0.07, 0.9, max(0.3, above - 0.04)) if above > below else (0.1, min(0.7, block[3] + 0.04), 0.9, 0.93)
