"""Things with an identity: mascots, products, food. Drawn from the same plan in any pose, size and light."""

from __future__ import annotations

import math
from dataclasses import dataclass
from random import Random
from typing import Any

import numpy as np

from posterkit.data.synthetic.canvas import Canvas, Frame, arc, ellipse, leaf, rounded
from posterkit.data.synthetic.palettes import RGB, Palette, color_name, distance, mix

Plan = dict[str, Any]


@dataclass(frozen=True)
class Pose:
    """How a subject is shown: turn in radians, mirrored, gaze and arms in [-1, 1], light from -1 (dim) to 1 (bright)."""

    turn: float = 0.0
    flip: bool = False
    gaze: float = 0.0
    arms: float = 0.0
    light: float = 0.0

    def lit(self, color: RGB) -> RGB:
        return (
            mix(color, (255, 248, 236), 0.22 * self.light)
            if self.light > 0
            else mix(color, (18, 16, 34), -0.3 * self.light)
        )


def draw_pose(rng: Random) -> Pose:
    return Pose(
        rng.uniform(-0.26, 0.26), rng.random() < 0.5, rng.uniform(-1, 1), rng.uniform(-1, 1), rng.uniform(-1, 1)
    )


def _colors(rng: Random, palette: Palette) -> list[RGB]:
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


class Mascot:
    """A round, square or egg-shaped animal or robot with ears, eyes and an accessory."""

    name = "mascot"
    kinds = ("cat", "bear", "rabbit", "owl", "robot", "frog", "fox", "penguin")
    extras = ("scarf", "bow", "hat", "glasses", "none", "scarf", "hat")

    def plan(self, rng: Random, palette: Palette) -> Plan:
        body, second, third = _colors(rng, palette)
        kind, extra = rng.choice(self.kinds), rng.choice(self.extras)
        belly = rng.random() < 0.7
        return {
            "kind": kind, "extra": extra, "body": body, "second": second, "third": third, "belly": belly,
            "shape": "square" if kind == "robot" else rng.choice(("round", "round", "egg", "wide")),
            "eye": rng.uniform(0.11, 0.17), "gap": rng.uniform(0.24, 0.34), "cheeks": rng.random() < 0.6,
            "dark": mix(palette.ink, (14, 14, 18), 0.5), "spots": rng.random() < 0.25,
            "slots": {"kind": kind, "body": color_name(body), "extra": None if extra == "none" else (color_name(third), extra),
                      "belly": color_name(mix(second, (255, 255, 255), 0.15)) if belly else None},
        }  # fmt: skip

    def draw(self, c: Canvas, plan: Plan, f: Frame, pose: Pose) -> None:
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

    def _ears(self, c: Canvas, plan: Plan, f: Frame, rx: float, ry: float, body: RGB, second: RGB, third: RGB) -> None:
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
        self, c: Canvas, plan: Plan, f: Frame, pose: Pose, second: RGB, third: RGB, dark: RGB, white: RGB
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

    def _extra(self, c: Canvas, plan: Plan, f: Frame, rx: float, ry: float, third: RGB, dark: RGB) -> None:
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


def _mirror(half: list[tuple[float, float]]) -> np.ndarray:
    """A closed outline from its right half, top to bottom."""
    side = np.array(half)
    return np.concatenate([side, side[::-1] * (-1, 1)])


