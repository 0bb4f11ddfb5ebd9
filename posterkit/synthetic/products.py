"""Products with a label: bottles, cans, jars, boxes, perfumes, lamps."""

from __future__ import annotations

import math
from random import Random

import numpy as np

from posterkit.synthetic.canvas import Axes, Canvas, Pose, curve, ellipse, leaf, mirror, rounded
from posterkit.synthetic.palettes import RGB, ColorScheme, color_name, mix, subject_colors
from posterkit.synthetic.plans import Plan


class Product:
    """A bottle, can, jar, box, tube or lamp with a label."""

    kinds = ("bottle", "can", "jar", "box", "perfume", "lamp", "bottle")

    def plan(self, rng: Random, palette: ColorScheme) -> Plan:
        body, label, cap = subject_colors(rng, palette)
        kind = rng.choice(self.kinds)
        return {
            "kind": kind, "body": body, "label": label, "cap": cap,
            "mark": rng.choice(("disc", "stripes", "leaf", "drop")), "wide": rng.uniform(0.88, 1.12),
            "slots": {"kind": kind, "body": color_name(body), "label": color_name(label)},
        }  # fmt: skip

    def draw(self, c: Canvas, plan: Plan, f: Axes, pose: Pose) -> None:
        body, label, cap = (pose.lit(plan[k]) for k in ("body", "label", "cap"))
        getattr(self, "_" + plan["kind"])(c, plan, f, body, label, cap)

    def _gloss(self, c: Canvas, f: Axes, x: float, y0: float, y1: float, width: float, body: RGB) -> None:
        c.detail(f, rounded(x - width, y0, x + width, y1, width), mix(body, (255, 255, 255), 0.36))

    def _label(self, c: Canvas, plan: Plan, f: Axes, w: float, y0: float, y1: float, label: RGB, mark: RGB) -> None:
        c.detail(f, rounded(-w, y0, w, y1, 0.03), label)
        y, q = (y0 + y1) / 2, min(w, (y1 - y0) / 2) * 0.58
        if plan["mark"] == "disc":
            c.detail(f, ellipse(0, y, q), mark)
        elif plan["mark"] == "stripes":
            for k in (-1, 0, 1):
                at = y + q * 0.8 * k
                stripe = rounded(-w * 0.7, at - q * 0.2, w * 0.7, at + q * 0.2, 0.02)
                c.detail(f, stripe, mark)
        elif plan["mark"] == "leaf":
            for a in (-0.7, 0.7):
                c.detail(f.at(0, y + q * 0.8, q * 1.6, a), leaf(1.0, 0.26), mark)
        else:
            t = np.linspace(0, 2 * math.pi, 24)
            c.detail(f, curve(q * 0.8 * np.sin(t) * np.sin(t / 2), y - q * np.cos(t)), mark)

    def _bottle(self, c: Canvas, plan: Plan, f: Axes, body: RGB, label: RGB, cap: RGB) -> None:
        w = 0.36 * plan["wide"]
        c.part(f, rounded(-0.15, -1.0, 0.15, -0.78, 0.04), cap)
        neck = [(0.12, -0.8), (0.12, -0.55), (0.17, -0.42)]
        half = [*neck, (w * 0.8, -0.28), (w * 0.97, -0.12), (w, 0.05), (w, 0.9), (w * 0.9, 1.0)]
        c.shape(f, mirror(half), body)
        self._label(c, plan, f, w * 0.98, 0.08, 0.72, label, cap)
        self._gloss(c, f, -w * 0.68, -0.16, 0.88, 0.035, body)

    def _can(self, c: Canvas, plan: Plan, f: Axes, body: RGB, label: RGB, cap: RGB) -> None:
        w = 0.46 * plan["wide"]
        metal = mix(cap, (226, 228, 230), 0.55)
        c.part(f, mirror([(w * 0.82, -0.92), (w, -0.76), (w, 0.82), (w * 0.84, 0.96)]), metal)
        c.shape(f, mirror([(w, -0.74), (w, 0.8)]), body)
        self._label(c, plan, f, w, -0.38, 0.44, label, cap)
        self._gloss(c, f, -w * 0.66, -0.68, 0.74, 0.045, body)

    def _jar(self, c: Canvas, plan: Plan, f: Axes, body: RGB, label: RGB, cap: RGB) -> None:
        w = 0.6 * plan["wide"]
        c.part(f, rounded(-w * 0.8, -0.72, w * 0.8, -0.42, 0.07), cap)
        c.shape(f, rounded(-w, -0.44, w, 0.86, 0.2), body)
        self._label(c, plan, f, w * 0.76, -0.12, 0.56, label, cap)
        self._gloss(c, f, -w * 0.87, -0.2, 0.62, 0.035, body)

    def _box(self, c: Canvas, plan: Plan, f: Axes, body: RGB, label: RGB, cap: RGB) -> None:
        w = 0.46 * plan["wide"]
        side, lid = mix(body, (16, 14, 22), 0.32), mix(body, (255, 255, 255), 0.3)
        c.part(f, [[w, -0.8], [w + 0.28, -0.92], [w + 0.28, 0.78], [w, 0.92]], side)
        c.part(f, [[-w, -0.8], [-w + 0.28, -0.92], [w + 0.28, -0.92], [w, -0.8]], lid)
        c.shape(f, mirror([(w, -0.8), (w, 0.92)]), body)
        self._label(c, plan, f, w * 0.74, -0.45, 0.35, label, cap)
        c.detail(f, rounded(-w * 0.74, 0.52, w * 0.74, 0.64, 0.03), cap)

    def _perfume(self, c: Canvas, plan: Plan, f: Axes, body: RGB, label: RGB, cap: RGB) -> None:
        w = 0.62 * plan["wide"]
        c.part(f, rounded(-0.2, -0.86, 0.2, -0.46, 0.05), cap)
        c.part(f, rounded(-0.14, -0.5, 0.14, -0.3, 0.02), mix(cap, (255, 255, 255), 0.4))
        c.shape(f, rounded(-w, -0.34, w, 0.86, 0.16), body)
        c.detail(f, rounded(-w * 0.8, -0.16, w * 0.8, 0.7, 0.1), mix(body, (255, 255, 255), 0.2))
        self._label(c, plan, f, w * 0.5, 0.0, 0.54, label, cap)

    def _lamp(self, c: Canvas, plan: Plan, f: Axes, body: RGB, label: RGB, cap: RGB) -> None:
        w = 0.66 * plan["wide"]
        c.part(f, rounded(-0.06, -0.1, 0.06, 0.85, 0.02), cap)
        c.part(f, rounded(-0.42, 0.8, 0.42, 0.94, 0.06), cap)
        light = f.at(0.0, 0.1)
        c.glow(light.x, light.y, f.scale * 0.75, f.scale * 0.45, (255, 240, 196), 0.75)
        c.shape(f, mirror([(w * 0.5, -0.85), (w, 0.05)]), body)
        c.detail(f, mirror([(w * 0.94, -0.07), (w, 0.05)]), label)
