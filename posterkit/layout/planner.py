"""Plans where the texts of a brief stand on a picture."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations, product

import numpy as np
from PIL import Image

from posterkit.layout.archetypes import ARCHETYPES, Archetype, arrange
from posterkit.layout.roles import roles_of
from posterkit.layout.saliency import people, reduced, saliency
from posterkit.layout.types import Box, Layout, Measured, Measurer, Obstacle, margin_of
from posterkit.lettering import Align, Role
from posterkit.prompts import PosterBrief

FREE = "free-area"  # a stack where the picture has least to see
_FREE_AREAS = 8
_GRID = 12  # parts of a side that free areas are counted in
_SUBJECT = 0.4  # of the saliency map, from which a cell belongs to the subject


def plan(
    image: Image.Image,
    brief: PosterBrief,
    *,
    measurer: Measurer | None = None,
    roles: Sequence[str] | None = None,
    archetype: str | None = None,
    align: Align | None = None,
    avoid: Sequence[Obstacle] = (),
) -> Layout:
    """The best of the archetypes for this picture and these texts.

    Every archetype is laid out at the sizes its texts really take, as are stacks in the picture's emptiest areas, then
    scored: the less of the picture's subject and of its unrest the texts cover, and the larger the title, the better.

    Args:
        image: RGB picture to set the texts on.
        brief: only `texts` is read.
        measurer: sets a text and says how large it came out; a rough estimate by letter count where none is given.
        roles: one of title, subtitle, body, cta per text; inferred where not given.
        archetype: take this one.
        align: in place of the archetype's own.
        avoid: what no text shall cover, as long as there is another place.

    Raises:
        ValueError: there are no texts, one is blank, roles or archetype are unknown, or the texts fit in no archetype.
    """
    texts = list(brief.texts)
    assigned = roles_of(texts, roles)
    measure = measurer or estimate
    kinds = _kinds(archetype)
    seen, light = saliency(image), np.asarray(reduced(image, "L"), np.float32) / 255
    if archetype in (None, FREE):
        kinds += free_areas(seen, image.size, avoid)
    kinds = tuple(turned(kind, texts, assigned, align) for kind in kinds)
    found = [(kind, layout) for kind in kinds if (layout := arrange(kind, image.size, texts, assigned, measure))]
    if not found:
        raise ValueError(too_long(texts, image.size))
    skin = people(image)
    scored = [_scored(kind, layout, seen, skin, light, avoid) for kind, layout in found]
    return max(scored, key=lambda layout: layout.score)


def fits(
    size: tuple[int, int], texts: Sequence[str], roles: Sequence[Role], measurer: Measurer, archetype: str | None
) -> None:
    """Check that `plan` finds an arrangement for these texts on a picture of this size; ValueError where not."""
    for kind in _kinds(archetype):
        if arrange(turned(kind, texts, roles, None), size, texts, roles, measurer):
            return
    raise ValueError(too_long(texts, size))


def _kinds(archetype: str | None) -> tuple[Archetype, ...]:
    known = {kind.name: kind for kind in ARCHETYPES}
    if archetype == FREE:
        return (Archetype(FREE, "left", 0.5, None, prior=-0.2),)
    if archetype is not None and archetype not in known:
        raise ValueError(f"unknown archetype {archetype!r}; there are {', '.join((*known, FREE))}")
    kinds = ARCHETYPES if archetype is None else (known[archetype],)
    # each arrangement also with a lower title, which covers less of the picture
    return tuple(variant for kind in kinds for variant in (kind, replace(kind, title_height=0.5 * kind.title_height)))


def turned(kind: Archetype, texts: Sequence[str], roles: Sequence[Role], align: Align | None) -> Archetype:
    """As the title's script and the user want it."""
    title = texts[roles.index("title")] if "title" in roles else texts[0]
    if runs_right_to_left(title):
        kind = (
            replace(kind, align="right" if kind.align == "left" else kind.align)
            if kind.name == FREE
            else kind.mirrored()
        )
    return replace(kind, align=align) if align else kind