class Product:
    """A bottle, can, jar, box, tube or lamp with a label."""

    name = "product"
    kinds = ("bottle", "can", "jar", "box", "perfume", "lamp", "bottle")

    def plan(self, rng: Random, palette: Palette) -> Plan:
        body, label, cap = _colors(rng, palette)
        kind = rng.choice(self.kinds)
        return {
            "kind": kind, "body": body, "label": label, "cap": cap, "mark": rng.choice(("disc", "stripes", "leaf", "drop")),
            "wide": rng.uniform(0.88, 1.12), "slots": {"kind": kind, "body": color_name(body), "label": color_name(label)},
        }  # fmt: skip

    def draw(self, c: Canvas, plan: Plan, f: Frame, pose: Pose) -> None:
        body, label, cap = (pose.lit(plan[k]) for k in ("body", "label", "cap"))
        getattr(self, "_" + plan["kind"])(c, plan, f, body, label, cap)

    def _gloss(self, c: Canvas, f: Frame, x: float, y0: float, y1: float, width: float, body: RGB) -> None:
        c.polygon(f.points(rounded(x - width, y0, x + width, y1, width)), mix(body, (255, 255, 255), 0.36), shade=False,
                  outline=False)  # fmt: skip

    def _label(self, c: Canvas, plan: Plan, f: Frame, w: float, y0: float, y1: float, label: RGB, mark: RGB) -> None:
        c.polygon(f.points(rounded(-w, y0, w, y1, 0.03)), label, shade=False, outline=False)
        y, q = (y0 + y1) / 2, min(w, (y1 - y0) / 2) * 0.58
        if plan["mark"] == "disc":
            c.polygon(f.points(ellipse(0, y, q)), mark, shade=False, outline=False)
        elif plan["mark"] == "stripes":
            for k in (-1, 0, 1):
                c.polygon(f.points(rounded(-w * 0.7, y + q * (0.8 * k - 0.2), w * 0.7, y + q * (0.8 * k + 0.2), 0.02)), mark,
                          shade=False, outline=False)  # fmt: skip
        elif plan["mark"] == "leaf":
            for a in (-0.7, 0.7):
                c.polygon(f.at(0, y + q * 0.8, q * 1.6, a).points(leaf(1.0, 0.26)), mark, shade=False, outline=False)
        else:
            t = np.linspace(0, 2 * math.pi, 24)
            drop = np.stack([q * 0.8 * np.sin(t) * np.sin(t / 2), y - q * np.cos(t)], -1)
            drop[:, 1] = y - q * np.cos(t / 1.0)
            c.polygon(f.points(drop), mark, shade=False, outline=False)

    def _bottle(self, c: Canvas, plan: Plan, f: Frame, body: RGB, label: RGB, cap: RGB) -> None:
        w = 0.36 * plan["wide"]
        c.polygon(f.points(rounded(-0.15, -1.0, 0.15, -0.78, 0.04)), cap, shade=False)
        half = [
            (0.12, -0.8),
            (0.12, -0.55),
            (0.17, -0.42),
            (w * 0.8, -0.28),
            (w * 0.97, -0.12),
            (w, 0.05),
            (w, 0.9),
            (w * 0.9, 1.0),
        ]
        c.polygon(f.points(_mirror(half)), body)
        self._label(c, plan, f, w * 0.98, 0.08, 0.72, label, cap)
        self._gloss(c, f, -w * 0.68, -0.16, 0.88, 0.035, body)

    def _can(self, c: Canvas, plan: Plan, f: Frame, body: RGB, label: RGB, cap: RGB) -> None:
        w = 0.46 * plan["wide"]
        metal = mix(cap, (226, 228, 230), 0.55)
        c.polygon(f.points(_mirror([(w * 0.82, -0.92), (w, -0.76), (w, 0.82), (w * 0.84, 0.96)])), metal, shade=False)
        c.polygon(f.points(_mirror([(w, -0.74), (w, 0.8)])), body)
        self._label(c, plan, f, w, -0.38, 0.44, label, cap)
        self._gloss(c, f, -w * 0.66, -0.68, 0.74, 0.045, body)

    def _jar(self, c: Canvas, plan: Plan, f: Frame, body: RGB, label: RGB, cap: RGB) -> None:
        w = 0.6 * plan["wide"]
        c.polygon(f.points(rounded(-w * 0.8, -0.72, w * 0.8, -0.42, 0.07)), cap, shade=False)
        c.polygon(f.points(rounded(-w, -0.44, w, 0.86, 0.2)), body)
        self._label(c, plan, f, w * 0.76, -0.12, 0.56, label, cap)
        self._gloss(c, f, -w * 0.87, -0.2, 0.62, 0.035, body)

    def _box(self, c: Canvas, plan: Plan, f: Frame, body: RGB, label: RGB, cap: RGB) -> None:
        w = 0.46 * plan["wide"]
        side = mix(body, (16, 14, 22), 0.32)
        c.polygon(f.points(np.array([[w, -0.8], [w + 0.28, -0.92], [w + 0.28, 0.78], [w, 0.92]])), side, shade=False)
        c.polygon(f.points(np.array([[-w, -0.8], [-w + 0.28, -0.92], [w + 0.28, -0.92], [w, -0.8]])),
                  mix(body, (255, 255, 255), 0.3), shade=False)  # fmt: skip
        c.polygon(f.points(_mirror([(w, -0.8), (w, 0.92)])), body)
        self._label(c, plan, f, w * 0.74, -0.45, 0.35, label, cap)
        c.polygon(f.points(rounded(-w * 0.74, 0.52, w * 0.74, 0.64, 0.03)), cap, shade=False, outline=False)

    def _perfume(self, c: Canvas, plan: Plan, f: Frame, body: RGB, label: RGB, cap: RGB) -> None:
        w = 0.62 * plan["wide"]
        c.polygon(f.points(rounded(-0.2, -0.86, 0.2, -0.46, 0.05)), cap, shade=False)
        c.polygon(f.points(rounded(-0.14, -0.5, 0.14, -0.3, 0.02)), mix(cap, (255, 255, 255), 0.4), shade=False)
        c.polygon(f.points(rounded(-w, -0.34, w, 0.86, 0.16)), body)
        c.polygon(
            f.points(rounded(-w * 0.8, -0.16, w * 0.8, 0.7, 0.1)),
            mix(body, (255, 255, 255), 0.2),
            shade=False,
            outline=False,
        )
        self._label(c, plan, f, w * 0.5, 0.0, 0.54, label, cap)

    def _lamp(self, c: Canvas, plan: Plan, f: Frame, body: RGB, label: RGB, cap: RGB) -> None:
        w = 0.66 * plan["wide"]
        c.polygon(f.points(rounded(-0.06, -0.1, 0.06, 0.85, 0.02)), cap, shade=False)
        c.polygon(f.points(rounded(-0.42, 0.8, 0.42, 0.94, 0.06)), cap, shade=False)
        x, y = f.points(np.array([[0.0, 0.1]]))[0]
        c.glow(x, y, f.scale * 0.75, f.scale * 0.45, (255, 240, 196), 0.75)
        c.polygon(f.points(_mirror([(w * 0.5, -0.85), (w, 0.05)])), body)
        c.polygon(f.points(_mirror([(w * 0.94, -0.07), (w, 0.05)])), label, shade=False, outline=False)


