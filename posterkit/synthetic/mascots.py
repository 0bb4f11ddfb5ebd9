"""Mascots: round animals and robots, drawn from one plan in any pose, size and light."""

from __future__ import annotations

import math
from random import Random

import numpy as np

from posterkit.synthetic.canvas import Axes, Canvas, Pose, arc, curve, ellipse, rounded
from posterkit.synthetic.palettes import RGB, ColorScheme, color_name, mix, subject_colors
from posterkit.synthetic.plans import Plan


class Mascot:
    """A round, square or egg-shaped animal or robot with ears, eyes and an accessory."""

    kinds = ("cat", "bear", "rabbit", "owl", "robot", "frog", "fox", "penguin")
    extras = ("scarf", "bow", "hat", "glasses", "none", "scarf", "hat")

    def plan(self, rng: Random, palette: ColorScheme) -> Plan:
        body, second, third = subject_colors(rng, palette)
        kind, extra = rng.choice(self.kinds), rng.choice(self.extras)
        belly = rng.random() < 0.7
        return {
            "kind": kind, "extra": extra, "body": body, "second": second, "third": third, "belly": belly,
            "shape": "square" if kind == "robot" else rng.choice(("round", "round", "egg", "wide")),
            "eye": rng.uniform(0.11, 0.17), "gap": rng.uniform(0.24, 0.34), "cheeks": rng.random() < 0.6,
            "dark": mix(palette.ink, (14, 14, 18), 0.5), "spots": rng.random() < 0.25,
            "slots": {"kind": kind, "body": color_name(body),
                      "extra": None if extra == "none" else (color_name(third), extra),
                      "belly": color_name(mix(second, (255, 255, 255), 0.15)) if belly else None},
        }  # fmt: skip

    def draw(self, c: Canvas, plan: Plan, f: Axes, pose: Pose) -> None:
        body, second, third = (pose.lit(plan[k]) for k in ("body", "second", "third"))
        dark, white = plan["dark"], pose.lit((250, 248, 244))
        rx, ry, power = {"round": (0.72, 0.72, 2.0), "egg": (0.62, 0.8, 2.1), "wide": (0.84, 0.66, 2.2),
                         "square": (0.64, 0.66, 5.0)}[plan["shape"]]  # fmt: skip
        t = np.linspace(0, 2 * math.pi, 56, endpoint=False)
        x, y = (np.sign(side) * np.abs(side) ** (2 / power) for side in (np.cos(t), np.sin(t)))
        outline = curve(rx * x, 0.1 + ry * y)
        self._ears(c, plan, f, rx, ry, body, second, third)
        for side in (-1, 1):
            c.part(f, ellipse(side * rx * 0.45, 0.08 + ry, 0.2, 0.13), mix(body, dark, 0.25))
            lift = 0.5 - side * 0.5 * pose.arms if plan["kind"] not in ("owl", "penguin") else 0.9
            arm = f.at(side * rx * 0.88, 0.2, 1.0, side * (2.6 - 1.7 * lift))
            c.part(arm, ellipse(0, -0.2, 0.13, 0.3), mix(body, dark, 0.14))
        c.shape(f, outline, body)
        if plan["belly"]:
            belly = ellipse(0, 0.1 + ry * 0.42, rx * 0.6, ry * 0.5)
            c.detail(f, belly, mix(second, white, 0.15))
        if plan["spots"]:
            for x, y, q in ((-0.42, 0.3, 0.1), (0.45, 0.42, 0.08), (0.4, 0.15, 0.06)):
                c.detail(f, ellipse(x * rx / 0.7, y, q), mix(body, dark, 0.22))
        self._face(c, plan, f, pose, (second, third, dark, white))
        self._extra(c, plan, f, rx, ry, third, dark)

    def _ears(self, c: Canvas, plan: Plan, f: Axes, rx: float, ry: float, body: RGB, second: RGB, third: RGB) -> None:
        kind, top = plan["kind"], 0.1 - ry
        inner = mix(second, body, 0.25)
        for side in (-1, 1):
            if kind in ("cat", "fox", "owl"):
                high = 0.42 if kind != "owl" else 0.26
                ear = np.array([[rx * 0.22, top + 0.14], [rx * 0.75, top - high + 0.1], [rx * 0.95, top + 0.42]])
                ear *= (side, 1)
                c.part(f, ear, body)
                if kind != "owl":
                    middle = ear.mean(axis=0)
                    c.detail(f, middle + (ear - middle) * 0.5, inner)
            elif kind == "bear":
                c.part(f, ellipse(side * rx * 0.7, top + 0.14, 0.25), body)
                c.detail(f, ellipse(side * rx * 0.7, top + 0.14, 0.13), inner)
            elif kind == "rabbit":
                g = f.at(side * rx * 0.4, top + 0.2, 1.0, side * 0.2)
                c.part(g, ellipse(0, -0.42, 0.17, 0.48), body)
                c.detail(g, ellipse(0, -0.42, 0.08, 0.32), inner)
            elif kind == "frog":
                c.part(f, ellipse(side * rx * 0.5, top + 0.08, 0.26), body)
        if kind == "robot":
            c.path(f, [[0, top + 0.05], [0, top - 0.26]], 0.07, mix(body, (20, 20, 26), 0.4))
            c.part(f, ellipse(0, top - 0.3, 0.12), third)
            for side in (-1, 1):
                c.part(f, rounded(side * rx - 0.1, -0.12, side * rx + 0.1, 0.22, 0.06), second)

    def _face(self, c: Canvas, plan: Plan, f: Axes, pose: Pose, tones: tuple[RGB, RGB, RGB, RGB]) -> None:
        kind, eye, (second, third, dark, white) = plan["kind"], plan["eye"], tones
        gap, y = _eyes(plan)
        if kind == "robot":
            c.detail(f, rounded(-0.5, -0.36, 0.5, 0.16, 0.14), dark)
            for side in (-1, 1):
                c.detail(f, ellipse(side * gap + 0.05 * pose.gaze, -0.1, eye * 0.85), third)
            return
        if kind in ("owl", "penguin"):
            for side in (-1, 1):
                c.detail(f, ellipse(side * 0.26, y, 0.29), mix(second, white, 0.45))
        for side in (-1, 1):
            c.detail(f, ellipse(side * gap, y, eye * 1.15), white)
            c.detail(f, ellipse(side * gap + 0.05 * pose.gaze, y + 0.01, eye * 0.78), dark)
            c.detail(f, ellipse(side * gap + 0.05 * pose.gaze - 0.035, y - 0.04, eye * 0.26), white)
            if plan["cheeks"]:
                c.detail(f, ellipse(side * 0.46, y + 0.24, 0.1, 0.07), mix(third, plan["body"], 0.35))
        if kind in ("owl", "penguin"):
            c.part(f, [[-0.11, 0.02], [0.11, 0.02], [0, 0.22]], third)
        elif kind == "frog":
            c.path(f, arc(0, -0.16, 0.34, 0.35, math.pi - 0.35), 0.055, dark)
        else:
            if kind in ("bear", "fox"):
                c.detail(f, ellipse(0, 0.16, 0.25, 0.19), mix(second, white, 0.4))
            c.detail(f, ellipse(0, 0.08, 0.09, 0.065), dark)
            for side in (-1, 1):
                c.path(f, arc(side * 0.085, 0.14, 0.085, 0.3, math.pi - 0.3, 8), 0.04, dark)

    def _extra(self, c: Canvas, plan: Plan, f: Axes, rx: float, ry: float, third: RGB, dark: RGB) -> None:
        top, shadow = 0.1 - ry, mix(third, dark, 0.28)
        if plan["extra"] == "scarf":
            c.part(f, rounded(-rx * 0.86, 0.34, rx * 0.86, 0.54, 0.1), third)
            c.part(f, rounded(rx * 0.3, 0.44, rx * 0.58, 0.86, 0.06), shadow)
        elif plan["extra"] == "bow":
            for side in (-1, 1):
                c.part(f, np.array([[0, 0.45], [0.3, 0.28], [0.3, 0.62]]) * (side, 1), third)
            c.part(f, ellipse(0, 0.45, 0.09), shadow)
        elif plan["extra"] == "hat":
            c.part(f, [[-0.26, top + 0.12], [0, top - 0.55], [0.26, top + 0.12]], third)
            c.part(f, rounded(-0.34, top + 0.02, 0.34, top + 0.17, 0.07), shadow)
            c.part(f, ellipse(0, top - 0.55, 0.1), shadow)
        elif plan["extra"] == "glasses":
            gap, y = _eyes(plan)
            for side in (-1, 1):
                eye = f.at(side * gap, y)
                c.ring(eye.x, eye.y, f.scale * 0.26, f.scale * 0.06, third)
            c.path(f, [[-gap + 0.24, y], [gap - 0.24, y]], 0.05, third)


def _eyes(plan: Plan) -> tuple[float, float]:
    """How far the eyes stand from the middle, and how low."""
    if plan["kind"] == "frog":
        return 0.36, -0.5
    return (plan["gap"] * 0.85 if plan["kind"] == "robot" else plan["gap"]), -0.12
