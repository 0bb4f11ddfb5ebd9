"""What a run says where its disk takes no more."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from posterkit.messages import error_line
from posterkit.training.errors import WRITE_FAULTS, RunFailed


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
            f"{folder}: {what} cannot be written: {error_line(fault)}; the last checkpoint is whole: make room, and "
            "the same command goes on from it",
            tell,
        ) from None
