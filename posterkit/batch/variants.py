"""Several posters of one row: from several seeds, in several sizes."""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from posterkit.batch.row_keys import result_name

_UNSAFE = re.compile(r"[^\w.-]")  # in a file's name


@dataclass(frozen=True)
class Variants:
    """The seeds and sizes that a row is made in where it names none.

    Attributes:
        seeds: how many, one after the other.
        sizes: as `posterkit.paper.parse_size` takes them; the others show the picture that is drawn for the first.
        seed: for rows without their own; the result's name is mixed in.
        sheet: `dpi`, `bleed` and `safe` of these sizes, for rows that do not say them.
    """

    seeds: int = 1
    sizes: tuple[str, ...] = ()
    seed: int = 0
    sheet: Mapping[str, Any] = field(default_factory=dict)

    def of(self, row: Mapping[str, Any], stem: str) -> Iterator[tuple[dict[str, Any], str]]:
        """For each variant its own keys and the end of its name; both empty where there is only one."""
        seeds, sizes = row.get("seeds") or self.seeds, row.get("sizes") or self.sizes
        if seeds == 1 and not sizes:
            yield {}, ""
            return
        first, out = row.get("seed"), row.get("out")
        if first is None:
            first = (self.seed + zlib.crc32(stem.encode("utf-8", "surrogatepass"))) % 2**31
        for number in range(seeds):
            for size in sizes or (None,):
                behind = f"-v{number + 1}" * (seeds > 1) + (f"-{_UNSAFE.sub('', size.lower())}" if size else "")
                keys = {"seed": first + number} | ({"size": size} if size else {})
                keys |= {key: value for key, value in self.sheet.items() if size and row.get(key) is None}
                yield keys | ({"out": stem + behind + Path(out).suffix} if out else {}), behind


ONE = Variants()


def stem_of(row: Any, name: str, number: int) -> str:
    """The name of a row's result without its ending: its own, its folder's, its image's, or poster-0001."""
    values: Mapping[str, Any] = row if isinstance(row, dict) else {}
    if isinstance(values.get("out"), str) and values["out"]:
        return result_name(values["out"]).with_suffix("").as_posix()
    if name.endswith("/"):
        return name[:-1]
    if "/" in name:  # an image of a sub-folder
        return PurePosixPath(name).with_suffix("").as_posix()
    images = values.get("images")
    if isinstance(images, Sequence) and images and isinstance(images[0], str):
        return Path(images[0]).stem
    return f"poster-{number + 1:04d}"
