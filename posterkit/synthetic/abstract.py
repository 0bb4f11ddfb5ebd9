"""Graphic themes: geometric shapes, soft light, records and sound, leaves and flowers."""

from __future__ import annotations

import math
from random import Random

import numpy as np

from posterkit.synthetic.canvas import Axes, Canvas, arc, curve, ellipse, leaf, mirror, rounded
from posterkit.synthetic.palettes import RGB, ColorScheme, color_name, color_names, distance, luminance, mix
from posterkit.synthetic.plans import Plan, pick


def _distinct(palette: ColorScheme, count: int) -> list[RGB]:
    """Up to `count` accents that stand out from the background and from one another."""
    found: list[RGB] = []
    for color in (*palette.accents, palette.ink, palette.paper):
        if distance(color, palette.bg) > 22 and all(distance(color, other) > 18 for other in found):
            found.append(color)
    return found[:count]


class Geometric:
    """Bauhaus tiles, or big circles, bars and triangles in balance."""

    def plan(self, rng: Random, palette: ColorScheme) -> Plan:
        colors = _distinct(palette, 4)
        kind = rng.choice(("tiles", "tiles", "shapes", "arches", "circles"))
        plan: Plan = {
            "kind": kind, "colors": colors, "seed": int(rng.random() * 2**31), "cells": rng.choice((2, 3, 3, 4)),
            "angle": rng.choice((0.0, 0.0, math.pi / 4, -math.pi / 4, math.pi / 2)),
        }  # fmt: skip
        plan["slots"] = {"kind": kind, "colors": color_names(colors[:3])}
        return plan

    def draw(self, c: Canvas, plan: Plan, palette: ColorScheme, x: float, y: float, r: float) -> None:
        rng = Random(plan["seed"])
        getattr(self, "_" + plan["kind"])(c, rng, plan, x, y, r)

    def _tiles(self, c: Canvas, rng: Random, plan: Plan, x: float, y: float, r: float) -> None:
        n, colors = plan["cells"], plan["colors"]
        side = 2 * r * 0.92 / n
        for row in range(n):
            for column in range(n):
                x0, y0 = x - r * 0.92 + column * side, y - r * 0.92 + row * side
                first = pick(rng, colors)
                second = pick(rng, [q for q in colors if q != first])
                f = Axes(x0 + side / 2, y0 + side / 2, side / 2, int(rng.random() * 4) * math.pi / 2)
                kind = int(rng.random() * 6)
                if kind != 5:
                    c.rect(x0, y0, x0 + side + 0.5, y0 + side + 0.5, first, shade=False)
                if kind == 0:
                    c.shape(f, np.concatenate([[[-1, -1]], arc(-1, -1, 2, 0, math.pi / 2)]), second)
                elif kind == 1:
                    c.shape(f, arc(0, -1, 1, 0, math.pi), second)
                    c.shape(f, arc(0, 0, 1, 0, math.pi), second)
                elif kind == 2:
                    c.shape(f, [[-1, -1], [1, 1], [-1, 1]], second)
                elif kind == 3:
                    c.shape(f, ellipse(0, 0, 0.72), second)
                    c.part(f, ellipse(0, 0, 0.3), first)
                elif kind == 4:
                    for corner in (0, math.pi):
                        g = f.at(0, 0, 1, corner)
                        c.part(g, np.concatenate([[[-1, -1]], arc(-1, -1, 1, 0, math.pi / 2)]), second)
                else:
                    c.shape(f, ellipse(0, 0, 1), first)
                    c.part(f, arc(0, 0, 1, 0, math.pi), second)

    def _shapes(self, c: Canvas, rng: Random, plan: Plan, x: float, y: float, r: float) -> None:
        a, b, *more = plan["colors"]
        third = more[0] if more else mix(a, b, 0.5)
        f = Axes(x, y, r, plan["angle"])
        c.shape(f, ellipse(-0.12, -0.12, 0.68), a)
        bar = rng.uniform(0.1, 0.3)
        c.shape(f, [[-0.95, bar], [0.95, bar], [0.95, bar + 0.2], [-0.95, bar + 0.2]], b)
        s = rng.choice((-1, 1))
        c.shape(f, [[0.1 * s, 0.9], [0.9 * s, 0.9], [0.5 * s, 0.12]], third)
        if len(more) > 1:
            c.shape(f, ellipse(0.62, -0.66, 0.2), more[1])

    def _arches(self, c: Canvas, rng: Random, plan: Plan, x: float, y: float, r: float) -> None:
        colors, n = plan["colors"], 4
        f = Axes(x, y + r * 0.55, r * 0.95, 0 if plan["angle"] < 1 else math.pi)
        shift = 0.0 if plan["angle"] < 1 else 0.55
        for k in range(n):
            q = 1 - k * 0.24
            shape = np.concatenate([arc(0, shift, q, math.pi, 2 * math.pi), [[q, 0.4 + shift], [-q, 0.4 + shift]]])
            c.shape(f, shape, colors[k % len(colors)])

    def _circles(self, c: Canvas, rng: Random, plan: Plan, x: float, y: float, r: float) -> None:
        colors = plan["colors"]
        centres = [(0.0, -0.38), (0.4, 0.25), (-0.4, 0.25)]
        f = Axes(x, y, r, rng.uniform(0, 1))
        for (u, v), color in zip(centres, colors, strict=False):
            c.shape(f, ellipse(u, v, 0.5), color)
        c.part(f, ellipse(0, 0, 0.22), colors[-1])


