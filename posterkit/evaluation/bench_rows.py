"""The rows of PosterOmni-Bench and of PosterCraft's evaluation in their published make-up, as seeds and rules.

    for row in posteromni_rows(1020, seed=0):
        request = row.request()  # draws the references

Neither set was published. PosterOmni-Bench has 1,020 instructions, 540 Chinese and 480 English, uniform over six
themes and six tasks, with one reference or several; PosterCraft has 100 prompts balanced by length. Here prompts
follow from word lists, and references are drawn, so that a row is the same everywhere and nothing is stored.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from random import Random

import numpy as np
from PIL import Image, ImageDraw

from posterkit.datagen.prompts import LANGUAGES, THEMES, PosterPrompt, PosterPrompts
from posterkit.prompts.expansion import expand
from posterkit.schema import PosterRequest
from posterkit.sizing import Size
from posterkit.synthetic import draw_poster, render
from posterkit.synthetic.samples import draw_portrait
from posterkit.tasks import TASKS, TEXT

SIZE = Size(832, 1216)
MAKE_UP = {"zh": 540, "en": 480}  # of PosterOmni-Bench
LENGTHS = ("short", "medium", "long")
CRAFT, OMNI = "postercraft", "posteromni"
PUBLISHED_ROWS = {CRAFT: 100, OMNI: sum(MAKE_UP.values())}
_DRAWN = {  # what a reference of a theme shows, of what can be drawn
    "products": ("product",), "food": ("food",), "events_travel": ("city", "sea", "music"),
    "nature": ("botanical", "mountains", "sky"), "education": ("space", "geometric"),
    "entertainment": ("mascot", "music"),
}  # fmt: skip
# the user's words for tasks whose references say the rest, by language
_SAID = {
    "extending": ("A poster about {theme}. {texts}", "一张{theme}主题海报。{texts}"),
    "filling": ("Complete the picture for a poster about {theme}.", "补全画面，用于{theme}主题海报。"),
    "rescaling": ("Keep the picture, the style and every text.", "保留画面、风格和全部文字。"),
    "id_driven": ("{composition}, in {light}, for a poster about {theme}. {texts}",
                  "{composition}，{light}，用于{theme}主题海报。{texts}"),
    "style_driven": ("A poster about {theme} that shows {entity}. {texts}",
                     "一张{theme}主题海报，画面主体是{entity}。{texts}"),
}  # fmt: skip
_TEXTS = ('Title "{}", below it "{}".', "标题“{}”，下方小字“{}”。")


@dataclass(frozen=True)
class BenchRow:
    """One row of a bench."""

    id: str  # the same for the same seed and number; a finished poster is the file of this name
    group: str  # what a figure is a mean over: a task, or a prompt's length
    theme: str
    language: str  # "en" or "zh"
    request: Callable[[], PosterRequest]  # makes the request, with its references


def bench_rows(name: str, count: int, seed: int, size: Size) -> list[BenchRow]:
    """The first rows of a bench, `OMNI` or `CRAFT`.

    Raises:
        ValueError: there are not as many.
    """
    if not 1 <= count <= PUBLISHED_ROWS[name]:
        raise ValueError(f"bench {name} has {PUBLISHED_ROWS[name]} rows, asked for {count}")
    return (posteromni_rows if name == OMNI else postercraft_rows)(count, seed, size)


def as_typed(request: PosterRequest) -> PosterRequest:
    """A row's request as somebody types it: what a poster bears that is to be rearranged is not typed again."""
    return replace(request, texts=None) if request.task == "rescaling" else request


def postercraft_rows(count: int, seed: int = 0, size: Size = SIZE) -> list[BenchRow]:
    """English prompts, the lengths in turn: the subject and its texts, a prompt in prose, one enriched by rules."""
    prompts, rows = PosterPrompts(seed, ("en",), heldout=0), []
    for number in range(count):
        prompt, length = prompts[number], LENGTHS[number % len(LENGTHS)]
        words = {
            "short": f"A poster of {prompt.entity}. {_TEXTS[0].format(*prompt.texts)}",
            "medium": prompt.prompt,
            "long": f"{expand(prompt.prompt).prompt} Light: {prompt.light}. Every letter is crisp, the margins are "
                    "even, and the main subject keeps clear of the texts, which stand on calm ground.",
        }[length]  # fmt: skip
        name = f"craft{seed}-{number:04d}"
        rows.append(BenchRow(name, length, prompt.theme, "en", _text_request(name, words, prompt, size)))
    return rows


