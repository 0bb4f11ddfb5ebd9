"""Landscapes and their parts. A theme plans in words and unit numbers, then draws at any size."""

from __future__ import annotations

import math
from random import Random

import numpy as np

from posterkit.synthetic.canvas import Canvas, arc, curve, rounded
from posterkit.synthetic.palettes import RGB, ColorScheme, color_name, distance, luminance, mix
from posterkit.synthetic.plans import Plan, pick


def ground_colors(rng: Random, palette: ColorScheme, layers: int, *, not_like: RGB | None = None) -> list[RGB]:
    """Colours from far to near: an accent that sinks into the background with distance."""
    pool = [c for c in palette.accents if distance(c, palette.bg) > 22]
    pool = [c for c in pool if not_like is None or distance(c, not_like) > 20]
    near = pick(rng, pool) if pool else palette.ink
    far = mix(near, palette.bg, 0.62)
    return [mix(far, near, n / max(1, layers - 1)) for n in range(layers)]


def sky(c: Canvas, palette: ColorScheme, glow: RGB, x: float, y: float, bottom: float) -> None:
    """The background with a breath of light around a point; the border stays the background's colour."""
    if c.style != "flat":
        c.vertical(palette.bg, mix(palette.bg, palette.paper, 0.16), 0, bottom)
    light = glow if luminance(glow) > luminance(palette.bg) else palette.paper
    c.glow(x, y, c.s * 0.62, c.s * 0.62, mix(palette.bg, light, 0.6), 0.7)


def orb_color(rng: Random, palette: ColorScheme, *behind: RGB) -> RGB:
    """A sun's or moon's colour: lighter than the sky where there is one, else the most vivid."""
    pool = [q for q in (*palette.accents, palette.paper) if all(distance(q, b) > 28 for b in (palette.bg, *behind))]
    light = [q for q in pool if luminance(q) > luminance(palette.bg) * 1.15]
    if light:
        return pick(rng, light)
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
    c.polygon(closed(c, x, y), color, outline=c.floor == c.h)


def ridge(
    c: Canvas, base: float, peaks: list[tuple[float, float]], anchor: float, color: RGB, snow: RGB | None
) -> None:
    """Mountains: `peaks` are (offset, height) in units of s from the anchor; slopes are the same at every aspect."""
    slope = 0.8
    x = np.linspace(-4, c.w + 4, 160)
    y = np.full_like(x, base)
    for offset, height in peaks:
        y = np.minimum(y, base - height * c.s + np.abs(x - anchor - offset * c.s) / slope)
    c.polygon(closed(c, x, y), color)
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
            cap = [[0, 0], [0.3, 0.375], [0.15, 0.32], [0.06, 0.43], [-0.07, 0.3], [-0.17, 0.4], [-0.26, 0.325]]
            c.polygon(np.array(cap) * (size, size) + (px, py), snow, shade=False)
        elif c.style != "outlined":
            keep = side * (size, size) + (px, py)
            keep[:, 1] = np.minimum(keep[:, 1], base)
            c.polygon(keep, light, shade=False, outline=False)


def closed(c: Canvas, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """A line from edge to edge, closed below the canvas."""
    edge = c.h + 6
    return np.concatenate([curve(x, y), [[c.w + 4, edge], [-4, edge]]])


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

    def plan(self, rng: Random, palette: ColorScheme) -> Plan:
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

    def draw(self, c: Canvas, plan: Plan, palette: ColorScheme, x: float, y: float, r: float) -> None:
        horizon = c.h * plan["horizon"]
        y = min(y, horizon - r * 0.35)
        spread = max(r, 0.3 * c.w)
        sky(c, palette, plan["orb_color"], x, y, horizon)
        orb(c, plan, x, y, r * plan["size"], palette.bg)
        for u, v, size, lumps in plan["clouds"]:
            # a cloud that would stand behind the text goes to the other side
            side = -1 if c.is_quiet(x + u * spread, y + v * r, size * c.s) else 1
            cloud(c, x + side * u * spread, y + v * r, size * c.s, plan["cloud_color"], lumps)
        for k, (height, length, phase) in enumerate(plan["waves"]):
            base = horizon + (c.h - horizon) * (0.1 + 0.3 * k)
            hills(c, base, height, length, phase, plan["ground"][k], x)


class Mountains:
    """Layered mountains, some with snow, some with trees, under a sun or a moon."""

    def plan(self, rng: Random, palette: ColorScheme) -> Plan:
        ground = ground_colors(rng, palette, 3)
        hero = orb_color(rng, palette, ground[1])
        trees = rng.random() < 0.5
        plan: Plan = {
            "orb": rng.choice(("sun", "moon", "crescent moon", "sun")), "orb_color": hero, "ground": ground,
            "snow": palette.paper if rng.random() < 0.55 and distance(palette.paper, ground[1]) > 30 else None,
            "side": rng.choice((-1, 1)), "size": rng.uniform(0.26, 0.42), "horizon": rng.uniform(0.8, 0.86),
            "far": [(rng.uniform(-0.9, 0.9), rng.uniform(0.2, 0.36)) for _ in range(5)],
            "near": [(rng.uniform(-0.12, 0.12), rng.uniform(0.44, 0.54)), (rng.uniform(-0.62, -0.4),
                                                                           rng.uniform(0.24, 0.34)),
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

    def draw(self, c: Canvas, plan: Plan, palette: ColorScheme, x: float, y: float, r: float) -> None:
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
