"""Plans by a grammar of posters, without a model: arrangements on a grid of twelve columns, measured and scored.

A sentence of the grammar is a stack of texts, or a head and a foot; its columns; its alignment; how high the title may
be. Texts keep their reading order, their sizes follow their roles, and columns follow the picture's free ground.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product
from random import Random

from posterkit.layout.archetypes import Archetype, arrange
from posterkit.layout.faults import hard_count
from posterkit.layout.ground import Ground
from posterkit.layout.layout_request import ElementRequest, LayoutRequest
from posterkit.layout.planner import runs_right_to_left, too_long
from posterkit.layout.ranking import best_first, quick_scores, scored
from posterkit.layout.repair import repair
from posterkit.layout.slots import set_in_slots
from posterkit.layout.things import place_things
from posterkit.layout.types import Align, Box, Layout, Measured, Measurer, Role, margin_of

_TITLES = (0.13, 0.21, 0.32)  # how high a title may be, of the canvas
_FINALISTS = 10
_BAND = 0.1  # of the height, kept free for a logo above or below the texts
_CHOICE = 0.05  # how much the seed may move a score on a canvas where nothing is to be seen


@dataclass(frozen=True)
class GrammarPlanner:
    """What places texts where nothing else is named."""

    name: str = "grammar"

    def plan(self, request: LayoutRequest, measurer: Measurer) -> Layout:
        request.check()
        return self.candidates(request, measurer, 1)[0]

    def candidates(self, request: LayoutRequest, measurer: Measurer, count: int) -> list[Layout]:
        """The best layouts, the best first; ValueError where the texts do not fit."""
        ground, measure = Ground(request), _Remembered(measurer)
        if request.task == "refinement" or not request.texts:
            return [self._refined(request, measure, ground)]
        found = [(bonus, _arranged(kind, request, measure)) for kind, bonus in _sentences(request, ground)]
        made = [(bonus, layout) for bonus, layout in found if layout is not None]
        if not made:
            raise ValueError(too_long(request.texts, request.size))
        quick = quick_scores([layout for _, layout in made], request, ground)
        order = sorted(range(len(made)), key=lambda at: -quick[at] - made[at][0])
        finalists = []
        for bonus, layout in (made[at] for at in order[: max(_FINALISTS, count)]):
            layout = place_things(replace(layout, planner=self.name), request, ground)
            finalists.append(scored(layout, request, ground, bonus=bonus))
        ordered = best_first(finalists)
        if hard_count(ordered[0][1]):
            mended = [repair(layout, request, measure, ground) for layout, _ in ordered[:4]]
            ordered = best_first([*ordered, *(scored(layout, request, ground, measure) for layout in mended)])
        return [layout for layout, _ in ordered[:count]]

    def _refined(self, request: LayoutRequest, measurer: Measurer, ground: Ground) -> Layout:
        """The places that the request gives, mended; things alone where there is no text."""
        if request.task == "refinement":
            slots = [one.box or Box(0, 0, *request.size) for one in request.elements]
            layout = Layout(*request.size, set_in_slots(request, slots, measurer), planner=self.name)
            layout = repair(layout, request, measurer, ground)
        else:
            layout = place_things(Layout(*request.size, (), planner=self.name), request, ground)
        return scored(layout, request, ground, measurer)[0]


class _Remembered:
    """A measurer that measures nothing twice: many sentences have columns of one width."""

    def __init__(self, measurer: Measurer) -> None:
        self._measurer = measurer
        self._known: dict[tuple, Measured | None] = {}

    def __call__(self, text: str, role: Role, width: float, height: float, size: float) -> Measured | None:
        key = text, role, round(width, 1), round(height, 1), round(size, 2)
        if key not in self._known:
            self._known[key] = self._measurer(text, role, width, height, size)
        return self._known[key]


def _sentences(request: LayoutRequest, ground: Ground) -> Iterator[tuple[Archetype, float]]:
    """Arrangements, each with its bonus: how readily it is taken when the picture does not decide."""
    rng = Random(f"grammar {request.seed}")
    logo = any(one.role == "logo" and one.box is None for one in request.elements)
    rows = ((0.0, 1.0), (_BAND, 1.0), (0.0, 1 - _BAND)) if logo else ((0.0, 1.0),)
    for (kind, bonus), span in product(
        [*_full(request, ground.known), *_columns(request), *_free(request, ground)], rows
    ):
        if span != (0.0, 1.0) and kind.rows != (0.0, 1.0):
            continue
        kind = kind if span == (0.0, 1.0) else replace(kind, rows=span)
        yield _turned(kind, request), bonus + (0.0 if ground.known else _CHOICE * rng.random())


def _full(request: LayoutRequest, known: bool) -> Iterator[tuple[Archetype, float]]:
    """Over the whole width; set from the right only where the picture has a reason for it."""
    aligns: tuple[Align, ...] = (request.align,) if request.align else ("left", "center", "right")
    for align, high in product(aligns if known or request.align else aligns[:2], _TITLES):
        hairline = "hairline" if align == "left" else "none"
        low = 0.01 * (high == _TITLES[0]) + 0.02 * (align == "right")
        yield Archetype("head-and-foot", align, 0.0, 1.0, rule=hairline, title_height=high,
                        side_by_side=align == "left"), 0.05 - low  # fmt: skip
        accent = "accent" if align == "left" else "none"
        yield Archetype("foot", align, 1.0, None, rule=accent, title_height=high), 0.03 - low
        yield Archetype("head", align, 0.0, None, rule=accent, title_height=high), 0.01 - low
        yield Archetype("title-below", align, 1.0, 0.0, title_height=high, side_by_side=align == "left"), -low


def _columns(request: LayoutRequest) -> Iterator[tuple[Archetype, float]]:
    """In part of the width: halves and corners; rather on wide canvases."""
    wide = request.width > 1.1 * request.height
    bonus = 0.02 if wide else -0.04
    spans = ((0.0, 5 / 12), (0.0, 6 / 12), (7 / 12, 1.0), (6 / 12, 1.0), (0.0, 8 / 12), (4 / 12, 1.0))
    for span, high, head in product(spans, _TITLES[:2] if not wide else _TITLES, (0.0, 0.5, 1.0)):
        align = request.align or "left"
        yield Archetype("column", align, head, None, span, rule="accent", title_height=high), bonus
        if head == 0.0 and span[1] - span[0] > 0.45:
            yield Archetype("column-head-and-foot", align, 0.0, 1.0, span, title_height=high), bonus + 0.01


def _free(request: LayoutRequest, ground: Ground) -> Iterator[tuple[Archetype, float]]:
    """In the picture's free areas, aligned to the side that they lie on."""
    if not ground.known:
        return
    w, h = request.size
    margin = margin_of(w, h)
    inner = Box(margin, margin, w - margin, h - margin)
    for area in ground.free_areas:
        columns = (area.x0 - inner.x0) / inner.width, (area.x1 - inner.x0) / inner.width
        rows = (area.y0 - inner.y0) / inner.height, (area.y1 - inner.y0) / inner.height
        middle = abs(sum(columns) - 1) < 0.1
        align = request.align or ("center" if middle and columns[0] > 0.02 else "left")
        head = 0.0 if rows[0] < 0.02 and rows[1] < 0.98 else 1.0 if rows[1] > 0.98 and rows[0] > 0.02 else 0.5
        for part in (0.3, 0.55):
            high = min(0.32, part * (rows[1] - rows[0]))
            yield Archetype("free-ground", align, head, None, columns, rows, "accent", high), -0.02


def _turned(kind: Archetype, request: LayoutRequest) -> Archetype:
    """Scripts that run from right to left are set from the right, in mirrored columns."""
    title = next((one for one in request.elements if one.role == "title"), None)
    first: ElementRequest = title or next(one for one in request.elements if one.is_text)
    if not runs_right_to_left(first.text):
        return kind
    if kind.name == "free-ground":  # its columns are the picture's
        return replace(kind, align="right" if kind.align == "left" else kind.align)
    return replace(kind.mirrored(), align=request.align) if request.align else kind.mirrored()


def _arranged(kind: Archetype, request: LayoutRequest, measurer: Measurer) -> Layout | None:
    indices = [index for index, one in enumerate(request.elements) if one.is_text]
    roles: list[Role] = [request.elements[index].role for index in indices]  # type: ignore[misc]
    layout = arrange(kind, request.size, request.texts, roles, measurer)
    if layout is None:
        return None
    return replace(layout, elements=tuple(replace(one, index=indices[one.index]) for one in layout))
