"""Places a poster's parts on a canvas of another shape: no part is cut or stretched, the reading order is kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from posterkit.datagen.omni.posters import CannotBuild
from posterkit.pipelines.segmenters import Box, touched_sides
from posterkit.sizing import Size

MARGIN = 0.06  # of the shorter side
GAP = 0.04  # of the shorter side, between texts
SMALLEST = 0.4  # texts may shrink to this part of their size


@dataclass(frozen=True)
class Placement:
    """Boxes on the new canvas, in the order of the old ones."""

    subjects: list[Box]
    texts: list[Box]


def rearranged(old: Size, new: Size, subjects: Sequence[Box], texts: Sequence[Box], rng: Random) -> Placement:
    """New places for subjects and texts.

    On a wide canvas they stand side by side; on a tall one the texts above the subject's middle go to the top, the
    others to the bottom. Subjects keep their places to each other, and what ran off a side runs off that side again.
    CannotBuild where a subject runs off two opposite sides, or a text would become too small.
    """
    around = (min(b[0] for b in subjects), min(b[1] for b in subjects),
              max(b[2] for b in subjects), max(b[3] for b in subjects))  # fmt: skip
    touched = touched_sides(around, old)
    if {"left", "right"} <= touched or {"top", "bottom"} <= touched:
        raise CannotBuild("cannot be rearranged", "what it shows runs off two opposite sides")
    margin, gap = MARGIN * min(new), GAP * min(new)
    if new.aspect > 1.15 and texts:
        split = round(new.width * 0.5)
        right = "right" in touched or ("left" not in touched and rng.random() < 0.5)
        zone = (split, 0, new.width, new.height) if right else (0, 0, split, new.height)
        left = margin if right else split + gap
        room = (left, margin, left + split - margin - gap, new.height - margin)
        stacked = _stacked(texts, room, gap, 0.5)
    else:
        middle = (around[1] + around[3]) / 2
        above = [n for n, box in enumerate(texts) if (box[1] + box[3]) / 2 < middle]
        below = [n for n in range(len(texts)) if n not in above]
        top = _stacked([texts[n] for n in above], (margin, margin, new.width - margin, 0.36 * new.height), gap, 0.0)
        foot = (margin, 0.66 * new.height, new.width - margin, new.height - margin)
        bottom = _stacked([texts[n] for n in below], foot, gap, 1.0)
        by_number = dict(zip(above, top, strict=True)) | dict(zip(below, bottom, strict=True))
        stacked = [by_number[n] for n in range(len(texts))]
        zone = (0, max((box[3] for box in top), default=0), new.width,
                min((box[1] for box in bottom), default=new.height))  # fmt: skip
    return Placement(_moved(subjects, around, _fitted(around, zone, margin, touched)), stacked)


def _stacked(boxes: Sequence[Box], room: Sequence[float], gap: float, down: float) -> list[Box]:
    """Texts one below the other in reading order, all reduced alike where they must be; `down` 0 = top, 1 = bottom."""
    if not boxes:
        return []
    order = sorted(range(len(boxes)), key=lambda n: (boxes[n][1], boxes[n][0]))
    wide, high = room[2] - room[0], room[3] - room[1]
    total = sum(box[3] - box[1] for box in boxes)
    free = high - gap * (len(boxes) - 1)
    scale = min(1.0, free / total, *(wide / (box[2] - box[0]) for box in boxes))
    if scale < SMALLEST:
        raise CannotBuild("cannot be rearranged", f"the texts would have to shrink to {max(0.0, scale):.0%}")
    lefts = [box[0] for box in boxes]
    centred = max(lefts) - min(lefts) > 0.03 * wide or len(boxes) == 1
    y = room[1] + down * (free - scale * total)
    places: dict[int, Box] = {}
    for n in order:
        w, h = (max(1, round(scale * side)) for side in (boxes[n][2] - boxes[n][0], boxes[n][3] - boxes[n][1]))
        x = room[0] + ((wide - w) / 2 if centred else 0)
        places[n] = (round(x), round(y), round(x) + w, round(y) + h)
        y += h + gap
    return [places[n] for n in range(len(boxes))]


def _fitted(box: Box, zone: Sequence[float], margin: float, touched: set[str]) -> tuple[float, float, float, float]:
    """A box as large as its zone lets it, in the middle or at the sides that it ran off."""
    w, h = box[2] - box[0], box[3] - box[1]
    across = zone[2] - zone[0] - margin * (2 - len(touched & {"left", "right"}))
    down = zone[3] - zone[1] - margin * (2 - len(touched & {"top", "bottom"}))
    scale = min(1.4, across / w, down / h)
    if scale < SMALLEST / 2:
        raise CannotBuild("cannot be rearranged", f"the subject would have to shrink to {max(0.0, scale):.0%}")
    w, h = w * scale, h * scale
    x = zone[0] if "left" in touched else zone[2] - w if "right" in touched else (zone[0] + zone[2] - w) / 2
    y = zone[1] if "top" in touched else zone[3] - h if "bottom" in touched else (zone[1] + zone[3] - h) / 2
    return x, y, x + w, y + h


def _moved(boxes: Sequence[Box], old: Box, new: Sequence[float]) -> list[Box]:
    """Boxes inside one box as they lie inside another of the same shape."""
    scale = (new[2] - new[0]) / (old[2] - old[0])

    def at(box: Box, side: int) -> int:
        return round(new[side % 2] + (box[side] - old[side % 2]) * scale)

    return [(at(box, 0), at(box, 1), at(box, 2), at(box, 3)) for box in boxes]
