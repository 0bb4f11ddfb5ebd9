"""Job rows: what posterkit shall make, from a JSONL manifest or a folder of images."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field, fields, replace
from pathlib import Path, PurePosixPath
from typing import Any

from posterkit.batch.reading import SUFFIXES
from posterkit.tasks import ANCHORS, TASKS, Anchor

TEXT = "text"
MAX_SIDE = 16384  # pixels; more is a typing mistake
_SILENT = frozenset(("thumbs.db", "desktop.ini"))


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
        expanded: what prompt expansion made of the prompt; never in a manifest.
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
    expanded: str | None = None


@dataclass(frozen=True)
class Fault:
    """A row that cannot be made, and why in one line."""

    where: str
    why: str


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


ROW_KEYS = tuple(f.name for f in fields(Job) if f.name not in ("where", "expanded"))


def read_jobs(source: Path, common: Common, skip: Path | None = None) -> list[Job | Fault]:
    """Rows of a folder or of a JSONL manifest, in order, each with its result's name; faults stand at their place.

    Args:
        skip: the output folder; it is no row when it lies in the folder.

    Raises:
        ValueError: the source as a whole is unusable: missing, empty, or a folder without a task.
    """
    if source.is_dir():
        rows = _read_folder(source, common, skip)
    elif source.is_file():
        rows = _read_manifest(source, common)
    else:
        raise ValueError(f"{source}: there is no such folder or manifest")
    return list(_name_results(rows))


def parse_row(row: Any, where: str, base: Path, common: Common) -> Job | Fault:
    """One manifest row; every fault in it is named in one line."""
    if not isinstance(row, dict):
        return Fault(where, f"a row must be a JSON object, found {type(row).__name__}")
    faults = [_unknown(key, ROW_KEYS) for key in row if key not in ROW_KEYS]
    for key, (test, accepted) in _CHECKS.items():
        value = row.get(key)
        if value is not None and not test(value):
            faults.append(f"{key} must be {accepted}, found {json.dumps(value, ensure_ascii=False)}")
    if faults:
        return Fault(where, "; ".join(faults))
    given = {key: value for key, value in row.items() if value is not None}
    job = Job(
        where,
        task=given.get("task", common.task or (TEXT if not given.get("images") else "")),
        prompt=given.get("prompt", common.prompt),
        texts=tuple(given.get("texts", common.texts)),
        images=tuple(base / name for name in given.get("images", ())),
        mask=base / given["mask"] if "mask" in given else None,
        anchor=_anchor(given["anchor"]) if "anchor" in given else None,
        lora=given.get("lora"),
        out=given.get("out"),
        **{key: given.get(key) for key in ("width", "height", "seed", "steps", "guidance", "negative_prompt")},
    )
    return checked(_with_common(job, common))


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
    if job.anchor is not None and job.task != "extending":
        faults.append(f"task {job.task!r} takes no anchor; extending does")
    return Fault(job.where, "; ".join(faults)) if faults else job


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


def _read_manifest(path: Path, common: Common) -> list[Job | Fault]:
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError:
        raise ValueError(f"{path}: not a JSONL manifest (it is not UTF-8 text)") from None
    rows: list[Job | Fault] = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        where = f"{path.name}:{number}"
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            rows.append(Fault(where, f"not JSON: {error.msg} at column {error.colno}"))
            continue
        rows.append(parse_row(row, where, path.parent, common))
    if not rows:
        raise ValueError(f"{path}: the manifest has no rows")
    return rows


def _read_folder(folder: Path, common: Common, skip: Path | None) -> list[Job | Fault]:
    if common.task is None or common.task == TEXT:
        takes = "text posters need a JSONL manifest, a folder of images" if common.task else f"{folder}: a folder"
        raise ValueError(f"{takes} needs --task, one of {', '.join(TASKS)}")
    entries = [entry for entry in sorted(folder.iterdir()) if not _is_silent(entry) and not _same(entry, skip)]
    images = [entry for entry in entries if entry.is_dir() or _is_picture(entry)]
    stems = {entry.name if entry.is_dir() else entry.stem for entry in images}
    rows: list[Job | Fault] = []
    for entry in entries:
        if entry in images:
            rows.append(_folder_row(entry, folder, common))
        elif not _belongs(entry, stems):
            rows.append(Fault(entry.name, _stray(entry)))
    if not rows:
        raise ValueError(f"{folder}: there is nothing in this folder")
    return rows


def _folder_row(entry: Path, folder: Path, common: Common) -> Job | Fault:
    stem = entry.name if entry.is_dir() else entry.stem
    where = entry.name + "/" if entry.is_dir() else entry.name
    images = (entry,)
    if entry.is_dir():
        inside = [item for item in sorted(entry.iterdir()) if not _is_silent(item)]
        images = tuple(item for item in inside if _is_picture(item))
        strays = [item.name for item in inside if item not in images]
        if strays:
            return Fault(where, f"{strays[0]} is not an image; a sub-folder holds the references of one poster")
        if not images:
            return Fault(where, "there is no image in this sub-folder")
    prompt = common.prompt
    if (note := folder / f"{stem}.txt").is_file():
        try:
            prompt = " ".join(note.read_text(encoding="utf-8-sig").split()) or prompt
        except UnicodeDecodeError:
            return Fault(where, f"{note.name} is not UTF-8 text")
    mask = folder / f"{stem}.mask.png"
    found = mask if mask.is_file() else None
    return checked(_with_common(Job(where, common.task or "", prompt, common.texts, images, found), common))


def _with_common(job: Job, common: Common) -> Job:
    """Sizes count together (a row's width does not meet the command line's height); an anchor only for extending."""
    changes: dict[str, Any] = {}
    if job.width is None and job.height is None:
        changes |= {"width": common.width, "height": common.height}
    if job.anchor is None and job.task == "extending":
        changes["anchor"] = common.anchor
    for name in ("steps", "guidance", "negative_prompt"):
        if getattr(job, name) is None:
            changes[name] = getattr(common, name)
    return replace(job, **changes)


def _name_results(rows: list[Job | Fault]) -> Iterator[Job | Fault]:
    """Give each job its result's name; explicit names come first, others get -2, -3 where they clash."""
    taken: dict[str, str] = {"contact_sheet.png": "the contact sheet"}
    clashes: dict[int, str] = {}
    for index, row in enumerate(rows):
        if isinstance(row, Job) and row.out:
            key = row.out.lower()
            if key in taken:
                clashes[index] = f"out {row.out!r} is already the name of {taken[key]}"
            taken.setdefault(key, row.where)
    for index, row in enumerate(rows):
        if index in clashes:
            yield Fault(row.where, clashes[index])
        elif isinstance(row, Job) and not row.out:
            stem = _stem(row, index)
            name, count = f"{stem}.png", 1
            while name.lower() in taken:
                count += 1
                name = f"{stem}-{count}.png"
            taken[name.lower()] = row.where
            yield replace(row, out=name)
        else:
            yield row


