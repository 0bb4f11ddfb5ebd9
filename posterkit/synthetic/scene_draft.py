"""Drafts: a text-free picture of what a request asks for, drawn at any size, for a model to paint over.

    picture = draft(PosterRequest("a lighthouse at night", texts=["NORTH LIGHT"], size=(832, 1216), seed=1))
    craft(prompt="a lighthouse at night", image=picture, strength=0.3)

The prompt is read as a scene (`posterkit.prompts.scene`); of many drawn plans the one that fits it best is rendered.
The subject stands clear of where a title goes.
"""

from __future__ import annotations

from dataclasses import replace
from random import Random
from typing import Any

from PIL import Image

from posterkit.prompts import COLORS, quoted_texts, without_texts
from posterkit.prompts.scene import Scene, read_scene
from posterkit.schema import PosterRequest
from posterkit.sizing import Size
from posterkit.synthetic.contents import PANELS, STYLES, SUBJECTS, Contents, read_contents
from posterkit.synthetic.layouts import LAYOUTS, WIDE, Rect, TitleLayout
from posterkit.synthetic.palettes import NAMES, ColorScheme, distance, draw_palette
from posterkit.synthetic.synthetic_poster import SyntheticPoster, draw_poster, motif_area, render

SIZE = Size(832, 1216)
_TRIES = 600
_NEUTRALS = ((214, 210, 204), (150, 148, 150), (62, 60, 66))
_STYLE = {word: style for style, word in STYLES.items()}
_THEME = {subject: theme for theme, names in SUBJECTS.items() for subject in names}
NO_TITLE = (0.0, 0.0, 0.0, 0.0)
# where the subject stands on a poster without a title
FREE: dict[str, Rect] = {
    "center": (0.1, 0.1, 0.9, 0.9), "left": (0.04, 0.1, 0.66, 0.9), "right": (0.34, 0.1, 0.96, 0.9),
    "top": (0.1, 0.05, 0.9, 0.72), "bottom": (0.1, 0.28, 0.9, 0.95),
}  # fmt: skip
# beside a title at the top, or at the bottom for a subject at the top
SIDES = {"left": (0.04, 0.29, 0.66, 0.95), "right": (0.34, 0.29, 0.96, 0.95)}


def draft(
    request: PosterRequest,
    size: Size | None = None,
    *,
    palette: ColorScheme | None = None,
    style: str | None = None,
    layout: TitleLayout | None = None,
) -> Image.Image:
    """A picture of a request without any lettering, RGB.

    Args:
        request: its prompt says what is drawn, in any words; its seed, which drawing it is.
        size: of the picture in pixels; None takes the request's, else 832x1216.
        palette, style, layout: of a reference, in place of what the prompt says of colours, style and places.
    """
    asked = size or request.size or SIZE
    wanted = Size(asked.width or SIZE.width, asked.height or SIZE.height)
    words = request.expanded or request.prompt
    scene = read_scene(without_texts(words))
    lettered = bool(request.texts or quoted_texts(words))
    if palette is not None:
        scene = replace(scene, background=None, color=None)
    scene = replace(scene, style=style or scene.style)
    plan = plan_scene(scene, wanted, request.seed or 0, lettered, palette=palette, layout=layout)
    return Image.fromarray(render(plan, wanted).image)


def plan_scene(
    scene: Scene,
    size: Size,
    seed: int = 0,
    lettered: bool = True,
    palette: ColorScheme | None = None,
    layout: TitleLayout | None = None,
) -> SyntheticPoster:
    """The parameters of a poster that shows a scene: of many drawn ones the first that fits it best.

    Args:
        size: its shape decides where things stand.
        lettered: room is left for a title.
        palette, layout: used as they are.
    """
    rng = Random(f"draft {seed}")
    layout = layout or _layout(rng, scene, lettered, size.aspect > WIDE)
    best_fit = 100.0 + 10 * (scene.color is not None) + sum(3 + (tone is not None) for tone, _ in scene.details)
    best: tuple[float, SyntheticPoster] | None = None
    for _ in range(_TRIES):
        colors = palette or _palette(rng, scene)
        fixed = {"theme": _THEME[scene.subject], "palette": colors, "layout": layout, "text": False}
        fixed |= _panel(rng, scene, colors)
        if scene.style:
            fixed["style"] = _STYLE[scene.style]
        poster = draw_poster(rng, aspect=size.aspect, **fixed)
        shown = read_contents(poster, motif_area(poster, size), size, scene.background or "")
        score = _fit(scene, shown)
        if best is None or score > best[0]:
            best = score, poster
        if score == best_fit:
            break
    assert best is not None
    return best[1]


def _layout(rng: Random, scene: Scene, lettered: bool, wide: bool) -> TitleLayout:
    if not lettered:
        return TitleLayout("draft", NO_TITLE, "center", FREE[scene.place or "center"], "")
    if wide and scene.place in (None, "left", "right"):  # above and below a title there is little room
        name = "right" if scene.place == "left" else "left"
        return next(layout for layout in LAYOUTS if layout.name == name)
    names = {"top": ("bottom",), "bottom": ("top",), None: ("top", "bottom"), "center": ("top", "bottom")}
    name = rng.choice(names.get(scene.place, ("top",)))
    layout = next(layout for layout in LAYOUTS if layout.name == name)
    return replace(layout, subject=SIDES.get(scene.place or "", layout.subject))


def _panel(rng: Random, scene: Scene, palette: ColorScheme) -> dict[str, Any]:
    """The panel that the scene stands in, with its ground."""
    for kind, noun in PANELS.items():
        for tone in (tone for tone, word in scene.details if word == noun):
            return {"panel": kind, "inner": palette.with_background(draw_palette(rng, tone).bg) if tone else None}
    return {"panel": None}


def _palette(rng: Random, scene: Scene) -> ColorScheme:
    """A palette on the scene's background, with the colours that the scene names among its accents."""
    palette = draw_palette(rng, scene.background or NAMES[int(rng.random() * len(NAMES))])
    named = [scene.color, *(tone for tone, _ in scene.details)]
    colors = [COLORS[name] for name in dict.fromkeys(named) if name and distance(COLORS[name], palette.bg) > 16]
    kept = [color for color in palette.accents if all(distance(color, own) > 20 for own in colors)]
    if colors and rng.random() < 0.3:
        kept = list(_NEUTRALS)  # food takes the most vivid accent: the named colour is it
    accents = [*colors, *kept][: max(4, len(colors) + 1)]
    if colors and rng.random() < 0.7:  # which part takes which accent is the theme's own affair: try them all
        rng.shuffle(accents)
    return ColorScheme(palette.bg, tuple(accents))


def _fit(scene: Scene, shown: Contents) -> float:
    """How much of a scene a plan shows; the subject counts most, then its colour."""
    if shown.subject != scene.subject:
        return 0.0
    found = 100.0 + 10 * (scene.color is not None and shown.color == scene.color)
    drawn = {noun: tone for tone, noun in (*shown.details, *shown.setting)}
    for tone, noun in scene.details:
        found += 3 * (noun in drawn) + (tone is not None and drawn.get(noun) == tone)
    return found
