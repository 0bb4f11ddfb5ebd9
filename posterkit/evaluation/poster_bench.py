"""PosterOmni-Bench and PosterCraft's evaluation: posters of a model, or of any other system, scored row by row.

    bench = PosterBench("posteromni", rows=1020, seed=0)
    report = bench.run(open_poster_judge("models/qwen"), Path("runs/bench/mini"), draw=PosterMaker())

A row's poster is the file of its id in `out/posters`; `draw` makes those that are not there. Figures of the lettering
are OCR against the texts that were asked for. Completion of the task and aesthetics are a judge's, which the report
names: the rules, or a model that `posterkit bench judge` has found fit.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

import posterkit
from posterkit.documents import read_json, read_text
from posterkit.evaluation.bench_rows import LENGTHS, OMNI, SIZE, BenchRow, as_typed, bench_rows
from posterkit.evaluation.judge_bench import Progress, ask_rows, claim
from posterkit.evaluation.statistics import bootstrap, cluster_bootstrap
from posterkit.image_io import SUFFIXES, read_image, written_whole
from posterkit.metrics.expected_texts import expected_texts
from posterkit.metrics.ocr import text_accuracy
from posterkit.metrics.poster_reader import open_poster_reader
from posterkit.rewards import open_reward
from posterkit.rewards.models.vision_language import VisionLanguageReward
from posterkit.rewards.reliability import JudgeBound, check_judges, fingerprint_of
from posterkit.rewards.reward import Reward
from posterkit.rewards.specs import PARTS, RULES, kind_of
from posterkit.schema import PosterRequest
from posterkit.sizing import Size
from posterkit.tasks import TASKS

SCORES, REPORT, POSTERS = "scores.jsonl", "report.json", "posters"
TEXT_FIGURES = ("recall", "precision", "f_score", "accuracy", "similarity")
JUDGED = ("completion", "aesthetics")
_ALIKE = 0.01  # a judge whose scores of all posters lie within so much tells nothing
Draw = Callable[[PosterRequest], Any]  # makes a poster with an `image`, as `PosterMaker` does


@dataclass(frozen=True)
class PosterJudge:
    """Who says how well the task was done and how good a poster looks."""

    name: str  # stands in every table
    fingerprint: str  # of its weights; empty where there are none on this machine
    completion: Reward
    aesthetics: Reward


def open_poster_judge(
    spec: str = RULES, model: str | None = None, device: str = "cpu", report: str | None = None
) -> PosterJudge:
    """A judge by the spec of a reward: "rules", or a vision-language model that keeps the bounds of `bench judge`.

    Args:
        model: the model's name at an endpoint.
        report: of `posterkit bench judge`; None looks beside the judge.

    Raises:
        ValueError, OSError: there is no such judge, it was never measured, or it follows what misleads.
    """
    if spec == RULES:
        return PosterJudge(RULES, "", open_reward(RULES), open_reward("aesthetics"))
    if spec in PARTS or kind_of(spec) != "judge":
        raise ValueError(f"judge {spec}: gives no answers; take rules, a vision-language model's folder, or a URL")
    found = check_judges([spec], JudgeBound(report=report))
    if found.unmeasured:
        raise ValueError(f"judge {spec}: was never measured; posterkit bench judge {spec} does, --judge-report names "
                         "its report")  # fmt: skip
    if found.faults:
        raise ValueError(f"judge over the bounds: {found.faults[0]}")
    from posterkit.llm.open_model import open_vision_language_model

    answers = open_vision_language_model(spec, model, device)
    both = [VisionLanguageReward(answers.name, lambda: answers, part) for part in ("agreement", "aesthetics")]
    return PosterJudge(answers.name, fingerprint_of(spec), *both)


class PosterBench:
    """The rows of a bench, and what a judge and OCR make of posters.

    Args:
        name: "posteromni" or "postercraft".
        size: of the posters in pixels; rescaling's is turned.
        weight: of completion in `overall`; aesthetics has the rest. The paper does not give its weights.
    """

    def __init__(self, name: str, rows: int, seed: int = 0, size: Size = SIZE, weight: float = 0.5) -> None:
        self.name, self.weight = name, weight
        self.rows = bench_rows(name, rows, seed, size)
        self.settings = {"bench": name, "rows": rows, "seed": seed, "size": str(size), "weight": weight,
                         "posterkit": posterkit.__version__}  # fmt: skip

    def run(
        self, judge: PosterJudge, out: Path, draw: Draw | None = None, posters: Path | None = None, by: str = "",
        threads: int = 1, progress: Progress = lambda done, count: None,
    ) -> dict[str, Any]:  # fmt: skip
        """Make and score what is not there yet, then write and return the report.

        A poster that is missing, damaged or not judged is counted by its reason and is asked for again by the next
        call; it is never scored 0.

        Args:
            draw: makes missing posters; None scores those that are there.
            posters: where finished posters lie, whoever made them: files with the rows' ids as their names.
            by: what made them, for tables.

        Raises:
            ValueError: `out` holds a bench with other settings, of another judge or of another system; or none of the
                posters is there.
        """
        out.mkdir(parents=True, exist_ok=True)
        by = by or (posters.name if posters else out.name)
        claim(out, {**self.settings, "judge": judge.name, "fingerprint": judge.fingerprint, "by": by})
        folder = posters or out / POSTERS
        if draw is not None:
            folder.mkdir(exist_ok=True)
        files = {path.stem: path for path in sorted(folder.iterdir()) if path.suffix.lower() in SUFFIXES} \
            if folder.is_dir() else {}  # fmt: skip
        if posters and not posters.is_dir():
            raise ValueError(f"{posters}: there is no such folder, and it holds no poster of this bench")
        ready = [row for row in self.rows if draw is not None or row.id in files]
        if not ready:
            raise ValueError(f"{folder}: holds no poster of this bench; they are named {self.rows[0].id}.png, ...")
        made = {row.id: partial(self._score, row, judge, files.get(row.id), folder, draw) for row in ready}
        found = ask_rows(made, out / SCORES, threads, progress)
        for row in self.rows:
            found.setdefault(row.id, {"fault": "not asked" if row.id in made else "no poster"})
        report = self.report(judge, found, by) | {"posters": str(folder.resolve())}
        with written_whole(out / REPORT) as temporary:
            temporary.write_text(json.dumps(report, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        return report

    def report(self, judge: PosterJudge, found: dict[str, dict[str, Any]], by: str) -> dict[str, Any]:
        """Figures over all rows, by group and by group and language, with 95 % intervals over rows."""
        scores = {row.id: found[row.id]["scores"] for row in self.rows if "scores" in found[row.id]}
        groups = (*TASKS, "overall") if self.name == OMNI else (*LENGTHS, "overall")
        cells: dict[str, dict[str, Any]] = {}
        for language in ("all", "en", "zh"):
            rows = [row for row in self.rows if row.id in scores and language in ("all", row.language)]
            for group in groups:
                some = [row for row in rows if group in ("overall", row.group)]
                if some:
                    cells.setdefault(language, {})[group] = _figures([scores[row.id] for row in some])
                if group == "overall" and self.name == OMNI and some:  # the mean of the columns, as the paper's
                    cells[language][group]["overall"] = _mean_of_groups(some, scores)
        faults = [row["fault"] for row in found.values() if "fault" in row]
        return {
            "version": 1, "by": by, "judge": judge.name, "fingerprint": judge.fingerprint, "bench": self.settings,
            "rows": len(self.rows), "failed": len(faults), "cells": cells, "scores": scores,
            "faults": {fault: faults.count(fault) for fault in dict.fromkeys(faults)},
            "notes": _notes([*scores.values()], judge),
        }  # fmt: skip

    def _score(
        self, row: BenchRow, judge: PosterJudge, file: Path | None, folder: Path, draw: Draw | None
    ) -> dict[str, float]:
        request = row.request()
        if file is None:
            assert draw is not None
            image = draw(as_typed(request)).image
            with written_whole(folder / f"{row.id}.png") as temporary:
                image.save(temporary, "PNG")
        else:
            image = read_image(file)
        expected = expected_texts(request)
        found: dict[str, float] = {}
        if expected:
            read = text_accuracy(expected, [line.text for line in open_poster_reader().lines(image)])
            found = {name: getattr(read, name if name != "accuracy" else "exact") for name in TEXT_FIGURES}
        for name in JUDGED:
            (result,) = getattr(judge, name)([image], [request])
            found[name] = 1 + 4 * float(result.value)
        found["overall"] = self.weight * found["completion"] + (1 - self.weight) * found["aesthetics"]
        return {name: round(value, 4) for name, value in found.items()}


def read_report(folder: Path) -> dict[str, Any]:
    """A finished report; ValueError where there is none."""
    file = folder / REPORT
    report = read_json(read_text(file), str(file)) if file.is_file() else None
    kinds = {"version": int, "by": str, "bench": dict, "scores": dict}
    if not isinstance(report, dict) or not all(isinstance(report.get(name), kind) for name, kind in kinds.items()):
        raise ValueError(f"{folder}: holds no report of posterkit bench posteromni or postercraft")
    return report


def compare(one: dict[str, Any], other: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Paired differences, the first less the second, over the rows that both have, with 95 % intervals.

    Raises:
        ValueError: the reports are of other rows, other judges or another weight, or share no row.
    """
    for name in ("bench", "judge", "fingerprint"):
        if one[name] != other[name]:
            raise ValueError(f"the reports have {name} {one[name]!r} and {other[name]!r}; they do not compare")
    shared = [name for name in one["scores"] if name in other["scores"]]
    if not shared:
        raise ValueError("the reports share no row that has a score")
    found = {}
    for figure in ("overall", *JUDGED, *TEXT_FIGURES):
        pairs = [(one["scores"][name][figure], other["scores"][name][figure]) for name in shared
                 if figure in one["scores"][name]]  # fmt: skip
        if pairs:
            found[figure] = asdict(bootstrap([a - b for a, b in pairs]))
    return found