class Aurora:
    """Soft lights that run into one another, or silky ribbons."""

    def plan(self, rng: Random, palette: ColorScheme) -> Plan:
        colors = _distinct(palette, 3)
        kind = rng.choice(("lights", "ribbons", "lights"))
        plan: Plan = {
            "kind": kind, "colors": colors, "phase": rng.uniform(0, 6.3), "angle": rng.uniform(-0.6, 0.6),
            "spots": [(rng.uniform(-0.5, 0.5), rng.uniform(-0.5, 0.5), rng.uniform(0.8, 1.15)) for _ in range(5)],
            "core": rng.random() < 0.4,
        }  # fmt: skip
        plan["slots"] = {"kind": kind, "colors": color_names(colors), "core": plan["core"]}
        return plan

    def draw(self, c: Canvas, plan: Plan, palette: ColorScheme, x: float, y: float, r: float) -> None:
        colors = plan["colors"]
        if plan["kind"] == "lights":
            for k, (u, v, size) in enumerate(plan["spots"]):
                for far, strength in ((1.15, 0.9), (0.85, 0.9)):
                    c.glow(x + u * r, y + v * r, size * r * far, size * r * far, colors[k % len(colors)], strength)
            if plan["core"]:
                c.disc(x, y, r * 0.34, colors[0])
        else:
            t = np.linspace(-1.0, 1.0, 40)
            f = Axes(x, y, r, plan["angle"])
            for k in range(6):
                share = k / 5
                color = mix(colors[0], colors[-1], share) if len(colors) < 3 else (
                    mix(colors[0], colors[1], share * 2) if share < 0.5 else mix(colors[1], colors[2], share * 2 - 1)
                )  # fmt: skip
                middle = -0.55 + 0.2 * k + 0.26 * np.sin(2.6 * t + plan["phase"] + 0.3 * k)
                half = 0.16 * np.sqrt(np.maximum(0, 1 - t**2)) + 0.012
                c.shape(f, np.concatenate([curve(t, middle - half), curve(t, middle + half)[::-1]]), color)


