"""Places: a city, the sea, space."""

from __future__ import annotations

import math
from random import Random

import numpy as np

from posterkit.synthetic.canvas import Axes, Canvas, curve, ellipse, mirror, rounded
from posterkit.synthetic.palettes import ColorScheme, color_name, distance, luminance, mix
from posterkit.synthetic.plans import Plan
from posterkit.synthetic.scenery import closed, ground_colors, orb, orb_color, sky


class City:
    """A skyline in front of a big sun or moon."""

    def plan(self, rng: Random, palette: ColorScheme) -> Plan:
        hero = orb_color(rng, palette)
        ground = ground_colors(rng, palette, 2, not_like=hero)
        if distance(ground[1], hero) < 30:
            ground = [mix(palette.ink, palette.bg, 0.45), palette.ink]
        lit = rng.random() < 0.75
        window = palette.away(ground[1], least=35) if lit else None
        if window and distance(window, ground[1]) < 40:
            window = palette.paper
        near, position = [], -1.3
        while position < 1.3:
            width = rng.uniform(0.12, 0.2)
            near.append((position, width, rng.uniform(0.24, 0.52), int(rng.random() * 4), rng.random()))
            position += width + rng.choice((0, 0, 0.02))
        plan: Plan = {
            "orb": rng.choice(("sun", "moon", "striped sun")), "orb_color": hero, "ground": ground, "window": window,
            "near": near, "size": rng.uniform(0.55, 0.85), "lit": [rng.random() for _ in range(64)],
            "far": [(k * 0.16 - 1.4, 0.16, rng.uniform(0.3, 0.62)) for k in range(18)],
        }  # fmt: skip
        plan["slots"] = {"city": color_name(ground[1]), "orb": (color_name(hero), plan["orb"]),
                         "windows": color_name(window) if window else None}  # fmt: skip
        return plan

    def draw(self, c: Canvas, plan: Plan, palette: ColorScheme, x: float, y: float, r: float) -> None:
        base = c.floor - (0.01 * c.h if c.floor < c.h else -4.0)
        taper = 0.75 if c.floor == c.h else 1.0  # with a strip of ground below, the sides need more sky
        scale = min(1.0, max(0.5, (base - y + r * 0.25) / c.s / 0.55))
        sky(c, palette, plan["orb_color"], x, y, c.h * 0.9)
        orb(c, plan, x, y, r * plan["size"], palette.bg)
        if base < c.h:
            c.draw.rectangle((0, base, c.w, c.h), fill=mix(plan["ground"][1], palette.ink, 0.3))
        for offset, width, height in plan["far"]:
            height *= 1 - taper * min(0.85, abs(offset + width / 2))
            left = x + offset * c.s
            top = base - height * scale * c.s * 0.9
            c.rect(left, top, left + width * c.s + 1, base, plan["ground"][0], shade=False)
        for k, (offset, width, height, roof, tone) in enumerate(plan["near"]):
            height *= 1 - taper * min(0.85, abs(offset + width / 2))
            x0, x1, top = x + offset * c.s, x + (offset + width) * c.s, base - height * scale * c.s
            if x1 < 0 or x0 > c.w:
                continue
            self._building(c, plan, x0, x1, top, base, roof, k, tone)

    def _building(self, c: Canvas, plan: Plan, x0: float, x1: float, top: float, base: float, roof: int, k: int,
                  tone: float) -> None:  # fmt: skip
        color = mix(plan["ground"][1], plan["ground"][0], 0.28 * tone)
        middle, width = (x0 + x1) / 2, x1 - x0
        if roof == 1:
            c.polygon(np.array([[x0, top + 1], [middle, top - width * 0.45], [x1, top + 1]]), color, shade=False)
        elif roof == 2:
            c.rect(x0 + width * 0.22, top - width * 0.3, x1 - width * 0.22, top + 1, color, shade=False)
        elif roof == 3:
            c.draw.rectangle((middle - width * 0.06, top - width * 0.6, middle + width * 0.06, top), fill=color)
        c.rect(x0, top, x1, base, color, shade=False)
        if plan["window"]:
            step, pane = 0.056 * c.s, 0.026 * c.s
            columns = max(1, int(width / step))
            left = middle - (columns - 1) * step / 2
            for row in range(int((min(c.h, base) - top) / step - 0.3)):
                for column in range(columns):
                    if c.is_quiet(left + column * step, top + step * (row + 1), pane):
                        continue
                    if plan["lit"][(k * 17 + row * 5 + column * 11) % 64] < 0.5:
                        wx, wy = left + column * step - pane / 2, top + step * (0.6 + row)
                        c.draw.rectangle((wx, wy, wx + pane, wy + pane * 1.25), fill=plan["window"])


