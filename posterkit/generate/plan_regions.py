"""A plan as prompts for parts of the picture: what steers a model that draws from noise."""

from __future__ import annotations

from posterkit.layout import Box, Layout
from posterkit.prompts import without_texts
from posterkit.prompts.scene import read_scene

Shares = tuple[float, float, float, float]  # x0, y0, x1, y1 as shares of width and height

CALM = "a plain, even, empty area, soft and uncluttered, without text"
MOST = 8  # regions that a pipeline takes; said again here, since its own file loads torch


def plan_regions(plan: Layout, prompt: str, language: str | None) -> tuple[tuple[Shares, str], ...]:
    """The regions of a plan: the subject's with the prompt, and one to be kept calm for every group of texts.

    Args:
        plan: on the whole picture.
        prompt: the user's words; quoted texts do not count.
        language: of the checkpoint's prompts, see `posterkit.pipelines.loading.card_prompts`.
    """
    words, calm = without_texts(prompt), CALM
    if language == "scene":
        scene = read_scene(words)
        words, calm = scene.caption(), f"{scene.background} background flat" if scene.background else "flat"
    groups: dict[int, list[Box]] = {}
    for one in plan.texts:
        groups.setdefault(one.group, []).append(one.box)
    subject = [one.box for one in plan if one.role == "subject"][:1]
    found = [(box, words) for box in subject if words.strip()]
    found += [(_around(boxes).grown(plan.margin / 2), calm) for boxes in groups.values()]
    shares = ((_shares(box, plan.size), said) for box, said in found)
    return tuple((box, said) for box, said in shares if box[0] < box[2] and box[1] < box[3])[:MOST]


def _around(boxes: list[Box]) -> Box:
    left, top, right, bottom = zip(*boxes, strict=True)
    return Box(min(left), min(top), max(right), max(bottom))


def _shares(box: Box, size: tuple[int, int]) -> Shares:
    x0, y0, x1, y1 = (min(1.0, max(0.0, side / of)) for side, of in zip(box, size * 2, strict=True))
    return x0, y0, x1, y1
