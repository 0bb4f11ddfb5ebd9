"""From placed texts to pixels: colours, underlays, buttons and rules, and the contrast that came out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image, ImageDraw

from posterkit.layout import Box, Layout, Obstacle
from posterkit.typeset.contrast import (
    LARGE,
    MINIMUM,
    Color,
    Ink,
    brand_ink,
    choose_ink,
    contrast,
    palette_word,
    panel,
    parse_color,
    sample,
    signal_color,
    underlay,
)
from posterkit.typeset.placed_text import PlacedText, Underlay
from posterkit.typeset.raster import draw, tinted

_TRIAL = 1_500_000  # pixels on which the strength of an underlay is tried out
_PLANNED = 0.86  # strength of an underlay that a plan asks for
_SOLID = 0.94  # strength of an underlay that hides what texts had to be set on
_Rules = list[tuple[Box, Color]]


@dataclass(frozen=True)
class InkedGroup:
    """Texts that stand together and share an ink: the areas behind them, each with its colour and least contrast."""

    ink: Ink
    areas: tuple[tuple[Box, Color, float], ...]
    hides: bool

    def short(self, ground: Image.Image, thin: float) -> bool:
        """Whether a text of it does not read on `ground`, the picture reduced by `thin`."""
        return any(
            contrast(color, sample(ground, Box(*(side / thin for side in box)))) < least + 0.1
            for box, color, least in self.areas
        )

    def layer(self, size: tuple[int, int], thin: float, strength: float) -> tuple[np.ndarray, Color]:
        boxes = [Box(*(side / thin for side in box)) for box, _, _ in self.areas]
        return (panel if self.hides else underlay)(size, boxes, strength), self.ink.tint


def painted(
    picture: Image.Image,
    placed: Sequence[PlacedText],
    layout: Layout,
    wishes: Sequence[str],
    brand: Sequence[str],
    avoid: Sequence[Obstacle],
) -> tuple[Image.Image, Image.Image, list[PlacedText], _Rules, list[Underlay]]:
    """Choose colours and underlays, draw everything, and measure the contrast that came out.

    Args:
        wishes: colours that are taken where they read.
        brand: colours that are taken whatever the picture: of the title, the other texts, the button.
        avoid: what the texts should not cover; a group that does gets a solid underlay.

    Returns:
        The poster, the background alone, the texts with their colours, the rules with theirs, and the underlays of
        the background: coverage as mode L, and colour.
    """
    if not placed:
        return picture.copy(), picture, [], [], []
    named = [word for word in wishes if parse_color(word) is not None]
    planned = _planned_underlays(picture, layout, named)
    laid = [(np.asarray(mask, np.float32)[..., None] / 255, color) for mask, color in planned]
    ground = tinted(picture, laid) if laid else picture
    groups = _groups(ground, placed, named, [palette_word(word) for word in brand], avoid)
    background, underlays = with_underlays(ground, list(groups.values()))
    underlays = [*planned, *underlays]
    canvas = background.copy()
    last = groups[max(groups)].ink
    button = next(iter((*brand[2:3], *brand[:1])), None)
    signal = parse_color(button) if button else _signal(placed, last, background, picture, named)
    rules: _Rules = []
    for rule in layout.rules:
        x0, y0, wide, high = (round(side) for side in (rule.x0, rule.y0, max(1, rule.width), max(1, rule.height)))
        bar = rule.width < 0.2 * picture.width and rule.height < rule.width
        box, color = Box(x0, y0, x0 + wide, y0 + high), signal if bar and signal else last.text
        rules.append((box, color))
        canvas.paste(color, box.pixels(canvas.size))
    finished = [_colored(item, groups[item.group].ink, background, signal) for item in placed]
    for item in finished:
        draw(canvas, item)
    return canvas, background, finished, rules, underlays


def covered_by(placed: Sequence[PlacedText], avoid: Sequence[Obstacle]) -> str:
    """What of the picture the texts lie on, in words; empty where they lie on nothing of it."""
    hidden = {thing.kind for thing in avoid for item in placed if _lies_on(item, thing)}
    said = {"face": "a face", "lettering": "lettering of the picture"}
    return " and ".join(said[kind] for kind in sorted(hidden))


def _lies_on(item: PlacedText, thing: Obstacle) -> bool:
    inner = thing.box.grown(-0.06 * min(thing.box.width, thing.box.height))
    return any(area.overlaps(inner) for area in _areas(item))


def _areas(item: PlacedText) -> list[Box]:
    return [item.button] if item.button is not None else item.line_boxes()


def _groups(
    picture: Image.Image,
    placed: Sequence[PlacedText],
    named: Sequence[str],
    brand: Sequence[Color],
    avoid: Sequence[Obstacle],
) -> dict[int, InkedGroup]:
    numbers = sorted({item.group for item in placed})
    members = [[item for item in placed if item.group == number] for number in numbers]
    boxes = [[area for item in group for area in _areas(item)] for group in members]
    inks = choose_ink(picture, boxes, named)
    groups = {}
    for number, items, ink in zip(numbers, members, inks, strict=True):
        titles = [box for item in items if item.role == "title" for box in _areas(item)]
        others = [box for item in items if item.role != "title" for box in _areas(item)]
        if brand:
            ink = brand_ink(picture, titles, others, brand[0], brand[1] if len(brand) > 1 else None)
        least = LARGE if brand else MINIMUM
        areas = [(box, ink.title, least) for box in titles] + [(box, ink.text, MINIMUM) for box in others]
        hides = any(_lies_on(item, thing) for item in items for thing in avoid)
        if hides:
            ink = replace(ink, alpha=max(ink.alpha, _SOLID))
        groups[number] = InkedGroup(ink, tuple(areas), hides)
    return groups


def _signal(
    placed: Sequence[PlacedText], ink: Ink, background: Image.Image, picture: Image.Image, named: Sequence[str]
) -> Color | None:
    """The colour of the button and of the accent bar."""
    grounds = [item.button for item in placed if item.button] or [item.box for item in placed]
    pixels = [sample(background, box) for box in grounds]
    return signal_color(picture, named, ink.tint, np.concatenate(pixels))


def _colored(item: PlacedText, ink: Ink, background: Image.Image, signal: Color | None) -> PlacedText:
    if item.button is not None:
        fill = signal or ink.text
        behind = np.asarray([fill], np.uint8)
        # the label takes whichever of the poster's neutrals reads better on the button
        label = max((ink.tint, ink.text, *ink.neutrals), key=lambda color: contrast(color, behind))
        return replace(item, color=label, button_color=fill, contrast=contrast(label, behind))
    color = ink.title if item.role == "title" else ink.text
    worst = min(contrast(color, sample(background, box)) for box in item.line_boxes())
    return replace(item, color=color, contrast=worst)


def with_underlays(picture: Image.Image, groups: Sequence[InkedGroup]) -> tuple[Image.Image, list[Underlay]]:
    """Lay the tints under the texts, each as strong as every text in it needs on what really comes out.

    Returns:
        The picture with them, and each alone: its coverage as mode L, and its colour.
    """
    # tried out on a copy thinned without smoothing, which keeps the worst pixels, then laid once on the picture
    thin = max(1.0, (picture.width * picture.height / _TRIAL) ** 0.5)
    trial = picture.resize([round(side / thin) for side in picture.size], Image.Resampling.NEAREST)
    strengths = [group.ink.alpha for group in groups]

    def layers(size: tuple[int, int], scale: float) -> list[tuple[np.ndarray, Color]]:
        return [group.layer(size, scale, s) for group, s in zip(groups, strengths, strict=True) if s > 0]

    laid = layers(trial.size, thin)
    ground = tinted(trial, laid)
    for more in (*[0.08] * 6, 1.0):  # in the end full strength, under which every ink reads
        weak = [group.short(ground, thin) for group in groups]
        if not any(weak):
            break
        strengths = [min(1.0, s + more) if short else s for s, short in zip(strengths, weak, strict=True)]
        laid = layers(trial.size, thin)
        ground = tinted(trial, laid)
    if trial.size != picture.size:
        laid = layers(picture.size, 1.0)
    # in the 255 steps that layers have, so that a program that lays them over each other gets the same picture
    steps = [(np.rint(255 * part).astype(np.uint8), color) for part, color in laid]
    ground = tinted(picture, [(part / np.float32(255), color) for part, color in steps])
    return ground, [(Image.fromarray(part[..., 0]), color) for part, color in steps]


def _planned_underlays(picture: Image.Image, layout: Layout, named: Sequence[str]) -> list[Underlay]:
    """The underlays that a plan asks for.

    One that holds nothing but a call to action is its button, and one without a text would cover the picture.
    """
    found = []
    for under in (one for one in layout.things if one.role == "underlay"):
        held = [one for one in layout.texts if under.box.shared(one.box) > 0.5 * one.box.area]
        if held and any(one.role != "cta" for one in held):
            mask = Image.new("L", picture.size, 0)
            radius = 0.015 * min(picture.size)
            ImageDraw.Draw(mask).rounded_rectangle(under.box.pixels(picture.size), radius, fill=round(255 * _PLANNED))
            found.append((mask, choose_ink(picture, [[under.box]], named)[0].tint))
    return found
