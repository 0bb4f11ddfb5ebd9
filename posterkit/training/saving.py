"""Files and folders that are written whole or not at all, and what is said where that fails."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

from posterkit.pipelines.loading import first_line
from posterkit.training.errors import WRITE_FAULTS, RunFailed


@contextlib.contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """A name beside `path` to write a file or a folder to; it becomes `path` if nothing is raised, else it is gone."""
    temporary = path.with_name(f".{path.name}.tmp{path.suffix}")  # writers look at the suffix
    _remove(temporary)
    try:
        yield temporary
        if path.is_dir():
            _remove(path)
        temporary.replace(path)
    finally:
        _remove(temporary)


@contextlib.contextmanager
def writing(folder: Path, what: str, tell: bool = True) -> Iterator[None]:
    """A disk that takes no more ends the run with one line and code 1.

    Args:
        folder: the run folder.
        what: cannot be written, in the line's words.
    """
    try:
        yield
    except WRITE_FAULTS as fault:
        raise RunFailed(
            f"{folder}: {what} cannot be written: {first_line(fault)}; the last checkpoint is whole: make room, and "
            "the same command goes on from it",
            tell,
        ) from None


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
