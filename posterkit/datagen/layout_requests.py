"""Layout requests with drawn pictures and true subjects: planners are compared on them, exemplars drawn from them."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from random import Random

from PIL import Image

from posterkit.image_io import read_image
from posterkit.layout import Box, ElementRequest, LayoutRequest
from posterkit.layout.conversion import convert
from posterkit.synthetic.captions import draw_title
from posterkit.synthetic.synthetic_poster import THEMES, content_of, draw_poster, render

SIZES = ((832, 1216), (1024, 1024), (1216, 832), (720, 1280))
_SUBTITLES = (
    "An evening by the river", "Works on paper and glass", "Stories, songs and supper", "The summer collection",
    "Made by hand since 1984", "A film by Ada Hill", "Music from four continents", "Fresh every morning",
)  # fmt: skip
_DETAILS = (
    "Friday 12 June, 8 pm", "Harbour Hall, Pier 4", "1 March to 30 May", "Open daily 10 to 6", "Doors at seven",
    "Every Saturday, 9 to 1", "From 12.50", "Old Town Square", "For ages 8 to 14", "20 July to 2 August",
    "With live music until late", "Bring your own cup and a friend; the first round is on the house",
)  # fmt: skip
_CALLS = ("Book now", "Free entry", "Get tickets", "Register today", "Order online", "www.example.org")
_CHINESE = (
    ("音乐节", "深海", "春日市集", "城市之光", "茶与书", "山海之间", "星空电影院", "手作市集"),
    ("城市公园的夏夜", "海洋纪录片展映", "面包、鲜花与奶酪", "当代纸上艺术展"),
    ("7月18日 晚上8点", "港口大厅四号码头", "每周六上午九点", "三月一日至五月三十日", "适合八至十四岁", "门票五十元"),
    ("立即购票", "免费入场", "扫码报名", "马上预订"),
)


@dataclass(frozen=True)
class DrawnRequest:
    """A request and what is known of its picture."""

    request: LayoutRequest
    subject: Box | None  # its true box, in pixels; None where nobody knows
    language: str  # "en" or "zh"


def draw_request(
    seed: int, split: str = "heldout", size: tuple[int, int] | None = None, scale: float = 1.0
) -> DrawnRequest:
    """A request of 2 to 8 elements in one of four shapes, half of them in Chinese; the same for the same seed.

    Args:
        split: "train" (exemplars, planners that learn) or "heldout" (evaluations); they share no picture.
        size: of the canvas, in place of the four.
        scale: the picture's sides as parts of the canvas's.
    """
    rng = Random(f"layout request {split} {seed}")
    size = size or SIZES[seed % len(SIZES)]
    language = ("en", "zh")[seed // len(SIZES) % 2]
    theme = rng.choice(THEMES)
    poster = draw_poster(rng, theme=theme, aspect=size[0] / size[1], text=False)
    rendering = render(poster, (round(scale * size[0]), round(scale * size[1])))
    count = 2 + seed // (2 * len(SIZES)) % 7
    titles, subtitles, details, calls = _words(rng, theme, language)
    logos = int(count > 3 and rng.random() < 0.4)
    has_call = int(count - logos > 2 and rng.random() < 0.7)
    has_subtitle = int(count - logos - has_call > 1)
    bodies = count - 1 - logos - has_call - has_subtitle
    texts = [titles, *subtitles[:has_subtitle], *details[:bodies], *calls[:has_call]]
    roles = ["title", *["subtitle"] * has_subtitle, *["body"] * bodies, *["cta"] * has_call]
    things = [ElementRequest("logo", aspect=rng.choice((1.0, 2.0, 3.0)))] * logos
    picture = Image.fromarray(rendering.image)
    request = LayoutRequest.of_texts(
        size, texts, roles, things, picture=picture, description=content_of(rng, poster), seed=seed
    )
    return DrawnRequest(request, Box(*rendering.subject).scaled(1 / scale, 1 / scale), language)


def requests_of(folder: Path, kind: str, count: int) -> list[DrawnRequest]:
    """Requests from the layouts of a copy of PKU PosterLayout or CGL: their elements, and texts that would fit.

    A layout whose picture lies in the folder has it. The sets have no texts, so words of about the box's length stand
    in for them.

    Args:
        kind: as of `posterkit.layout.conversion.convert`.

    Raises:
        ValueError: the folder holds no such layouts.
        OSError: a picture cannot be read.
    """
    pictures = {path.name: path for path in folder.rglob("*") if path.suffix.lower() in (".png", ".jpg", ".jpeg")}
    found = []
    for number, exemplar in enumerate(islice(convert(folder, kind), count)):
        rng, layout = Random(f"{kind} {number}"), exemplar.layout
        elements = []
        for one in layout:
            lines = max(1.0, one.box.height / (0.05 * layout.height))
            length = 1.8 * one.box.width * lines**2 / one.box.height
            text = words_in(rng, "en", min(120.0, max(3.0, length))) if one.is_text else ""
            elements.append(ElementRequest(one.role, text))
        path = pictures.get(Path(exemplar.id).name)
        picture = read_image(path).resize(layout.size) if path else None
        request = LayoutRequest(*layout.size, tuple(elements), description=exemplar.caption, picture=picture)
        found.append(DrawnRequest(request, None, "en"))
    return found


def words_in(rng: Random, language: str, length: float) -> str:
    """Words of this module's texts in any order, about so many characters, at least one word."""
    said = " ".join((*_SUBTITLES, *_DETAILS)) if language == "en" else "".join((*_CHINESE[1], *_CHINESE[2]))
    parts = said.split() if language == "en" else [said[at : at + 2] for at in range(0, len(said) - 1, 2)]
    found, blank = rng.choice(parts), " " if language == "en" else ""
    while len(found) < length - 2:
        found += blank + rng.choice(parts)
    return found.strip()


def _words(rng: Random, theme: str, language: str) -> tuple[str, list[str], list[str], list[str]]:
    if language == "zh":
        titles, subtitles, details, calls = _CHINESE
        return rng.choice(titles), rng.sample(subtitles, 1), rng.sample(details, 6), rng.sample(calls, 1)
    return draw_title(rng, theme), rng.sample(_SUBTITLES, 1), rng.sample(_DETAILS, 7), rng.sample(_CALLS, 1)
