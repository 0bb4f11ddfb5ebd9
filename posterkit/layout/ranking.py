"""Compares layouts of one request: hard gates first, then a score of fixed scale.

LayoutPrompter's ranker looks at alignment and overlap alone where there is no validation set, so that three specks in
a corner win. Here sizes count both ways, and each term has a scale of its own: scores compare between runs.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from posterkit.layout.faults import LayoutFault, find_faults, footprint, hard_count
from posterkit.layout.ground import Ground
from posterkit.layout.layout_request import LayoutRequest
from posterkit.layout.measures import alignment, violation
from posterkit.layout.similarity import iou, labelled
from posterkit.layout.types import Layout, Measurer, side_of

# how much of the score each term takes off at its worst; those that nothing is known of drop out
WEIGHTS = {
    "overlap": 0.12, "alignment": 0.08, "covered": 0.16, "subject": 0.2, "unrest": 0.14, "people": 0.1, "hidden": 0.7,
    "shown": 0.25, "sizes": 0.12, "title": 0.1, "timid": 0.3, "relations": 0.05, "soft": 0.08,
}  # fmt: skip
# where a term is at its worst
_WORST = {
    "overlap": 0.1,
    "alignment": 0.05,
    "covered": 0.5,
    "subject": 0.18,
    "unrest": 0.25,
    "people": 0.4,
    "hidden": 0.3,
    "shown": 1.0,
}
_TITLE = 0.16  # a title of this part of the poster's side is seen from afar
_TIMID = 0.1  # below this one it is a caption, however calm its place
# the mean areas of roles on posters, as shares of the canvas, near those of the shipped exemplars
USUAL = {"title": 0.09, "subtitle": 0.02, "body": 0.022, "cta": 0.008, "subject": 0.35, "logo": 0.012}
_AS_USUAL = math.log(2.0)  # within a factor of two an area is as usual


def scored(
    layout: Layout, request: LayoutRequest, ground: Ground, measurer: Measurer | None = None, bonus: float = 0.0
) -> tuple[Layout, list[LayoutFault]]:
    """The layout with its score and the score's terms, and its faults.

    Args:
        bonus: added to the score: how readily a planner takes this arrangement.
    """
    faults = find_faults(layout, request, measurer, ground)
    (terms,) = _quick_terms([layout], request, ground)
    terms |= _pair_terms(layout, request) | {"soft": min(1.0, sum(not fault.hard for fault in faults) / 3)}
    return replace(layout, score=float(np.clip(_value(terms) + bonus, 0, 1)), notes=terms), faults


def quick_scores(layouts: Sequence[Layout], request: LayoutRequest, ground: Ground) -> list[float]:
    """The scores of many layouts without a look at faults, overlaps and edges."""
    return [_value(terms) for terms in _quick_terms(layouts, request, ground)]


def best_first(candidates: Sequence[tuple[Layout, list[LayoutFault]]]) -> list[tuple[Layout, list[LayoutFault]]]:
    """Scored layouts, those with the fewest hard faults first, then by score."""
    return sorted(candidates, key=lambda one: (hard_count(one[1]), -one[0].score))


def _value(terms: Mapping[str, float]) -> float:
    total = sum(WEIGHTS[name] for name in terms)
    return 1 - sum(WEIGHTS[name] * term for name, term in terms.items()) / total if total else 1.0


def _scaled(terms: Mapping[str, float]) -> dict[str, float]:
    """0 at best and 1 at worst."""
    return {name: min(1.0, max(0.0, value / _WORST.get(name, 1.0))) for name, value in terms.items()}


def _quick_terms(layouts: Sequence[Layout], request: LayoutRequest, ground: Ground) -> list[dict[str, float]]:
    """What sizes and the ground under the texts say, of all layouts at once."""
    found = []
    for layout in layouts:
        terms = {"sizes": _size_term(layout)}
        title = max((one.size for one in layout.texts if one.role == "title"), default=math.inf)
        if math.isfinite(title):
            terms["title"] = 1 - title / (_TITLE * side_of(layout.size))
            if ground.known:
                terms["timid"] = 1 - title / (_TIMID * side_of(layout.size))
        if ground.obstacles and layout.texts:
            terms["hidden"] = sum(ground.hidden(footprint(one)) for one in layout.texts)
            terms["shown"] = sum(ground.hidden(footprint(one), subject=True) for one in layout.texts)
        found.append(terms)
    areas = [footprint(one).grown(0.25 * min(one.size, one.box.height)) for layout in layouts for one in layout.texts]
    if areas and ground.known:
        boxes = np.array(areas)
        under = ground.under(boxes)
        weights = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
        start = 0
        for layout, terms in zip(layouts, found, strict=True):
            part = slice(start, start + len(layout.texts))
            start = part.stop
            if part.start < part.stop:
                share = weights[part] / weights[part].sum()
                terms |= {name: float((under[name][part] * share).sum()) for name in ("covered", "unrest")}
                terms |= {name: float(under[name][part].sum()) for name in ("subject", "people")}
    return [_scaled(terms) for terms in found]


def _pair_terms(layout: Layout, request: LayoutRequest) -> dict[str, float]:
    found: dict[str, float] = {}
    apart = [footprint(one) for one in layout if one.role not in ("subject", "underlay", "decoration")]
    if len(apart) > 1:
        boxes = np.array(apart)
        found["overlap"] = float(iou(boxes, boxes)[np.triu_indices(len(boxes), 1)].mean())
    if len(layout.texts) > 1:
        found["alignment"] = alignment(labelled(layout, things=False))
    if request.relations:
        found["relations"] = violation([one.box for one in layout], request.relations, layout.height)
    return _scaled(found)


def _size_term(layout: Layout) -> float:
    """How far roles' mean areas are from the usual ones, both ways, as 1 - Re with a wider band."""
    by_role: dict[str, list[float]] = defaultdict(list)
    for one in layout:
        if one.role in USUAL:
            by_role[one.role].append(one.box.area / (layout.width * layout.height))
    if not by_role:
        return 0.0
    ratios = [max(1e-4, sum(found) / len(found) / USUAL[role]) for role, found in by_role.items()]
    logs = [max(0.0, abs(math.log(ratio)) - _AS_USUAL) for ratio in ratios]
    return 1 - math.exp(-math.sqrt(sum(one * one for one in logs) / len(logs)))