class Sea:
    """Waves with a sailboat, a lighthouse or a whale, under a sun or a moon."""

    def plan(self, rng: Random, palette: ColorScheme) -> Plan:
        water = ground_colors(rng, palette, 4)
        light = orb_color(rng, palette, water[1])
        thing = rng.choice(("sailboat", "sailboat", "lighthouse", "whale"))
        thing_color = palette.away(water[0], water[1], light, least=24)
        sail = palette.paper if distance(palette.paper, palette.bg) > 18 else palette.away(thing_color)
        plan: Plan = {
            "orb": rng.choice(("sun", "sun", "striped sun", "moon")), "orb_color": light, "water": water,
            "thing": thing, "thing_color": thing_color, "sail": sail,
            "side": rng.choice((-1, 1)), "phases": [rng.uniform(0, 6.3) for _ in range(4)],
            "size": rng.uniform(0.42, 0.62),
            "length": rng.uniform(0.24, 0.36), "horizon": rng.uniform(0.66, 0.74), "tilt": rng.uniform(-0.09, 0.09),
        }  # fmt: skip
        plan["slots"] = {"thing": (color_name(thing_color), thing), "waves": color_name(water[2]),
                         "orb": (color_name(light), plan["orb"])}  # fmt: skip
        return plan

    def draw(self, c: Canvas, plan: Plan, palette: ColorScheme, x: float, y: float, r: float) -> None:
        horizon = min(c.h * 0.82, max(c.h * plan["horizon"], y + r * 0.45), c.floor - 0.05 * c.h)
        ox, oy = x - plan["side"] * r * 0.3, min(y, horizon - r * 0.3)
        sky(c, palette, plan["orb_color"], ox, oy, horizon)
        orb(c, plan, ox, oy, r * plan["size"], palette.bg)
        for k, phase in enumerate(plan["phases"]):
            # with a title below, the first two waves close up, so that what swims stays above the title
            share = (0.04 + 0.25 * k) if c.floor == c.h else (0.0, 0.1, 0.4, 0.7)[k]
            base = horizon + (c.h - horizon) * share
            if k == 1:
                self._thing(c, plan, Axes(x + plan["side"] * r * 0.3, base, r * 0.5, plan["tilt"], plan["side"] < 0))
            length, across = plan["length"] * c.s * (0.8 + 0.2 * k), np.linspace(-4, c.w + 4, 90)
            wave = base - np.abs(np.sin((across - x) / length * math.pi + phase)) * length * 0.2 + length * 0.1
            c.polygon(closed(c, across, wave), plan["water"][k], outline=c.floor == c.h)

    def _thing(self, c: Canvas, plan: Plan, f: Axes) -> None:
        color, sail = plan["thing_color"], plan["sail"]
        if plan["thing"] == "sailboat":
            c.shape(f, [[-0.9, -0.32], [0.95, -0.32], [0.6, 0.12], [-0.6, 0.12]], color)
            c.path(f, [[0.0, -0.3], [0.0, -1.75]], 0.07, color)
            c.shape(f, [[0.1, -1.7], [0.1, -0.45], [0.85, -0.45]], sail)
            c.shape(f, [[-0.1, -1.5], [-0.1, -0.45], [-0.7, -0.45]], mix(sail, color, 0.3))
        elif plan["thing"] == "lighthouse":
            c.shape(f, ellipse(0, 0.2, 1.0, 0.4), mix(color, (30, 26, 30), 0.55))
            for k in range(4):
                w0, w1 = 0.26 + 0.05 * k, 0.31 + 0.05 * k
                y0, y1 = -1.5 + 0.38 * k, -1.1 + 0.38 * k
                c.part(f, [[-w0, y0], [w0, y0], [w1, y1], [-w1, y1]], color if k % 2 == 0 else sail)
            c.part(f, rounded(-0.2, -1.82, 0.2, -1.5, 0.04), plan["orb_color"])
            c.part(f, [[-0.3, -1.8], [0, -2.1], [0.3, -1.8]], color)
        else:
            t = np.linspace(math.pi, 2 * math.pi, 20)
            c.shape(f, curve(0.95 * np.cos(t), 0.75 * np.sin(t) + 0.15), color)
            tip = [[0.85, -0.8], [1.2, -0.68], [1.5, -0.85]]
            c.part(f, [[0.75, 0.1], [1.1, -0.45], *tip, [1.3, -0.4], [1.0, 0.2]], color)
            c.part(f, ellipse(-0.55, -0.05, 0.07), sail)
            for a in (-0.35, 0.35):
                c.path(f, [[-0.3, -0.7], [-0.3 + a * 0.6, -1.05], [-0.3 + a, -0.98]], 0.08, sail)


