"""Compares planners on the same requests: faults, cover, and the poster measures, with paired intervals.

A language model gives several rows from one coarse step: what stages and exemplars add is measured on the same drafts.
"""

from __future__ import annotations

import json
import math
import time
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from random import Random
from typing import Any, Protocol

import numpy as np

from posterkit.datagen.layout_requests import DrawnRequest
from posterkit.datagen.planned_requests import on_subject
from posterkit.documents import read_json, read_lines
from posterkit.evaluation.statistics import Estimate, bootstrap
from posterkit.layout import Layout, LayoutRequest, Measurer, legible_size
from posterkit.layout.faults import find_faults, hard_count
from posterkit.layout.ground import Ground
from posterkit.layout.measures import alignment, overlap, poster_labels, poster_measures
from posterkit.layout.planners import Planner
from posterkit.layout.planners.models import CotPlanner, ModelPlanner, fallen_back, finished
from posterkit.layout.planners.planner_names import open_planner
from posterkit.layout.planners.questions import ONE_STAGE, STAGES
from posterkit.layout.planners.retrieval_planner import after, shipped_index
from posterkit.layout.ranking import USUAL
from posterkit.layout.retrieval import ExemplarIndex
from posterkit.layout.saliency import saliency
from posterkit.layout.similarity import labelled
from posterkit.layout.types import side_of
from posterkit.llm.client import LanguageModel
from posterkit.llm.open_model import open_language_model
from posterkit.typeset.line_breaking import measure

BASE = ("random", "published-ranker", "retrieval", "archetypes", "grammar")
REFERENCE = "grammar"  # what every other row is compared with
# stages and exemplars of a language model's rows, behind its coarse step
LADDER: dict[str, tuple[tuple[str, ...], int]] = {
    "coarse only": ((), 4), "one stage": ((ONE_STAGE,), 4), "three stages, k 2": (tuple(STAGES), 2),
    "three stages, k 4": (tuple(STAGES), 4), "three stages, k 6": (tuple(STAGES), 6),
}  # fmt: skip
# what is printed, in this order: heading
COLUMNS = {
    "hard": "with a hard fault", "subject": "text on the subject", "occ": "Occ", "rea": "Rea", "uti": "Uti",
    "ove": "Ove", "ali": "Ali", "und_s": "Und_s", "re": "Re", "title": "title size", "ms": "ms a plan",
}  # fmt: skip
_LARGER = ("uti", "und_s", "re", "title")  # are better when larger
_DIGITS = {"ms": 1, "ove": 4, "ali": 4}
Values = dict[str, list[float]]  # of one row and request by measure: one for each seed
Step = Callable[[], object]


class Contender(Protocol):
    """Something that plans, in one row of the table or several."""

    @property
    def rows(self) -> Sequence[str]: ...

    def plan(self, request: LayoutRequest, measurer: Measurer) -> Mapping[str, tuple[Layout, float]]:
        """A layout and the milliseconds that it took, for each row."""
        ...


@dataclass(frozen=True)
class RandomExemplar:
    """The request's texts in the places of an exemplar chosen by lot: what no plan at all comes to."""

    index: ExemplarIndex = field(default_factory=shipped_index)
    name: str = "random"

    def plan(self, request: LayoutRequest, measurer: Measurer) -> Layout:
        chosen = Random(f"random {request.description} {request.seed}").choice(self.index.exemplars)
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
class OneRow:
    """A planner as a contender."""

    spec: str
    planner: Planner

    @property
    def rows(self) -> Sequence[str]:
        return (self.spec,)

    def plan(self, request: LayoutRequest, measurer: Measurer) -> Mapping[str, tuple[Layout, float]]:
        layout, taken = _timed(lambda: self.planner.plan(request, measurer))
        return {self.spec: (layout, taken)}