class Food:
    """A cup of coffee, a pizza, an orange slice, a cupcake, an ice cream, a donut, cherries or a burger."""

    name = "food"
    kinds = ("coffee", "pizza", "orange", "cupcake", "ice cream", "donut", "cherries", "burger", "pear")

    def plan(self, rng: Random, palette: Palette) -> Plan:
        main, second, third = sorted(_colors(rng, palette), key=lambda q: min(q) - max(q))  # food is vivid
        kind = rng.choice(self.kinds)
        return {
            "kind": kind, "main": main, "second": second, "third": third, "seed": int(rng.random() * 2**31),
            "paper": palette.paper, "dark": palette.ink, "count": rng.choice((6, 8)),
            "slots": {"kind": kind, "main": color_name(main), "second": color_name(second)},
        }  # fmt: skip

    def draw(self, c: Canvas, plan: Plan, f: Frame, pose: Pose) -> None:
        lit = {k: pose.lit(plan[k]) for k in ("main", "second", "third", "paper", "dark")}
        getattr(self, "_" + plan["kind"].replace(" ", "_"))(c, plan, f, **lit)

    def _coffee(
        self, c: Canvas, plan: Plan, f: Frame, main: RGB, second: RGB, third: RGB, paper: RGB, dark: RGB
    ) -> None:
        c.polygon(f.points(ellipse(0, 0.74, 0.95, 0.15)), mix(second, dark, 0.12), shade=False)
        x, y = f.points(np.array([[0.66, 0.12]]))[0]
        c.ring(x, y, f.scale * 0.3, f.scale * 0.1, mix(main, dark, 0.15))
        t = np.linspace(0, math.pi / 2, 12)
        bowl = [
            (0.68, -0.3),
            *zip((0.66 * np.cos(t) ** 0.6).tolist(), (-0.1 + 0.82 * np.sin(t)).tolist(), strict=True),
        ]
        c.polygon(f.points(_mirror(bowl)), main)
        c.polygon(f.points(ellipse(0, -0.3, 0.68, 0.14)), mix(main, (255, 255, 255), 0.3), shade=False)
        c.polygon(f.points(ellipse(0, -0.29, 0.56, 0.1)), mix((84, 48, 28), dark, 0.3), shade=False, outline=False)
        s = np.linspace(0, 1, 16)
        for k in (-0.26, 0.0, 0.26):
            c.stroke(
                f.points(np.stack([k + 0.07 * np.sin(s * 6 + k * 9), -0.48 - 0.45 * s], -1)), 0.06 * f.scale, paper
            )

    def _pizza(
        self, c: Canvas, plan: Plan, f: Frame, main: RGB, second: RGB, third: RGB, paper: RGB, dark: RGB
    ) -> None:
        top = np.stack([np.linspace(-0.8, 0.8, 14), -0.62 - 0.16 * np.cos(np.linspace(-1.5, 1.5, 14))], -1)
        c.polygon(f.points(np.concatenate([top, [[0, 1.0]]])), second)
        c.polygon(
            f.points(np.concatenate([top + (0, 0.16), (top * (1.06, 1))[::-1] - (0, 0.06)])),
            mix(second, (130, 70, 30), 0.45),
            shade=False,
        )
        for x, y in ((-0.3, -0.22), (0.28, -0.3), (0.02, 0.18)):
            c.polygon(f.points(ellipse(x, y, 0.17)), main, shade=False)
        for x, y, a in ((0.0, -0.34, 0.4), (-0.14, 0.02, 2.0), (0.2, 0.02, -0.8)):
            c.polygon(f.at(x, y, 0.2, a).points(leaf(1, 0.3)), third, shade=False, outline=False)

    def _orange(
        self, c: Canvas, plan: Plan, f: Frame, main: RGB, second: RGB, third: RGB, paper: RGB, dark: RGB
    ) -> None:
        g = f.at(0.12, -0.8, 0.5, 0.9)
        c.polygon(f.points(ellipse(0, 0.05, 0.88)), main)
        c.polygon(f.points(ellipse(0, 0.05, 0.76)), mix(paper, main, 0.12), shade=False, outline=False)
        n = plan["count"]
        for k in range(n):
            a = 2 * math.pi * k / n
            wedge = np.concatenate(
                [[[0.1 * math.cos(a), 0.1 * math.sin(a)]], arc(0, 0, 0.68, a - 2.55 / n, a + 2.55 / n, 8)]
            )
            c.polygon(f.points(wedge + (0, 0.05)), mix(main, second, 0.18), shade=False, outline=False)
        c.polygon(g.points(leaf(1.0, 0.26)), third, shade=False)

    def _cupcake(
        self, c: Canvas, plan: Plan, f: Frame, main: RGB, second: RGB, third: RGB, paper: RGB, dark: RGB
    ) -> None:
        c.polygon(f.points(_mirror([(0.62, 0.12), (0.44, 0.95)])), second)
        for k in (-0.36, -0.12, 0.12, 0.36):
            c.stroke(f.points(np.array([[k * 1.2, 0.2], [k * 0.9, 0.88]])), 0.05 * f.scale, mix(second, dark, 0.25))
        for y, w, h in ((0.06, 0.74, 0.26), (-0.24, 0.56, 0.24), (-0.5, 0.36, 0.2)):
            c.polygon(f.points(ellipse(0, y, w, h)), mix(main, paper, 0.12 if y < 0 else 0.0), shade=False)
        c.polygon(f.points(ellipse(0, -0.74, 0.17)), third, shade=False)

    def _ice_cream(
        self, c: Canvas, plan: Plan, f: Frame, main: RGB, second: RGB, third: RGB, paper: RGB, dark: RGB
    ) -> None:
        cone = mix(second, (206, 140, 74), 0.5)
        c.polygon(f.points(np.array([[-0.42, 0.0], [0.42, 0.0], [0, 1.05]])), cone)
        for k in (-0.14, 0.14):
            c.stroke(
                f.points(np.array([[k - 0.2, 0.05], [k + 0.08, 0.6 - abs(k)]])), 0.04 * f.scale, mix(cone, dark, 0.25)
            )
            c.stroke(
                f.points(np.array([[k + 0.2, 0.05], [k - 0.08, 0.6 - abs(k)]])), 0.04 * f.scale, mix(cone, dark, 0.25)
            )
        c.polygon(f.points(ellipse(-0.24, -0.18, 0.36)), third)
        c.polygon(f.points(ellipse(0.24, -0.18, 0.36)), mix(second, paper, 0.4))
        c.polygon(f.points(ellipse(0, -0.56, 0.38)), main)

    def _donut(
        self, c: Canvas, plan: Plan, f: Frame, main: RGB, second: RGB, third: RGB, paper: RGB, dark: RGB
    ) -> None:
        dough = mix(second, (214, 152, 92), 0.6)
        t = np.linspace(0, 2 * math.pi, 56, endpoint=False)
        c.polygon(f.points(ellipse(0, 0, 0.9)), dough)
        r = 0.78 + 0.05 * np.sin(7 * t)
        c.polygon(f.points(np.stack([r * np.cos(t), r * np.sin(t)], -1)), main)
        rng = Random(plan["seed"])
        for k in range(14):
            a, q = 2 * math.pi * k / 14 + rng.uniform(-0.15, 0.15), rng.choice((0.44, 0.58, 0.68))
            g = f.at(q * math.cos(a), q * math.sin(a), 1, rng.uniform(0, 3))
            c.polygon(
                g.points(rounded(-0.09, -0.032, 0.09, 0.032, 0.03)), (third, paper)[k % 2], shade=False, outline=False
            )
        c.polygon(f.points(ellipse(0, 0, 0.3)), mix(dough, dark, 0.3), shade=False, outline=False)
        c.polygon(f.points(ellipse(0, 0.04, 0.25)), mix(dough, dark, 0.62), shade=False, outline=False)

    def _cherries(
        self, c: Canvas, plan: Plan, f: Frame, main: RGB, second: RGB, third: RGB, paper: RGB, dark: RGB
    ) -> None:
        stem = mix(third, dark, 0.3)
        for x, y, bend in ((-0.42, 0.42, -0.2), (0.42, 0.52, 0.25)):
            s = np.linspace(0, 1, 10)[:, None]
            path = (
                (1 - s) ** 2 * np.array([0.05, -0.85])
                + 2 * s * (1 - s) * np.array([x + bend * 0.2, -0.3])
                + s**2 * np.array([x, y - 0.3])
            )
            c.stroke(f.points(path), 0.06 * f.scale, stem)
        c.polygon(f.at(0.05, -0.82, 0.75, 1.25).points(leaf(1, 0.24)), third, shade=False)
        for x, y in ((-0.42, 0.42), (0.42, 0.52)):
            c.polygon(f.points(ellipse(x, y, 0.4)), main)
            c.polygon(
                f.points(ellipse(x - 0.14, y - 0.14, 0.09)),
                mix(main, (255, 255, 255), 0.55),
                shade=False,
                outline=False,
            )

    def _burger(
        self, c: Canvas, plan: Plan, f: Frame, main: RGB, second: RGB, third: RGB, paper: RGB, dark: RGB
    ) -> None:
        bun = mix(main, (224, 156, 84), 0.35)
        c.polygon(f.points(rounded(-0.82, 0.42, 0.82, 0.74, 0.16)), bun, shade=False)
        c.polygon(f.points(rounded(-0.86, 0.16, 0.86, 0.42, 0.1)), mix((92, 52, 32), dark, 0.25), shade=False)
        c.polygon(
            f.points(np.array([[-0.9, 0.1], [0.9, 0.1], [0.5, 0.34], [0.2, 0.16], [-0.4, 0.16]])), second, shade=False
        )
        t = np.linspace(-0.95, 0.95, 30)
        wave = np.stack([t, 0.06 + 0.06 * np.sin(t * 14)], -1)
        c.polygon(f.points(np.concatenate([wave, [[0.9, -0.1], [-0.9, -0.1]]])), third, shade=False)
        c.polygon(f.points(np.concatenate([arc(0, -0.08, 0.84, math.pi, 2 * math.pi) * (1, 0.86)])), bun)
        for x, y in ((-0.36, -0.42), (0, -0.58), (0.36, -0.42), (-0.14, -0.3), (0.18, -0.28)):
            c.polygon(f.points(ellipse(x, y, 0.06, 0.035)), paper, shade=False, outline=False)

    def _pear(
        self, c: Canvas, plan: Plan, f: Frame, main: RGB, second: RGB, third: RGB, paper: RGB, dark: RGB
    ) -> None:
        t = np.linspace(0, math.pi, 26)
        half = np.stack([np.sin(t) * (0.24 + 0.4 * ((1 - np.cos(t)) / 2) ** 1.4) * 1.12, 0.05 - 0.85 * np.cos(t)], -1)
        c.stroke(f.points(np.array([[0, -0.75], [0.08, -1.05]])), 0.07 * f.scale, mix(third, dark, 0.5))
        c.polygon(f.at(0.06, -0.9, 0.5, 1.1).points(leaf(1, 0.26)), third, shade=False)
        c.polygon(f.points(np.concatenate([half, half[::-1] * (-1, 1)])), main)
        c.polygon(
            f.points(ellipse(-0.28, 0.35, 0.08, 0.2)), mix(main, (255, 255, 255), 0.4), shade=False, outline=False
        )


