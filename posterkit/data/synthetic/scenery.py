"""Landscapes: sky, mountains, city, sea, space. Every theme plans in words and unit numbers, then draws at any size."""

from __future__ import annotations

import math
from random import Random
from typing import Any

import numpy as np

from posterkit.data.synthetic.canvas import Canvas, Frame, arc, ellipse, rounded
from posterkit.data.synthetic.palettes import RGB, Palette, color_name, distance, luminance, mix

Plan = dict[str, Any]


def ground_colors(rng: Random, palette: Palette, layers: int, *, not_like: RGB | None = None) -> list[RGB]:
    """Colours from far to near: an accent that sinks into the background with distance."""
    pool = [
        c for c in palette.accents if distance(c, palette.bg) > 22 and (not_like is None or distance(c, not_like) > 20)
    ]
    near = pool[int(rng.random() * len(pool))] if pool else palette.ink
    far = mix(near, palette.bg, 0.62)
    return [mix(far, near, n / max(1, layers - 1)) for n in range(layers)]


def sky(c: Canvas, palette: Palette, glow: RGB, x: float, y: float, bottom: float) -> None:
    """The background with a breath of light around a point; the border stays the background's colour."""
    if c.style != "flat":
        c.vertical(palette.bg, mix(palette.bg, palette.paper, 0.16), 0, bottom)
    light = glow if luminance(glow) > luminance(palette.bg) else palette.paper
    c.glow(x, y, c.s * 0.62, c.s * 0.62, mix(palette.bg, light, 0.6), 0.7)


def orb_color(rng: Random, palette: Palette, *behind: RGB) -> RGB:
    """A sun's or moon's colour: lighter than the sky where there is one, else the most vivid."""
    pool = [q for q in (*palette.accents, palette.paper) if all(distance(q, b) > 28 for b in (palette.bg, *behind))]
    light = [q for q in pool if luminance(q) > luminance(palette.bg) * 1.15]
    if light:
        return light[int(rng.random() * len(light))]
    return max(pool or palette.accents, key=lambda q: max(q) - min(q))


def orb(c: Canvas, plan: Plan, x: float, y: float, r: float, sky_color: RGB) -> None:
    """A sun, a striped sun, a full moon or a crescent."""
    color = plan["orb_color"]
    kind = plan["orb"]
    if kind == "crescent moon":
        outer, inner = arc(0, 0, 1, 0.75, 5.02, 30), arc(0.5, -0.26, 0.82, 4.55, 1.22, 24)
        c.polygon(np.concatenate([outer, inner]) * r + (x, y), color)
        return
    if kind == "sun":
        c.disc(x, y, r * 1.22, mix(sky_color, color, 0.28), shade=False, outline=False)
    c.disc(x, y, r, color)
    if kind == "striped sun":
        for k in range(4):
            top = y + r * (0.12 + 0.24 * k)
            half = r * math.sqrt(max(0.0, 1 - (0.12 + 0.24 * k) ** 2)) * 1.04
            c.draw.rectangle((x - half, top, x + half, top + r * (0.05 + 0.025 * k)), fill=sky_color)
    if kind == "moon":
        for dx, dy, k in ((-0.35, -0.25, 0.2), (0.3, 0.3, 0.26), (0.25, -0.45, 0.13)):
            c.disc(x + dx * r, y + dy * r, k * r, mix(color, sky_color, 0.22), shade=False, outline=False)


def cloud(c: Canvas, x: float, y: float, r: float, color: RGB, lumps: list[float]) -> None:
    """A flat-bottomed cloud of round lumps, `r` half its width."""
    n = len(lumps)
    for k, lump in enumerate(lumps):
        cx = x + r * (-0.62 + 1.24 * k / (n - 1))
        size = r * (0.26 + 0.3 * lump * math.sin(math.pi * (k + 0.7) / (n + 0.4)))
        c.disc(cx, y - size * 0.55, size, color, shade=False, outline=False)
    c.polygon(rounded(x - r, y - r * 0.26, x + r, y + r * 0.1, r * 0.18), color, shade=False, outline=False)


