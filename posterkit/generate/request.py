"""A job: one poster to make, as asked for; and what a job must not contradict."""

from __future__ import annotations

import difflib
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from posterkit.tasks import ANCHORS, TASKS, Anchor

TEXT = "text"
MAX_SIDE = 16384  # pixels; more is a typing mistake
MOST = 1000  # candidates for one poster


@dataclass(frozen=True)
class Job:
    """One poster to make, as asked for; None means the checkpoint's or the task's own default.

    Attributes:
        where: what errors and the ledger call this row, such as "jobs.jsonl:3" or a file name.
        task: "text", or one of the six image tasks.
        images: reference images in their order.
        anchor: where extending puts the photo: one of the nine positions, or x, y in pixels of the finished poster.
        width, height: the finished poster, in pixels.
        out: the result's file name, relative to the output folder.
        best_of: how many seeds are drawn, from `seed` upwards; the one that a reward likes best is kept.
        expanded: what prompt expansion made of the prompt; never in a manifest.
        refine: rounds in which a critic's suggestions may improve the poster; never in a manifest.
        feedback: suggestions by which the poster is redrawn, one round after the other; only from a poster's record.
    """

    where: str = ""
    task: str = TEXT
    prompt: str = ""
    texts: tuple[str, ...] = ()
    images: tuple[Path, ...] = ()
    mask: Path | None = None
    anchor: Anchor | None = None
    width: int | None = None
    height: int | None = None
    seed: int | None = None
    steps: int | None = None
    guidance: float | None = None
    negative_prompt: str | None = None
    lora: str | None = None
    out: str | None = None
    best_of: int | None = None
    expanded: str | None = None
    refine: int | None = None
    feedback: tuple[tuple[str, ...], ...] = ()


@dataclass(frozen=True)
class Fault:
    """A row that cannot be made, and why in one line."""

    where: str
    why: str


class NoneScored(Exception):
    """No candidate for a poster could be drawn and scored."""


@dataclass(frozen=True)
class Common:
    """What the command line says for every row that does not say it itself."""

    task: str | None = None
    prompt: str = ""
    texts: tuple[str, ...] = ()
    anchor: Anchor | None = None
    width: int | None = None
    height: int | None = None
    steps: int | None = None
    guidance: float | None = None
    negative_prompt: str | None = None
    seed: int = field(default=0)
    best_of: int | None = None


def checked(job: Job) -> Job | Fault:
    """The job itself, or what in it contradicts its task."""
    faults = []
    if job.task == TEXT:
        faults += ['the task "text" takes no images'] if job.images else []
        faults += ['the task "text" takes no mask'] if job.mask else []
        faults += [] if job.prompt.strip() or job.texts else ['the task "text" needs a prompt or texts']
    elif job.task not in TASKS:
        near = difflib.get_close_matches(job.task, (TEXT, *TASKS), 1)
        meant = f" (did you mean {near[0]!r}?)" if near else ""
        found = f"unknown task {job.task!r}{meant}" if job.task else "no task given"
        return Fault(job.where, f"{found}; the tasks are {TEXT}, {', '.join(TASKS)}")
    else:
        task = TASKS[job.task]
        if len(job.images) not in task.references:
            most = task.references[-1]
            takes = "1 image" if most == 1 else f"1 to {most} images"
            faults.append(f"task {task.name!r} takes {takes}, found {len(job.images)}")
        if task.needs_mask and job.mask is None:
            others = ", ".join(name for name, other in TASKS.items() if not other.needs_mask)
            faults.append(f"task {task.name!r} needs a mask; {others} do not")
        if job.mask is not None and not task.needs_mask:
            faults.append(f"task {task.name!r} takes no mask; filling does")
    if any("\ud800" <= letter <= "\udfff" for text in _words(job) for letter in text):
        faults.append("the words are not Unicode text; write them in UTF-8")
    if job.refine and job.task != TEXT:
        faults.append(f"task {job.task!r} cannot be refined, its model takes no draft; text posters can")
    if job.anchor is not None and job.task != "extending":
        faults.append(f"task {job.task!r} takes no anchor; extending does")
    return Fault(job.where, "; ".join(faults)) if faults else job


def _words(job: Job) -> tuple[str, ...]:
    return (job.prompt, job.negative_prompt or "", *job.texts)


def with_common(job: Job, common: Common) -> Job:
    """Sizes count together (a row's width does not meet the command line's height); an anchor only for extending."""
    changes: dict[str, Any] = {}
    if job.width is None and job.height is None:
        changes |= {"width": common.width, "height": common.height}
    if job.anchor is None and job.task == "extending":
        changes["anchor"] = common.anchor
    for name in ("steps", "guidance", "negative_prompt", "best_of"):
        if getattr(job, name) is None:
            changes[name] = getattr(common, name)
    return replace(job, **changes)


def parse_anchor(text: str) -> Anchor:
    """An anchor as typed: one of the nine positions or "x,y".

    Raises:
        ValueError: it is neither.
    """
    if text in ANCHORS:
        return text
    parts = text.split(",")
    if len(parts) == 2 and all(part.strip().lstrip("-").isdigit() for part in parts):
        return int(parts[0]), int(parts[1])
    raise ValueError(f"anchor {text!r} is unknown; use one of {', '.join(ANCHORS)}, or x,y in pixels")