@dataclass(frozen=True)
class Ladder:
    """A language model's rows of `LADDER`, all from one coarse step."""

    address: str
    coarse: ModelPlanner

    @classmethod
    def of(cls, address: str, model: LanguageModel) -> Ladder:
        return cls(address, ModelPlanner(model))

    @property
    def rows(self) -> Sequence[str]:
        return [f"{self.address}, {name}" for name in LADDER]

    def plan(self, request: LayoutRequest, measurer: Measurer) -> Mapping[str, tuple[Layout, float]]:
        ground = Ground(request)
        (best, trace), first = _timed(lambda: self.coarse.coarse(request, measurer, ground))
        model, found = self.coarse.model.name, {}
        for row, (stages, exemplars) in zip(self.rows, LADDER.values(), strict=True):
            if best is None:
                layout, taken = _timed(lambda: fallen_back(request, measurer, trace, model))
            elif not stages:
                layout, taken = _timed(lambda: finished(best, request, measurer, ground, "llm", trace, model))
            else:
                planner = CotPlanner(self.coarse, exemplars, stages)
                layout, taken = _timed(partial(planner.refined, best, trace, request, measurer, ground))
            found[row] = layout, first + taken
        return found


def _timed(call: Callable):
    start = time.perf_counter()
    made = call()
    return made, 1000 * (time.perf_counter() - start)


def open_contenders(specs: Sequence[str], models: Sequence[str], device: str = "cpu") -> list[Contender]:
    """Planners by their names, and language models by their addresses."""
    rows: list[Contender] = [OneRow(spec, planner_named(spec)) for spec in specs]
    return rows + [Ladder.of(address, open_language_model(address, device=device)) for address in models]


@dataclass(frozen=True)
class Row:
    """One row's results: a value for each measure and request, the mean over seeds.

    NaN where a request says nothing of a measure.
    """

    planner: str
    values: dict[str, list[float]]
    warned: int

    def estimate(self, name: str) -> Estimate | None:
        known = [value for value in self.values[name] if np.isfinite(value)]
        return bootstrap(known) if known else None

    def against(self, other: Row, name: str, comparisons: int) -> Estimate | None:
        """The mean of the paired differences to another row, with its interval for one of so many comparisons."""
        apart = np.subtract(self.values[name], other.values[name])
        known = apart[np.isfinite(apart)]
        return bootstrap(known.tolist(), level=1 - 0.05 / comparisons) if known.size else None


def compare(
    contenders: Sequence[Contender], requests: Iterable[DrawnRequest], seeds: int = 1, kept: Path | None = None,
    step: Step = lambda: None,
) -> list[Row]:  # fmt: skip
    """Every contender on the same requests, with each of so many seeds.

    Args:
        kept: a JSON lines file of results by request: what stands there is not planned again.
        step: called after each request.

    Raises:
        ValueError: `kept` holds another bench's results.
    """
    names = [name for one in contenders for name in one.rows]
    known = _read_results(kept, names, seeds) if kept else {}
    results: list[dict[str, Values]] = []
    for number, drawn in enumerate(requests):
        if number not in known:
            known[number] = _results(contenders, drawn, seeds)
            if kept:
                kept.parent.mkdir(parents=True, exist_ok=True)
                with kept.open("a", encoding="utf-8") as file:
                    rows = _mapped(known[number], lambda value: None if math.isnan(value) else value)
                    file.write(json.dumps({"request": number, "seeds": seeds, "rows": rows}) + "\n")
        results.append(known[number])
        step()
    rows = []
    for name in names:
        values = {key: [float(np.mean(one[name][key])) for one in results] for key in COLUMNS}
        warned = sum(sum(one[name]["warned"]) for one in results)
        rows.append(Row(name, values, round(warned)))
    return rows


def _results(contenders: Sequence[Contender], drawn: DrawnRequest, seeds: int) -> dict[str, Values]:
    measurer = partial(measure, style="modern", least=legible_size(*drawn.request.size))
    picture = drawn.request.picture
    seen = saliency(picture) if picture is not None else None
    found: dict[str, Values] = {}
    for contender in contenders:
        for seed in range(seeds):
            request = replace(drawn.request, seed=seed)
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                made = contender.plan(request, measurer)
            for name, (layout, taken) in made.items():
                values = {**_measured(layout, drawn, seen, measurer), "ms": taken, "warned": float(bool(caught))}
                for key, value in values.items():
                    found.setdefault(name, {}).setdefault(key, []).append(value)
    return found