def hills(c: Canvas, base: float, height: float, length: float, phase: float, color: RGB, anchor: float) -> None:
    """A rolling layer from `base` (pixels) down; wave length and height in units of s, anchored at `anchor` pixels."""
    x = np.linspace(-4, c.w + 4, 48)
    t = (x - anchor) / (length * c.s) * 2 * math.pi
    y = base - height * c.s * (0.65 * np.sin(t + phase) + 0.35 * np.sin(2.1 * t + 2.3 * phase))
    c.polygon(_closed(c, x, y), color, outline=c.floor == c.h)


def ridge(
    c: Canvas, base: float, peaks: list[tuple[float, float]], anchor: float, color: RGB, snow: RGB | None
) -> None:
    """Mountains: `peaks` are (offset, height) in units of s from the anchor; slopes are the same at every aspect."""
    slope = 0.8
    x = np.linspace(-4, c.w + 4, 160)
    y = np.full_like(x, base)
    for offset, height in peaks:
        y = np.minimum(y, base - height * c.s + np.abs(x - anchor - offset * c.s) / slope)
    c.polygon(_closed(c, x, y), color)
    for offset, height in peaks:
        px, py, size = anchor + offset * c.s, base - height * c.s, height * c.s
        # a peak that another one covers, or touches where the snow ends, has neither snow nor a light side
        if any(
            base - h * c.s + abs(px + side * 0.3 * size - anchor - o * c.s) / slope < py + 0.3 * size
            for o, h in peaks for side in (-1, 0, 1) if (o, h) != (offset, height)
        ):  # fmt: skip
            continue
        light = mix(color, (255, 255, 255), 0.14)
        side = np.array([[0, 0], [-0.42, 0.52], [-0.2, 0.5], [-0.3, 0.8], [-0.1, 0.72], [0.02, 1.0], [0.06, 0.5]])
        if snow:
            cap = np.array(
                [[0, 0], [0.3, 0.375], [0.15, 0.32], [0.06, 0.43], [-0.07, 0.3], [-0.17, 0.4], [-0.26, 0.325]]
            )
            c.polygon(cap * (size, size) + (px, py), snow, shade=False)
        elif c.style != "outlined":
            keep = side * (size, size) + (px, py)
            keep[:, 1] = np.minimum(keep[:, 1], base)
            c.polygon(keep, light, shade=False, outline=False)


