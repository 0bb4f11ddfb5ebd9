"""Requests for posters: prompts from a text file, from rows, or from a set with its references and masks."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from posterkit.datagen.engine import Drop
from posterkit.datasets.dataset import INDEX, SetFiles, read_row
from posterkit.datasets.sample_files import Row, sample_from_row
from posterkit.documents import read_lines, read_text
from posterkit.schema import PosterRequest
from posterkit.sizing import Size
from posterkit.tasks import TASKS, TEXT

PROMPTS = "prompts.jsonl"  # the index of a folder of prompts alone
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")  # it names files, and a dot would end a tar member's key


@dataclass(frozen=True, kw_only=True)
class SetRequest(PosterRequest):
    """A request that a row makes, and what rows made from it repeat; critics compare a poster with its `caption`."""

    theme: str = ""
    style: str | None = None
    split: str = "train"
    source: str = ""
    licence: str = "unknown"
    turn: int = 0  # which of the rows that are made from it


@dataclass(frozen=True)
class SetRequests:
    """Requests by number, each `turns` times in a row; pictures are read when they are needed."""

    rows: tuple[Row | Drop, ...]
    folder: Path
    turns: int = 1

    def __len__(self) -> int:
        return len(self.rows) * self.turns

    def __getitem__(self, number: int) -> SetRequest | Drop:
        row = self.rows[number // self.turns]
        if isinstance(row, Drop):
            return row
        try:
            return replace(_request(row, self.folder), turn=number % self.turns)
        except (OSError, ValueError) as error:
            return Drop("unreadable", str(error), fault=True)

    @cached_property
    def tasks(self) -> list[str]:
        """Those of all rows, sorted."""
        return sorted({row["task"] for row in self.rows if not isinstance(row, Drop)})

    @cached_property
    def names(self) -> list[str]:
        """What each number is called: its row's id, or its line."""
        known = [row.detail.split(":")[0] if isinstance(row, Drop) else row["id"] for row in self.rows]
        return [name for name in known for _ in range(self.turns)]


def read_requests(path: Path, task: str | None = None, turns: int = 1) -> SetRequests:
    """What to draw, by a file or folder.

    Args:
        path: a text file with one prompt a line; a .jsonl file of rows with `prompt`, or of a set's rows; or the
            folder of a set or of prompts. A row of an image task has `references`, and `mask` where the task needs
            one, relative to its file.
        task: only rows of it.
        turns: how many rows are made from each.

    Raises:
        ValueError: there is nothing to draw, or text and image tasks are mixed, which no model draws both.
    """
    if path.is_dir():
        path = next((path / name for name in (INDEX, PROMPTS) if (path / name).is_file()), path / INDEX)
    if not path.is_file():
        raise ValueError(f"{path}: there is no such file; prompts come from a text file, a .jsonl file or a set")
    if path.suffix.lower() == ".jsonl":
        lines: Iterable[tuple[int, str | bytes]] = read_lines(path)
    else:
        lines = enumerate(read_text(path).split("\n"), 1)
    seen: set[str] = set()
    rows: list[Row | Drop] = []
    for number, line in lines:
        if line.strip():
            row = _read_line(line, number, path, seen)
            if isinstance(row, Drop) or task in (None, row["task"]):
                rows.append(row)
    found = SetRequests(tuple(rows), path.parent, turns)
    if not found.tasks:
        wrong = f"; {rows[0].detail}" if rows and isinstance(rows[0], Drop) else ""
        raise ValueError(f"{path}: holds no prompt{f' for task {task!r}' if task else ''}{wrong}")
    if TEXT in found.tasks and len(found.tasks) > 1:
        raise ValueError(f"{path}: holds the tasks {', '.join(found.tasks)}; no model draws them all, say --task")
    return found


def _read_line(line: str | bytes, number: int, path: Path, seen: set[str]) -> Row | Drop:
    """A row with `id` and `task`, or why the line is none."""
    name = f"prompt-{number:06d}"
    if isinstance(line, str):
        return {"id": name, "task": TEXT, "prompt": line.strip()}
    where = f"{path.name} {number}"
    try:
        row = read_row(line, where)
    except ValueError as error:
        return Drop("bad row", str(error), fault=True)
    row = {"id": name, "task": TEXT, **row}
    fault = _fault(row)
    if not fault and row["id"] in seen:
        fault = f"id {row['id']!r} stands in an earlier row too"
    if fault:
        return Drop("bad row", f"{where}: {fault}", fault=True)
    seen.add(row["id"])
    return row


def _fault(row: Row) -> str:
    if not isinstance(row["id"], str) or not _NAME.fullmatch(row["id"]):
        return f"id {row['id']!r} cannot name a file; letters, digits, - and _ can"
    if not isinstance(row["task"], str) or row["task"] not in (TEXT, *TASKS):
        return f"unknown task {row['task']!r}; the tasks are {TEXT}, {', '.join(TASKS)}"
    for key in ("prompt", "caption", "instruction", "words", "theme"):
        if row.get(key) is not None and not isinstance(row[key], str):
            return f'"{key}" must be a text, found {json.dumps(row[key])[:40]}'
    if row["task"] == TEXT:
        return "" if (row.get("caption") or row.get("prompt") or "").strip() else "there is no prompt"
    given = row.get("references")
    task = TASKS[row["task"]]
    if not isinstance(given, list) or len(given) not in task.references:
        return f"task {task.name!r} takes {task.references[0]} to {task.references[-1]} references, found {given!r}"
    return f"task {task.name!r} needs a mask" if task.needs_mask and not row.get("mask") else ""


def _request(row: Row, folder: Path) -> SetRequest:
    prompt = row.get("caption") or row.get("prompt") or ""
    known: dict[str, Any] = {
        key: row[key] for key in ("theme", "style", "split", "source", "licence") if isinstance(row.get(key), str)
    }
    texts = row.get("texts")
    if isinstance(texts, list) and all(isinstance(text, str) for text in texts):  # of a prompt; a sample's have boxes
        known["texts"] = texts
    if row["task"] == TEXT:
        return SetRequest(prompt, id=row["id"], caption=prompt, **known)
    files = SetFiles(folder)
    # a row without a finished poster is as good: its reference stands in while it is read
    sample = sample_from_row({"target": row["references"][0], **row}, lambda name: files.read(row, name))
    words = row["words"] if "words" in row else row.get("prompt")
    instruction = row.get("instruction") or TASKS[row["task"]].instruction(words)
    height, width = sample.target.shape[:2]
    size = Size(width, height) if "target" in row or row["task"] == "filling" else None
    return SetRequest(
        words or "", task=row["task"], images=sample.references, mask=sample.mask, size=size, id=row["id"],
        instruction=instruction, caption=prompt or instruction, placed=sample.placed, **known,
    )  # fmt: skip
