"""`plan`: where the texts of a brief stand on a picture."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from PIL import Image

from posterkit.layout.archetypes import ARCHETYPES, Archetype, arrange
from posterkit.layout.roles import check_roles, infer_roles
from posterkit.layout.saliency import people, saliency
from posterkit.layout.types import Box, Layout, Measured, Measurer, Role
from posterkit.prompts import PosterBrief


def plan(
    image: Image.Image,
    brief: PosterBrief,
    *,
    measurer: Measurer | None = None,
    roles: Sequence[str] | None = None,
    archetype: str | None = None,
) -> Layout:
    """The best of the archetypes for this picture and these texts.

    Every archetype is laid out at the sizes its texts really take, then scored: the less of the picture's subject
    and of its unrest the texts cover, and the larger the title, the better.

    Args:
        image: RGB picture to set the texts on.
        brief: only `texts` is read.
        measurer: sets a text and says how large it came out; a rough estimate by letter count where none is given.
        roles: one of title, subtitle, body, cta per text; inferred where not given.
        archetype: take this one.

    Raises:
        ValueError: there are no texts, one is blank, roles or archetype are unknown, or the texts fit in no archetype.
    """
    texts = list(brief.texts)
    if not texts:
        raise ValueError("the brief has no texts to place")
    for number, text in enumerate(texts, 1):
        if not text.strip():
            raise ValueError(f"text {number} is empty")
    known = {kind.name: kind for kind in ARCHETYPES}
    if archetype is not None and archetype not in known:
        raise ValueError(f"unknown archetype {archetype!r}; there are {', '.join(known)}")
    assigned = infer_roles(texts) if roles is None else check_roles(roles, texts)
    measure = measurer or estimate
    title = texts[assigned.index("title")] if "title" in assigned else texts[0]
    kinds = ARCHETYPES if archetype is None else (known[archetype],)
    if runs_right_to_left(title):
        kinds = tuple(kind.mirrored() for kind in kinds)
    # each arrangement also with a lower title, which covers less of the picture
    kinds = tuple(variant for kind in kinds for variant in (kind, replace(kind, title_height=0.5 * kind.title_height)))
    found = [(kind, layout) for kind in kinds if (layout := arrange(kind, image.size, texts, assigned, measure))]
    if not found:
        raise ValueError(_too_long(texts, image.size))
    seen, faces, light = saliency(image), people(image), _luminance(image)
    scored = [_scored(kind, layout, seen, faces, light) for kind, layout in found]
    return max(scored, key=lambda layout: layout.score)


def _scored(kind: Archetype, layout: Layout, seen: np.ndarray, faces: np.ndarray, light: np.ndarray) -> Layout:
    """The layout with its score: less for a covered subject and unrest behind the texts, more for a large title."""
    size = (layout.width, layout.height)
    areas = [(element.box.grown(0.25 * element.size), element) for element in layout]
    weights = np.array([box.width * box.height for box, _ in areas])
    covered = np.array([float(_cut(seen, box, size).mean()) for box, _ in areas])
    unrest = np.array([float(_cut(light, box, size).std()) for box, _ in areas])
    skin = float(faces.sum())
    hidden = sum(float(_cut(faces, box, size).sum()) for box, _ in areas) / skin if skin > 0.01 * faces.size else 0.0
    title = max((element.size for element in layout if element.role == "title"), default=0.0)
    wide = layout.width > 1.1 * layout.height
    notes = {
        "covered": float((covered * weights).sum() / weights.sum()),
        "unrest": float((unrest * weights).sum() / weights.sum()),
        "people": min(1.0, hidden),  # the part of the skin in the picture that texts lie on
        "title": min(1.0, title / (0.25 * min(size))),
    }
    score = 0.75 - 1.1 * notes["covered"] - 0.8 * notes["unrest"] + 0.15 * notes["title"] + kind.prior
    score -= 0.4 * notes["people"]
    score += kind.landscape if wide else 0.0
    return Layout(
        *size, layout.elements, layout.rules, layout.archetype, 1 / (1 + float(np.exp(-4 * (score - 0.5)))), notes
    )


def _cut(cells: np.ndarray, box: Box, size: tuple[int, int]) -> np.ndarray:
    h, w = cells.shape
    scaled = Box(box.x0 * w / size[0], box.y0 * h / size[1], box.x1 * w / size[0], box.y1 * h / size[1])
    x0, y0, x1, y1 = scaled.pixels((w, h))
    return cells[min(y0, h - 1) : y1, min(x0, w - 1) : x1]


def _luminance(image: Image.Image) -> np.ndarray:
    scale = min(1.0, 96 / max(image.size))
    small = image.convert("L").resize([max(2, round(side * scale)) for side in image.size], Image.Resampling.BOX)
    return np.asarray(small, np.float32) / 255


def runs_right_to_left(text: str) -> bool:
    """The first letter with a direction decides (rules P2 and P3 of the Unicode bidirectional algorithm, UAX #9)."""
    for character in text:
        direction = unicodedata.bidirectional(character)
        if direction in ("L", "R", "AL"):
            return direction != "L"
    return False


def estimate(text: str, role: Role, width: float, height: float, size: float) -> Measured | None:
    """A measurer without fonts: half an em per letter, one per East Asian character, lines 1.1 em apart."""
    letters = [1.0 if unicodedata.east_asian_width(c) in "WF" else 0.5 for c in text]
    for lines in range(1, 12):
        longest = max(sum(letters) / lines, max(letters, default=0.5))
        fitted = min(size, width / longest, height / (1.1 * lines))
        if fitted >= 0.97 * size or fitted * 1.1 * (lines + 1) > height or (role == "title" and lines == 4):
            return Measured(fitted, longest * fitted, 1.1 * lines * fitted, lines) if fitted >= 1 else None
    return None


def _too_long(texts: Sequence[str], size: tuple[int, int]) -> str:
    longest = max(texts, key=len)
    shown = longest if len(longest) <= 40 else longest[:37] + "..."
    which = texts.index(longest) + 1
    return (
        f"text {which} ({shown!r}, {len(longest)} characters) does not fit on a {size[0]}x{size[1]} poster "
        f"at a legible size with the {len(texts)} texts of the brief; shorten it or make the poster larger"
    )
