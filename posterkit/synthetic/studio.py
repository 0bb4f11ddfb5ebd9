"""A studio around things that are cut out: ground, backdrop and contact shadows, and where the things stand.

setup = studio_scene(read_scene("a cup on a teal background"), [cup], (832, 1216))
setup.picture()      # the ground with the cup on it
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random

import numpy as np
from PIL import Image, ImageChops, ImageFilter

from posterkit.prompts import COLORS
from posterkit.prompts.scene import Scene
from posterkit.schema import Box
from posterkit.synthetic.backdrops import BACKDROPS, draw_backdrop, plan_backdrop
from posterkit.synthetic.canvas import Canvas
from posterkit.synthetic.contents import STYLES
from posterkit.synthetic.layouts import LAYOUTS, WIDE, Rect, subject_area
from posterkit.synthetic.palettes import DESIGNED, RGB, ColorScheme, distance, draw_palette, mix

_LARGEST = 2.0  # times its own pixels; more would show them
_PHOTOGRAPHED = 256  # pixels; a thing with a longer side has detail enough to be enlarged further than that
_SOFT = 4.0  # times, for such a thing
_GAP = 0.05  # between two things, as a share of the area's width
_ALONE = ("plain", "floor", "floor", "plinth", "arch")  # behind a thing that stands on its ground
_FRAMED = ("plain", "disc", "rays", "hills")  # behind a photograph
_STYLE = {word: style for style, word in STYLES.items()}


@dataclass(frozen=True)
class Studio:
    """Layers of the poster's size."""

    ground: Image.Image  # mode RGB, without the things
    shadows: Image.Image  # that they throw on it, mode RGBA
    things: Image.Image  # at their places, mode RGBA
    enlarged: float = 1.0  # how many times their own pixels the things are, the most enlarged of them
    boxes: tuple[Box, ...] = ()  # of the things, in their order

    def picture(self) -> Image.Image:
        """The whole, mode RGB."""
        shaded = Image.alpha_composite(self.ground.convert("RGBA"), self.shadows)
        return Image.alpha_composite(shaded, self.things).convert("RGB")


def studio_scene(
    scene: Scene,
    things: Sequence[Image.Image],
    size: tuple[int, int],
    seed: int = 0,
    lettered: bool = True,
    framed: bool = False,
) -> Studio:
    """Draw a ground for things, and stand them on it side by side.

    Args:
        scene: its background, place, style and backdrop are taken; what it leaves open follows from the things.
        things: mode RGBA, cropped to what is seen of them.
        size: of the poster in pixels.
        lettered: room is left for a title.
        framed: the things are whole photographs: they hang before the ground instead of standing on it.
    """
    rng = Random(f"studio {seed}")
    beside = "left" if size[0] > WIDE * size[1] else "top"  # where the title of a wide poster stands, and of others
    name = {"left": "right", "right": "left", "top": "bottom"}.get(scene.place or "", beside if lettered else "middle")
    placed = _side_by_side(things, subject_area(next(layout for layout in LAYOUTS if layout.name == name), *size))
    whole, shadows = Image.new("RGBA", size), Image.new("RGBA", size)
    for thing, at in placed:
        whole.alpha_composite(thing, at)
    colors = _main_colors(whole)
    palette = _palette(rng, scene, colors)
    ground = _ground(rng, scene, palette, colors[0], whole.getbbox() or (0, 0, *size), size, framed)
    ink = mix(palette.ink, palette.bg, 0.1)
    for thing, at in placed:
        for mask in (_hung if framed else _stood)(size, thing, at):
            shadow = Image.new("RGBA", size, ink)
            shadow.putalpha(mask)
            shadows.alpha_composite(shadow)
    enlarged = max(thing.height / own.height for (thing, _), own in zip(placed, things, strict=True))
    boxes = tuple((x, y, x + thing.width, y + thing.height) for thing, (x, y) in placed)
    return Studio(ground, shadows, whole, enlarged, boxes)


def _side_by_side(things: Sequence[Image.Image], area: Rect) -> list[tuple[Image.Image, tuple[int, int]]]:
    """Things of one height beside each other, their feet on one line at the lower edge of the area."""
    x0, y0, x1, y1 = area
    gaps = _GAP * (x1 - x0) * (len(things) - 1)
    shapes = [thing.width / thing.height for thing in things]
    # how high a thing may stand before it shows its pixels, or looks soft
    tallest = [(_SOFT if max(thing.size) > _PHOTOGRAPHED else _LARGEST) * thing.height for thing in things]
    height = min((x1 - x0 - gaps) / sum(shapes), 0.94 * (y1 - y0), *tallest)
    x = (x0 + x1 - gaps - height * sum(shapes)) / 2
    # a small one stands lower than centred
    foot = min(y1 - 0.03 * (y1 - y0), (y0 + y1 + height) / 2 + 0.1 * (y1 - y0))
    placed = []
    for thing, shape in zip(things, shapes, strict=True):
        own = (max(1, round(height * shape)), max(1, round(height)))
        scaled = thing if thing.size == own else thing.resize(own, Image.Resampling.LANCZOS)
        placed.append((scaled, (round(x), round(foot - height))))
        x += height * shape + _GAP * (x1 - x0)
    return placed


