"""Rows from a folder of images: files, sub-folders, and what lies beside them; or from the images of a pattern."""

from __future__ import annotations

import glob
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from posterkit.batch.claims import LOCK
from posterkit.batch.index import PAGE, SHEET
from posterkit.batch.ledger import LEDGER
from posterkit.batch.row_keys import row_faults
from posterkit.batch.rows import BadRow
from posterkit.documents import MAX_NOTE, read_text, read_yaml
from posterkit.image_io import SUFFIXES
from posterkit.lettering import is_marked
from posterkit.schema import PosterRequest
from posterkit.tasks import TASKS, TEXT

FOLDER_FILE = "posterkit.yaml"  # what holds for the rows of its folder, and of the folders in it
_MASK, _NOTE, _KEYS = ".mask.png", ".txt", ".yaml"
_SILENT = frozenset(("thumbs.db", "desktop.ini"))
_NAMED = ("images", "mask", "out")  # keys that say which picture it is, which no file for many may say
_FILES = ("draft", "plan", "mask")  # keys whose files count from the file that names them
_MAYBE = ("lora", "fonts")  # so do these, where there is such a file


class FolderRow(dict[str, Any]):
    """A row's keys, and the name of the file that each of them comes from."""

    def __init__(self, images: list[str]) -> None:
        super().__init__(images=images)
        self.sources: dict[str, str] = {}

    def take(self, keys: dict[str, Any], source: str) -> None:
        """Take keys, in place of those that it has."""
        self.update(keys)
        self.sources |= dict.fromkeys(keys, source)


def read_folder(folder: Path, common: PosterRequest, skip: Path | None = None) -> Iterator[tuple[str, Any]]:
    """One row for each image and each sub-folder, in the order of their names; strays stand there as bad rows.

    A row has a name, and keys as a manifest in the folder would have them: those of `posterkit.yaml` in its folders,
    over them those of `NAME.yaml`, over them `NAME.txt` and `NAME.mask.png`. For a task that takes one image, the
    images of a sub-folder are rows of their own. A text file that belongs to no image is left out with a warning, and
    so is the output folder of another batch.

    Args:
        skip: the output folder; it is no row when it lies in the folder.

    Raises:
        ValueError: no task is given, there is nothing in the folder, or a `posterkit.yaml` is faulty.
    """
    listing = _Listing(folder, "", {}, common.task, skip)
    if listing.task in ("", TEXT):
        takes = "text posters need a JSONL manifest, a folder of images" if listing.task else f"{folder}: a folder"
        raise ValueError(f"{takes} needs --task, one of {', '.join(TASKS)}")
    rows = listing.rows()
    first = next(rows, None)
    if first is None:
        raise ValueError(f"{folder}: there is nothing in this folder")
    yield first
    yield from rows


def read_pattern(pattern: Path, common: PosterRequest) -> tuple[Iterable[tuple[str, Any]], Path]:
    """One row for each image that a pattern such as photos/**/*.jpg matches, as `read_folder`; and their folder.

    Raises:
        ValueError: no image matches, or no task is given.
    """
    parts = pattern.parts
    fixed = next(number for number, part in enumerate(parts) if glob.has_magic(part))
    base = Path(*parts[:fixed])
    found = sorted(Path(path) for path in glob.glob(str(pattern), recursive=True))
    pictures = [path for path in found if _is_picture(path) and not _is_of_a_batch(path)]
    if not pictures:
        raise ValueError(f"{pattern}: no image that posterkit reads matches")
    listings: dict[Path, _Listing] = {}

    def listing_of(folder: Path) -> _Listing:
        if folder not in listings:
            above = None if folder == base else listing_of(folder.parent)
            prefix = "" if above is None else folder.relative_to(base).as_posix() + "/"
            task, keys = (common.task, {}) if above is None else (above.task, above.keys)
            listings[folder] = _Listing(folder, prefix, keys, task, None)
        return listings[folder]

    if not any(listing_of(path.parent).task not in ("", TEXT) for path in pictures):
        raise ValueError(f"{pattern}: images need --task, one of {', '.join(TASKS)}")
    rows = ((listing_of(path.parent).prefix + path.name, listing_of(path.parent).row(path)) for path in pictures)
    return rows, base


