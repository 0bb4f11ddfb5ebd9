"""Compares planners on drawn requests with true subjects: faults, cover, and the poster measures, with intervals."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from random import Random

import numpy as np
from PIL import Image

from posterkit.datagen.layout_requests import DrawnRequest, draw_request
from posterkit.evaluation.statistics import Estimate, bootstrap
from posterkit.layout import Layout, LayoutRequest, Measurer, legible_size
from posterkit.layout.faults import find_faults, footprint, hard_count
from posterkit.layout.ground import Ground
from posterkit.layout.measures import alignment, overlap, poster_labels, poster_measures
from posterkit.layout.planners import Planner
from posterkit.layout.planners.planner_names import open_planner
from posterkit.layout.planners.retrieval_planner import after, shipped_index
from posterkit.layout.ranking import USUAL
from posterkit.layout.retrieval import ExemplarIndex
from posterkit.layout.saliency import saliency
from posterkit.layout.similarity import labelled
from posterkit.layout.types import side_of
from posterkit.typeset.line_breaking import measure

BASE = ("random", "published-ranker", "retrieval", "archetypes", "grammar")
# what is printed, in this order: heading, and whether larger is better
COLUMNS = {
    "hard": "with a hard fault", "subject": "text on the subject", "occ": "Occ", "rea": "Rea", "ove": "Ove",
    "ali": "Ali", "title": "title size", "ms": "ms a plan",
}  # fmt: skip


@dataclass(frozen=True)
class RandomExemplar:
    """The request's texts in the places of an exemplar chosen by lot: what no plan at all comes to."""

    index: ExemplarIndex = field(default_factory=shipped_index)
    name: str = "random"

    def plan(self, request: LayoutRequest, measurer: Measurer) -> Layout:
        chosen = Random(f"random {request.seed}").choice(self.index.exemplars)
        return after(chosen, request, measurer, Ground(request))


@dataclass(frozen=True)
class PublishedRanker:
    """LayoutPrompter's ranker without a validation set over ten exemplars' layouts: alignment and overlap alone."""

    index: ExemplarIndex = field(default_factory=shipped_index)
    name: str = "published-ranker"

    def plan(self, request: LayoutRequest, measurer: Measurer) -> Layout:
        ground = Ground(request)
        made = [after(one, request, measurer, ground) for one in self.index.for_request(request, 10)]
        columns = np.array([[score(labelled(layout)) for score in (alignment, overlap)] for layout in made])
        span = columns.max(0) - columns.min(0)
        scaled = (columns - columns.min(0)) / np.where(span > 0, span, 1)
        return made[int(scaled.sum(1).argmin())]


def planner_named(spec: str) -> Planner:
    """One of `BASE`, or any planner of `open_planner`."""
    own: dict[str, Callable[[], Planner]] = {"random": RandomExemplar, "published-ranker": PublishedRanker}
    return own[spec]() if spec in own else open_planner(spec)


@dataclass(frozen=True)
class Row:
    """One planner's results: a value for each measure and request; NaN where a request says nothing of a measure."""

    planner: str
    values: dict[str, list[float]]
    warned: int

    def estimate(self, name: str) -> Estimate | None:
        known = [value for value in self.values[name] if np.isfinite(value)]
        return bootstrap(known) if known else None


def compare(specs: Sequence[str], count: int, first: int = 0, step: Callable[[], object] = lambda: None) -> list[Row]:
    """Every planner on the same `count` requests.

    Args:
        step: called after each request.
    """
    planners = [planner_named(spec) for spec in specs]
    values: list[dict[str, list[float]]] = [{name: [] for name in COLUMNS} for _ in planners]
    warned = [0] * len(planners)
    for drawn in _drawn(count, first):
        seen = saliency(_picture(drawn))
        for at, planner in enumerate(planners):
            measurer = partial(measure, style="modern", least=legible_size(*drawn.request.size))
            start = time.perf_counter()
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                layout = planner.plan(drawn.request, measurer)
            taken = 1000 * (time.perf_counter() - start)
            warned[at] += bool(caught)
            for name, value in {**_measured(layout, drawn, seen, measurer), "ms": taken}.items():
                values[at][name].append(value)
        step()
    return [Row(spec, found, times) for spec, found, times in zip(specs, values, warned, strict=True)]


def _drawn(count: int, first: int) -> Iterator[DrawnRequest]:
    return (draw_request(seed) for seed in range(first, first + count))


def _picture(drawn: DrawnRequest) -> Image.Image:
    assert drawn.request.picture is not None
    return drawn.request.picture


def _measured(layout: Layout, drawn: DrawnRequest, seen: np.ndarray, measurer: Measurer) -> dict[str, float]:
    request = drawn.request
    boxes = [footprint(one) for one in layout.texts]
    on_subject = sum(box.shared(drawn.subject) for box in boxes) / max(1e-9, sum(box.area for box in boxes))
    found = poster_measures(
        [poster_labels(labelled(layout))], pictures=[_picture(drawn)], saliency=[seen], usual=USUAL
    )  # fmt: skip
    title = max((one.size for one in layout.texts if one.role == "title"), default=float("nan"))
    return {
        "hard": float(hard_count(find_faults(layout, request, measurer)) > 0), "subject": on_subject,
        **{name: found[name] for name in ("occ", "rea", "ove", "ali")}, "title": title / side_of(request.size),
    }  # fmt: skip


def as_markdown(rows: Sequence[Row], count: int) -> str:
    """The table, each number with its 95 % interval; poster measures in their corrected form."""
    lines = [
        f"{count} drawn requests (2 to 8 elements, four shapes, English and Chinese); mean, 95 % bootstrap interval.",
        "Poster measures in the corrected form; saliency by `posterkit.layout.saliency`. Smaller is better, but for "
        "the title's size (of the poster's side).", "",
        f"| planner | {' | '.join(COLUMNS.values())} |", f"|---|{'---|' * len(COLUMNS)}",
    ]  # fmt: skip
    for row in rows:
        cells = []
        for name in COLUMNS:
            found = row.estimate(name)
            digits = 1 if name == "ms" else 4 if name in ("ove", "ali") else 3
            said = found and [f"{value:.{digits}f}" for value in (found.mean, found.low, found.high)]
            cells.append("{} ({} to {})".format(*said) if said else "-")
        note = f" ({row.warned} left to the grammar)" if row.warned else ""
        lines.append(f"| {row.planner}{note} | {' | '.join(cells)} |")
    return "\n".join(lines)
