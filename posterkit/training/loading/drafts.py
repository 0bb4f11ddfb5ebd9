"""Reflections from synthetic posters: a poster, the same poster with something wrong, and what to change in it.

The flaw is drawn; the feedback is that of the rules critic (`posterkit.critic.rules`), given the texts on both, so
that a model learns the words of this critic.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from random import Random

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter

from posterkit.critic import Suggestions
from posterkit.critic.rules import as_suggestions, remedies
from posterkit.datagen.weakening import letters_of, text_error
from posterkit.datasets.sample_files import Row, encoded
from posterkit.metrics.appearance import Appearance
from posterkit.metrics.text_regions import DetectedText
from posterkit.synthetic import title_words
from posterkit.synthetic.captions import draw_title
from posterkit.synthetic.layouts import CALM, LAYOUTS
from posterkit.synthetic.palettes import background_name, draw_palette
from posterkit.synthetic.synthetic_poster import (
    THEMES,
    Rendering,
    SyntheticPoster,
    caption_of,
    content_of,
    draw_poster,
    render,
)
from posterkit.synthetic.title_text import TitleText
from posterkit.training.loading.sets import SetConfig

Size = tuple[int, int]
Redrawn = Callable[[Random, SyntheticPoster], SyntheticPoster | None]
Weakened = Callable[[Random, Image.Image, SyntheticPoster], Image.Image]

_BOTH = 0.3  # of the drafts are redrawn and weakened
_WEAKENED = 0.35  # are weakened only
_SAME = 0.1  # of a measure of appearance; a smaller difference does not count, to the critic too
_LETTERS = letters_of(title_words())


@dataclass(frozen=True)
class Drafted:
    """A draft and its target, uint8 `(H, W, 3)` of one size, the prompt of both, and what to change."""

    id: str
    split: str
    theme: str
    prompt: str
    draft: np.ndarray
    target: np.ndarray
    said: Suggestions
    flaws: tuple[str, ...]  # what is wrong with the draft, names of `REDRAWN` and `WEAKENED`


@dataclass(frozen=True)
class DraftsOfPosters:
    """Reflections by number, the same on every machine; those from `count` on are held out."""

    config: SetConfig

    def __getitem__(self, number: int) -> Drafted:
        rng = Random(f"{self.config.seed} reflection {number}")
        split = "train" if number < self.config.count else "heldout"
        width, height = rng.choice(self.config.sizes)
        while True:  # a flaw that the critic does not name is drawn again, on another poster
            made = draw_reflection(rng, (width, height), f"reflection-{number:08d}", split)
            if made is not None:
                return made


def draw_reflection(rng: Random, size: Size, name: str, split: str) -> Drafted | None:
    """A poster, a draft of it, and what the critic would change; None where it would not name the flaw."""
    poster = draw_poster(rng, aspect=size[0] / size[1])
    target = render(poster, size)
    prompt = caption_of(rng, poster, size, background_name(target.image))
    kind = rng.random()
    redrawn = rng.choice(tuple(REDRAWN)) if kind >= _WEAKENED else None
    weakened = rng.choice(tuple(WEAKENED)) if kind < _WEAKENED + _BOTH else None
    draft, other = target, poster
    if redrawn:
        other = REDRAWN[redrawn][0](rng, poster)
        if other is None:
            return None
        draft = render(other, size)
    if weakened:
        draft = replace(draft, image=np.asarray(WEAKENED[weakened][0](rng, Image.fromarray(draft.image), other)))
    content, style = orders(draft, target, prompt)
    if redrawn == "subject":  # the critic does not see what a picture shows
        content.insert(0, f"show {content_of(rng, poster)}")
    flaws = tuple(flaw for flaw in (redrawn, weakened) if flaw)
    said = as_suggestions(_looks(draft), content, style)
    if not all(re.search((REDRAWN | WEAKENED)[flaw][1], f"{said.content} {said.style}") for flaw in flaws):
        return None
    return Drafted(name, split, poster.theme, prompt, draft.image, target.image, said, flaws)


def orders(draft: Rendering, target: Rendering, prompt: str) -> tuple[list[str], list[str]]:
    """The critic's remedies for a draft that its target does not need: of its content, of its style."""
    before, after = _looks(draft), _looks(target)
    wrong = remedies(before, prompt, _seen(draft), after.parts())
    left = remedies(after, prompt, _seen(target), {name: value + 2 * _SAME for name, value in before.parts().items()})
    heads = {_head(order) for kind in left for order in kind}
    content, style = ([order for order in kind if _head(order) not in heads] for kind in wrong)
    return content, style