class _Listing:
    """A folder's files, and the keys that hold for its rows.

    Attributes:
        prefix: what stands before a file's name in its row's name.
        keys: by name, with the file that says them.
        within: the folders that it lies in, links followed.
    """

    def __init__(
        self, folder: Path, prefix: str, keys: dict[str, tuple[Any, str]], task: str, skip: Path | None,
        above: frozenset[Path] = frozenset(),
    ) -> None:  # fmt: skip
        self.within = above | {folder.resolve()}
        self.folder, self.prefix, self.keys, self.task, self.skip = folder, prefix, keys, task, skip
        self.entries = [
            item for item in sorted(folder.iterdir())
            if not _is_silent(item) and not _is_output(item, skip) and not _is_of_a_batch(item)
        ]  # fmt: skip
        self.images = {entry for entry in self.entries if entry.is_dir() or _is_picture(entry)}
        self.beside = {_companion(entry): entry for entry in self.entries if entry not in self.images}
        if (folder / FOLDER_FILE).is_file():
            said = prefix + FOLDER_FILE
            own = _read_keys(folder / FOLDER_FILE, prefix)
            if named := [key for key in _NAMED if key in own]:
                raise ValueError(
                    f"{folder / FOLDER_FILE}: {named[0]} is of one picture; say it in NAME.yaml beside it"
                )
            self.keys = keys | {key: (value, said) for key, value in own.items()}
            self.task = own.get("task", task)

    def rows(self) -> Iterator[tuple[str, Any]]:
        """One row for each image and each sub-folder, strays among them."""
        stems = {_stem(entry) for entry in self.images}
        single = self.task in TASKS and TASKS[self.task].references[-1] == 1
        for entry in self.entries:
            name = self.prefix + (entry.name + "/" if entry.is_dir() else entry.name)
            if entry in self.images:
                try:
                    if entry.is_dir() and entry.resolve() in self.within:
                        yield name, BadRow(name, "a link that leads back to a folder that it lies in")
                    elif entry.is_dir() and single:
                        inside = _Listing(entry, name, self.keys, self.task, self.skip, self.within).rows()
                        yield next(inside, (name, BadRow(name, "there is no image in this sub-folder")))
                        yield from inside
                    else:
                        yield name, self.row(entry)
                except OSError as error:
                    yield name, BadRow(name, f"{Path(error.filename).name} cannot be read ({error.strerror})")
            elif entry.name == FOLDER_FILE:
                continue
            elif _companion(entry)[1] in (_NOTE, _KEYS) and _companion(entry)[0] not in stems:
                warnings.warn(f"{entry}: belongs to no image of this folder; it is left out", stacklevel=2)
            elif _companion(entry)[0] not in stems or not _companion(entry)[1]:
                yield name, BadRow(name, _stray(entry))

    def row(self, entry: Path) -> FolderRow | BadRow:
        """The row of an image or of a sub-folder."""
        name = self.prefix + (entry.name + "/" if entry.is_dir() else entry.name)
        images, keys = (entry,), self.keys
        if entry.is_dir():
            inside = _Listing(entry, name, keys, self.task, self.skip)
            images, keys = tuple(item for item in inside.entries if _is_picture(item)), inside.keys
            strays = [item.name for item in inside.entries if item not in images and item.name != FOLDER_FILE]
            if strays:
                return BadRow(name, f"{strays[0]} is not an image; a sub-folder holds the references of one poster")
            if not images:
                return BadRow(name, "there is no image in this sub-folder")
        row = FolderRow([self.prefix + image.relative_to(self.folder).as_posix() for image in images])
        for key, (value, said) in keys.items():
            row.take({key: value}, said)
        if own := self.beside.get((_stem(entry), _KEYS)):
            try:
                row.take(_read_keys(own, self.prefix), self.prefix + own.name)
            except ValueError as error:
                return BadRow(name, str(error).replace(str(own), own.name, 1))
        if note := self.beside.get((_stem(entry), _NOTE)):
            try:
                lines = read_text(note, within=note.parent, most=MAX_NOTE).splitlines()
            except ValueError as error:
                return BadRow(name, str(error).replace(str(note), note.name, 1))
            said = {"prompt": " ".join(" ".join(line for line in lines if not is_marked(line)).split()),
                    "texts": [line for line in lines if is_marked(line)]}  # fmt: skip
            row.take({key: value for key, value in said.items() if value}, self.prefix + note.name)
        if mask := self.beside.get((_stem(entry), _MASK)):
            row.take({"mask": self.prefix + mask.name}, self.prefix + mask.name)
        return row


def _read_keys(path: Path, prefix: str) -> dict[str, Any]:
    """A YAML file of a row's keys; its files count from its folder. ValueError where it is faulty."""
    said = read_yaml(read_text(path, within=path.parent, most=MAX_NOTE), str(path))
    if not isinstance(said, dict):
        raise ValueError(f"{path}: must hold keys of a row, such as prompt: a lake")
    said = {str(key): value for key, value in said.items()}
    if faults := row_faults(said):
        raise ValueError(f"{path}: {'; '.join(faults)}")
    here = PurePosixPath(prefix)

    def placed(key: str, value: Any) -> Any:
        if isinstance(value, list):
            return [placed(key, item) for item in value]
        named = isinstance(value, str) and value not in ("auto", "none")
        if named and (key in _FILES or (key in _MAYBE and (path.parent / value).exists())):
            return (here / value).as_posix()
        return value

    return {key: placed(key, value) for key, value in said.items() if value is not None}


def _is_picture(path: Path) -> bool:
    return path.is_file() and path.suffix.lower() in SUFFIXES and not path.name.lower().endswith(_MASK)


def _stem(image: Path) -> str:
    return image.name if image.is_dir() else image.stem


def _companion(path: Path) -> tuple[str, str]:
    """Whose prompt, keys or mask a file is, and its ending in small letters; no ending for what is neither."""
    for ending in (_MASK, _NOTE, _KEYS):
        if path.name.lower().endswith(ending):
            return path.name[: -len(ending)], ending
    return path.name, ""


def _stray(path: Path) -> str:
    if not path.exists():
        return f"a link to {path.readlink()}, which is not there" if path.is_symlink() else "is gone"
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


def _is_of_a_batch(path: Path) -> bool:
    """The output folder of another batch, or what a batch writes beside its posters."""
    if path.is_dir() and (path / LOCK).is_file():
        warnings.warn(
            f"{path}: holds the posters of a batch; it is left out (name it to make rows of them)", stacklevel=2
        )
        return True
    return path.name in (LEDGER, SHEET, PAGE) and (path.parent / LOCK).is_file()