class Space:
    """Planets with rings and moons, or a rocket, among stars."""

    def plan(self, rng: Random, palette: ColorScheme) -> Plan:
        hero = palette.strong[int(rng.random() * min(2, len(palette.strong)))]
        other = palette.away(hero)
        plan: Plan = {
            "thing": rng.choice(("planet", "ringed planet", "rocket", "ringed planet")), "color": hero, "other": other,
            "moon": palette.away(hero, other), "angle": rng.uniform(-0.5, 0.5),
            "bands": [rng.uniform(0.1, 0.2) for _ in range(3)],
            "moons": [(rng.uniform(0, 6.3), rng.uniform(1.0, 1.2), rng.uniform(0.09, 0.17))
                      for _ in range(int(rng.random() * 3))],
            "stars": [(rng.random(), rng.random(), rng.uniform(0.012, 0.03), rng.random() < 0.35) for _ in range(22)],
            "star": palette.paper if distance(palette.paper, palette.bg) > 35 else other,
            "size": rng.uniform(0.62, 0.8),
        }  # fmt: skip
        plan["slots"] = {"thing": (color_name(hero), plan["thing"]), "stars": color_name(plan["star"]),
                         "moons": len(plan["moons"]), "moon_color": color_name(plan["moon"]),
                         "other": color_name(other)}  # fmt: skip
        return plan

    def draw(self, c: Canvas, plan: Plan, palette: ColorScheme, x: float, y: float, r: float) -> None:
        light = plan["color"] if luminance(plan["color"]) > luminance(palette.bg) else palette.paper
        c.glow(x, y, r * 1.7, r * 1.7, mix(palette.bg, light, 0.45), 0.8)
        for u, v, size, spark in plan["stars"]:
            sx, sy, q = u * c.w, v * c.h, size * c.s
            if c.is_quiet(sx, sy, q * 1.5):
                continue
            if spark:
                q *= 1.5
                k = q * 0.28
                star = np.array([[0, -q], [k, -k], [q, 0], [k, k], [0, q], [-k, k], [-q, 0], [-k, -k]])
                c.polygon(star + np.array((sx, sy)), plan["star"], shade=False, outline=False)
            else:
                c.disc(sx, sy, q * 0.5, plan["star"], shade=False, outline=False)
        if plan["thing"] == "rocket":
            self._rocket(c, plan, palette, Axes(x, y, r * 0.85, plan["angle"] + 0.3))
        else:
            self._planet(c, plan, Axes(x, y, r * plan["size"], plan["angle"]))
        for angle, far, size in plan["moons"]:
            c.disc(x + math.cos(angle) * far * r * 0.92, y + math.sin(angle) * far * r * 0.92, size * r, plan["moon"])

    def _planet(self, c: Canvas, plan: Plan, f: Axes) -> None:
        color, other = plan["color"], plan["other"]
        ringed = plan["thing"] == "ringed planet"
        size = 0.72 if ringed else 1.0
        c.shape(f, ellipse(0, 0, size), color)
        top = -0.62
        for band in plan["bands"]:
            y0, y1 = top, top + band
            a = np.linspace(math.asin(y0), math.asin(min(0.99, y1)), 6)
            c.detail(f, mirror(curve(np.cos(a), np.sin(a)) * size), mix(color, other, 0.4))
            top = y1 + 0.22
        if ringed:
            a = np.linspace(-0.35, math.pi + 0.35, 36)
            outer = curve(1.25 * np.cos(a), 0.34 * np.sin(a))
            inner = curve(1.0 * np.cos(a), 0.2 * np.sin(a))
            c.part(f, np.concatenate([outer, inner[::-1]]), other)

    def _rocket(self, c: Canvas, plan: Plan, palette: ColorScheme, f: Axes) -> None:
        t = np.linspace(0, math.pi, 22)
        body = curve(0.32 * np.sin(t) ** 0.75, -np.cos(t) * 0.8 - 0.15)
        c.part(f, [[-0.2, 0.55], [0, 1.15], [0.2, 0.55]], plan["moon"])
        for side in (-1, 1):
            c.shape(f, np.array([[0.2, 0.15], [0.55, 0.72], [0.15, 0.58]]) * (side, 1), plan["other"])
        c.shape(f, mirror(body), plan["color"])
        c.part(f, ellipse(0, -0.3, 0.15), plan["other"])
