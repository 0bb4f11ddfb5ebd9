"""Claims on results in a folder, so that several batches share its rows; the system drops those of a dead process."""

from __future__ import annotations

import errno
import os
import re
import shutil
import struct
import sys
import time
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

LOCK = ".posterkit.lock"  # in the output folder; empty, its bytes are what is locked
_LEDGER = 0  # the byte that whoever writes the ledger or the sheet holds
_BUSY = (errno.EACCES, errno.EAGAIN, errno.EDEADLK)
_UNFINISHED = re.compile(r"\.(.+)\.[a-z0-9_]{8}\.tmp")  # a folder of `written_whole`
_CUT = 40  # letters of the name that stand in it


class FolderClaims:
    """Locks on results, all in one empty file: a result's name gives the byte that is locked.

    Locks of bytes end with their process, however it ends, and hold over NFS where its locks work. On Linux two
    handles of one process exclude each other too.

    Raises:
        OSError: nothing can be written in the folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._file = open(folder / LOCK, "a+b")  # noqa: SIM115 - held as long as the batch runs
        self._held: Counter[int] = Counter()
        self._works = True

    def __enter__(self) -> FolderClaims:
        return self

    def __exit__(self, *error: object) -> None:
        self._file.close()

    def take(self, name: str) -> bool:
        """Whether the result is ours to make now; False while another batch makes it."""
        place = _place(name)
        if not self._held[place] and not self._lock(place):
            return False
        self._held[place] += 1
        return True

    def give_back(self, name: str) -> None:
        place = _place(name)
        self._held[place] -= 1
        if not self._held[place]:
            del self._held[place]
            self._unlock(place)

    @contextmanager
    def writing_ledger(self) -> Iterator[None]:
        """Nobody else writes the ledger or the contact sheet while the block lasts."""
        wait = 0.001
        while not self._lock(_LEDGER):
            time.sleep(wait)
            wait = min(0.1, 2 * wait)
        try:
            yield
        finally:
            self._unlock(_LEDGER)

    def sweep(self) -> None:
        """Remove what writers left half done that are dead; what is being written stays."""
        with self.writing_ledger():
            for folder, names, _ in os.walk(self.folder):
                for name in names:
                    if match := _UNFINISHED.fullmatch(name):
                        self._remove(Path(folder, name), match[1])
                names[:] = [name for name in names if not name.startswith(".")]

    def _remove(self, unfinished: Path, name: str) -> None:
        with suppress(OSError):
            whole = next((file.name for file in unfinished.iterdir()), name if len(name) < _CUT else None)
            if whole is None:
                return
            result = (unfinished.parent / whole).relative_to(self.folder).as_posix()
            if self.take(result):
                shutil.rmtree(unfinished, ignore_errors=True)
                self.give_back(result)

    def _lock(self, place: int) -> bool:
        try:
            _lock_byte(self._file.fileno(), place)
        except OSError as error:
            if error.errno in _BUSY:
                return False
            if self._works:
                self._works = False
                why = f"{self.folder}: its file system has no locks ({error.strerror})"
                warnings.warn(f"{why}; run one batch at a time there, or --shard", stacklevel=4)
        return True

    def _unlock(self, place: int) -> None:
        with suppress(OSError):
            _unlock_byte(self._file.fileno(), place)


def _place(name: str) -> int:
    """The byte of a result; its files of other endings beside it go with it."""
    stem = Path(name.lower()).with_suffix("").as_posix()
    return 1 + int.from_bytes(sha256(stem.encode("utf-8", "surrogatepass")).digest()[:7], "big")


if sys.platform == "win32":

    def _lock_byte(file: int, place: int) -> None:
        os.lseek(file, place, os.SEEK_SET)
        msvcrt.locking(file, msvcrt.LK_NBLCK, 1)

    def _unlock_byte(file: int, place: int) -> None:
        os.lseek(file, place, os.SEEK_SET)
        msvcrt.locking(file, msvcrt.LK_UNLCK, 1)

elif hasattr(fcntl, "F_OFD_SETLK"):

    def _set_lock(file: int, kind: int, place: int) -> None:
        # struct flock: type, whence, start, length, process
        fcntl.fcntl(file, fcntl.F_OFD_SETLK, struct.pack("hhqqi4x", kind, os.SEEK_SET, place, 1, 0))

    def _lock_byte(file: int, place: int) -> None:
        _set_lock(file, fcntl.F_WRLCK, place)

    def _unlock_byte(file: int, place: int) -> None:
        _set_lock(file, fcntl.F_UNLCK, place)

else:

    def _lock_byte(file: int, place: int) -> None:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, place)

    def _unlock_byte(file: int, place: int) -> None:
        fcntl.lockf(file, fcntl.LOCK_UN, 1, place)