def encode_drafted(made: Drafted) -> tuple[Row, dict[str, bytes]]:
    """A reflection as `data_tools/build_reflections.py` writes it: its row and its PNG files."""
    draft, target = f"{made.id}.draft.png", f"{made.id}.png"
    pictures = {draft: made.draft, target: made.target}
    files = {name: encoded(Image.fromarray(one), compress_level=1) for name, one in pictures.items()}
    row = {
        "id": made.id, "task": "text", "prompt": made.prompt, "instruction": made.prompt, "words": made.prompt,
        "theme": made.theme, "split": made.split, "source": "synthetic", "licence": "CC0-1.0", "draft": draft,
        "target": target, "content": made.said.content, "style": made.said.style, "flaws": list(made.flaws),
    }  # fmt: skip
    return row, files


def _seen(drawn: Rendering) -> list[DetectedText]:
    texts = [(text.text, text.box) for text in drawn.texts if text.box]
    return [DetectedText(text, box, "minor" if n else "major") for n, (text, box) in enumerate(texts)]


def _looks(drawn: Rendering) -> Appearance:
    return Appearance(Image.fromarray(drawn.image), _seen(drawn))


def _head(order: str) -> str:
    """An order without its measurements."""
    return order.split(";")[0]


def _on_another_background(rng: Random, poster: SyntheticPoster) -> SyntheticPoster:
    palette = replace(poster.palette, bg=draw_palette(rng).bg)
    return replace(poster, palette=palette, inner=poster.inner if poster.panel else palette)


def _arranged_otherwise(rng: Random, poster: SyntheticPoster) -> SyntheticPoster:
    return replace(
        poster, layout=rng.choice([one for one in LAYOUTS if one.name not in ("middle", poster.layout.name)])
    )


def _with_other_words(rng: Random, poster: SyntheticPoster) -> SyntheticPoster | None:
    """Misspelt or left out; some where there should be none."""
    if poster.lettering is None:
        lettering = TitleText(draw_title(rng, poster.theme), None, rng.random(), rng.random())
    elif rng.random() < 0.5:
        lettering = None
    else:
        wrong = text_error(rng, poster.lettering.title, _LETTERS)
        lettering = replace(poster.lettering, title=wrong[0]) if wrong else None
    return replace(poster, lettering=lettering)


def _of_another_subject(rng: Random, poster: SyntheticPoster) -> SyntheticPoster:
    themes = CALM if poster.layout.name == "middle" else THEMES
    other = draw_poster(
        rng, theme=rng.choice([theme for theme in themes if theme != poster.theme]), palette=poster.palette,
        inner=poster.inner, style=poster.style, layout=poster.layout, panel=poster.panel, text=False,
    )  # fmt: skip
    return replace(other, lettering=poster.lettering)


def _with_faint_texts(rng: Random, picture: Image.Image, poster: SyntheticPoster) -> Image.Image:
    bare = Image.fromarray(render(replace(poster, lettering=None), picture.size).image)
    return Image.blend(bare, picture, rng.uniform(0.15, 0.3))


def _cluttered(rng: Random, picture: Image.Image, poster: SyntheticPoster) -> Image.Image:
    made, (width, height) = picture.copy(), picture.size
    draw = ImageDraw.Draw(made)
    for _ in range(rng.randint(30, 50)):
        radius = rng.uniform(0.02, 0.05) * min(width, height)
        x, y = rng.uniform(0, width), rng.uniform(0, height)
        shape = draw.ellipse if rng.random() < 0.5 else draw.rectangle
        shape((x - radius, y - radius, x + radius, y + radius), fill=rng.choice(poster.palette.accents))
    return made


# flaws: who draws them, and the beginning of the critic's sentence about them
REDRAWN: dict[str, tuple[Redrawn, str]] = {
    "background": (_on_another_background, "Make the background"),
    "arrangement": (_arranged_otherwise, "Move .+ to the "),
    "words": (_with_other_words, "Spell|Add the missing|Remove the words"),
    "subject": (_of_another_subject, "Show"),
}
WEAKENED: dict[str, tuple[Weakened, str]] = {
    "blurred": (
        lambda rng, picture, _: picture.filter(ImageFilter.GaussianBlur(rng.uniform(0.012, 0.02) * min(picture.size))),
        "Draw edges crisply",
    ),
    "faded": (
        lambda rng, picture, _: ImageEnhance.Color(picture).enhance(rng.uniform(0, 0.3)),
        "Take stronger colours",
    ),
    "flat": (
        lambda rng, picture, _: ImageEnhance.Contrast(picture).enhance(rng.uniform(0.2, 0.4)),
        "Use a wider range",
    ),
    "faint texts": (_with_faint_texts, "Raise the contrast"),
    "cluttered": (_cluttered, "Reduce the clutter"),
}