SUBJECTS = {subject.name: subject for subject in (Mascot(), Product(), Food())}
BACKDROPS = ("plain", "disc", "rays", "arch", "hills", "floor", "confetti", "plinth")


def plan_backdrop(rng: Random, palette: Palette, subject: Plan, kinds: tuple[str, ...] = BACKDROPS) -> Plan:
    """What stands behind a subject: a colour that parts it from the background, and shapes."""
    kind = rng.choice(kinds)
    body = next(v for k, v in subject.items() if k in ("body", "main"))
    far = [q for q in (*palette.accents, palette.paper) if distance(q, body) > 26 and distance(q, palette.bg) > 16]
    color = far[int(rng.random() * len(far))] if far else mix(palette.bg, palette.paper, 0.35)
    return {
        "kind": kind, "color": color, "seed": int(rng.random() * 2**31), "phase": rng.uniform(0, 6.3),
        "slots": {"kind": kind, "color": color_name(color)},
    }  # fmt: skip


def draw_backdrop(c: Canvas, plan: Plan, palette: Palette, x: float, y: float, r: float) -> None:
    """Draw what stands behind a subject whose box is centred at (x, y) with half side r."""
    kind, color = plan["kind"], plan["color"]
    foot = y + r * 0.92
    if c.style == "gradient":
        c.vertical(mix(palette.bg, palette.paper, 0.1), palette.bg)
    if kind == "disc":
        c.disc(x, y, r * 0.98, color)
    elif kind == "rays":
        light = mix(palette.bg, palette.paper, 0.16)
        far = 2.2 * max(c.w, c.h)
        for k in range(12):
            a = plan["phase"] + k * math.pi / 6
            ray = np.array(
                [[0, 0], [math.cos(a) * far, math.sin(a) * far], [math.cos(a + 0.22) * far, math.sin(a + 0.22) * far]]
            )
            c.polygon(ray + (x, y), light, shade=False, outline=False)
        c.disc(x, y, r * 0.86, color)
    elif kind == "arch":
        for k, q in enumerate((1.02, 0.84, 0.66)):
            tone = mix(color, palette.bg, (0.0, 0.35, 0.65)[k])
            shape = np.concatenate([arc(x, y, q * r, math.pi, 2 * math.pi), [[x + q * r, foot], [x - q * r, foot]]])
            c.polygon(shape, tone, shade=k == 0)
    elif kind == "hills":
        far = mix(color, palette.bg, 0.45)
        t = np.linspace(-4, c.w + 4, 40)
        for k, (base, tone) in enumerate(((foot - 0.24 * r, far), (foot - 0.04 * r, color))):
            line = base - 0.035 * c.s * np.sin((t - x) / c.s * 6.5 + plan["phase"] + 2 * k)
            c.polygon(np.concatenate([np.stack([t, line], -1), [[c.w + 4, c.h + 6], [-4, c.h + 6]]]), tone)
    elif kind == "floor":
        c.rect(-4, foot - 0.22 * r, c.w + 4, c.h + 4, color)
    elif kind == "confetti":
        rng = Random(plan["seed"])
        tones = [q for q in palette.accents if distance(q, palette.bg) > 25] or [palette.paper]
        for k in range(20):
            u, v, size, a = rng.random(), rng.random(), rng.uniform(0.02, 0.036) * c.s, rng.uniform(0, 3)
            tone = tones[int(rng.random() * len(tones))]
            if c.is_quiet(u * c.w, v * c.h, size):
                continue
            if k % 3:
                c.disc(u * c.w, v * c.h, size * 0.6, tone, shade=False, outline=False)
            else:
                c.polygon(
                    Frame(u * c.w, v * c.h, size, a).points(rounded(-1, -0.4, 1, 0.4, 0.3)),
                    tone,
                    shade=False,
                    outline=False,
                )
    elif kind == "plinth":
        c.glow(x, y, r * 1.25, r * 1.25, mix(palette.paper, palette.bg, 0.25), 0.8)
        top = foot - 0.34 * r
        side = mix(color, palette.ink, 0.18)
        c.rect(x - r * 0.82, top, x + r * 0.82, top + 0.3 * r, side)
        c.polygon(ellipse(x, top + 0.3 * r, r * 0.82, r * 0.12), side, shade=False, outline=False)
        c.polygon(ellipse(x, top, r * 0.82, r * 0.12), color, shade=False)


def draw_shadow(c: Canvas, palette: Palette, x: float, foot: float, r: float) -> None:
    """The soft shadow that puts a subject on its ground."""
    c.glow(x, foot, r * 0.85, r * 0.16, mix(palette.ink, palette.bg, 0.15), 0.75)
