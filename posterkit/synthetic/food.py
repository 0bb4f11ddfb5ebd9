"""Food: cups, slices, cakes, fruit."""

from __future__ import annotations

import math
from random import Random
from typing import Any

import numpy as np

from posterkit.synthetic.canvas import Axes, Canvas, arc, ellipse, leaf, rounded
from posterkit.synthetic.palettes import RGB, ColorScheme, color_name, mix
from posterkit.synthetic.poses import Pose, mirror, subject_colors

Plan = dict[str, Any]


class Food:
    """A cup of coffee, a pizza, an orange slice, a cupcake, an ice cream, a donut, cherries or a burger."""

    name = "food"
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
        lit = {k: pose.lit(plan[k]) for k in ("main", "second", "third", "paper", "dark")}
        getattr(self, "_" + plan["kind"].replace(" ", "_"))(c, plan, f, **lit)

    def _coffee(
        self, c: Canvas, plan: Plan, f: Axes, main: RGB, second: RGB, third: RGB, paper: RGB, dark: RGB
    ) -> None:
        c.polygon(f.points(ellipse(0, 0.74, 0.95, 0.15)), mix(second, dark, 0.12), shade=False)
        x, y = f.points(np.array([[0.66, 0.12]]))[0]
        c.ring(x, y, f.scale * 0.3, f.scale * 0.1, mix(main, dark, 0.15))
        t = np.linspace(0, math.pi / 2, 12)
        bowl = [
            (0.68, -0.3),
            *zip((0.66 * np.cos(t) ** 0.6).tolist(), (-0.1 + 0.82 * np.sin(t)).tolist(), strict=True),
        ]
        c.polygon(f.points(mirror(bowl)), main)
        c.polygon(f.points(ellipse(0, -0.3, 0.68, 0.14)), mix(main, (255, 255, 255), 0.3), shade=False)
        c.polygon(f.points(ellipse(0, -0.29, 0.56, 0.1)), mix((84, 48, 28), dark, 0.3), shade=False, outline=False)
        s = np.linspace(0, 1, 16)
        for k in (-0.26, 0.0, 0.26):
            c.stroke(
                f.points(np.stack([k + 0.07 * np.sin(s * 6 + k * 9), -0.48 - 0.45 * s], -1)), 0.06 * f.scale, paper
            )

    def _pizza(
        self, c: Canvas, plan: Plan, f: Axes, main: RGB, second: RGB, third: RGB, paper: RGB, dark: RGB
    ) -> None:
        top = np.stack([np.linspace(-0.8, 0.8, 14), -0.62 - 0.16 * np.cos(np.linspace(-1.5, 1.5, 14))], -1)
        c.polygon(f.points(np.concatenate([top, [[0, 1.0]]])), second)
        c.polygon(
            f.points(np.concatenate([top + np.array((0, 0.16)), (top * (1.06, 1))[::-1] - (0, 0.06)])),
            mix(second, (130, 70, 30), 0.45),
            shade=False,
        )
        for x, y in ((-0.3, -0.22), (0.28, -0.3), (0.02, 0.18)):
            c.polygon(f.points(ellipse(x, y, 0.17)), main, shade=False)
        for x, y, a in ((0.0, -0.34, 0.4), (-0.14, 0.02, 2.0), (0.2, 0.02, -0.8)):
            c.polygon(f.at(x, y, 0.2, a).points(leaf(1, 0.3)), third, shade=False, outline=False)

    def _orange(
        self, c: Canvas, plan: Plan, f: Axes, main: RGB, second: RGB, third: RGB, paper: RGB, dark: RGB
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
            c.polygon(f.points(wedge + np.array((0, 0.05))), mix(main, second, 0.18), shade=False, outline=False)
        c.polygon(g.points(leaf(1.0, 0.26)), third, shade=False)

    def _cupcake(
        self, c: Canvas, plan: Plan, f: Axes, main: RGB, second: RGB, third: RGB, paper: RGB, dark: RGB
    ) -> None:
        c.polygon(f.points(mirror([(0.62, 0.12), (0.44, 0.95)])), second)
        for k in (-0.36, -0.12, 0.12, 0.36):
            c.stroke(f.points(np.array([[k * 1.2, 0.2], [k * 0.9, 0.88]])), 0.05 * f.scale, mix(second, dark, 0.25))
        for y, w, h in ((0.06, 0.74, 0.26), (-0.24, 0.56, 0.24), (-0.5, 0.36, 0.2)):
            c.polygon(f.points(ellipse(0, y, w, h)), mix(main, paper, 0.12 if y < 0 else 0.0), shade=False)
        c.polygon(f.points(ellipse(0, -0.74, 0.17)), third, shade=False)

    def _ice_cream(
        self, c: Canvas, plan: Plan, f: Axes, main: RGB, second: RGB, third: RGB, paper: RGB, dark: RGB
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
        self, c: Canvas, plan: Plan, f: Axes, main: RGB, second: RGB, third: RGB, paper: RGB, dark: RGB
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
        self, c: Canvas, plan: Plan, f: Axes, main: RGB, second: RGB, third: RGB, paper: RGB, dark: RGB
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
        self, c: Canvas, plan: Plan, f: Axes, main: RGB, second: RGB, third: RGB, paper: RGB, dark: RGB
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

    def _pear(self, c: Canvas, plan: Plan, f: Axes, main: RGB, second: RGB, third: RGB, paper: RGB, dark: RGB) -> None:
        t = np.linspace(0, math.pi, 26)
        half = np.stack([np.sin(t) * (0.24 + 0.4 * ((1 - np.cos(t)) / 2) ** 1.4) * 1.12, 0.05 - 0.85 * np.cos(t)], -1)
        c.stroke(f.points(np.array([[0, -0.75], [0.08, -1.05]])), 0.07 * f.scale, mix(third, dark, 0.5))
        c.polygon(f.at(0.06, -0.9, 0.5, 1.1).points(leaf(1, 0.26)), third, shade=False)
        c.polygon(f.points(np.concatenate([half, half[::-1] * (-1, 1)])), main)
        c.polygon(
            f.points(ellipse(-0.28, 0.35, 0.08, 0.2)), mix(main, (255, 255, 255), 0.4), shade=False, outline=False
        )
