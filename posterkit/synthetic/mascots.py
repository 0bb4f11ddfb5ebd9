"""Mascots: round animals and robots, drawn from one plan in any pose, size and light."""

from __future__ import annotations

import math
from random import Random
from typing import Any

import numpy as np

from posterkit.synthetic.canvas import Axes, Canvas, arc, ellipse, rounded
from posterkit.synthetic.palettes import RGB, ColorScheme, color_name, mix
from posterkit.synthetic.poses import Pose, subject_colors

Plan = dict[str, Any]


class Mascot:
    """A round, square or egg-shaped animal or robot with ears, eyes and an accessory."""

    name = "mascot"
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
        outline = np.stack([
            rx * np.sign(np.cos(t)) * np.abs(np.cos(t)) ** (2 / power),
            0.1 + ry * np.sign(np.sin(t)) * np.abs(np.sin(t)) ** (2 / power),
        ], -1)  # fmt: skip
        self._ears(c, plan, f, rx, ry, body, second, third)
        for side in (-1, 1):
            c.polygon(f.points(ellipse(side * rx * 0.45, 0.08 + ry, 0.2, 0.13)), mix(body, dark, 0.25), shade=False)
            lift = 0.5 - side * 0.5 * pose.arms if plan["kind"] not in ("owl", "penguin") else 0.9
            arm = f.at(side * rx * 0.88, 0.2, 1.0, side * (2.6 - 1.7 * lift))
            c.polygon(arm.points(ellipse(0, -0.2, 0.13, 0.3)), mix(body, dark, 0.14), shade=False)
        c.polygon(f.points(outline), body)
        if plan["belly"]:
            belly = ellipse(0, 0.1 + ry * 0.42, rx * 0.6, ry * 0.5)
            c.polygon(f.points(belly), mix(second, white, 0.15), shade=False, outline=False)
        if plan["spots"]:
            for x, y, q in ((-0.42, 0.3, 0.1), (0.45, 0.42, 0.08), (0.4, 0.15, 0.06)):
                c.polygon(f.points(ellipse(x * rx / 0.7, y, q)), mix(body, dark, 0.22), shade=False, outline=False)
        self._face(c, plan, f, pose, second, third, dark, white)
        self._extra(c, plan, f, rx, ry, third, dark)

    def _ears(self, c: Canvas, plan: Plan, f: Axes, rx: float, ry: float, body: RGB, second: RGB, third: RGB) -> None:
        kind, top = plan["kind"], 0.1 - ry
        inner = mix(second, body, 0.25)
        for side in (-1, 1):
            if kind in ("cat", "fox", "owl"):
                high = 0.42 if kind != "owl" else 0.26
                ear = np.array([[rx * 0.22, top + 0.14], [rx * 0.75, top - high + 0.1], [rx * 0.95, top + 0.42]]) * (
                    side,
                    1,
                )
                c.polygon(f.points(ear), body, shade=False)
                if kind != "owl":
                    middle = ear.mean(axis=0)
                    c.polygon(f.points(middle + (ear - middle) * 0.5), inner, shade=False, outline=False)
            elif kind == "bear":
                c.polygon(f.points(ellipse(side * rx * 0.7, top + 0.14, 0.25)), body, shade=False)
                c.polygon(f.points(ellipse(side * rx * 0.7, top + 0.14, 0.13)), inner, shade=False, outline=False)
            elif kind == "rabbit":
                g = f.at(side * rx * 0.4, top + 0.2, 1.0, side * 0.2)
                c.polygon(g.points(ellipse(0, -0.42, 0.17, 0.48)), body, shade=False)
                c.polygon(g.points(ellipse(0, -0.42, 0.08, 0.32)), inner, shade=False, outline=False)
            elif kind == "frog":
                c.polygon(f.points(ellipse(side * rx * 0.5, top + 0.08, 0.26)), body, shade=False)
        if kind == "robot":
            c.stroke(
                f.points(np.array([[0, top + 0.05], [0, top - 0.26]])), 0.07 * f.scale, mix(body, (20, 20, 26), 0.4)
            )
            c.polygon(f.points(ellipse(0, top - 0.3, 0.12)), third, shade=False)
            for side in (-1, 1):
                c.polygon(f.points(rounded(side * rx - 0.1, -0.12, side * rx + 0.1, 0.22, 0.06)), second, shade=False)

    def _face(
        self, c: Canvas, plan: Plan, f: Axes, pose: Pose, second: RGB, third: RGB, dark: RGB, white: RGB
    ) -> None:
        kind, eye, gap = plan["kind"], plan["eye"], plan["gap"]
        y = -0.12 if kind != "frog" else -0.5
        gap = gap if kind != "frog" else 0.36
        if kind == "robot":
            c.polygon(f.points(rounded(-0.5, -0.36, 0.5, 0.16, 0.14)), dark, shade=False, outline=False)
            for side in (-1, 1):
                c.polygon(
                    f.points(ellipse(side * gap * 0.85 + 0.05 * pose.gaze, -0.1, eye * 0.85)),
                    third,
                    shade=False,
                    outline=False,
                )
            return
        if kind in ("owl", "penguin"):
            for side in (-1, 1):
                c.polygon(
                    f.points(ellipse(side * 0.26, y, 0.29)), mix(second, white, 0.45), shade=False, outline=False
                )
        for side in (-1, 1):
            c.polygon(f.points(ellipse(side * gap, y, eye * 1.15)), white, shade=False, outline=False)
            c.polygon(
                f.points(ellipse(side * gap + 0.05 * pose.gaze, y + 0.01, eye * 0.78)),
                dark,
                shade=False,
                outline=False,
            )
            c.polygon(
                f.points(ellipse(side * gap + 0.05 * pose.gaze - 0.035, y - 0.04, eye * 0.26)),
                white,
                shade=False,
                outline=False,
            )
            if plan["cheeks"]:
                c.polygon(
                    f.points(ellipse(side * 0.46, y + 0.24, 0.1, 0.07)),
                    mix(third, plan["body"], 0.35),
                    shade=False,
                    outline=False,
                )
        if kind in ("owl", "penguin"):
            c.polygon(f.points(np.array([[-0.11, 0.02], [0.11, 0.02], [0, 0.22]])), third, shade=False)
        elif kind == "frog":
            c.stroke(f.points(arc(0, -0.16, 0.34, 0.35, math.pi - 0.35)), 0.055 * f.scale, dark)
        else:
            if kind in ("bear", "fox"):
                c.polygon(f.points(ellipse(0, 0.16, 0.25, 0.19)), mix(second, white, 0.4), shade=False, outline=False)
            c.polygon(f.points(ellipse(0, 0.08, 0.09, 0.065)), dark, shade=False, outline=False)
            for side in (-1, 1):
                c.stroke(f.points(arc(side * 0.085, 0.14, 0.085, 0.3, math.pi - 0.3, 8)), 0.04 * f.scale, dark)

    def _extra(self, c: Canvas, plan: Plan, f: Axes, rx: float, ry: float, third: RGB, dark: RGB) -> None:
        top, shadow = 0.1 - ry, mix(third, dark, 0.28)
        if plan["extra"] == "scarf":
            c.polygon(f.points(rounded(-rx * 0.86, 0.34, rx * 0.86, 0.54, 0.1)), third, shade=False)
            c.polygon(f.points(rounded(rx * 0.3, 0.44, rx * 0.58, 0.86, 0.06)), shadow, shade=False)
        elif plan["extra"] == "bow":
            for side in (-1, 1):
                c.polygon(f.points(np.array([[0, 0.45], [0.3, 0.28], [0.3, 0.62]]) * (side, 1)), third, shade=False)
            c.polygon(f.points(ellipse(0, 0.45, 0.09)), shadow, shade=False)
        elif plan["extra"] == "hat":
            c.polygon(
                f.points(np.array([[-0.26, top + 0.12], [0, top - 0.55], [0.26, top + 0.12]])), third, shade=False
            )
            c.polygon(f.points(rounded(-0.34, top + 0.02, 0.34, top + 0.17, 0.07)), shadow, shade=False)
            c.polygon(f.points(ellipse(0, top - 0.55, 0.1)), shadow, shade=False)
        elif plan["extra"] == "glasses":
            y = -0.12 if plan["kind"] != "frog" else -0.5
            gap = (
                plan["gap"]
                if plan["kind"] not in ("frog", "robot")
                else 0.36
                if plan["kind"] == "frog"
                else plan["gap"] * 0.85
            )
            for side in (-1, 1):
                x, py = f.points(np.array([[side * gap, y]]))[0]
                c.ring(x, py, f.scale * 0.26, f.scale * 0.06, third)
            c.stroke(f.points(np.array([[-gap + 0.24, y], [gap - 0.24, y]])), f.scale * 0.05, third)