def _read_results(path: Path, names: Sequence[str], seeds: int) -> dict[int, dict[str, Values]]:
    known = {}
    for number, line in read_lines(path) if path.is_file() else ():
        row = read_json(line, f"{path}:{number}")
        if not isinstance(row, dict) or row.get("seeds") != seeds or set(row.get("rows", ())) != set(names):
            raise ValueError(f"{path}:{number}: is of another bench; name another file")
        known[int(row["request"])] = _mapped(row["rows"], lambda value: math.nan if value is None else float(value))
    return known


def _mapped(rows: Mapping[str, Mapping[str, Sequence[Any]]], change: Callable[[Any], Any]) -> dict[str, dict]:
    return {
        name: {key: [change(value) for value in values] for key, values in row.items()} for name, row in rows.items()
    }


def _measured(
    layout: Layout, drawn: DrawnRequest, seen: np.ndarray | None, measurer: Measurer
) -> dict[str, float]:  # fmt: skip
    request = drawn.request
    hidden = on_subject(layout, drawn.subject) if drawn.subject else float("nan")
    found = poster_measures(
        [poster_labels(labelled(layout))], pictures=None if request.picture is None else [request.picture],
        saliency=None if seen is None else [seen],
    )  # fmt: skip
    by_role = poster_measures([labelled(layout)], usual=USUAL)
    title = max((one.size for one in layout.texts if one.role == "title"), default=float("nan"))
    return {
        "hard": float(hard_count(find_faults(layout, request, measurer)) > 0), "subject": hidden,
        **{name: found.get(name, float("nan")) for name in ("occ", "rea", "uti", "ove", "ali", "und_s")},
        "re": by_role["re"], "title": title / side_of(request.size),
    }  # fmt: skip


def as_markdown(rows: Sequence[Row], about: str) -> str:
    """The rows' means, and their paired differences to the grammar's; poster measures in their corrected form."""
    names = [name for name in COLUMNS if any(row.estimate(name) for row in rows)]
    lines = [
        f"{about}; mean, 95 % bootstrap interval over requests. Poster measures in the corrected form; saliency by "
        "`posterkit.layout.saliency`. Smaller is better, but for Uti, Und_s, Re and the title's size (of the poster's "
        "side).", "", *_table(rows, names, lambda row, name: row.estimate(name)),
    ]  # fmt: skip
    reference = next((row for row in rows if row.planner == REFERENCE), None)
    others = [row for row in rows if row is not reference]
    if reference is not None and others:
        lines += [
            "", f"Paired differences to the {REFERENCE}, with intervals for {len(others)} comparisons (Bonferroni); "
            "**bold** is worse.", "",
            *_table(others, names[:-1], lambda row, name: row.against(reference, name, len(others)), judged=True),
        ]  # fmt: skip
    return "\n".join(lines)


def _table(
    rows: Sequence[Row], names: Sequence[str], cell: Callable[[Row, str], Estimate | None], judged: bool = False
) -> list[str]:
    lines = [f"| planner | {' | '.join(COLUMNS[name] for name in names)} |", f"|---|{'---|' * len(names)}"]
    for row in rows:
        cells = []
        for name in names:
            found, digits = cell(row, name), _DIGITS.get(name, 3)
            said = found and [f"{value:.{digits}f}" for value in (found.mean, found.low, found.high)]
            text = "{} ({} to {})".format(*said) if said else "-"
            worse = found and (found.high < 0 if name in _LARGER else found.low > 0)
            cells.append(f"**{text}**" if judged and worse else text)
        note = f" ({row.warned} left to the grammar)" if row.warned and not judged else ""
        lines.append(f"| {row.planner}{note} | {' | '.join(cells)} |")
    return lines