def posteromni_rows(count: int, seed: int = 0, size: Size = SIZE) -> list[BenchRow]:
    """Instructions with references; languages, tasks and themes are as even in every beginning as they can be."""
    order = sorted(((number + 0.5) / most, language, number) for language, most in MAKE_UP.items()
                   for number in range(most))  # fmt: skip
    prompts = {language: PosterPrompts(seed, (language,), heldout=0) for language in MAKE_UP}
    tasks, themes, rows = [*TASKS], [*THEMES], []
    for _, language, number in order[:count]:
        # every task with every theme once in thirty-six rows
        task, theme = tasks[number % 6], themes[(number + number // 6) % 6]
        prompt = prompts[language][number // 6 * 6 + themes.index(theme)]
        name = f"omni{seed}-{language}-{number:04d}"
        rows.append(BenchRow(name, task, theme, language, _task_request(name, task, prompt, seed, number, size)))
    return rows


def _text_request(name: str, words: str, prompt: PosterPrompt, size: Size) -> Callable[[], PosterRequest]:
    return lambda: PosterRequest(words, task=TEXT, texts=prompt.texts, size=size, id=name, seed=_seed(name))


def _task_request(
    name: str, task: str, prompt: PosterPrompt, seed: int, number: int, size: Size
) -> Callable[[], PosterRequest]:
    column = LANGUAGES.index(prompt.language)
    said = {"texts": _TEXTS[column].format(*prompt.texts), "theme": THEMES[prompt.theme][column]}
    for part in ("entity", "composition", "light"):
        said[part] = getattr(prompt, part)
    words = _SAID[task][column].format(**said) if task in _SAID else prompt.prompt

    def request() -> PosterRequest:
        rng = Random(f"{seed} bench {task} {prompt.language} {number}")
        images, mask, texts = _REFERENCES[task](rng, rng.choice(_DRAWN[prompt.theme]), size)
        shown = texts if task in ("rescaling", "filling") else prompt.texts
        new = Size(size.height, size.width) if task == "rescaling" else size
        return PosterRequest(words, task=task, texts=shown, images=images, mask=mask, size=new, id=name,
                             seed=_seed(name))  # fmt: skip

    return request


_References = tuple[list[np.ndarray], np.ndarray | None, tuple[str, ...]]


def _photo(rng: Random, theme: str, size: Size) -> _References:
    """A picture without lettering, of another shape than the poster's."""
    shape = Size(size.width, rng.choice((size.width, size.width * 3 // 4)) // 16 * 16)
    return [render(draw_poster(rng, theme=theme, aspect=shape.aspect, text=False), shape).image], None, ()


def _holed(rng: Random, theme: str, size: Size) -> _References:
    """A picture without lettering, and a rectangle or an ellipse that is to be filled."""
    picture = render(draw_poster(rng, theme=theme, aspect=size.aspect, text=False), size).image
    mask = Image.new("L", size, 0)
    wide, high = (round(side * rng.uniform(0.3, 0.5)) for side in size)
    x, y = rng.randint(0, size.width - wide), rng.randint(0, size.height - high)
    draw = ImageDraw.Draw(mask)
    (draw.ellipse if rng.random() < 0.5 else draw.rectangle)((x, y, x + wide, y + high), fill=255)
    return [picture], np.asarray(mask), ()


def _poster(rng: Random, theme: str, size: Size) -> _References:
    """A finished poster with its texts."""
    drawn = render(draw_poster(rng, theme=theme, aspect=size.aspect, text=True), size)
    return [drawn.image], None, tuple(text.text for text in drawn.texts)


def _subjects(rng: Random, theme: str, size: Size) -> _References:
    """One subject by itself, in one to four pictures; other themes take a mascot or a product."""
    theme = theme if theme in ("product", "food", "mascot") else rng.choice(("mascot", "product"))
    poster = draw_poster(rng, theme=theme, aspect=size.aspect, text=False)
    side = min(size) // 16 * 16
    count = rng.choice((1, 1, 2, 3, 4))
    return [draw_portrait(rng, poster, Size(side, side)) for _ in range(count)], None, ()


_REFERENCES: dict[str, Callable[[Random, str, Size], _References]] = {
    "extending": _photo, "filling": _holed, "rescaling": _poster, "id_driven": _subjects, "layout_driven": _poster,
    "style_driven": _poster,
}  # fmt: skip


def _seed(name: str) -> int:
    return Random(f"{name} drawing").randrange(2**31)
