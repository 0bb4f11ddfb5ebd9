"""Does a critic know what it was shown, and say so where that is not on the poster? (P-Bench, arXiv 2410.07113)

    bench = IdentityBench(SyntheticIdentities(200), questions=400)
    report = bench.run(open_judge("models/qwen"), Path("runs/identity/qwen"))

Held-out questions alone, as many without an answer as with one. The headline is the balanced accuracy: the mean of the
share that is right where there is an answer, and of the share that is refused where there is none. A model that always
refuses, or never, has one half.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from random import Random
from typing import Any, Literal

import numpy as np

import posterkit
from posterkit.datagen.identities import FolderIdentities, IdentityPool
from posterkit.datagen.identity_questions import (
    MOST_REFERENCES,
    NEGATIVES,
    PLACES,
    SYSTEM,
    IdentityQuestion,
    IdentityQuestions,
)
from posterkit.datagen.picture_folder import fingerprint, list_pictures
from posterkit.evaluation.judge_bench import REPLIES, Progress, ask_rows, claim
from posterkit.evaluation.judge_replies import asserted
from posterkit.evaluation.judges import Judge
from posterkit.evaluation.statistics import cluster_bootstrap
from posterkit.image_io import written_whole
from posterkit.schema import PosterRequest
from posterkit.sizing import Size

REPORT = "identity.json"
Outcome = Literal["right", "wrong", "refused", "failed"]
_REFUSAL = re.compile(
    r"\b(?:not|never)\s+(?:\w+\s+){0,2}?(?:on|in|there|here|shown|present|visible|introduced|appear|known?|see|found)\b"
    r"|n't\s+(?:\w+\s+){0,2}?(?:on|in|there|shown|appear|know|see|find)\b|\b(?:cannot|unable to) (?:see|find|tell)"
    r"|\bno (?:one|picture|such)\b|\bunknown\b|\bnowhere\b|\babsent\b"
)
_ASKED = ("choice", "free")  # whose answers can be read without a judge


def read_answer(reply: str, one: IdentityQuestion) -> Outcome:
    """What a reply to a question of choice, or a free one about a place, amounts to."""
    said = reply.strip().casefold().replace("’", "'")
    if _REFUSAL.search(said):
        return "refused"
    if one.negative:
        return "wrong"
    options = dict(re.findall(r"\b([A-D]): ([^.]+)\.", one.prompt))
    if options and (letter := re.match(r"\W*(?:answer|option)?\W*([a-d])\b", said)):
        return "right" if letter[1].upper() == one.answer else "wrong"
    true = options.get(one.answer) or next(
        place for place in sorted(PLACES, key=len, reverse=True) if place in one.answer
    )
    return "right" if asserted(reply, PLACES) == {true} else "wrong"


class IdentityBench:
    """Questions about held-out identities, and what a judge makes of them.

    Args:
        questions: how many, half of them negatives; references of one to four pictures in turn.
    """

    def __init__(self, pool: IdentityPool, questions: int = 400, seed: int = 0, size: Size | None = None) -> None:
        source = IdentityQuestions(pool, seed, size or Size(192, 288), 0.5, questions=_ASKED)
        self.questions = [source[4 * number + 3] for number in range(questions)]
        self.settings = {"identities": len(pool), "questions": questions, "seed": seed, "size": str(source.size),
                         "pool": type(pool).__name__, "posterkit": posterkit.__version__}  # fmt: skip
        if isinstance(pool, FolderIdentities):
            self.settings["pictures"] = fingerprint(pool.folder, list_pictures(pool.folder))

    def run(
        self, judge: Judge, out: Path, threads: int = 2, progress: Progress = lambda done, count: None
    ) -> dict[str, Any]:
        """Ask what is not answered yet, then write and return the report.

        A reward gives values in place of words, for the pictures of the one that is asked about. Names are nothing to
        it, so questions about unknown ones are left out. The threshold that tells presence best on one half of the
        questions is its calibration; the other half is reported.

        Raises:
            ValueError: `out` holds a bench of another judge or with other settings.
        """
        out.mkdir(parents=True, exist_ok=True)
        claim(out, {**self.settings, "judge": judge.name, "fingerprint": judge.fingerprint})
        ask = partial(_ask if judge.answers is not None else _score, judge)
        asked = self.questions if judge.answers is not None else [one for one in self.questions if one.own]
        rows: dict[str, Callable[[], Any]] = {one.id: partial(ask, one) for one in asked}
        found = ask_rows(rows, out / REPLIES, threads, progress)
        replies = [found.get(one.id, {"fault": "not asked"}) for one in asked]
        faults = [row["fault"] for row in replies if "fault" in row]
        report: dict[str, Any] = {
            "version": 1, "judge": judge.name, "spec": judge.spec, "fingerprint": judge.fingerprint,
            "bench": self.settings, "rows": len(rows), "failed": len(faults), "faults": sorted({*faults})[:5],
        }  # fmt: skip
        if judge.answers is not None:
            outcomes: list[Outcome] = [read_answer(row["reply"], one) if "reply" in row else "failed"
                        for one, row in zip(asked, replies, strict=True)]  # fmt: skip
            report |= identity_figures(asked, outcomes)
        else:
            values = [row.get("value") for row in replies]
            known = [(one, value) for one, value in zip(asked, values, strict=True) if value is not None]
            halves = [[pair for pair in known if Random(pair[0].id).randrange(2) == half] for half in (0, 1)]
            threshold = best_threshold([(value, one.negative is None) for one, value in halves[0]])
            outcomes = ["right" if value >= threshold and one.negative is None else
                        "wrong" if value >= threshold else "refused" for one, value in halves[1]]  # fmt: skip
            report |= {"threshold": threshold, **identity_figures([one for one, _ in halves[1]], outcomes)}
        with written_whole(out / REPORT) as temporary:
            temporary.write_text(json.dumps(report, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        return report


def identity_figures(questions: Sequence[IdentityQuestion], outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """The table, with 95 % intervals from drawing whole identities; failed rows count nowhere.

    Returns:
        `cells`: by "answerable", "unanswerable" and each negative, and by "all" and each number of references: the
        share that is right, or refused. `answerable`, `unanswerable`, `balanced` and `over_refusal` (the share of
        questions with an answer that is refused), each with its interval; `outcomes`.
    """
    kinds = ("answerable", "unanswerable", *NEGATIVES)
    numbers = {identity: at for at, identity in enumerate(dict.fromkeys(one.identity for one in questions))}
    right, refused, counted = (np.zeros((len(numbers), len(kinds), 1 + MOST_REFERENCES)) for _ in range(3))
    for one, outcome in zip(questions, outcomes, strict=True):
        if outcome == "failed":
            continue
        rows = [0] if one.negative is None else [1, kinds.index(one.negative)]
        for row in rows:
            for column in (0, min(one.references, MOST_REFERENCES)):
                place = numbers[one.identity], row, column
                counted[place] += 1
                refused[place] += outcome == "refused"
                right[place] += outcome == ("right" if row == 0 else "refused")

    def share(of: np.ndarray, row: int, column: int = 0) -> Callable[[np.ndarray], float]:
        def found(drawn: np.ndarray) -> float:
            count = counted[drawn, row, column].sum()
            return float(of[drawn, row, column].sum() / count) if count else float("nan")

        return found

    def figure(statistic: Callable[[np.ndarray], float]) -> dict[str, Any] | None:
        found = cluster_bootstrap(len(numbers), statistic)
        return None if found is None else {key: round(value, 4) for key, value in asdict(found).items()}

    answerable, unanswerable = share(right, 0), share(right, 1)
    columns = ("all", *map(str, range(1, MOST_REFERENCES)), f"{MOST_REFERENCES}+")
    cells = {kind: {column: figure(share(right, row, at)) for at, column in enumerate(columns)}
             for row, kind in enumerate(kinds)}  # fmt: skip
    return {
        "cells": cells, "answerable": figure(answerable), "unanswerable": figure(unanswerable),
        "balanced": figure(lambda drawn: (answerable(drawn) + unanswerable(drawn)) / 2),
        "over_refusal": figure(share(refused, 0)), "outcomes": dict(Counter(outcomes)),
    }  # fmt: skip


def best_threshold(values: Sequence[tuple[float, bool]]) -> float:
    """The threshold with the best balanced accuracy for values of what is there and of what is not.

    Raises:
        ValueError: there are not both.
    """
    there, missing = (np.array([value for value, present in values if present == side]) for side in (True, False))
    if not len(there) or not len(missing):
        raise ValueError("a threshold needs values of posters with the identity and of posters without it")
    known = np.unique(np.concatenate([there, missing]))
    tried = [*known, *(known[1:] + known[:-1]) / 2]
    return float(
        max(tried, key=lambda one: ((there >= one).mean() + (missing < one).mean(), -abs(one - known.mean())))
    )


def as_markdown(report: dict[str, Any]) -> str:
    """P-Bench's table: answerable beside unanswerable, by the number of references; the headline above it."""
    lines = []
    for name, said in (("balanced", "balanced accuracy"), ("over_refusal", "over-refusal")):
        if found := report[name]:
            lines.append(f"{said} {found['mean']:.3f} ({found['low']:.3f} to {found['high']:.3f})")
    columns = list(next(iter(report["cells"].values())))
    lines += ["", f"| {report['judge']} | {' | '.join(columns)} |", "|---" * (1 + len(columns)) + "|"]
    for kind, row in report["cells"].items():
        cells = [f"{cell['mean']:.2f}" if cell else "–" for cell in row.values()]
        lines.append(f"| {kind} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _ask(judge: Judge, one: IdentityQuestion) -> str:
    assert judge.answers is not None
    return judge.answers.ask(SYSTEM, one.prompt, [image.convert("RGB") for image in one.images])


def _score(judge: Judge, one: IdentityQuestion) -> float:
    """How much of the asked one's pictures a reward finds on the poster."""
    assert judge.reward is not None
    references = [one.images[number].convert("RGB") for number in one.own]
    poster = one.images[-1].convert("RGB")
    request = PosterRequest(task="id_driven", images=references, size=Size(*poster.size), id=one.id)
    (result,) = judge.reward([poster], [request])
    return float(result.value)