def _figures(scores: Sequence[dict[str, float]]) -> dict[str, Any]:
    """Each figure's mean and interval; rows without texts have none of the lettering."""
    found = {}
    for name in (*TEXT_FIGURES, *JUDGED, "overall"):
        values = [row[name] for row in scores if name in row]
        if values:
            found[name] = {key: round(value, 4) for key, value in asdict(bootstrap(values)).items()}
    return found


def _mean_of_groups(rows: Sequence[BenchRow], scores: dict[str, dict[str, float]]) -> dict[str, Any]:
    """The mean of the tasks' means, with an interval from drawing rows."""
    groups = np.array([list(TASKS).index(row.group) for row in rows])
    values = np.array([scores[row.id]["overall"] for row in rows])

    def mean(drawn: np.ndarray) -> float:
        counts = np.bincount(groups[drawn], minlength=len(TASKS))
        sums = np.bincount(groups[drawn], values[drawn], len(TASKS))
        return float((sums[counts > 0] / counts[counts > 0]).mean())

    found = cluster_bootstrap(len(rows), mean)
    assert found is not None
    return {key: round(value, 4) for key, value in asdict(found).items()}


def _notes(scores: Sequence[dict[str, float]], judge: PosterJudge) -> list[str]:
    """What makes a judge's figures worthless."""
    return [
        f"{judge.name} gives every poster the same {name} ({values[0]:.2f}); it tells nothing"
        for name in JUDGED
        if len(values := [row[name] for row in scores]) > 1 and np.ptp(values) < _ALIKE
    ]


def first_poster(folder: Path, report: dict[str, Any], row: str) -> Image.Image | None:
    """The poster of a row, beside the report or where the report says that it was scored; None where it is gone."""
    for place in (folder / POSTERS, folder, Path(report.get("posters") or folder)):
        for path in sorted(place.glob(f"{row}.*")) if place.is_dir() else ():
            if path.suffix.lower() in SUFFIXES:
                return read_image(path)
    return None
