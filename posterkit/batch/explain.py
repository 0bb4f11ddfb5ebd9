"""What a batch would do, row by row, before any model loads."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from posterkit.batch.folder import FOLDER_FILE
from posterkit.batch.index import RowIndex
from posterkit.batch.results import ResultPlaces
from posterkit.batch.rows import BadRow
from posterkit.batch.shard import WHOLE, Shard
from posterkit.batch.worker import PNG_ALONE, Files
from posterkit.generate.maker import PosterMaker
from posterkit.generate.poster_plan import PosterPlan
from posterkit.messages import error_line, one_line
from posterkit.schema import PosterRequest

RULES = f"""\
What holds for a row, the nearest first: NAME.mask.png, NAME.txt (its prompt; lines such as @title:SUMMER are its
texts), NAME.yaml (any key of a manifest), {FOLDER_FILE} of its folder and of those above (the same), options of the
call, defaults of the checkpoint. A sub-folder is one poster with several references; where a task takes one image,
its images are posters of their own."""
_WORDS = 120


def explain(
    index: RowIndex, maker: PosterMaker, out: Path, seed: int = 0, files: Files = PNG_ALONE, shard: Shard = WHOLE
) -> Iterator[str]:
    """The lines that say what becomes of each row, where its values come from, and at the end how many are made.

    Raises:
        ValueError: a model cannot be found.
    """
    places = ResultPlaces(index, out, files)
    counts: Counter[str] = Counter()
    for window in index.windows(shard):
        for number in sorted(window):
            kind, lines = _row(number, index, maker, places, seed)
            counts[kind] += 1
            yield from lines
    said = [f"{count} {kind}" for kind, count in counts.items()]
    yield f"{', '.join(said)}, of {len(index)} rows"


def _row(
    number: int, index: RowIndex, maker: PosterMaker, places: ResultPlaces, seed: int
) -> tuple[str, list[str]]:  # fmt: skip
    row = index[number]
    if isinstance(row, BadRow):
        return "fail", [f"{row.id}: fails: {row.why}"]
    try:
        job, made = places.job(number, maker.plan(row, seed))
    except (ValueError, OSError) as error:
        return "fail", [f"{row.id}: fails: {error_line(error)}"]
    if made:
        return "made already", [f"{row.id} -> {job.out}: is there already"]
    if why := places.in_the_way(job):
        return "fail", [f"{row.id}: fails: {why}"]
    lines = [f"{row.id} -> {job.out}: {_how(job.plan)}"]
    lines += [f"    {key:<10} {value}" for key, value in _values(index.raw(number), row)]
    lines += [f"    note       {note}" for note in job.plan.notes]
    if job.out != row.out:
        lines.append(f"    note       {row.out} is another poster already")
    return "to make", lines


def _how(plan: PosterPlan) -> str:
    request = plan.request
    drawn = "" if plan.native == plan.finished else f", drawn at {plan.native}"
    several = f", the best of {plan.best_of}" if plan.best_of > 1 else ""
    over = "" if plan.draft is None else f" over {100 * plan.draft.strength:g} % of a draft"
    return f"{request.task}, {plan.finished}{drawn}{over}, seed {request.seed}, {request.steps} steps{several}"


def _values(raw: Any, row: PosterRequest) -> Iterator[tuple[str, str]]:
    """What the row says, each with the file that says it; then what of its words comes from the options."""
    own = raw.get("row", {}) if isinstance(raw, dict) else {}
    sources = raw.get("sources", {}) if isinstance(raw, dict) else {}
    for key, value in own.items():
        if value is not None and key != "out":
            shown = one_line(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False), _WORDS)
            yield key, shown + (f"  ({sources[key]})" if key in sources else "")
    for key, value in (("prompt", row.prompt), ("texts", list(row.texts or ()))):
        if value and own.get(key) is None:
            shown = one_line(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False), _WORDS)
            yield key, f"{shown}  (options)"