def _closed(c: Canvas, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    edge = c.h + 6
    return np.concatenate([np.stack([x, y], -1), [[c.w + 4, edge], [-4, edge]]])


def pine(c: Canvas, x: float, y: float, size: float, color: RGB) -> None:
    """A tree standing at (x, y), `size` pixels tall."""
    c.draw.rectangle((x - size * 0.05, y - size * 0.2, x + size * 0.05, y), fill=mix(color, (40, 24, 16), 0.5))
    for low, high, half in ((0.12, 0.55, 0.3), (0.36, 0.78, 0.24), (0.6, 1.0, 0.17)):
        c.polygon(
            np.array([[x - half * size, y - low * size], [x, y - high * size], [x + half * size, y - low * size]]),
            color, shade=False, outline=False,
        )  # fmt: skip


class Sky:
    """A sun or a moon with clouds over hills."""

    name = "sky"
    scenery = True

    def plan(self, rng: Random, palette: Palette) -> Plan:
        hero = orb_color(rng, palette)
        soft = max(palette.accents, key=luminance)
        clouds = palette.paper if distance(palette.paper, palette.bg) > 20 else mix(palette.bg, soft, 0.75)
        count = int(rng.random() * 4)
        plan: Plan = {
            "orb": rng.choice(("sun", "sun", "striped sun", "moon", "crescent moon")), "orb_color": hero,
            "cloud_color": mix(clouds, palette.bg, 0.12),
            "clouds": [(rng.uniform(0.75, 1.3) * rng.choice((-1, 1)), rng.uniform(-0.5, 0.6), rng.uniform(0.13, 0.23),
                        [rng.uniform(0.5, 1.0) for _ in range(4)]) for _ in range(count)],
            "ground": ground_colors(rng, palette, 3, not_like=hero), "horizon": rng.uniform(0.72, 0.82),
            "waves": [(rng.uniform(0.025, 0.06), rng.uniform(0.9, 1.7), rng.uniform(0, 6.3)) for _ in range(3)],
            "size": rng.uniform(0.5, 0.8),
        }  # fmt: skip
        plan["slots"] = {
            "orb": (color_name(hero), plan["orb"]), "ground": color_name(plan["ground"][2]),
            "clouds": color_name(plan["cloud_color"]) if count else None,
        }  # fmt: skip
        return plan

    def draw(self, c: Canvas, plan: Plan, palette: Palette, x: float, y: float, r: float) -> None:
        horizon = c.h * plan["horizon"]
        y = min(y, horizon - r * 0.35)
        spread = max(r, 0.3 * c.w)
        sky(c, palette, plan["orb_color"], x, y, horizon)
        orb(c, plan, x, y, r * plan["size"], palette.bg)
        for u, v, size, lumps in plan["clouds"]:
            cloud(c, x + u * spread, y + v * r, size * c.s, plan["cloud_color"], lumps)
        for k, (height, length, phase) in enumerate(plan["waves"]):
            base = horizon + (c.h - horizon) * (0.1 + 0.3 * k)
            hills(c, base, height, length, phase, plan["ground"][k], x)


class Mountains:
    """Layered mountains, some with snow, some with trees, under a sun or a moon."""

    name = "mountains"
    scenery = True

    def plan(self, rng: Random, palette: Palette) -> Plan:
        ground = ground_colors(rng, palette, 3)
        hero = orb_color(rng, palette, ground[1])
        trees = rng.random() < 0.5
        plan: Plan = {
            "orb": rng.choice(("sun", "moon", "crescent moon", "sun")), "orb_color": hero, "ground": ground,
            "snow": palette.paper if rng.random() < 0.55 and distance(palette.paper, ground[1]) > 30 else None,
            "side": rng.choice((-1, 1)), "size": rng.uniform(0.26, 0.42), "horizon": rng.uniform(0.8, 0.86),
            "far": [(rng.uniform(-0.9, 0.9), rng.uniform(0.2, 0.36)) for _ in range(5)],
            "near": [(rng.uniform(-0.12, 0.12), rng.uniform(0.44, 0.54)), (rng.uniform(-0.62, -0.4), rng.uniform(0.24, 0.34)),
                     (rng.uniform(0.4, 0.62), rng.uniform(0.24, 0.36))],
            "front": (rng.uniform(0.02, 0.04), rng.uniform(0.9, 1.5), rng.uniform(0, 6.3)),
            "trees": [(rng.uniform(0.02, 0.98), rng.uniform(0.9, 1.25)) for _ in range(9)] if trees else [],
            "tree_color": mix(ground[2], palette.ink, 0.45),
        }  # fmt: skip
        plan["slots"] = {
            "mountains": color_name(ground[1]), "orb": (color_name(hero), plan["orb"]),
            "snow": bool(plan["snow"]), "trees": color_name(plan["tree_color"]) if trees else None,
        }  # fmt: skip
        return plan

    def draw(self, c: Canvas, plan: Plan, palette: Palette, x: float, y: float, r: float) -> None:
        base = min(c.h * plan["horizon"], c.floor - 0.06 * c.h)
        tall = min(1.35, max(0.5, (base - (y - r * 0.45)) / (0.5 * c.s)))
        ox, oy = x + plan["side"] * r * 0.66, max(y - r * 0.62, r * plan["size"] * 1.4)
        sky(c, palette, plan["orb_color"], ox, oy, base)
        orb(c, plan, ox, oy, r * plan["size"], palette.bg)
        far = [(o, h * tall * (1 - 0.45 * abs(o))) for o, h in plan["far"]]
        ridge(c, base, far, x, plan["ground"][0], None)
        ridge(c, base + 0.04 * c.s, [(o, h * tall) for o, h in plan["near"]], x, plan["ground"][1], plan["snow"])
        height, length, phase = plan["front"]
        front = base + 0.01 * c.s
        hills(c, front, height, length, phase, plan["ground"][2], x)
        for u, size in plan["trees"]:
            pine(c, u * c.w, front + 0.06 * c.s, 0.16 * c.s * size, plan["tree_color"])


class City:
    """A skyline in front of a big sun or moon."""

    name = "city"
    scenery = True

    def plan(self, rng: Random, palette: Palette) -> Plan:
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

    def draw(self, c: Canvas, plan: Plan, palette: Palette, x: float, y: float, r: float) -> None:
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
            c.rect(
                left, base - height * scale * c.s * 0.9, left + width * c.s + 1, base, plan["ground"][0], shade=False
            )
        for k, (offset, width, height, roof, pick) in enumerate(plan["near"]):
            height *= 1 - taper * min(0.85, abs(offset + width / 2))
            x0, x1, top = x + offset * c.s, x + (offset + width) * c.s, base - height * scale * c.s
            if x1 < 0 or x0 > c.w:
                continue
            self._building(c, plan, x0, x1, top, base, roof, k, pick)

    def _building(self, c: Canvas, plan: Plan, x0: float, x1: float, top: float, base: float, roof: int, k: int,
                  pick: float) -> None:  # fmt: skip
        color = mix(plan["ground"][1], plan["ground"][0], 0.28 * pick)
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

    name = "sea"
    scenery = True

    def plan(self, rng: Random, palette: Palette) -> Plan:
        water = ground_colors(rng, palette, 4)
        light = orb_color(rng, palette, water[1])
        thing = rng.choice(("sailboat", "sailboat", "lighthouse", "whale"))
        thing_color = palette.away(water[0], water[1], light, least=24)
        plan: Plan = {
            "orb": rng.choice(("sun", "sun", "striped sun", "moon")), "orb_color": light, "water": water, "thing": thing,
            "thing_color": thing_color, "sail": palette.paper if distance(palette.paper, palette.bg) > 18 else palette.away(thing_color),
            "side": rng.choice((-1, 1)), "phases": [rng.uniform(0, 6.3) for _ in range(4)], "size": rng.uniform(0.42, 0.62),
            "length": rng.uniform(0.24, 0.36), "horizon": rng.uniform(0.66, 0.74), "tilt": rng.uniform(-0.09, 0.09),
        }  # fmt: skip
        plan["slots"] = {"thing": (color_name(thing_color), thing), "waves": color_name(water[2]),
                         "orb": (color_name(light), plan["orb"])}  # fmt: skip
        return plan

    def draw(self, c: Canvas, plan: Plan, palette: Palette, x: float, y: float, r: float) -> None:
        horizon = min(c.h * 0.82, max(c.h * plan["horizon"], y + r * 0.45), c.floor - 0.05 * c.h)
        ox, oy = x - plan["side"] * r * 0.3, min(y, horizon - r * 0.3)
        sky(c, palette, plan["orb_color"], ox, oy, horizon)
        orb(c, plan, ox, oy, r * plan["size"], palette.bg)
        for k, phase in enumerate(plan["phases"]):
            # with a title below, the first two waves close up, so that what swims stays above the title
            share = (0.04 + 0.25 * k) if c.floor == c.h else (0.0, 0.1, 0.4, 0.7)[k]
            base = horizon + (c.h - horizon) * share
            if k == 1:
                self._thing(c, plan, Frame(x + plan["side"] * r * 0.3, base, r * 0.5, plan["tilt"], plan["side"] < 0))
            self._wave(c, base, plan["length"] * c.s * (0.8 + 0.2 * k), phase, x, plan["water"][k])

    def _wave(self, c: Canvas, base: float, length: float, phase: float, anchor: float, color: RGB) -> None:
        x = np.linspace(-4, c.w + 4, 90)
        y = base - np.abs(np.sin((x - anchor) / length * math.pi + phase)) * length * 0.2 + length * 0.1
        c.polygon(_closed(c, x, y), color, outline=c.floor == c.h)

    def _thing(self, c: Canvas, plan: Plan, f: Frame) -> None:
        color, sail = plan["thing_color"], plan["sail"]
        if plan["thing"] == "sailboat":
            c.polygon(f.points(np.array([[-0.9, -0.32], [0.95, -0.32], [0.6, 0.12], [-0.6, 0.12]])), color)
            c.stroke(f.points(np.array([[0.0, -0.3], [0.0, -1.75]])), f.scale * 0.07, color)
            c.polygon(f.points(np.array([[0.1, -1.7], [0.1, -0.45], [0.85, -0.45]])), sail)
            c.polygon(f.points(np.array([[-0.1, -1.5], [-0.1, -0.45], [-0.7, -0.45]])), mix(sail, color, 0.3))
        elif plan["thing"] == "lighthouse":
            c.polygon(f.points(ellipse(0, 0.2, 1.0, 0.4)), mix(color, (30, 26, 30), 0.55))
            for k in range(4):
                w0, w1 = 0.26 + 0.05 * k, 0.31 + 0.05 * k
                y0, y1 = -1.5 + 0.38 * k, -1.1 + 0.38 * k
                c.polygon(f.points(np.array([[-w0, y0], [w0, y0], [w1, y1], [-w1, y1]])), color if k % 2 == 0 else sail,
                          shade=False)  # fmt: skip
            c.polygon(f.points(rounded(-0.2, -1.82, 0.2, -1.5, 0.04)), plan["orb_color"], shade=False)
            c.polygon(f.points(np.array([[-0.3, -1.8], [0, -2.1], [0.3, -1.8]])), color, shade=False)
        else:
            t = np.linspace(math.pi, 2 * math.pi, 20)
            body = np.stack([0.95 * np.cos(t), 0.75 * np.sin(t) + 0.15], -1)
            c.polygon(f.points(body), color)
            tail = np.array(
                [[0.75, 0.1], [1.1, -0.45], [0.85, -0.8], [1.2, -0.68], [1.5, -0.85], [1.3, -0.4], [1.0, 0.2]]
            )
            c.polygon(f.points(tail), color, shade=False)
            c.polygon(f.points(ellipse(-0.55, -0.05, 0.07)), sail, shade=False)
            for a in (-0.35, 0.35):
                c.stroke(
                    f.points(np.array([[-0.3, -0.7], [-0.3 + a * 0.6, -1.05], [-0.3 + a, -0.98]])),
                    f.scale * 0.08,
                    sail,
                )


class Space:
    """Planets with rings and moons, or a rocket, among stars."""

    name = "space"
    scenery = True

    def plan(self, rng: Random, palette: Palette) -> Plan:
        hero = palette.strong[int(rng.random() * min(2, len(palette.strong)))]
        other = palette.away(hero)
        plan: Plan = {
            "thing": rng.choice(("planet", "ringed planet", "rocket", "ringed planet")), "color": hero, "other": other,
            "moon": palette.away(hero, other), "angle": rng.uniform(-0.5, 0.5), "bands": [rng.uniform(0.1, 0.2) for _ in range(3)],
            "moons": [(rng.uniform(0, 6.3), rng.uniform(1.0, 1.2), rng.uniform(0.09, 0.17)) for _ in range(int(rng.random() * 3))],
            "stars": [(rng.random(), rng.random(), rng.uniform(0.012, 0.03), rng.random() < 0.35) for _ in range(22)],
            "star": palette.paper if distance(palette.paper, palette.bg) > 35 else other, "size": rng.uniform(0.62, 0.8),
        }  # fmt: skip
        plan["slots"] = {"thing": (color_name(hero), plan["thing"]), "stars": color_name(plan["star"]),
                         "moons": len(plan["moons"]), "moon_color": color_name(plan["moon"]), "other": color_name(other)}  # fmt: skip
        return plan

    def draw(self, c: Canvas, plan: Plan, palette: Palette, x: float, y: float, r: float) -> None:
        light = plan["color"] if luminance(plan["color"]) > luminance(palette.bg) else palette.paper
        c.glow(x, y, r * 1.7, r * 1.7, mix(palette.bg, light, 0.45), 0.8)
        for u, v, size, spark in plan["stars"]:
            sx, sy, q = u * c.w, v * c.h, size * c.s
            if c.is_quiet(sx, sy, q * 1.5):
                continue
            if spark:
                q *= 1.5
                k = q * 0.28
                star = np.array([[0, -q], [k, -k], [q, 0], [k, k], [0, q], [-k, k], [-q, 0], [-k, -k]]) + (sx, sy)
                c.polygon(star, plan["star"], shade=False, outline=False)
            else:
                c.disc(sx, sy, q * 0.5, plan["star"], shade=False, outline=False)
        if plan["thing"] == "rocket":
            self._rocket(c, plan, palette, Frame(x, y, r * 0.85, plan["angle"] + 0.3))
        else:
            self._planet(c, plan, Frame(x, y, r * plan["size"], plan["angle"]))
        for angle, far, size in plan["moons"]:
            c.disc(x + math.cos(angle) * far * r * 0.92, y + math.sin(angle) * far * r * 0.92, size * r, plan["moon"])

    def _planet(self, c: Canvas, plan: Plan, f: Frame) -> None:
        color, other = plan["color"], plan["other"]
        ringed = plan["thing"] == "ringed planet"
        size = 0.72 if ringed else 1.0
        c.polygon(f.points(ellipse(0, 0, size)), color)
        top = -0.62
        for band in plan["bands"]:
            y0, y1 = top, top + band
            a = np.linspace(math.asin(y0), math.asin(min(0.99, y1)), 6)
            side = np.stack([np.cos(a), np.sin(a)], -1) * size
            c.polygon(
                f.points(np.concatenate([side, side[::-1] * (-1, 1)])),
                mix(color, other, 0.4),
                shade=False,
                outline=False,
            )
            top = y1 + 0.22
        if ringed:
            a = np.linspace(-0.35, math.pi + 0.35, 36)
            outer = np.stack([1.25 * np.cos(a), 0.34 * np.sin(a)], -1)
            inner = np.stack([1.0 * np.cos(a), 0.2 * np.sin(a)], -1)
            c.polygon(f.points(np.concatenate([outer, inner[::-1]])), other, shade=False)

    def _rocket(self, c: Canvas, plan: Plan, palette: Palette, f: Frame) -> None:
        t = np.linspace(0, math.pi, 22)
        body = np.stack([0.32 * np.sin(t) ** 0.75, -np.cos(t) * 0.8 - 0.15], -1)
        flame = np.array([[-0.2, 0.55], [0, 1.15], [0.2, 0.55]])
        c.polygon(f.points(flame), plan["moon"], shade=False)
        for side in (-1, 1):
            c.polygon(f.points(np.array([[0.2, 0.15], [0.55, 0.72], [0.15, 0.58]]) * (side, 1)), plan["other"])
        c.polygon(f.points(np.concatenate([body, body[::-1] * (-1, 1)])), plan["color"])
        c.polygon(f.points(ellipse(0, -0.3, 0.15)), plan["other"], shade=False)
