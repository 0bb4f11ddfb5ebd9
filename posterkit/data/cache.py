"""The encoder cache: what a callable returns for each sample, once, on disk. It knows no model."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

Encoded = dict[str, Tensor]


class EncoderCache:
    """A map-style data set of encoded samples, in shards of safetensors.

    A shard is written under a name of its own process and renamed, so that two processes may fill one cache and a
    killed one leaves no half shard. The folder's name holds a hash of `key`: another model or another source is
    another folder.

    Args:
        folder: where caches lie.
        key: JSON values that name the source and the model.
        count: samples in the set.
        shard: samples in one file.
    """

    def __init__(self, folder: str | Path, key: dict[str, Any], count: int, shard: int = 512) -> None:
        text = json.dumps(key, sort_keys=True)
        self.folder = Path(folder) / hashlib.sha256(text.encode()).hexdigest()[:16]
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "key.json").write_text(text)
        self.count, self.shard = count, shard
        self.samples: list[Encoded] = []

    def fill(
        self, encode: Callable[[Sequence[int]], list[Encoded]], progress: Callable[[int, int], None] | None = None
    ) -> EncoderCache:
        """Make the shards that are missing, then read all of them into memory.

        Args:
            encode: sample indices -> one dict of named tensors each.
            progress: told how many samples are there, and of how many.
        """
        for start in range(0, self.count, self.shard):
            stop = min(self.count, start + self.shard)
            path = self.folder / f"{start:08d}-{stop:08d}.safetensors"
            if not path.is_file():
                rows = encode(range(start, stop))
                flat = {f"{start + i:08d}/{name}": t for i, row in enumerate(rows) for name, t in row.items()}
                temporary = path.with_suffix(f".{os.getpid()}.tmp")
                save_file(flat, temporary)
                temporary.rename(path)
            self.samples += list(_read(path, start, stop))
            if progress:
                progress(stop, self.count)
        return self

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> Encoded:
        return self.samples[index]


def _read(path: Path, start: int, stop: int) -> Iterator[Encoded]:
    rows: dict[int, Encoded] = {index: {} for index in range(start, stop)}
    with safe_open(path, framework="pt") as file:
        for key in file.keys():  # noqa: SIM118 - a safe_open handle is no mapping
            index, name = key.split("/", 1)
            rows[int(index)][name] = file.get_tensor(key)
    yield from rows.values()