def _main_colors(things: Image.Image) -> list[RGB]:
    """The mean colour of what is opaque, then its most frequent ones."""
    pixels = np.asarray(things.resize((64, 64), Image.Resampling.BOX))
    opaque = pixels[pixels[..., 3] > 200][:, :3]
    if not len(opaque):
        return [(128, 128, 128)]
    few = Image.fromarray(opaque[None]).quantize(5, Image.Quantize.MEDIANCUT).convert("RGB")
    counted = sorted(few.getcolors() or (), reverse=True)
    return [tuple(opaque.mean(0).round().astype(int).tolist()), *(color for _, color in counted)]  # type: ignore[list-item]


def _palette(rng: Random, scene: Scene, colors: Sequence[RGB]) -> ColorScheme:
    """A palette on the scene's background, or on one of the four that the things stand out from most."""
    name = scene.background
    if name is None:
        kept = {name: min(distance(COLORS[name], color) for color in colors) for name in DESIGNED if name != "gray"}
        name = rng.choice(sorted(kept, key=lambda one: kept[one])[-4:])
    return draw_palette(rng, name)


def _ground(
    rng: Random, scene: Scene, palette: ColorScheme, body: RGB, box: Box, size: tuple[int, int], framed: bool
) -> Image.Image:
    named = tuple(noun for _, noun in scene.details if noun in BACKDROPS)
    plan = plan_backdrop(rng, palette, {"body": body}, named[:1] or (_FRAMED if framed else _ALONE))
    canvas = Canvas(2 * size[0], 2 * size[1], palette.bg, _STYLE.get(scene.style or "", "gradient"), palette.ink)
    x0, y0, x1, y1 = (2 * side for side in box)
    canvas.quiet = (0, 0, canvas.w, y0) if y0 > canvas.h / 4 else None
    if framed:
        x, y, r = (x0 + x1) / 2, (y0 + y1) / 2, 0.62 * max(x1 - x0, y1 - y0)
    else:
        r = max(0.58 * (y1 - y0), 0.66 * (x1 - x0))
        # a thing stands in the middle of a plinth's top and well inside a floor
        x, y = (x0 + x1) / 2, y1 - r * (0.62 if plan["kind"] == "plinth" else 0.8)
    draw_backdrop(canvas, plan, palette, x, y, r)
    return Image.fromarray(canvas.finish(2))


def _stood(size: tuple[int, int], thing: Image.Image, at: tuple[int, int]) -> Iterator[Image.Image]:
    """The contact shadow of a thing, mode L: where its outline comes down to the foot it is darkest."""
    alpha = np.asarray(thing.getchannel("A")) > 127
    rows = np.where(alpha.any(0), alpha.shape[0] - alpha[::-1].argmax(0), 0)  # the lowest opaque row of each column
    touching = np.flatnonzero(rows > alpha.shape[0] - 0.05 * max(alpha.shape))
    if not len(touching):
        return
    left, right = at[0] + int(touching[0]), at[0] + int(touching[-1]) + 1
    foot, wide = at[1] + int(rows.max()), thing.width
    left, right = min(left, at[0] + int(0.3 * wide)), max(right, at[0] + int(0.7 * wide))
    for spread, height, dark in ((0.08, 0.1, 0.35), (0.015, 0.035, 0.6)):
        grown, half = int(spread * wide), max(2, int(height * wide))
        mask = Image.new("L", size, 0)
        ellipse = Image.new("L", (right - left + 2 * grown, half), 0)
        ellipse.paste(255, (0, 0), Image.radial_gradient("L").resize(ellipse.size).point([255] * 181 + [0] * 75))
        mask.paste(ellipse, (left - grown, foot - int(0.62 * half)))
        mask = mask.filter(ImageFilter.GaussianBlur(max(1.0, half / 3)))
        yield mask.point(lambda v, d=dark: v * d)


def _hung(size: tuple[int, int], thing: Image.Image, at: tuple[int, int]) -> Iterator[Image.Image]:
    """The soft shadow of a photograph on the ground behind it, mode L."""
    mask = Image.new("L", size, 0)
    mask.paste(thing.getchannel("A"), at)
    reach = max(4, min(thing.size) // 30)
    mask = ImageChops.offset(mask, 0, reach // 2).filter(ImageFilter.GaussianBlur(reach))
    yield mask.point(lambda v: v * 0.5)
