"""Requests from a folder of images: files, sub-folders, NAME.txt, NAME.mask.png."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from posterkit.batch.rows import BadRow
from posterkit.documents import MAX_NOTE, read_text
from posterkit.image_io import SUFFIXES
from posterkit.lettering import is_marked
from posterkit.schema import PosterRequest
from posterkit.tasks import TASKS, TEXT

_MASK = ".mask.png"
_SILENT = frozenset(("thumbs.db", "desktop.ini"))


def read_folder(folder: Path, common: PosterRequest, skip: Path | None = None) -> Iterator[tuple[str, Any]]:
    """One row for each image and each sub-folder, in the order of their names; strays stand there as bad rows.

    A row has a name, and keys as a manifest in the folder would have them. For a task that takes one image, the images
    of a sub-folder are rows of their own. A text file that belongs to no image is left out with a warning.

    Args:
        skip: the output folder; it is no row when it lies in the folder.

    Raises:
        ValueError: no task is given, or there is nothing in the folder.
    """
    if common.task in ("", TEXT):
        takes = "text posters need a JSONL manifest, a folder of images" if common.task else f"{folder}: a folder"
        raise ValueError(f"{takes} needs --task, one of {', '.join(TASKS)}")
    rows = _rows(folder, "", common, skip)
    first = next(rows, None)
    if first is None:
        raise ValueError(f"{folder}: there is nothing in this folder")
    yield first
    yield from rows


def _rows(folder: Path, prefix: str, common: PosterRequest, skip: Path | None) -> Iterator[tuple[str, Any]]:
    entries = [entry for entry in sorted(folder.iterdir()) if not _is_silent(entry) and not _is_output(entry, skip)]
    images = {entry for entry in entries if entry.is_dir() or _is_picture(entry)}
    stems = {_stem(entry) for entry in images}
    beside = {_companion(entry): entry for entry in entries if entry not in images}
    single = common.task in TASKS and TASKS[common.task].references[-1] == 1
    for entry in entries:
        name = prefix + (entry.name + "/" if entry.is_dir() else entry.name)
        if entry in images:
            try:
                if entry.is_dir() and single:
                    inside = _rows(entry, name, common, skip)
                    yield next(inside, (name, BadRow(name, "there is no image in this sub-folder")))
                    yield from inside
                else:
                    yield name, _folder_row(entry, name, beside, skip)
            except OSError as error:
                yield name, BadRow(name, f"{Path(error.filename).name} cannot be read ({error.strerror})")
        elif _companion(entry)[1] == ".txt" and _companion(entry)[0] not in stems:
            warnings.warn(f"{entry}: belongs to no image of this folder; it is left out", stacklevel=2)
        elif _companion(entry)[0] not in stems or not _companion(entry)[1]:
            yield name, BadRow(name, _stray(entry))


def _folder_row(
    entry: Path, name: str, beside: dict[tuple[str, str], Path], skip: Path | None
) -> dict[str, Any] | BadRow:
    images = (entry,)
    if entry.is_dir():
        inside = [item for item in sorted(entry.iterdir()) if not _is_silent(item) and not _is_output(item, skip)]
        images = tuple(item for item in inside if _is_picture(item))
        strays = [item.name for item in inside if item not in images]
        if strays:
            return BadRow(name, f"{strays[0]} is not an image; a sub-folder holds the references of one poster")
        if not images:
            return BadRow(name, "there is no image in this sub-folder")
    folder = PurePosixPath(name).parent
    row: dict[str, Any] = {"images": [(folder / image.relative_to(entry.parent)).as_posix() for image in images]}
    if note := beside.get((_stem(entry), ".txt")):
        try:
            lines = read_text(note, within=note.parent, most=MAX_NOTE).splitlines()
        except ValueError as error:
            return BadRow(name, str(error).replace(str(note), note.name, 1))
        row["prompt"] = " ".join(" ".join(line for line in lines if not is_marked(line)).split()) or None
        row["texts"] = [line for line in lines if is_marked(line)] or None
    if mask := beside.get((_stem(entry), _MASK)):
        row["mask"] = (folder / mask.name).as_posix()
    return row


def _is_picture(path: Path) -> bool:
    return path.is_file() and path.suffix.lower() in SUFFIXES and not path.name.lower().endswith(_MASK)


def _stem(image: Path) -> str:
    return image.name if image.is_dir() else image.stem


def _companion(path: Path) -> tuple[str, str]:
    """Whose prompt or mask a file is, and its ending in small letters; no ending for what is neither."""
    for ending in (_MASK, ".txt"):
        if path.name.lower().endswith(ending):
            return path.name[: -len(ending)], ending
    return path.name, ""


def _stray(path: Path) -> str:
    if _companion(path)[1]:
        return "a mask without its image"
    return f"not an image that posterkit reads ({', '.join(sorted(SUFFIXES))})"


def _is_silent(path: Path) -> bool:
    return path.name.startswith(".") or path.name.lower() in _SILENT


def _is_output(path: Path, out: Path | None) -> bool:
    """The output folder, or one that holds nothing but it."""
    if out is None or not out.resolve().is_relative_to(path.resolve()):
        return False
    return path.resolve() == out.resolve() or all(_is_silent(item) or _is_output(item, out) for item in path.iterdir())
