"""An index of what a set's pictures hold, so that pictures which have not changed are not read again."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from posterkit.datasets.dataset import PosterDataset, pictures_named
from posterkit.datasets.encoder_cache import content_name, said_by
from posterkit.image_io import read_size, written_whole
from posterkit.sizing import Size

_RECORD = np.dtype([("mark", "V16"), ("content", "V16"), ("width", "<u4"), ("height", "<u4")])
_SEAL = 32  # bytes of the hash before the records
_SETTLED = 2.0  # seconds: a file may change again within one tick of a coarse clock
_SAVE_EVERY = 60.0  # seconds


class Facts(NamedTuple):
    """What a row's pictures hold: `content_name` of the row, and the target's size as it is seen."""

    content: str
    size: Size


class FileIndex:
    """Facts of a set's rows, kept in a folder by what each row says and by the size and time of its files.

    A row whose text changed, or one of whose files did, is read anew; one in a tar shard is known as long as the
    shard stays as it is. Every process writes a file of its own, whole or not at all, and reads all of them; a damaged
    one is as good as none. A file that changed within the last two seconds is not yet trusted.

    Args:
        folder: where the index files lie, beside the encoder cache.
        part: this process's number; two processes of one number overwrite each other's work, nothing else.
        say: gets a line once a minute on how far reading is.
    """

    def __init__(
        self, folder: str | Path, dataset: PosterDataset, part: int = 0, say: Callable[[str], None] | None = None
    ) -> None:
        self.dataset, self.say = dataset, say
        self.folder = Path(folder)
        self._set = hashlib.sha256(str(dataset.index.resolve()).encode()).hexdigest()[:16]
        self.path = self.folder / f"{self._set}-{part}.memo"
        self.load()
        self.read = 0  # rows whose pictures were read
        self._saved, self._saved_at = 0, time.monotonic()

    def load(self) -> None:
        """Take over what all processes have written."""
        self._known: dict[bytes, Facts] = {}
        self._mine: dict[bytes, Facts] = {}
        for path in sorted(self.folder.glob(f"{self._set}-*.memo")):
            found = _unsealed(path)
            self._known.update(found)
            if path == self.path:
                self._mine = found

    def facts(self, number: int) -> Facts:
        """What the pictures of a row hold.

        Raises:
            OSError, ValueError, KeyError, TypeError, AttributeError: one cannot be read, or the row is wrong.
        """
        row, files = self.dataset.rows[number], self.dataset.files
        stamps = [(key, name, *files.stamp(row, name)) for key, name in pictures_named(row)]
        said = json.dumps([said_by(row), row.get("shard"), stamps], sort_keys=True)
        mark = hashlib.blake2b(said.encode(), digest_size=16).digest()
        if mark not in self._known:
            size = read_size(files.read(row, row["target"]), name=row["target"])
            self._known[mark] = Facts(content_name(row, files), size)
            self.read += 1
            if max((stamp[-1] / 1e9 for stamp in stamps), default=0.0) < time.time() - _SETTLED:
                self._mine[mark] = self._known[mark]
            if time.monotonic() > self._saved_at + _SAVE_EVERY:
                self.save()
                if self.say:
                    self.say(f"{self.dataset.index}: pictures of {self.read} rows read")
        return self._known[mark]

    def learn(self, numbers: Iterable[int]) -> None:
        """Read some rows for the other processes' sake; what cannot be read is left for `facts` to say."""
        for number in numbers:
            try:
                self.facts(number)
            except (OSError, ValueError, KeyError, TypeError, AttributeError):
                continue
        self.save()

    def save(self) -> None:
        """Write what this process has learnt, where there is anything new."""
        self._saved_at = time.monotonic()
        if self.read == self._saved or not self._mine:
            return
        records = np.array(
            [(mark, bytes.fromhex(content), *size) for mark, (content, size) in self._mine.items()], _RECORD
        ).tobytes()
        with written_whole(self.path) as temporary:
            temporary.write_bytes(hashlib.sha256(records).digest() + records)
        self._saved = self.read


def _unsealed(path: Path) -> dict[bytes, Facts]:
    """The records of one file; none where it is torn or gone."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return {}
    seal, records = content[:_SEAL], content[_SEAL:]
    if hashlib.sha256(records).digest() != seal:
        return {}
    return {
        mark.tobytes(): Facts(content.tobytes().hex(), Size(int(width), int(height)))
        for mark, content, width, height in np.frombuffer(records, _RECORD)
    }
