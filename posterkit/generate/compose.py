"""From a drawing to the finished poster: enlarge, paste kept pixels back at full resolution, set the texts."""

# pyright: standard
from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from posterkit.generate.checkpoint import SPELLS_FROM
from posterkit.generate.draw import PreparedPoster
from posterkit.generate.enlarge import enlarge
from posterkit.generate.obstacles import find_obstacles, find_subject
from posterkit.generate.preserve import cut_out_in_place
from posterkit.generate.record import FinishedPoster, graphics_of, record_of
from posterkit.generate.relay import relaid
from posterkit.layout import Box, Obstacle
from posterkit.layout.json_form import layout_to_json
from posterkit.messages import caught_warnings
from posterkit.pipelines.keep import keep_pixels, seam_width
from posterkit.typeset.placed_text import PictureParts
from posterkit.typeset.poster import typeset


def finish(poster: PreparedPoster, drawing: Image.Image, parameters: dict[str, Any]) -> FinishedPoster:
    """Enlarge a drawing, put kept pixels back, set the texts.

    Args:
        parameters: what the pipeline says that it used.
    """
    plan = poster.plan
    letters = bool(plan.row["draw_text"] and plan.row["texts"])
    shown = drawing if plan.design is None else relaid(drawing, plan.finished, letters)
    image, resampler = enlarge(shown, plan.finished, plan.upscaler)
    if poster.canvas is not None and poster.region is not None:
        image = paste_kept(image, poster.canvas, poster.region)
    cutouts = [(name, part) for name, part in (("shadow", poster.shadows), ("subject", poster.things)) if part]
    parts = PictureParts(image, tuple(cutouts), poster.region and ImageOps.invert(poster.region))
    for _, layer in cutouts:
        image = Image.alpha_composite(image.convert("RGBA"), layer).convert("RGB")
    if plan.settings.cutout and not cutouts and (found := cut_out_in_place(image, plan.settings.segmenter or "rules")):
        parts = replace(parts, cutouts=(("subject", found),))
    whole = parts if parts.cutouts or parts.kept else None
    lettered, notes = None, list(poster.notes)
    if plan.brief is not None:
        with caught_warnings() as said:
            # pictures of the user's have faces and lettering, and so has what a model draws that could letter a poster
            has_obstacles = plan.request.images or plan.checkpoint.native_area >= SPELLS_FROM
            avoid = find_obstacles(image) if has_obstacles else []
            if not (plan.type.get("plan") or plan.type.get("boxes")):  # else their places are known
                own = poster.things and poster.things.getchannel("A").getbbox()
                avoid += [Obstacle(Box(*own), "subject")] if own else find_subject(image)
            lettered = replace(
                typeset(image, plan.brief, avoid=avoid, principle=plan.principle, **plan.type), parts=whole
            )
        notes += said
        image = lettered.image.convert("RGB")
    boxes = None if lettered is None else lettered.boxes
    record = record_of(plan, drawing.size, resampler, parameters, boxes, poster.depth)
    record |= graphics_of(lettered) if lettered else {}
    if lettered is not None and (plan.request.lettering.planner or plan.request.lettering.plan):
        record["plan"] = json.loads(layout_to_json(lettered.layout))
    metadata = plan.settings.metadata or "full"
    seed = poster.request.seed or 0
    return FinishedPoster(plan.request, image, record, drawing, seed, lettered, notes, metadata, whole)


def paste_kept(drawn: Image.Image, canvas: Image.Image, region: Image.Image) -> Image.Image:
    """Put the kept pixels back exactly at full resolution, the seam hidden on the made side.

    `drawn` shows what the model thought also where pixels are kept, `canvas` has the original there; `region` is 255 =
    made, 0 = kept. ValueError where the three differ in size.
    """
    if not drawn.size == canvas.size == region.size:
        raise ValueError(f"drawing {drawn.size}, canvas {canvas.size} and region {region.size} must be of one size")
    made = region.getbbox()
    if made is None:
        return canvas.copy()
    # a small hole in a big photograph: only its surroundings need arithmetic
    width = seam_width(region.size)
    margin = 3 * width
    x0, y0, x1, y1 = made
    near = (max(0, x0 - margin), max(0, y0 - margin), min(region.width, x1 + margin), min(region.height, y1 + margin))
    pixels = np.asarray(drawn.crop(near), dtype=np.float32) / 255
    joined = keep_pixels(pixels, canvas.crop(near), region.crop(near), width)
    result = canvas.copy()
    result.paste(Image.fromarray((joined * 255).round().astype(np.uint8)), near[:2])
    return result