class Music:
    """A record, sound bars, sound waves or a guitar."""

    def plan(self, rng: Random, palette: ColorScheme) -> Plan:
        colors = _distinct(palette, 4)
        kind = rng.choice(("record", "record", "bars", "rings", "guitar"))
        disc = min((*colors, palette.ink), key=luminance)
        if distance(disc, palette.bg) < 25:
            disc = colors[0]
        label = next((q for q in colors if distance(q, disc) > 30), palette.paper)
        plan: Plan = {
            "kind": kind, "colors": colors, "disc": disc, "label": label, "angle": rng.uniform(-0.5, 0.5),
            "bars": [rng.uniform(0.25, 1.0) for _ in range(9)], "extra": rng.random() < 0.5,
        }  # fmt: skip
        main = disc if kind == "record" else colors[0]
        plan["slots"] = {"kind": kind, "main": color_name(main), "label": color_name(label),
                         "colors": color_names(colors[:2]), "extra": plan["extra"]}  # fmt: skip
        return plan

    def draw(self, c: Canvas, plan: Plan, palette: ColorScheme, x: float, y: float, r: float) -> None:
        getattr(self, "_" + plan["kind"])(c, plan, palette, x, y, r)

    def _record(self, c: Canvas, plan: Plan, palette: ColorScheme, x: float, y: float, r: float) -> None:
        disc, label = plan["disc"], plan["label"]
        if plan["extra"]:
            cover = next((q for q in plan["colors"] if q not in (disc, label)), mix(label, palette.bg, 0.4))
            c.shape(Axes(x, y, r), rounded(-0.95, -0.7, 0.45, 0.7, 0.05), cover)
            x, r = x + r * 0.28, r * 0.66
        else:
            r *= 0.9
        c.disc(x, y, r, disc)
        groove = mix(disc, palette.paper, 0.22)
        for k in (0.86, 0.7, 0.54):
            c.ring(x, y, r * k, max(2, r * 0.025), groove)
        for a in (plan["angle"], plan["angle"] + math.pi):
            wedge = np.concatenate([[[0, 0]], arc(0, 0, 0.97, a - 0.16, a + 0.16, 8)]) * r + (x, y)
            c.polygon(wedge, mix(disc, palette.paper, 0.16), shade=False, outline=False)
        c.disc(x, y, r * 0.38, label)
        c.disc(x, y, r * 0.07, disc, shade=False, outline=False)

    def _bars(self, c: Canvas, plan: Plan, palette: ColorScheme, x: float, y: float, r: float) -> None:
        n = len(plan["bars"])
        pitch = 2 * r * 0.95 / n
        for k, height in enumerate(plan["bars"]):
            cx = x - r * 0.95 + pitch * (k + 0.5)
            half = height * r * 0.85
            c.polygon(rounded(cx - pitch * 0.33, y - half, cx + pitch * 0.33, y + half, pitch * 0.33),
                      plan["colors"][k % 2])  # fmt: skip

    def _rings(self, c: Canvas, plan: Plan, palette: ColorScheme, x: float, y: float, r: float) -> None:
        for k in range(6):
            q = r * (0.98 - 0.16 * k)
            c.disc(x, y, q, plan["colors"][0] if k % 2 == 0 else (plan["colors"][1] if plan["extra"] else palette.bg))

    def _guitar(self, c: Canvas, plan: Plan, palette: ColorScheme, x: float, y: float, r: float) -> None:
        f = Axes(x, y + r * 0.3, r * 0.92, plan["angle"] + 0.25)
        color, dark, label = plan["colors"][0], mix(plan["colors"][0], palette.ink, 0.72), plan["colors"][1]
        c.part(f, rounded(-0.075, -1.15, 0.075, 0.2, 0.02), dark)
        c.part(f, rounded(-0.13, -1.36, 0.13, -1.1, 0.04), dark)
        t = np.linspace(0, math.pi, 30)
        width = 0.5 * np.sin(t) ** 0.6 * (1 - 0.32 * np.exp(-(((t - 1.35) / 0.3) ** 2))) * (0.82 + 0.2 * t / math.pi)
        body = curve(width, -0.42 + 1.1 * (1 - np.cos(t)) / 2)
        c.shape(f, mirror(body), color)
        c.part(f, ellipse(0, 0.02, 0.16), dark)
        c.part(f, rounded(-0.2, 0.36, 0.2, 0.44, 0.02), label)


