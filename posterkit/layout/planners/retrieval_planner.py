"""Plans after exemplars: the request's elements in the places of a layout that was made for something like it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from scipy.optimize import linear_sum_assignment

from posterkit.layout.exemplars import Exemplar, read_exemplars
from posterkit.layout.faults import LayoutFault, hard_count
from posterkit.layout.ground import Ground
from posterkit.layout.layout_request import LayoutRequest
from posterkit.layout.planners.grammar import GrammarPlanner
from posterkit.layout.ranking import USUAL, best_first, scored
from posterkit.layout.repair import repair
from posterkit.layout.retrieval import ExemplarIndex
from posterkit.layout.slots import set_in_slots
from posterkit.layout.things import place_things
from posterkit.layout.types import Box, Element, Layout, Measurer
from posterkit.lettering import ROLES

_OTHER_ROLE = 1.0  # cost of standing in the place of another role; a text in a thing's place costs more
_OTHER_KIND = 4.0
_GAP = 0.01  # of the height, between texts that share a place


def shipped_index() -> ExemplarIndex:
    """An index of the shipped exemplars."""
    return ExemplarIndex(read_exemplars())


@dataclass(frozen=True)
class RetrievalPlanner:
    """The best of the layouts that exemplars give.

    Args:
        index: what is searched.
        count: exemplars that are tried.
        left_out: sources or ids that must not be used.
    """

    index: ExemplarIndex = field(default_factory=shipped_index)
    count: int = 10
    left_out: Collection[str] = ()
    name: str = "retrieval"

    def plan(self, request: LayoutRequest, measurer: Measurer) -> Layout:
        """Where no exemplar gives a layout without hard faults, the grammar's."""
        request.check()
        layout, faults = self.ranked(request, measurer, Ground(request))[0]
        return GrammarPlanner().plan(request, measurer) if hard_count(faults) else layout

    def ranked(
        self, request: LayoutRequest, measurer: Measurer, ground: Ground
    ) -> list[tuple[Layout, list[LayoutFault]]]:
        """A layout after each exemplar, mended and scored, the best first, with its faults."""
        made = []
        for exemplar in self.index.for_request(request, self.count, self.left_out):
            layout = replace(after(exemplar, request, measurer, ground), planner=self.name)
            made.append(scored(repair(layout, request, measurer, ground), request, ground, measurer))
        return best_first(made)


def after(exemplar: Exemplar, request: LayoutRequest, measurer: Measurer, ground: Ground) -> Layout:
    """The request's elements in an exemplar's places; a place that several share is split."""
    shape = exemplar.layout.scaled_to(*request.size)
    slots = _assigned(shape.elements, request)
    texts = sorted(shape.texts, key=lambda one: one.role != "title")
    align = request.align or (texts[0].align if texts else None)
    elements = set_in_slots(request, slots, measurer, align=align)
    # things follow the picture, not the exemplar: where its subject stood there may be nothing to see
    kept = tuple(one for one in elements if one.is_text or request.elements[one.index].fixed or _keeps(one, ground))
    layout = Layout(*request.size, kept, (), exemplar.id)
    return place_things(layout, request, ground)


def _keeps(one: Element, ground: Ground) -> bool:
    return not ground.known and one.role in ("subject", "image", "decoration")


def _assigned(places: Sequence[Element], request: LayoutRequest) -> list[Box]:
    """A place for each element by role, size and reading order (Hungarian); elements that are left over share one."""
    area = request.width * request.height
    slots: list[Box | None] = [one.box if one.fixed else None for one in request.elements]
    left = [index for index, slot in enumerate(slots) if slot is None]
    free = sorted(places, key=lambda one: (one.box.y0, one.box.x0))
    while left:
        cost = np.array(
            [[_cost(index, request, at, one, len(free), area) for at, one in enumerate(free)] for index in left]
        )
        rows, columns = linear_sum_assignment(cost)
        taken = [(left[row], free[column]) for row, column in zip(rows, columns, strict=True)]
        shared: dict[int, list[int]] = {}
        for index, place in taken:
            shared.setdefault(place.index, []).append(index)
            slots[index] = place.box
        left = [index for index in left if slots[index] is None]
        if left:  # more elements than places: the rest goes where texts of its kind stand already
            _share(left, slots, request, places)
            left = []
    return [slot or Box(0, 0, *request.size) for slot in slots]


def _share(left: Sequence[int], slots: list[Box | None], request: LayoutRequest, places: Sequence[Element]) -> None:
    """Splits the place of the nearest role in rows, in reading order."""
    texts = [index for index, slot in enumerate(slots) if slot is not None and request.elements[index].is_text]
    for index in left:
        if not request.elements[index].is_text or not texts:
            continue
        same = [other for other in texts if request.elements[other].role == request.elements[index].role]
        host = max(same or texts, key=lambda other: (slots[other] or Box(0, 0, 0, 0)).area)
        place = slots[host]
        assert place is not None
        gap = _GAP * request.height
        high = (place.height - gap) / 2
        upper = Box(place.x0, place.y0, place.x1, place.y0 + high)
        lower = Box(place.x0, place.y1 - high, place.x1, place.y1)
        first, second = sorted((host, index))
        slots[first], slots[second] = upper, lower
        texts.append(index)


def _cost(index: int, request: LayoutRequest, at: int, place: Element, count: int, area: float) -> float:
    wanted = request.elements[index]
    if wanted.role == place.role:
        cost = 0.0
    elif (wanted.role in ROLES) == (place.role in ROLES):
        cost = _OTHER_ROLE
    else:
        cost = _OTHER_KIND
    size = wanted.size[0] * wanted.size[1] if wanted.size else USUAL.get(wanted.role, 0.03) * area
    cost += 0.15 * abs(float(np.log(max(place.box.area, 1.0) / max(size, 1.0))))
    # reading order: the n-th text in the n-th place from the top
    return cost + 0.5 * abs(index / max(1, len(request.elements) - 1) - at / max(1, count - 1)) * wanted.is_text
