"""Reads and scores the original CorrelationQA set (arXiv 2402.03757) in its published form.

The set is a table of `image`, `image_path`, `category`, `question`, `true_answer`: Parquet files as they are published
(read where pyarrow is installed), or the same columns as JSON lines with the pictures as files. Six pictures belong to
a question, one of its answer and five that mislead. The table does not say which is which: a picture whose path ends
in the answer's words is factual, another one misleads, and its path's last words are what it suggests. Where no
picture of a question is factual by its path, the question counts in `accuracy` alone.
"""

from __future__ import annotations

import importlib
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from PIL import Image

from posterkit.documents import read_json, read_lines
from posterkit.evaluation.judge_bench import REPLIES, Progress, ask_rows, claim
from posterkit.evaluation.judge_figures import Judged, answer_figures, figure
from posterkit.evaluation.judge_questions import JudgeQuestion
from posterkit.evaluation.judge_replies import asserted, read_reply
from posterkit.evaluation.judges import Judge
from posterkit.image_io import read_image, written_whole
from posterkit.rewards.reliability import REPORT

COLUMNS = ("image_path", "category", "question", "true_answer")


@dataclass(frozen=True)
class OriginalRow:
    """A row of the set."""

    id: str  # its file and number
    path: str  # as the set gives it
    category: str
    question: str
    answer: str
    open: Callable[[], Image.Image]  # reads the picture

    @property
    def suggested(self) -> str:
        """The words at the end of the path, without a number: what the picture shows."""
        return re.sub(r"[_\W\d]+", " ", PurePosixPath(self.path).stem).strip()


def read_original(folder: Path) -> list[OriginalRow]:
    """The rows of a copy of the set.

    Raises:
        ValueError: there is no such file, a column is missing, or it is Parquet and pyarrow is not installed.
    """
    files = sorted([*folder.rglob("*.jsonl"), *folder.rglob("*.parquet")])
    if not files:
        raise ValueError(f"{folder}: holds no .parquet and no .jsonl file; a copy of CorrelationQA has one")
    rows = [row for file in files for row in (_parquet if file.suffix == ".parquet" else _lines)(file)]
    if not rows:
        raise ValueError(f"{folder}: holds no row")
    return rows


