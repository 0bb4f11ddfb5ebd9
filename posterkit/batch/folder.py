"""Job rows from a folder of images: files, sub-folders, NAME.txt, NAME.mask.png."""

from __future__ import annotations

from pathlib import Path

from posterkit.batch.jobs import TEXT, Common, Fault, Job, checked, with_common
from posterkit.batch.reading import SUFFIXES
from posterkit.tasks import TASKS

_SILENT = frozenset(("thumbs.db", "desktop.ini"))


def read_folder(folder: Path, common: Common, skip: Path | None = None) -> list[Job | Fault]:
    """One row for each image and each sub-folder, in the order of their names; strays stand there as faults.

    Args:
        skip: the output folder; it is no row when it lies in the folder.

    Raises:
        ValueError: no task is given, or there is nothing in the folder.
    """
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
    return checked(with_common(Job(where, common.task or "", prompt, common.texts, images, found), common))


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
