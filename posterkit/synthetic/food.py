"""Food: cups, slices, cakes, fruit."""

from __future__ import annotations

import math
from random import Random
from typing import NamedTuple

import numpy as np

from posterkit.synthetic.canvas import Axes, Canvas, Pose, arc, curve, ellipse, leaf, mirror, rounded
from posterkit.synthetic.palettes import RGB, ColorScheme, color_name, mix, subject_colors
from posterkit.synthetic.plans import Plan


class _Tones(NamedTuple):
    main: RGB
    second: RGB
    third: RGB
    paper: RGB
    dark: RGB


class Food:
    """A cup of coffee, a pizza, an orange slice, a cupcake, an ice cream, a donut, cherries or a burger."""

    kinds = ("coffee", "pizza", "orange", "cupcake", "ice cream", "donut", "cherries", "burger", "pear")

    def plan(self, rng: Random, palette: ColorScheme) -> Plan:
        main, second, third = sorted(subject_colors(rng, palette), key=lambda q: min(q) - max(q))  # food is vivid
        kind = rng.choice(self.kinds)
        return {
            "kind": kind, "main": main, "second": second, "third": third, "seed": int(rng.random() * 2**31),
            "paper": palette.paper, "dark": palette.ink, "count": rng.choice((6, 8)),
            "slots": {"kind": kind, "main": color_name(main), "second": color_name(second)},
        }  # fmt: skip

    def draw(self, c: Canvas, plan: Plan, f: Axes, pose: Pose) -> None:
        tones = _Tones(*(pose.lit(plan[name]) for name in _Tones._fields))
        getattr(self, "_" + plan["kind"].replace(" ", "_"))(c, plan, f, tones)

    def _coffee(self, c: Canvas, plan: Plan, f: Axes, tone: _Tones) -> None:
        c.part(f, ellipse(0, 0.74, 0.95, 0.15), mix(tone.second, tone.dark, 0.12))
        handle = f.at(0.66, 0.12)
        c.ring(handle.x, handle.y, f.scale * 0.3, f.scale * 0.1, mix(tone.main, tone.dark, 0.15))
        t = np.linspace(0, math.pi / 2, 12)
        bowl = np.concatenate([[(0.68, -0.3)], curve(0.66 * np.cos(t) ** 0.6, -0.1 + 0.82 * np.sin(t))])
        c.shape(f, mirror(bowl), tone.main)
        c.part(f, ellipse(0, -0.3, 0.68, 0.14), mix(tone.main, (255, 255, 255), 0.3))
        c.detail(f, ellipse(0, -0.29, 0.56, 0.1), mix((84, 48, 28), tone.dark, 0.3))
        s = np.linspace(0, 1, 16)
        for k in (-0.26, 0.0, 0.26):
            c.path(f, curve(k + 0.07 * np.sin(s * 6 + k * 9), -0.48 - 0.45 * s), 0.06, tone.paper)

    def _pizza(self, c: Canvas, plan: Plan, f: Axes, tone: _Tones) -> None:
        top = curve(np.linspace(-0.8, 0.8, 14), -0.62 - 0.16 * np.cos(np.linspace(-1.5, 1.5, 14)))
        c.shape(f, np.concatenate([top, [[0, 1.0]]]), tone.second)
        crust = np.concatenate([top + np.array((0, 0.16)), (top * (1.06, 1))[::-1] - (0, 0.06)])
        c.part(f, crust, mix(tone.second, (130, 70, 30), 0.45))
        for x, y in ((-0.3, -0.22), (0.28, -0.3), (0.02, 0.18)):
            c.part(f, ellipse(x, y, 0.17), tone.main)
        for x, y, a in ((0.0, -0.34, 0.4), (-0.14, 0.02, 2.0), (0.2, 0.02, -0.8)):
            c.detail(f.at(x, y, 0.2, a), leaf(1, 0.3), tone.third)

    def _orange(self, c: Canvas, plan: Plan, f: Axes, tone: _Tones) -> None:
        c.shape(f, ellipse(0, 0.05, 0.88), tone.main)
        c.detail(f, ellipse(0, 0.05, 0.76), mix(tone.paper, tone.main, 0.12))
        n = plan["count"]
        for k in range(n):
            a = 2 * math.pi * k / n
            rind = arc(0, 0, 0.68, a - 2.55 / n, a + 2.55 / n, 8)
            wedge = np.concatenate([[[0.1 * math.cos(a), 0.1 * math.sin(a)]], rind])
            c.detail(f, wedge + np.array((0, 0.05)), mix(tone.main, tone.second, 0.18))
        c.part(f.at(0.12, -0.8, 0.5, 0.9), leaf(1.0, 0.26), tone.third)

    def _cupcake(self, c: Canvas, plan: Plan, f: Axes, tone: _Tones) -> None:
        c.shape(f, mirror([(0.62, 0.12), (0.44, 0.95)]), tone.second)
        for k in (-0.36, -0.12, 0.12, 0.36):
            c.path(f, [[k * 1.2, 0.2], [k * 0.9, 0.88]], 0.05, mix(tone.second, tone.dark, 0.25))
        for y, w, h in ((0.06, 0.74, 0.26), (-0.24, 0.56, 0.24), (-0.5, 0.36, 0.2)):
            c.part(f, ellipse(0, y, w, h), mix(tone.main, tone.paper, 0.12 if y < 0 else 0.0))
        c.part(f, ellipse(0, -0.74, 0.17), tone.third)

    def _ice_cream(self, c: Canvas, plan: Plan, f: Axes, tone: _Tones) -> None:
        cone = mix(tone.second, (206, 140, 74), 0.5)
        c.shape(f, [[-0.42, 0.0], [0.42, 0.0], [0, 1.05]], cone)
        for k in (-0.14, 0.14):
            for side in (-1, 1):
                path = [[k + 0.2 * side, 0.05], [k - 0.08 * side, 0.6 - abs(k)]]
                c.path(f, path, 0.04, mix(cone, tone.dark, 0.25))
        c.shape(f, ellipse(-0.24, -0.18, 0.36), tone.third)
        c.shape(f, ellipse(0.24, -0.18, 0.36), mix(tone.second, tone.paper, 0.4))
        c.shape(f, ellipse(0, -0.56, 0.38), tone.main)

    def _donut(self, c: Canvas, plan: Plan, f: Axes, tone: _Tones) -> None:
        dough = mix(tone.second, (214, 152, 92), 0.6)
        t = np.linspace(0, 2 * math.pi, 56, endpoint=False)
        c.shape(f, ellipse(0, 0, 0.9), dough)
        r = 0.78 + 0.05 * np.sin(7 * t)
        c.shape(f, curve(r * np.cos(t), r * np.sin(t)), tone.main)
        rng = Random(plan["seed"])
        for k in range(14):
            a, q = 2 * math.pi * k / 14 + rng.uniform(-0.15, 0.15), rng.choice((0.44, 0.58, 0.68))
            g = f.at(q * math.cos(a), q * math.sin(a), 1, rng.uniform(0, 3))
            c.detail(g, rounded(-0.09, -0.032, 0.09, 0.032, 0.03), (tone.third, tone.paper)[k % 2])
        c.detail(f, ellipse(0, 0, 0.3), mix(dough, tone.dark, 0.3))
        c.detail(f, ellipse(0, 0.04, 0.25), mix(dough, tone.dark, 0.62))

    def _cherries(self, c: Canvas, plan: Plan, f: Axes, tone: _Tones) -> None:
        stem = mix(tone.third, tone.dark, 0.3)
        for x, y, bend in ((-0.42, 0.42, -0.2), (0.42, 0.52, 0.25)):
            s = np.linspace(0, 1, 10)[:, None]
            start, turn, end = np.array([[0.05, -0.85], [x + bend * 0.2, -0.3], [x, y - 0.3]])
            c.path(f, (1 - s) ** 2 * start + 2 * s * (1 - s) * turn + s**2 * end, 0.06, stem)
        c.part(f.at(0.05, -0.82, 0.75, 1.25), leaf(1, 0.24), tone.third)
        for x, y in ((-0.42, 0.42), (0.42, 0.52)):
            c.shape(f, ellipse(x, y, 0.4), tone.main)
            c.detail(f, ellipse(x - 0.14, y - 0.14, 0.09), mix(tone.main, (255, 255, 255), 0.55))

    def _burger(self, c: Canvas, plan: Plan, f: Axes, tone: _Tones) -> None:
        bun = mix(tone.main, (224, 156, 84), 0.35)
        c.part(f, rounded(-0.82, 0.42, 0.82, 0.74, 0.16), bun)
        c.part(f, rounded(-0.86, 0.16, 0.86, 0.42, 0.1), mix((92, 52, 32), tone.dark, 0.25))
        c.part(f, [[-0.9, 0.1], [0.9, 0.1], [0.5, 0.34], [0.2, 0.16], [-0.4, 0.16]], tone.second)
        t = np.linspace(-0.95, 0.95, 30)
        wave = curve(t, 0.06 + 0.06 * np.sin(t * 14))
        c.part(f, np.concatenate([wave, [[0.9, -0.1], [-0.9, -0.1]]]), tone.third)
        c.shape(f, arc(0, -0.08, 0.84, math.pi, 2 * math.pi) * (1, 0.86), bun)
        for x, y in ((-0.36, -0.42), (0, -0.58), (0.36, -0.42), (-0.14, -0.3), (0.18, -0.28)):
            c.detail(f, ellipse(x, y, 0.06, 0.035), tone.paper)

    def _pear(self, c: Canvas, plan: Plan, f: Axes, tone: _Tones) -> None:
        t = np.linspace(0, math.pi, 26)
        half = curve(np.sin(t) * (0.24 + 0.4 * ((1 - np.cos(t)) / 2) ** 1.4) * 1.12, 0.05 - 0.85 * np.cos(t))
        c.path(f, [[0, -0.75], [0.08, -1.05]], 0.07, mix(tone.third, tone.dark, 0.5))
        c.part(f.at(0.06, -0.9, 0.5, 1.1), leaf(1, 0.26), tone.third)
        c.shape(f, mirror(half), tone.main)
        c.detail(f, ellipse(-0.28, 0.35, 0.08, 0.2), mix(tone.main, (255, 255, 255), 0.4))