def _stem(job: Job, index: int) -> str:
    if job.where.endswith("/"):
        return job.where[:-1]
    return job.images[0].stem if job.images else f"poster-{index + 1:04d}"


def _is_picture(path: Path) -> bool:
    return path.is_file() and path.suffix.lower() in SUFFIXES and not path.name.lower().endswith(".mask.png")


def _belongs(path: Path, stems: set[str]) -> bool:
    name = path.name
    if name.lower().endswith(".mask.png"):
        return name[: -len(".mask.png")] in stems
    return path.suffix.lower() == ".txt" and path.stem in stems


def _stray(path: Path) -> str:
    if path.name.lower().endswith(".mask.png"):
        return "a mask without its image"
    if path.suffix.lower() == ".txt":
        return "a prompt without its image"
    return f"not an image that posterkit reads ({', '.join(sorted(SUFFIXES))})"


def _is_silent(path: Path) -> bool:
    return path.name.startswith(".") or path.name.lower() in _SILENT


def _same(path: Path, other: Path | None) -> bool:
    return other is not None and path.resolve() == other.resolve()


def _unknown(key: str, known: tuple[str, ...]) -> str:
    near = difflib.get_close_matches(key, known, 1)
    meant = f' (did you mean "{near[0]}"?)' if near else f"; the keys are {', '.join(known)}"
    return f'unknown key "{key}"{meant}'


def _anchor(value: str | list[int]) -> Anchor:
    return parse_anchor(value) if isinstance(value, str) else (value[0], value[1])


def _is_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_side(value: Any) -> bool:
    return _is_int(value) and 16 <= value <= MAX_SIDE


def _is_strings(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) and item.strip() for item in value)


def _is_anchor(value: Any) -> bool:
    if isinstance(value, list):
        return len(value) == 2 and all(_is_int(item) for item in value)
    try:
        return isinstance(value, str) and bool(parse_anchor(value))
    except ValueError:
        return False


def _is_result(value: Any) -> bool:
    if not isinstance(value, str) or not value.lower().endswith(".png"):
        return False
    path = PurePosixPath(value.replace("\\", "/"))
    return not path.is_absolute() and ".." not in path.parts and ":" not in value and path.stem != ""


_SIDE = f"a whole number of pixels from 16 to {MAX_SIDE}"
_CHECKS = {
    "task": (_is_text, "a task name"),
    "prompt": (_is_text, "a text"),
    "texts": (_is_strings, "a list of non-empty texts"),
    "images": (_is_strings, "a list of file names"),
    "mask": (_is_text, "a file name"),
    "anchor": (_is_anchor, f"one of {', '.join(ANCHORS)}, or [x, y]"),
    "width": (_is_side, _SIDE),
    "height": (_is_side, _SIDE),
    "seed": (lambda value: _is_int(value) and 0 <= value < 2**63, "a whole number of at least 0"),
    "steps": (lambda value: _is_int(value) and 1 <= value <= 1000, "a whole number from 1 to 1000"),
    "guidance": (lambda value: _is_number(value) and 0 <= value <= 100, "a number from 0 to 100"),
    "negative_prompt": (_is_text, "a text"),
    "lora": (_is_text, "a file or folder name"),
    "out": (_is_result, "a .png name inside the output folder"),
}