def run_original(
    judge: Judge,
    folder: Path,
    out: Path,
    threads: int = 2,
    progress: Progress = lambda done, count: None,
) -> dict[str, Any]:
    """Ask the set's questions with its pictures; write and return a report, as `JudgeBench.run` does.

    `tracks.original` has `accuracy` (whole words, negations heeded) and `published_accuracy` (the answer anywhere in
    the reply, as the published script counts) over all rows, and the figures of `answer_figures` over the questions
    whose pictures can be told apart, of all categories and of each.

    Raises:
        ValueError: as `read_original`, or the judge gives no answers.
    """
    if judge.answers is None:
        raise ValueError(f"judge {judge.name}: gives scores and no answers; CorrelationQA asks questions")
    rows = read_original(folder)
    out.mkdir(parents=True, exist_ok=True)
    claim(out, {"original": len(rows), "judge": judge.name, "fingerprint": judge.fingerprint})
    found = ask_rows({row.id: partial(_ask, judge, row) for row in rows}, out / REPLIES, threads, progress)
    replies = {row.id: found.get(row.id, {"fault": "not asked"}) for row in rows}
    failed = [row["fault"] for row in replies.values() if "fault" in row]
    report = {
        "version": 1, "judge": judge.name, "spec": judge.spec, "fingerprint": judge.fingerprint,
        "bench": {"original": str(folder.name)}, "rows": len(rows), "failed": len(failed),
        "faults": sorted({*failed})[:5], "complete": not failed,
        "tracks": {"original": _figures(rows, replies)},
    }  # fmt: skip
    with written_whole(out / REPORT) as temporary:
        temporary.write_text(json.dumps(report, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return report


def _ask(judge: Judge, row: OriginalRow) -> str:
    assert judge.answers is not None
    return judge.answers.ask("Answer in a few words.", row.question, [row.open()])


def _figures(rows: list[OriginalRow], replies: dict[str, dict[str, Any]]) -> dict[str, Any]:
    groups: dict[tuple[str, str], list[OriginalRow]] = {}
    for row in rows:
        groups.setdefault((row.category, row.question), []).append(row)
    told: list[Judged] = []
    strict, published = [], []
    for number, ((category, question), group) in enumerate(groups.items()):
        answer = group[0].answer
        misleading = tuple(dict.fromkeys(row.suggested for row in group if not _shows(row)))
        judged = JudgeQuestion(str(number), category, "", question, answer, misleading, (), "all")
        for row in group:
            reply = replies[row.id].get("reply")
            if reply is not None:
                strict.append((number, answer in asserted(reply, (answer,))))
                published.append((number, answer.lower() in reply.lower()))
            if any(map(_shows, group)):
                condition, shown = ("factual", None) if _shows(row) else ("misleading", row.suggested)
                outcome = "failed" if reply is None else read_reply(reply, answer, misleading, shown)
                told.append((judged, condition, outcome))
    by_category = {name: answer_figures([row for row in told if row[0].category == name])
                   for name in dict.fromkeys(row[0].category for row in told)}  # fmt: skip
    return {"accuracy": _accuracy(strict, len(groups)), "published_accuracy": _accuracy(published, len(groups)),
            **(answer_figures(told) if told else {}), "by_category": by_category}  # fmt: skip


def _accuracy(right: list[tuple[int, bool]], questions: int) -> dict[str, Any] | None:
    """The share of right rows, with an interval over questions."""
    sums = np.zeros((questions, 2))
    for number, one in right:
        sums[number] += one, 1
    sums = sums[sums[:, 1] > 0]
    return figure(len(sums), lambda drawn: float(sums[drawn, 0].sum() / sums[drawn, 1].sum()))


def _shows(row: OriginalRow) -> bool:
    """Whether the picture is of the answer, by its path."""
    return bool(asserted(row.suggested, (row.answer,)))


def _lines(file: Path) -> Iterator[OriginalRow]:
    for number, line in read_lines(file):
        where = f"{file} line {number}"
        row = read_json(line, where)
        _check(row, where)
        yield _row(row, f"{file.name}:{number}", partial(_beside, file, row["image_path"]))


def _beside(file: Path, name: str) -> Image.Image:
    picture = (file.parent / name).resolve()
    if not picture.is_relative_to(file.parent.resolve()):
        raise ValueError(f"{file}: {name} leads out of the set's folder")
    return read_image(picture)


def _parquet(file: Path) -> Iterator[OriginalRow]:
    try:
        parquet = importlib.import_module("pyarrow.parquet")
    except ImportError:
        raise ValueError(f"{file}: Parquet is read by pyarrow, which is not installed; pip install pyarrow") from None
    table = parquet.ParquetFile(file)
    number = 0
    for batch in table.iter_batches(batch_size=64, columns=[*COLUMNS]):
        for row in batch.to_pylist():
            _check(row, f"{file} row {number}")
            yield _row(row, f"{file.name}:{number}", partial(_embedded, file, number))
            number += 1


def _embedded(file: Path, number: int) -> Image.Image:
    """The picture of a row of a Parquet file: its bytes, alone or in a struct."""
    parquet = importlib.import_module("pyarrow.parquet")
    table, before = parquet.ParquetFile(file), 0
    for group in range(table.num_row_groups):
        rows = table.metadata.row_group(group).num_rows
        if number < before + rows:
            image = table.read_row_group(group, columns=["image"])["image"][number - before].as_py()
            return read_image(image["bytes"] if isinstance(image, dict) else image, name=f"{file} row {number}")
        before += rows
    raise ValueError(f"{file}: has no row {number}")


def _check(row: object, where: str) -> None:
    missing = [name for name in COLUMNS if not isinstance(row, dict) or not isinstance(row.get(name), str)]
    if missing:
        raise ValueError(f"{where}: lacks {', '.join(missing)}")


def _row(row: dict[str, Any], name: str, open_picture: Callable[[], Image.Image]) -> OriginalRow:
    return OriginalRow(name, row["image_path"], row["category"], row["question"], row["true_answer"], open_picture)
