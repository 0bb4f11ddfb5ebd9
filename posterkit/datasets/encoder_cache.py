"""Caches on disk what an encoder returns for each sample. It knows no model.

names = [content_name(row, dataset.files) for row in dataset.rows]
cache = EncoderCache("cache", {"family": "postercraft", "model": adapter.fingerprint()}, names)
cache.fill(lambda numbers: adapter.precompute([dataset[n] for n in numbers]))
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from posterkit.datasets.dataset import PICTURES, SetFiles, pictures_named
from posterkit.image_io import written_whole

Encoded = dict[str, Tensor]
# what a row says of a sample's place and history; none of it is encoded
_ASIDE = frozenset((*PICTURES, "id", "split", "shard", "source", "licence", "judged", "shows"))


class EncoderCache:
    """A map-style data set of encoded samples, in shards of safetensors that are read where they lie.

    The folder's name holds a hash of `key`: another model is another folder. In it, every entry has the name of its
    sample, so that a set that grew encodes only what is new. A shard is written under a name of its own process and
    renamed: several processes may fill one cache, and a killed one leaves no half shard.

    Args:
        folder: where caches lie.
        key: JSON values that name everything beside the sample that decides what is encoded: the model above all.
        names: of the samples, in order: `content_name` for a set, numbers for a source that follows from `key`.
        shard: samples in one file.
    """

    def __init__(self, folder: str | Path, key: dict[str, Any], names: Sequence[str], shard: int = 512) -> None:
        text = json.dumps(key, sort_keys=True)
        self.folder = Path(folder) / hashlib.sha256(text.encode()).hexdigest()[:16]
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "key.json").write_text(text)
        self.key, self.names, self.shard = key, names, shard
        self._files: dict[str, Any] = {}  # open shards by their file's name
        self._entries: dict[str, tuple[Any, list[str]]] = {}  # a sample's shard, and what its tensors are called

    def fill(
        self,
        encode: Callable[[Sequence[int]], Sequence[Encoded | None]],
        progress: Callable[[int, int], None] | None = None,
        part: tuple[int, int] = (0, 1),
    ) -> EncoderCache:
        """Encode the samples that are missing.

        Args:
            encode: sample numbers -> one dict of named tensors each, None for what cannot be encoded.
            progress: gets how many samples are through, and of how many.
            part: this process's number, and how many fill the cache at once; each begins at another place and takes
                over what the others have written.
        """
        numbers = self.missing()
        groups = [numbers[i : i + self.shard] for i in range(0, len(numbers), self.shard)]
        first = len(groups) * part[0] // part[1]
        done = len(self.names) - len(numbers)
        for group in groups[first:] + groups[:first]:
            self._look()
            left = [number for number in group if self.names[number] not in self._entries]
            if left:
                self._write(left, encode(left))
            done += len(group)
            if progress:
                progress(done, len(self.names))
        return self

    def missing(self) -> list[int]:
        """The samples that are not encoded, one of each name."""
        self._look()
        missing = {name: number for number, name in reversed(list(enumerate(self.names))) if name not in self._entries}
        return sorted(missing.values())

    def __len__(self) -> int:
        return len(self.names)

    def has(self, number: int) -> bool:
        """Whether entry `number` was there when shards were last looked at, as `fill` does."""
        return self.names[number] in self._entries

    def __getitem__(self, number: int) -> Encoded:
        """Entry `number`; its tensors are maps of the file, to be read only.

        Raises:
            KeyError: it is not there yet.
        """
        file, tensors = self._entry(number)
        return {name: file.get_tensor(f"{self.names[number]}/{name}") for name in tensors}

    def __iter__(self) -> Iterator[Encoded]:
        return (self[number] for number in range(len(self)))

    def shapes(self) -> Iterator[Encoded]:
        """Every entry as tensors of the same shapes without data (device "meta"); nothing is read."""
        for number, sample in enumerate(self.names):
            file, tensors = self._entry(number)
            yield {
                name: torch.empty(file.get_slice(f"{sample}/{name}").get_shape(), device="meta") for name in tensors
            }

    def drop_stale(self, *same: str) -> list[Path]:
        """Delete the caches beside this one whose keys have the same values for `same`: other models' work.

        Returns:
            Their folders.
        """
        mine = json.loads((self.folder / "key.json").read_text())
        stale = []
        for path in sorted(self.folder.parent.glob("*/key.json")):
            other = json.loads(path.read_text())
            if path.parent != self.folder and all(name in other and other[name] == mine[name] for name in same):
                shutil.rmtree(path.parent)
                stale.append(path.parent)
        return stale

    def _entry(self, number: int) -> tuple[Any, list[str]]:
        if self.names[number] not in self._entries:
            self._look()
        if self.names[number] not in self._entries:
            raise KeyError(f"{self.folder}: sample {number} ({self.names[number]}) is not encoded")
        return self._entries[self.names[number]]

    def _write(self, group: Sequence[int], rows: Sequence[Encoded | None]) -> None:
        made = {self.names[number]: row for number, row in zip(group, rows, strict=True) if row is not None}
        if not made:
            return
        path = self.folder / f"{hashlib.sha256(' '.join(made).encode()).hexdigest()[:16]}.safetensors"
        flat = {f"{sample}/{name}": t for sample, row in made.items() for name, t in row.items()}
        try:
            with written_whole(path) as temporary:
                save_file(flat, temporary)
        except SafetensorError as fault:  # as safetensors says that a disk is full
            raise OSError(f"{path}: cannot be written ({fault}); what was encoded before stays") from None
        self._look()

    def _look(self) -> None:
        """Learn what the shards hold that came since the last look; a damaged one is deleted, to be made again."""
        for path in sorted(self.folder.glob("*.safetensors")):
            if path.name in self._files:
                continue
            try:
                file: Any = safe_open(path, framework="pt")
            except SafetensorError:
                path.unlink(missing_ok=True)
                continue
            self._files[path.name] = file
            for key in file.keys():  # noqa: SIM118 - a safe_open handle is no mapping
                sample, name = key.rsplit("/", 1)
                file_, tensors = self._entries.setdefault(sample, (file, []))
                if file_ is file:  # two processes may have written the same sample into different shards
                    tensors.append(name)


def content_name(row: dict[str, Any], files: SetFiles) -> str:
    """A hash of what a row says and what its pictures hold; their file names, its id and its history do not count.

    Raises:
        FileNotFoundError: a picture is not there.
    """
    digest = hashlib.sha256(json.dumps(said_by(row), sort_keys=True).encode())
    for key, name in pictures_named(row):
        digest.update(f"{key} {hashlib.sha256(files.read(row, name)).hexdigest()}".encode())
    return digest.hexdigest()[:32]


def said_by(row: dict[str, Any]) -> dict[str, Any]:
    """The part of a row that is encoded beside its pictures."""
    return {key: value for key, value in row.items() if key not in _ASIDE and value not in (None, [], {})}
