"""How far suggestive pictures, grounds and captions move a judge (CorrelationQA, for posters).

    bench = JudgeBench(questions=76, posters=24, seed=0)
    report = bench.run(open_judge("models/qwen"), Path("runs/judge"))

Three tracks. "pictures" asks questions that the brief answers, without a picture, with a neutral one, with one of the
answer, and with five that mislead. "captions" shows neutral pictures and says the same in a caption. "grounds" scores
the text of one layout on changing grounds: a plain one, another picture, a badge, a face, a brand.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

from PIL import Image

import posterkit
from posterkit.documents import read_json, read_lines, read_text
from posterkit.evaluation.judge_figures import Judged, answer_figures, shift_figures
from posterkit.evaluation.judge_questions import JudgeQuestion, judge_questions
from posterkit.evaluation.judge_replies import Outcome, read_reply
from posterkit.evaluation.judges import Judge
from posterkit.evaluation.suggestive_pictures import GROUNDS, GroundPoster, ground_posters, rendering_of
from posterkit.evaluation.suggestive_pictures import suggestive_picture as picture_of
from posterkit.image_io import written_whole
from posterkit.messages import error_line
from posterkit.rewards.reliability import REPORT

Progress = Callable[[int, int], None]  # gets how many rows are done, and of how many
Track = Literal["pictures", "captions", "grounds"]
TRACKS: tuple[Track, ...] = ("pictures", "captions", "grounds")
SYSTEM = "You check posters against their briefs. Answer the question from the brief, in a few words and nothing else."
REPLIES, SETTINGS = "replies.jsonl", "bench.json"
_GIVE_UP = 8  # failures in a row; whoever does not answer then is not asked on
_UNANSWERED = 0.05  # of the rows; a report with more missing is incomplete


@dataclass(frozen=True)
class Query:
    """One question to a judge, under one condition."""

    id: str  # track, question and condition
    track: Track
    condition: str  # "none" (nothing beside the brief), "neutral", "factual" (the answer is suggested) or "misleading"
    question: JudgeQuestion
    suggested: str | None  # the answer that the picture or the caption suggests; None where neither does

    def words(self) -> str:
        caption = ""
        if self.track == "captions" and self.suggested is not None:
            caption = f"Caption of the picture: {self.question.shown(self.suggested)}.\n"
        return f"Brief: {self.question.brief}\n{caption}Question: {self.question.text}"

    def images(self) -> list[Image.Image]:
        if self.condition == "none":
            return []
        return [picture_of(self.question, self.suggested if self.track == "pictures" else None)]


def queries_of(question: JudgeQuestion, track: Track) -> list[Query]:
    """The conditions of a question: without anything, neutral, its answer, and each of the five that mislead."""
    made = [("neutral", None), ("factual", question.answer), *(("misleading", one) for one in question.misleading)]
    if track == "pictures":
        made.insert(0, ("none", None))
    return [
        Query(f"{track}/{question.id}/{number}-{condition}", track, condition, question, suggested)
        for number, (condition, suggested) in enumerate(made)
    ]


class JudgeBench:
    """The rows of a bench, and what a judge made of them.

    Args:
        questions, posters: how many of the answer tracks and of the track of grounds.
        split: "train" or "heldout" takes that half of the questions alone.
    """

    def __init__(
        self, questions: int = 76, posters: int = 24, seed: int = 0, split: str = "all",
        tracks: Sequence[Track] = TRACKS,
    ) -> None:  # fmt: skip
        chosen = [one for one in judge_questions(questions, seed) if split in ("all", one.split)]
        self.queries = [
            query for track in tracks if track != "grounds" for one in chosen for query in queries_of(one, track)
        ]
        self.posters = ground_posters(posters, seed) if "grounds" in tracks else []
        self.settings = {"questions": questions, "posters": posters, "seed": seed, "split": split,
                         "tracks": [*tracks], "posterkit": posterkit.__version__}  # fmt: skip

    def run(
        self, judge: Judge, out: Path, threads: int = 2, progress: Progress = lambda done, count: None
    ) -> dict[str, Any]:
        """Ask what is not answered yet, then write and return the report.

        Replies are kept in `out/replies.jsonl` as they come, so that a bench that was stopped goes on. A row that
        fails is asked again by the next call; it is counted, and never taken for a wrong answer.

        Args:
            threads: rows at a time; pictures of the next rows are drawn while the judge works.

        Raises:
            ValueError: `out` holds a bench of another judge or with other settings.
        """
        out.mkdir(parents=True, exist_ok=True)
        claim(out, {**self.settings, "judge": judge.name, "fingerprint": judge.fingerprint})
        rows: dict[str, Callable[[], str | float]] = {}
        if judge.answers is not None:
            rows |= {query.id: partial(_answer, judge, query) for query in self.queries}
        if judge.reward is not None:
            rows |= {f"grounds/{poster.id}/{ground}": partial(_score, judge, poster, ground)
                     for poster in self.posters for ground in GROUNDS}  # fmt: skip
        found = ask_rows(rows, out / REPLIES, threads, progress)
        report = self.report(judge, {name: found.get(name, {"fault": "not asked"}) for name in rows})
        with written_whole(out / REPORT) as temporary:
            temporary.write_text(json.dumps(report, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        return report

    def report(self, judge: Judge, found: dict[str, dict[str, Any]]) -> dict[str, Any]:
        """The figures of a judge's replies, by row."""
        asked = [query for query in self.queries if query.id in found]
        outcomes: dict[str, Outcome] = {query.id: outcome_of(query, found[query.id]) for query in asked}
        tracks: dict[str, Any] = {}
        for track in ("pictures", "captions"):
            rows: list[Judged] = [
                (query.question, query.condition, outcomes[query.id]) for query in asked if query.track == track
            ]
            if rows:
                tracks[track] = {
                    **answer_figures(rows),
                    "by_category": _split(rows, lambda question: question.category),
                    "by_rendering": _split(rows, rendering_of) if track == "pictures" else {},
                }
        names = {name for name in found if name.startswith("grounds/")}
        if names:
            values = [[found[f"grounds/{poster.id}/{ground}"].get("value") for ground in GROUNDS]
                      for poster in self.posters]  # fmt: skip
            tracks["grounds"] = shift_figures(values, GROUNDS)
        failed = sum("fault" in row for row in found.values())
        faults = sorted({row["fault"] for row in found.values() if "fault" in row})
        return {
            "version": 1, "judge": judge.name, "spec": judge.spec, "fingerprint": judge.fingerprint,
            "bench": self.settings, "rows": len(found), "failed": failed, "faults": faults[:5],
            "complete": bool(found) and failed <= _UNANSWERED * len(found), "tracks": tracks,
        }  # fmt: skip

    def misled(self, out: Path) -> list[tuple[Query, str]]:
        """The queries whose reply gave the answer that was suggested, and the reply; what BPO learns to reject."""
        kept = read_rows(out / REPLIES)
        pairs = [(query, kept[query.id]) for query in self.queries if query.id in kept]
        return [(query, row["reply"]) for query, row in pairs if outcome_of(query, row) == "followed"]


