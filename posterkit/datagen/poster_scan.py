"""The first look at a folder of posters: what each file is, and who is a copy of whom.

Copies show only across the whole folder, so it is gone through twice: `Scan` looks at every file and keeps a line for
each, and `settle` decides from these lines who goes no further, before the steps of `hq_posters` begin.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from posterkit.critic.critic import Critic
from posterkit.critic.opening import open_critic
from posterkit.datagen.engine import Drop
from posterkit.datagen.near_duplicates import find_near_copies, perceptual_hash
from posterkit.datasets.dataset import read_rows
from posterkit.image_io import SUFFIXES, read_image, read_image_and_kind, read_size
from posterkit.llm.client import AnswerError

EXACT, BLEMISHES, NEAR = "exact copies", "credit blocks and watermarks", "near copies"
SMALL = 256  # px of the shorter side that are enough for a hash and for a thumbnail


def list_posters(folder: Path) -> tuple[str, ...]:
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
    """What the input is: the names and sizes of its pictures and of the captions beside them."""
    found = hashlib.sha256()
    for name in names:
        caption = own_caption(folder / name)
        sizes = [path.stat().st_size if path.is_file() else None for path in (folder / name, caption)]
        found.update(f"{name} {sizes}\n".encode())
    return found.hexdigest()[:16]


def own_caption(picture: Path) -> Path:
    """Where a poster's own caption stands: NAME.txt beside it."""
    return picture.with_suffix(".txt")


def read_own_caption(picture: Path) -> str:
    """A poster's own caption; empty where it has none.

    Raises:
        ValueError: its file is not UTF-8.
        OSError: it cannot be read.
    """
    path = own_caption(picture)
    try:
        return path.read_text(encoding="utf-8-sig").strip() if path.is_file() else ""
    except UnicodeDecodeError:
        raise ValueError(f"{path}: not UTF-8 text") from None


def check_outside(out: Path, folder: Path) -> None:
    """A set among its own input would be taken for input by the next run.

    Raises:
        ValueError: `out` lies in the folder.
    """
    if out.resolve().is_relative_to(folder.resolve()):
        raise ValueError(f"{out}: lies in {folder}, whose pictures are the input; take a folder outside")


@dataclass(frozen=True)
class JudgeAt:
    """A judge by its address: each process opens its own, see `posterkit.critic.opening.open_critic`."""

    source: str
    model: str | None = None
    device: str = "cpu"
    answers: str | None = None

    def open(self) -> Critic:
        return open_critic(self.source, model=self.model, device=self.device, cache=self.answers)


@dataclass(frozen=True)
class Scan:
    """The first look at a file: what it is, what it looks like, and whether a judge finds a blemish on it.

    Attributes:
        judge: None looks for none.
    """

    folder: Path
    names: tuple[str, ...]
    shorter_side: int
    judge: JudgeAt | None

    def __getitem__(self, number: int) -> dict[str, Any] | Drop:
        path = self.folder / self.names[number]
        try:
            size = read_size(path)
            small, kind = read_image_and_kind(path, least=SMALL)
            with path.open("rb") as file:
                md5 = hashlib.file_digest(file, "md5").hexdigest()
        except (OSError, ValueError) as error:
            return Drop("unreadable", str(error), fault=True)
        if min(size) < self.shorter_side:
            return Drop("too small", f"{size}; the shorter side must have {self.shorter_side} pixels")
        row = {"id": self.names[number], "size": size, "kind": kind, "bytes": path.stat().st_size, "md5": md5,
               "hash": perceptual_hash(small)}  # fmt: skip
        if self.judge:
            judge = self.judge.open()
            try:
                row["blemishes"] = judge.blemishes(read_image(path))
            except AnswerError as error:
                row["unanswered"] = str(error)
            row["by"] = judge.name
        return row


def encode_line(row: dict[str, Any]) -> tuple[dict[str, Any], dict[str, bytes]]:
    """What `Scan` found, as a row without files."""
    return row, {}


@dataclass(frozen=True)
class Settled:
    """What only shows across the whole folder.

    Attributes:
        unread: why a file goes no further than reading, by its number.
        lost: the same for EXACT, BLEMISHES and NEAR.
        by: who looked for blemishes on the posters that stay.
        kinds: of the files of the posters that stay, see `read_image_and_kind`.
    """

    unread: dict[int, Drop] = field(default_factory=dict)
    lost: dict[str, dict[int, Drop]] = field(default_factory=lambda: {EXACT: {}, BLEMISHES: {}, NEAR: {}})
    by: set[str] = field(default_factory=set)
    kinds: set[str | None] = field(default_factory=set)


def settle(scan: Path, names: tuple[str, ...], distance: int) -> Settled:
    """Decide who is a copy of whom.

    Of exact copies (MD5) the first by name stays. Of near ones among what is left, the one with the most pixels, then
    the longest file, then the first by name; see `find_near_copies`.

    Args:
        scan: the folder of a finished scan.
        names: of all files, in the scan's order.
        distance: differing bits of 64 up to which two posters count as near copies.
    """
    found, number_of = Settled(), {name: number for number, name in enumerate(names)}
    for _, line in read_rows(scan / "dropped.jsonl"):
        found.unread[number_of[line["id"]]] = Drop(line["reason"], line["detail"], fault=line["fault"])
    first: dict[str, str] = {}
    left: list[tuple[int, dict[str, Any]]] = []
    for _, row in read_rows(scan / "samples.jsonl"):
        number = number_of[row["id"]]
        if first.setdefault(row["md5"], row["id"]) != row["id"]:
            found.lost[EXACT][number] = Drop("exact copy", f"of {first[row['md5']]}")
        elif "unanswered" in row:
            found.lost[BLEMISHES][number] = Drop("no answer", row["unanswered"], fault=True)
        elif row.get("blemishes"):
            detail = f"{row['by']}: {', '.join(row['blemishes'])}"
            found.lost[BLEMISHES][number] = Drop(row["blemishes"][0], detail)
        else:
            left.append((number, row))
    hashes, ids = [row["hash"] for _, row in left], [row["id"] for _, row in left]
    # of two with as many pixels the longer file lost less when it was encoded
    merits = [(row["size"][0] * row["size"][1], row["bytes"]) for _, row in left]
    copies = find_near_copies(hashes, merits, ids, distance)
    for n, (number, row) in enumerate(left):
        if n in copies:
            of, bits = left[copies[n].of][1], copies[n].distance
            sizes = f"{row['size'][0]}x{row['size'][1]}, that one {of['size'][0]}x{of['size'][1]}"
            found.lost[NEAR][number] = Drop("near copy", f"of {of['id']}, {bits} of 64 bits differ; {sizes}")
        else:
            found.kinds.add(row["kind"])
            found.by.update([row["by"]] if "by" in row else [])
    return found