def free_areas(seen: np.ndarray, size: tuple[int, int], avoid: Sequence[Obstacle]) -> tuple[Archetype, ...]:
    """Stacks in the areas of the picture with the least to see, largest first; none of them on what to avoid."""
    busy = seen.copy()
    for thing in avoid:
        _cut(busy, thing.box.grown(0.02 * min(size)), size)[...] = 4.0 * min(1.0, _weight(thing, size))
    inner = _cut(busy, Box(0, 0, *size).grown(-margin_of(*size)), size)
    total = np.pad(inner.cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    rows, columns = (np.linspace(0, side, _GRID + 1).round().astype(int) for side in inner.shape)
    found = []
    for (i, j), (k, m) in product(combinations(range(_GRID + 1), 2), repeat=2):
        if j - i < _GRID // 5 or m - k < 5 * _GRID // 12:
            continue
        y0, y1, x0, x1 = rows[i], rows[j], columns[k], columns[m]
        mean = (total[y1, x1] - total[y0, x1] - total[y1, x0] + total[y0, x0]) / max(1, (y1 - y0) * (x1 - x0))
        found.append((((j - i) * (m - k)) ** 0.5 / _GRID - 1.5 * float(mean), i, j, k, m))
    kinds: list[tuple[int, int, int, int]] = []
    for _, *area in sorted(found, reverse=True):
        if all(_shared(area, other) < 0.7 for other in kinds):
            kinds.append(tuple(area))  # type: ignore[arg-type]
        if len(kinds) == _FREE_AREAS:
            break
    return (
        *(_stack_in(area) for area in kinds),
        *_beside(size, [thing.box for thing in avoid if thing.kind == "face"]),
    )


def _beside(size: tuple[int, int], faces: Sequence[Box]) -> tuple[Archetype, ...]:
    """Stacks below, above, left and right of all faces."""
    if not faces:
        return ()
    margin = margin_of(*size)
    x0, y0 = min(face.x0 for face in faces), min(face.y0 for face in faces)
    x1, y1 = max(face.x1 for face in faces), max(face.y1 for face in faces)

    def parts(low: float, high: float, full: int) -> tuple[float, float]:
        inner = full - 2 * margin
        return max(0.0, (low - margin) / inner), min(1.0, (high - margin) / inner)

    gap = 0.02 * min(size)
    bands: tuple[tuple[Align, float, tuple[float, float], tuple[float, float]], ...] = (
        ("center", 1.0, (0.0, 1.0), parts(y1 + gap, size[1], size[1])),
        ("center", 0.0, (0.0, 1.0), parts(0, y0 - gap, size[1])),
        ("left", 0.5, parts(0, x0 - gap, size[0]), (0.0, 1.0)),
        ("left", 0.5, parts(x1 + gap, size[0], size[0]), (0.0, 1.0)),
    )
    return tuple(
        Archetype(FREE, align, head, None, columns, rows, title_height=0.45 * (rows[1] - rows[0]), prior=-0.04)
        for align, head, columns, rows in bands
        if columns[1] - columns[0] > 0.3 and rows[1] - rows[0] > 0.15
    )


def _stack_in(area: tuple[int, int, int, int]) -> Archetype:
    i, j, k, m = area
    head = 0.0 if i == 0 and j < _GRID else 1.0 if j == _GRID and i > 0 else 0.5
    align: Align = "center" if abs(k + m - _GRID) <= 1 else "left"
    return Archetype(FREE, align, head, None, (k / _GRID, m / _GRID), (i / _GRID, j / _GRID), prior=-0.12)


def _shared(a: Sequence[int], b: Sequence[int]) -> float:
    """Common area over the smaller of two areas."""
    high, wide = min(a[1], b[1]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[2], b[2])
    smaller = min((one[1] - one[0]) * (one[3] - one[2]) for one in (a, b))
    return max(0, high) * max(0, wide) / smaller


def _scored(
    kind: Archetype, layout: Layout, seen: np.ndarray, skin: np.ndarray, light: np.ndarray, avoid: Sequence[Obstacle]
) -> Layout:
    """The layout with its score: less for a covered subject and unrest behind the texts, more for a large title."""
    size = (layout.width, layout.height)
    areas = [(element.box.grown(0.25 * element.size), element) for element in layout]
    weights = np.array([box.width * box.height for box, _ in areas])
    covered = np.array([float(_cut(seen, box, size).mean()) for box, _ in areas])
    subject = np.maximum(seen - _SUBJECT, 0)
    over = sum(float(_cut(subject, box, size).sum()) for box, _ in areas) / max(1e-6, float(subject.sum()))
    unrest = np.array([float(_cut(light, box, size).std()) for box, _ in areas])
    found = float(skin.sum())
    hidden = sum(float(_cut(skin, box, size).sum()) for box, _ in areas) / found if found > 0.01 * skin.size else 0.0
    on = [
        (element.group, _overlap(element.box.grown(0.1 * element.size), thing.box) * _weight(thing, size))
        for element in layout
        for thing in avoid
    ]
    title = max((element.size for element in layout if element.role == "title"), default=0.0)
    wide = layout.width > 1.1 * layout.height
    notes = {
        "covered": float((covered * weights).sum() / weights.sum()),
        "subject": min(1.0, over),  # the part of what the picture shows that texts lie on
        "unrest": float((unrest * weights).sum() / weights.sum()),
        "people": min(1.0, hidden),  # the part of the skin in the picture that texts lie on
        "avoided": sum(part for _, part in on),  # of what to avoid, the part that texts lie on
        "title": min(1.0, title / (0.25 * min(size))),
    }
    score = 0.75 - 1.1 * notes["covered"] - 0.8 * notes["unrest"] + 0.15 * notes["title"] + kind.prior
    # beside a landscape's subject there is room, above and below it there is none
    score -= 0.5 * notes["people"] + (0.9 if wide else 0.3) * notes["subject"]
    if kind.name == FREE:
        score -= 0.8 * max(0.0, 1 - notes["title"] / 0.4)  # a title that nobody sees from afar
    # a text on another one, or on a face: the less the better, and together rather than in two places
    groups = {group: sum(part for other, part in on if other == group) for group, _ in on}
    score -= notes["avoided"] + 0.3 * sum(min(1.0, 4 * part) for part in groups.values())
    score += kind.landscape if wide else 0.0
    return Layout(
        *size, layout.elements, layout.rules, layout.archetype, 1 / (1 + float(np.exp(-4 * (score - 0.5)))), notes
    )


def _weight(thing: Obstacle, size: tuple[int, int]) -> float:
    """How bad it is to cover a thing: a face is worse than words, and words than a small sign."""
    if thing.kind != "lettering":
        return 12.0 if thing.kind == "face" else 3.0
    return float(np.clip(thing.box.width * thing.box.height / (0.01 * size[0] * size[1]), 0.2, 1.0))


def _overlap(text: Box, thing: Box) -> float:
    """The part of a thing that a text covers."""
    wide, high = min(text.x1, thing.x1) - max(text.x0, thing.x0), min(text.y1, thing.y1) - max(text.y0, thing.y0)
    return max(0.0, wide) * max(0.0, high) / max(1.0, thing.width * thing.height)


def _cut(cells: np.ndarray, box: Box, size: tuple[int, int]) -> np.ndarray:
    h, w = cells.shape
    scaled = Box(box.x0 * w / size[0], box.y0 * h / size[1], box.x1 * w / size[0], box.y1 * h / size[1])
    x0, y0, x1, y1 = scaled.pixels((w, h))
    return cells[min(y0, h - 1) : y1, min(x0, w - 1) : x1]


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


def too_long(texts: Sequence[str], size: tuple[int, int]) -> str:
    longest = max(texts, key=len)
    shown = longest if len(longest) <= 40 else longest[:37] + "..."
    which = texts.index(longest) + 1
    return (
        f"text {which} ({shown!r}, {len(longest)} characters) does not fit on a {size[0]}x{size[1]} poster "
        f"at a legible size with the {len(texts)} texts of the brief; shorten it or make the poster larger"
    )
