"""Pose and light of a subject, and three colours for its parts."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from posterkit.synthetic.palettes import RGB, ColorScheme, distance, mix


@dataclass(frozen=True)
class Pose:
    """How a subject is shown: turn in radians, mirrored; gaze, arms, and light (dim to bright) in [-1, 1]."""

    turn: float = 0.0
    flip: bool = False
    gaze: float = 0.0
    arms: float = 0.0
    light: float = 0.0

    def lit(self, color: RGB) -> RGB:
        if self.light > 0:
            return mix(color, (255, 248, 236), 0.22 * self.light)
        return mix(color, (18, 16, 34), -0.3 * self.light)


def draw_pose(rng: Random) -> Pose:
    turn, flip = rng.uniform(-0.26, 0.26), rng.random() < 0.5
    return Pose(turn, flip, *(rng.uniform(-1, 1) for _ in range(3)))


def subject_colors(rng: Random, palette: ColorScheme) -> list[RGB]:
    """Three colours apart from one another and from the background; the first stands out most."""
    found: list[RGB] = []
    pool = [*palette.accents, palette.paper, palette.ink]
    if rng.random() < 0.5:
        pool[0], pool[1] = pool[1], pool[0]
    for gap in (30, 15, 0):
        for color in pool:
            if color not in found and all(distance(color, q) > gap for q in (palette.bg, *found)):
                found.append(color)
    return found[:3]