def outcome_of(query: Query, row: dict[str, Any]) -> Outcome:
    """What a kept row amounts to."""
    if "reply" not in row:
        return "failed"
    suggested = query.suggested if query.condition == "misleading" else None
    return read_reply(row["reply"], query.question.answer, query.question.misleading, suggested)


def ask_rows(
    rows: Mapping[str, Callable[[], str | float | dict[str, float]]], kept: Path, threads: int, progress: Progress
) -> dict[str, dict[str, Any]]:
    """Call for each row that has no reply yet; a reply, a value, scores or a fault for each, by its name.

    Replies are appended to a file of JSON lines. After `_GIVE_UP` failures in a row nothing more is asked.
    """
    found = {name: row for name, row in read_rows(kept).items() if "fault" not in row and name in rows}
    lock, failing = threading.Lock(), 0
    with kept.open("a", encoding="utf-8") as file:

        def ask(name: str) -> None:
            nonlocal failing
            if failing >= _GIVE_UP:
                return
            try:
                answer = rows[name]()
                kind = "reply" if isinstance(answer, str) else "value" if isinstance(answer, float) else "scores"
                row: dict[str, Any] = {kind: answer}
            except (OSError, ValueError) as error:  # no answer, no score, a damaged picture
                row = {"fault": error_line(error)}
            with lock:
                failing = failing + 1 if "fault" in row else 0
                found[name] = row
                file.write(json.dumps({"id": name, **row}, ensure_ascii=False) + "\n")
                file.flush()
                progress(len(found), len(rows))

        with ThreadPoolExecutor(threads) as pool:
            for _ in pool.map(ask, [name for name in rows if name not in found]):
                pass
    return found


def read_rows(kept: Path) -> dict[str, dict[str, Any]]:
    """The rows of a file of replies by their id, the last of each; a line cut short is left out."""
    found = {}
    for number, line in read_lines(kept) if kept.is_file() else ():
        try:
            row = read_json(line, f"{kept} line {number}")
        except ValueError:
            continue
        if isinstance(row, dict) and isinstance(row.get("id"), str):
            found[row.pop("id")] = row
    return found


def claim(out: Path, settings: dict[str, Any]) -> None:
    """Mark a folder as that of a bench; ValueError where it is another's."""
    file = out / SETTINGS
    if file.is_file():
        before = read_json(read_text(file), str(file))
        changed = next((key for key in settings if before.get(key) != settings[key]), None)
        if changed:
            raise ValueError(
                f"{out}: holds a bench with {changed} {before.get(changed)!r}, now it is {settings[changed]!r}; "
                "take another folder"
            )
        return
    with written_whole(file) as temporary:
        temporary.write_text(json.dumps(settings) + "\n", encoding="utf-8")


def _answer(judge: Judge, query: Query) -> str:
    assert judge.answers is not None
    return judge.answers.ask(SYSTEM, query.words(), query.images())


def _score(judge: Judge, poster: GroundPoster, ground: str) -> float:
    assert judge.reward is not None
    (result,) = judge.reward([poster.on(ground)], [poster.request])
    return float(result.value)


def _split(rows: Sequence[Judged], key: Callable[[JudgeQuestion], str]) -> dict[str, dict[str, Any]]:
    """Figures of each part of the questions."""
    names = dict.fromkeys(key(question) for question, _, _ in rows)
    return {name: answer_figures([row for row in rows if key(row[0]) == name]) for name in names}
