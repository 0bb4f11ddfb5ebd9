"""Early ends of a run: one line on stderr that says what to do, and an exit code."""

from __future__ import annotations

import contextlib
import errno
import sys
from collections.abc import Iterator
from pathlib import Path

from safetensors import SafetensorError

from posterkit.messages import error_line

WRITE_FAULTS = (OSError, SafetensorError)  # what writing raises; safetensors has a kind of its own


class Stop(SystemExit):
    """Ends the program with the line `posterkit: <what>` and `code`.

    Args:
        tell: False in a process that does not print it, because another one does.
    """

    code = 1

    def __init__(self, what: object, tell: bool = True) -> None:
        line = f"posterkit: {' '.join(str(what).split())}"
        code = self.code
        super().__init__(line)
        self.code = code  # SystemExit took the line for it
        if tell:
            print(line, file=sys.stderr, flush=True)


class WrongCall(Stop):
    """The call is wrong: nothing has been done, and doing it again will not help. Code 2."""

    code = 2


class RunFailed(Stop):
    """The run did not come to its end; what it saved is whole. Code 1."""


@contextlib.contextmanager
def setting_up() -> Iterator[None]:
    """A ValueError or OSError before the first step ends the program with one line and code 2; a full disk with 1."""
    try:
        yield
    except (ValueError, *WRITE_FAULTS) as fault:
        raise (RunFailed if disk_full(fault) else WrongCall)(fault) from None


def disk_full(fault: BaseException) -> bool:
    """Whether writing failed for want of room: no space, a quota, or a limit on a file's size."""
    if isinstance(fault, OSError):
        return fault.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    return isinstance(fault, SafetensorError) and any(
        f"os error {number}" in str(fault) for number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    )


@contextlib.contextmanager
def writing(folder: Path, what: str, tell: bool = True) -> Iterator[None]:
    """A fault in writing ends the run with one line and code 1.

    Args:
        folder: the run folder.
        what: the thing that is written, for the line.
    """
    try:
        yield
    except WRITE_FAULTS as fault:
        raise RunFailed(
            f"{folder}: {what} cannot be written: {error_line(fault)}; the last checkpoint is whole: make room, and "
            "the same command goes on from it",
            tell,
        ) from None
