"""Backdrops behind a subject: discs, rays, arches, hills, floors, confetti, plinths."""

from __future__ import annotations

import math
from random import Random

import numpy as np

from posterkit.synthetic.canvas import Axes, Canvas, arc, ellipse, rounded
from posterkit.synthetic.palettes import ColorScheme, color_name, distance, mix
from posterkit.synthetic.plans import Plan, pick
from posterkit.synthetic.scenery import closed

BACKDROPS = ("plain", "disc", "rays", "arch", "hills", "floor", "confetti", "plinth")


def plan_backdrop(rng: Random, palette: ColorScheme, subject: Plan, kinds: tuple[str, ...] = BACKDROPS) -> Plan:
    """The plan of a backdrop: its kind, and a colour that stands out from subject and background."""
    kind = rng.choice(kinds)
    body = next(v for k, v in subject.items() if k in ("body", "main"))
    far = [q for q in (*palette.accents, palette.paper) if distance(q, body) > 26 and distance(q, palette.bg) > 16]
    color = pick(rng, far) if far else mix(palette.bg, palette.paper, 0.35)
    return {
        "kind": kind, "color": color, "seed": int(rng.random() * 2**31), "phase": rng.uniform(0, 6.3),
        "slots": {"kind": kind, "color": color_name(color)},
    }  # fmt: skip


def draw_backdrop(c: Canvas, plan: Plan, palette: ColorScheme, x: float, y: float, r: float) -> None:
    """Draw the backdrop of a subject whose box is centred at (x, y) with half side r."""
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
            c.detail(Axes(x, y, far), [[0, 0], *arc(0, 0, 1, a, a + 0.22, 2)], light)
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
            c.polygon(closed(c, t, line), tone)
    elif kind == "floor":
        c.rect(-4, foot - 0.22 * r, c.w + 4, c.h + 4, color)
    elif kind == "confetti":
        rng = Random(plan["seed"])
        tones = [q for q in palette.accents if distance(q, palette.bg) > 25] or [palette.paper]
        for k in range(20):
            u, v, size, a = rng.random(), rng.random(), rng.uniform(0.02, 0.036) * c.s, rng.uniform(0, 3)
            tone = pick(rng, tones)
            if c.is_quiet(u * c.w, v * c.h, size):
                continue
            if k % 3:
                c.disc(u * c.w, v * c.h, size * 0.6, tone, shade=False, outline=False)
            else:
                c.detail(Axes(u * c.w, v * c.h, size, a), rounded(-1, -0.4, 1, 0.4, 0.3), tone)
    elif kind == "plinth":
        c.glow(x, y, r * 1.25, r * 1.25, mix(palette.paper, palette.bg, 0.25), 0.8)
        top = foot - 0.34 * r
        side = mix(color, palette.ink, 0.18)
        c.rect(x - r * 0.82, top, x + r * 0.82, top + 0.3 * r, side)
        c.polygon(ellipse(x, top + 0.3 * r, r * 0.82, r * 0.12), side, shade=False, outline=False)
        c.polygon(ellipse(x, top, r * 0.82, r * 0.12), color, shade=False)