class Botanical:
    """A bouquet in a vase, a branch, one big flower, or a wreath of leaves."""

    def plan(self, rng: Random, palette: ColorScheme) -> Plan:
        colors = _distinct(palette, 4)
        kind = rng.choice(("vase", "branch", "flower", "wreath", "vase"))
        petal, green = colors[0], colors[1 % len(colors)]
        center = next((q for q in colors[2:] if distance(q, petal) > 25), palette.away(petal))
        plan: Plan = {
            "kind": kind, "petal": petal, "green": green, "center": center,
            "vase": colors[2 % len(colors)] if len(colors) > 2 else mix(green, palette.ink, 0.3),
            "petals": rng.choice((5, 6, 8)), "angle": rng.uniform(-0.25, 0.25), "shape": rng.random(),
            "stems": [(rng.uniform(-0.1, 0.1), rng.uniform(0.85, 1.1)) for _ in range(5)],
        }  # fmt: skip
        plan["slots"] = {"kind": kind, "petal": color_name(petal), "green": color_name(green),
                         "vase": color_name(plan["vase"])}  # fmt: skip
        return plan

    def draw(self, c: Canvas, plan: Plan, palette: ColorScheme, x: float, y: float, r: float) -> None:
        getattr(self, "_" + plan["kind"])(c, plan, palette, x, y, r)

    def _bloom(self, c: Canvas, plan: Plan, f: Axes) -> None:
        n = plan["petals"]
        petal = ellipse(0, -0.58, {5: 0.38, 6: 0.32, 8: 0.25}[n], 0.44)
        for k in range(n):
            g = f.at(0, 0, 1, 2 * math.pi * k / n)
            c.polygon(
                g.points(petal),
                plan["petal"] if k % 2 == 0 else mix(plan["petal"], plan["center"], 0.16),
                shade=f.scale > 0.2 * c.s,
            )
        c.part(f, ellipse(0, 0, 0.27), plan["center"])

    def _leafy(self, c: Canvas, plan: Plan, f: Axes, length: float, pairs: int) -> None:
        dark = mix(plan["green"], (20, 24, 20), 0.22)
        c.stroke(f.points([[0, 0], [0, -length]]), max(2, 0.035 * f.scale), dark)
        for k in range(pairs):
            at = -length * (0.22 + 0.7 * k / pairs)
            size = 0.42 * (1 - 0.4 * k / pairs)
            for side in (-1, 1):
                g = f.at(0, at, size, side * 0.95)
                c.part(g, leaf(1.0, 0.24), plan["green"] if side < 0 else dark)
        c.part(f.at(0, -length * 0.92, 0.34), leaf(1.0, 0.24), plan["green"])

    def _flower(self, c: Canvas, plan: Plan, palette: ColorScheme, x: float, y: float, r: float) -> None:
        f = Axes(x, y, r, plan["angle"])
        c.path(f, [[0, 0], [0.06, 0.5], [0, 1.0]], 0.055, mix(plan["green"], palette.ink, 0.2))
        for side in (-1, 1):
            c.shape(f.at(0.02, 0.86, 0.62, side * 1.0), leaf(1.0, 0.22), plan["green"])
        self._bloom(c, plan, f.at(0, -0.3, 0.66))

    def _branch(self, c: Canvas, plan: Plan, palette: ColorScheme, x: float, y: float, r: float) -> None:
        self._leafy(c, plan, Axes(x, y + r * 0.95, r, plan["angle"]), 1.6, 5)

    def _vase(self, c: Canvas, plan: Plan, palette: ColorScheme, x: float, y: float, r: float) -> None:
        base = Axes(x, y + r * 0.45, r, 0)
        for k, (lean, size) in enumerate(plan["stems"]):
            angle = (k - 2) * 0.36 + lean
            f = base.at(0, 0, 1, angle)
            if k % 2 == 0:
                c.path(f, [[0, 0.2], [0, -0.85 * size]], 0.035, mix(plan["green"], palette.ink, 0.2))
                self._bloom(c, plan, f.at(0, -0.95 * size, 0.34, 0.4 * k))
            else:
                self._leafy(c, plan, f, 1.0 * size, 4)
        t = np.linspace(0, 1, 16)
        half = (0.17 + 0.16 * np.sin(math.pi * t**1.2) if plan["shape"] < 0.5 else 0.3 - 0.12 * t) + 0.02
        side = curve(half, -0.12 + 0.65 * t)
        c.shape(base, mirror(side), plan["vase"])

    def _wreath(self, c: Canvas, plan: Plan, palette: ColorScheme, x: float, y: float, r: float) -> None:
        c.ring(x, y, r * 0.74, max(2, r * 0.03), mix(plan["green"], palette.ink, 0.2))
        n = 20
        for k in range(n):
            a = 2 * math.pi * k / n
            f = Axes(x + math.cos(a) * r * 0.73, y + math.sin(a) * r * 0.73, r * 0.36, a + (0.55 if k % 2 else 2.45))
            c.part(f, leaf(1.0, 0.24), plan["green"] if k % 2 else mix(plan["green"], palette.ink, 0.2))
        for a in (plan["angle"] - 1.9, plan["angle"] + 0.4, plan["angle"] + 2.5):
            self._bloom(c, plan, Axes(x + math.cos(a) * r * 0.73, y + math.sin(a) * r * 0.73, r * 0.3, a))
