"""A folder of pictures as the input of a tool: file names, captions beside the files, a fingerprint."""

from __future__ import annotations

import hashlib
from pathlib import Path

from posterkit.documents import MAX_NOTE, read_text
from posterkit.generate.metadata import read_record
from posterkit.image_io import SUFFIXES


def list_pictures(folder: Path) -> tuple[str, ...]:
    """The pictures in a folder and its sub-folders by their suffix: relative paths, sorted; hidden ones are left out.

    Raises:
        ValueError: there is no such folder, it holds no picture, or a name is no Unicode.
    """
    if not folder.is_dir():
        raise ValueError(f"{folder}: {'is a file' if folder.exists() else 'there is no such folder'}; name a folder")
    found = (path.relative_to(folder) for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    names = sorted(
        path.as_posix()
        for path in found
        if not any(part.startswith(".") for part in path.parts) and not (folder / path).is_dir()
    )
    if not names:
        raise ValueError(f"{folder}: holds no picture ({', '.join(sorted(SUFFIXES))})")
    for name in names:
        if any("\ud800" <= letter <= "\udfff" for letter in name):
            raise ValueError(f"{folder}: the name {name!a} is not Unicode; rename that file")
    return tuple(names)


def fingerprint(folder: Path, names: tuple[str, ...]) -> str:
    """A hash of the names and sizes of the pictures and of the captions and texts beside them."""
    found = hashlib.sha256()
    for name in names:
        files = [folder / name, caption_path(folder / name)]
        if (wording := wording_path(folder / name)).is_file():
            files.append(wording)
        sizes = [path.stat().st_size if path.is_file() else None for path in files]
        found.update(f"{name} {sizes}\n".encode())
    return found.hexdigest()[:16]


def caption_path(picture: Path) -> Path:
    """The file of a poster's own caption: NAME.txt beside it."""
    return picture.with_suffix(".txt")


def read_caption(picture: Path) -> str:
    """A poster's own caption; empty where it has none.

    Raises:
        ValueError: its file is not UTF-8, too long, or a link that leads out of the folder.
        OSError: it cannot be read.
    """
    path = caption_path(picture)
    return read_text(path, within=path.parent, most=MAX_NOTE).strip() if path.is_file() else ""


def wording_path(picture: str | Path) -> Path:
    """The file of a poster's own texts: NAME.texts.txt beside it."""
    return Path(picture).with_suffix(".texts.txt")


def read_wording(picture: Path) -> tuple[str, ...]:
    """A poster's own texts, one a line; empty where nobody wrote them down.

    Raises:
        ValueError: the file is not UTF-8, too long, or a link that leads out of the folder.
        OSError: it cannot be read.
    """
    path = wording_path(picture)
    lines = read_text(path, within=path.parent, most=MAX_NOTE).splitlines() if path.is_file() else []
    return tuple(line.strip() for line in lines if line.strip())


def recorded_words(picture: Path) -> tuple[str, tuple[str, ...]]:
    """The prompt and the texts of a poster that posterkit made, by its record; empty for any other picture."""
    try:
        row = read_record(picture)["row"]
        prompt, texts = row["prompt"], row["texts"]
    except (ValueError, OSError, KeyError, TypeError):
        return "", ()
    own = texts if isinstance(texts, list) else []
    return (prompt if isinstance(prompt, str) else ""), tuple(text for text in own if isinstance(text, str))


def check_outside(out: Path, folder: Path) -> None:
    """Raise a ValueError where `out` lies in the folder, since the next run would take the set for input."""
    if out.resolve().is_relative_to(folder.resolve()):
        raise ValueError(f"{out}: lies in {folder}, whose pictures are the input; take a folder outside")
