"""Checks a whole set before any GPU work: every fault, with its row."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from posterkit.critic.model import speaks_of_another
from posterkit.datasets.dataset import INDEX, SetFiles, pictures_named, read_row
from posterkit.datasets.pair_dataset import as_samples, pictures_of
from posterkit.datasets.processes import begin_worker
from posterkit.datasets.sample_files import Row, encoded, sample_from_row
from posterkit.documents import read_lines
from posterkit.image_io import open_image
from posterkit.messages import one_line
from posterkit.sizing import Size
from posterkit.tasks import TASKS

ROLES = ("major", "minor")
SPLITS = ("train", "heldout")
KINDS = ("candidates", "unedited")  # of preference pairs
_ORIENTATION = 0x0112
_LONGEST = 400  # letters of a fault
_CHUNK = 64


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong: `where` is a line of the index (`samples.jsonl:12 ID`), a file, or the set."""

    where: str
    what: str

    def __str__(self) -> str:
        return one_line(f"{self.where}: {self.what}", _LONGEST)


@dataclass
class Checked:
    """What the validator found: the rows that it could read, every fault, and samples by task, split and size."""

    rows: int = 0
    faults: list[Fault] = field(default_factory=list)
    counts: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))


@dataclass(frozen=True)
class _Seen:
    """A row after its own check: what the checks across rows need."""

    line: int
    row: Row
    faults: tuple[str, ...]
    size: Size | None = None
    target: str = ""  # a hash of the target's pixels


def validate(path: str | Path, *, workers: int = 1, batch_size: int | None = None) -> Checked:
    """Check a set: every row, every picture, and what only shows across rows.

    Args:
        path: the set's folder, or its index file.
        workers: processes that read pictures.
        batch_size: of the training to come; sizes that fill no batch are faults, and what an epoch drops is counted
            in `counts["dropped by buckets"]`.

    Raises:
        FileNotFoundError: there is no index.
    """
    path = Path(path)
    index = path / INDEX if path.is_dir() else path
    if not index.is_file():
        raise FileNotFoundError(f"{index}: there is no such file; a set has its rows there")
    found = Checked()
    ids, hashes = defaultdict(list), defaultdict(list)
    named: dict[str | None, set[str]] = defaultdict(set)
    sizes: Counter[Size] = Counter()
    for seen in _each(index, workers):
        where = f"{index.name}:{seen.line}" + (f" {seen.row['id']}" if isinstance(seen.row.get("id"), str) else "")
        found.rows += 1
        found.faults += [Fault(where, what) for what in seen.faults]
        row = seen.row
        for key in ("task", "split", "theme"):
            found.counts[key][str(row.get(key) or "-")] += 1
        if isinstance(row.get("id"), str):
            ids[row["id"]].append(where)
        if isinstance(row.get("shard"), str | None):
            named[row.get("shard")].update(_files(row))
        if seen.size is not None:
            sizes[seen.size] += 1
            found.counts["size"][str(seen.size)] += 1
            hashes[seen.target].append((where, row.get("split", "train")))
    if not found.rows:
        found.faults.append(Fault(str(index), "the set has no rows"))
    found.faults += [
        Fault(where[1], f"id {name!r} stands in {len(where)} rows, first in {where[0]}")
        for name, where in ids.items()
        if len(where) > 1
    ]
    found.faults += _leaking(hashes)
    found.faults += _orphans(index, named)
    if batch_size:
        for size, number in sizes.items():
            found.counts["dropped by buckets"][str(size)] = number % batch_size
            if number < batch_size:
                what = f"{number} targets are {size}, fewer than a batch of {batch_size}: they are never trained on"
                found.faults.append(Fault(str(index), what))
    return found


def _each(index: Path, workers: int) -> Iterator[_Seen]:
    """Every line after its own check, in order."""
    check = partial(_check_line, SetFiles(index.parent))
    if workers == 1:
        yield from map(check, read_lines(index))
        return
    with ProcessPoolExecutor(workers, get_context("spawn"), begin_worker) as pool:
        yield from pool.map(check, read_lines(index), chunksize=_CHUNK)


def _check_line(files: SetFiles, numbered: tuple[int, bytes]) -> _Seen:
    number, line = numbered
    try:
        row = read_row(line, "")
    except ValueError as error:
        return _Seen(number, {}, (str(error).removeprefix(": "),))
    if faults := tuple(_pair_faults(row)):
        return _Seen(number, row, faults)
    first, *rest = as_samples(row)
    # what both posters of a pair have in common is checked with the first
    own = ("id", "target", "caption", "shard")
    rest = [{"task": "text", **{key: one[key] for key in own if key in one}} for one in rest]
    checked = [_check_sample(one, files) for one in (first, *rest)]
    faults = list(dict.fromkeys(fault for found, _ in checked for fault in found))
    targets = [target for _, target in checked if target is not None]
    if len(targets) < len(checked):
        return _Seen(number, row, tuple(faults))
    if rest:
        faults += _difference_faults(row, *targets)
    digest = hashlib.md5(np.asarray(targets[0]).tobytes(), usedforsecurity=False).hexdigest()
    return _Seen(number, row, tuple(faults), Size(*targets[0].size), digest)


def _pair_faults(row: Row) -> Iterator[str]:
    """What is wrong with a pair's row before any file is opened; nothing for a row with a single poster."""
    keys = pictures_of(row)
    if keys is None:
        return
    texts = ("content", "style") if keys[0] == "draft" else ()
    for key in (*keys, "prompt", *texts):
        if not isinstance(row.get(key), str) or not row[key].strip():
            yield f'"{key}" must be a text, found {row.get(key)!r}'
        elif key in texts and (mention := speaks_of_another(row[key])):
            yield f'"{key}" speaks of another picture: {mention!r}'
    kind, gap = row.get("kind", "candidates"), row.get("gap")
    if keys[0] == "chosen" and kind not in KINDS:
        yield f"kind {kind!r} is unknown; there are {', '.join(KINDS)}"
    if keys[0] == "chosen" and gap is not None and not (isinstance(gap, int | float) and gap > 0):
        yield f'"gap" must be above 0, the chosen one being better; found {gap!r}'


def _difference_faults(row: Row, first: Image.Image, second: Image.Image) -> Iterator[str]:
    """What is wrong between the two posters of a pair."""
    one, other = pictures_of(row) or ("", "")
    if first.size == second.size:
        if np.array_equal(np.asarray(first), np.asarray(second)):
            yield f"{one} and {other} are the same picture"
    elif row.get("kind") != "unedited":  # an input has its own size
        yield f"{one} is {Size(*first.size)}, {other} {Size(*second.size)}"


def _check_sample(row: Row, files: SetFiles) -> tuple[list[str], Image.Image | None]:
    """What is wrong with a sample, and its target where that can be read."""
    faults = list(_key_faults(row)) or list(_kind_faults(row))
    if faults:
        return faults, None
    pictures: dict[str, Image.Image] = {}
    for key, name in pictures_named(row):
        try:
            pictures[key] = _picture(files.read(row, name), key, name)
        except (OSError, ValueError) as error:
            faults.append(f"{name}: {error}" if name not in str(error) else str(error))
    target, mask = pictures.get("target"), pictures.get("mask")
    if target is None:
        return faults, None
    faults += _mask_faults(row, target, mask)
    faults += _box_faults(row, Size(*target.size))
    faults += _text_faults(row)
    return faults, target


def _key_faults(row: Row) -> Iterator[str]:
    """What is wrong with the row before any file is opened."""
    for key in ("id", "task", "target", "caption"):
        if not isinstance(row.get(key), str) or not row[key]:
            yield f'"{key}" must be a text, found {row.get(key)!r}'
    for key in ("references", "regions", "texts"):
        if not isinstance(row.get(key, []), list):
            yield f'"{key}" must be a list, found {row[key]!r}'
            return
    if any(not isinstance(name, str) or not name for name in row.get("references", [])):
        yield f'"references" must be file names, found {row["references"]!r}'
        return
    for key in ("judged", "shows"):
        if not isinstance(row.get(key), dict | None):
            yield f'"{key}" must hold keys and values, found {row[key]!r}'
            return
    for key in ("mask", "shard"):
        if not isinstance(row.get(key), str | None):
            yield f'"{key}" must be a file name, found {row[key]!r}'
            return
    if row.get("split", "train") not in SPLITS:
        yield f"split {row['split']!r} is unknown; there are {', '.join(SPLITS)}"
    task = row.get("task")
    if task == "text":
        if row.get("references"):
            yield f'task "text" takes no reference, found {len(row["references"])}'
    elif isinstance(task, str) and task in TASKS:
        accepted, count = TASKS[task].references, len(row.get("references", []))
        if count not in accepted:
            yield f'task "{task}" takes {accepted[0]} to {accepted[-1]} references, found {count}'
        if not row.get("instruction"):
            yield f'task "{task}" needs an instruction'
        if TASKS[task].keeps_pixels and not row.get("mask"):
            yield f'task "{task}" needs a mask'
    elif isinstance(task, str):
        yield f"unknown task {task!r}; the tasks are text, {', '.join(TASKS)}"


def _kind_faults(row: Row) -> Iterator[str]:
    """Whether a sample can be made of the row at all, whatever its pictures are."""
    pixel = encoded(Image.new("RGB", (1, 1)))
    try:
        sample_from_row(row, lambda name: pixel)
    except ValueError as error:
        yield str(error).removeprefix(f"{row['id']}: ")


def _files(row: Row) -> set[str]:
    """The names in a row that may be files, whatever else is wrong with it."""
    posters = [row.get(key) for key in pictures_of(row) or ("target",)]
    references = row.get("references")
    names = [*posters, row.get("mask"), *(references if isinstance(references, list) else [])]
    return {name for name in names if isinstance(name, str)}


def _picture(content: bytes, key: str, name: str) -> Image.Image:
    """A decoded picture of the very mode that training reads without a conversion.

    Raises:
        ValueError: empty, damaged, too large, or its mode, alpha or orientation would be changed on reading.
    """
    with open_image(content, name=name) as picture:
        picture.load()
        turned = picture.getexif().get(_ORIENTATION, 1) != 1
    if turned:
        raise ValueError("is turned by its EXIF; save it upright")
    if picture.mode in ("RGBA", "LA", "PA") or "transparency" in picture.info:
        raise ValueError("has an alpha channel; lay it on a ground")
    accepted = "L" if key == "mask" else "RGB"
    if picture.mode != accepted:
        raise ValueError(f"its mode is {picture.mode}, {key} must be {accepted}")
    return picture


def _mask_faults(row: Row, target: Image.Image, mask: Image.Image | None) -> Iterator[str]:
    if mask is None:
        return
    if mask.size != target.size:
        yield f"{row['mask']}: the mask is {Size(*mask.size)}, the target {Size(*target.size)}"
    low, high = np.asarray(mask).min(), np.asarray(mask).max()
    if high < 128:
        yield f"{row['mask']}: the mask marks nothing"
    elif low >= 128:
        yield f"{row['mask']}: the mask marks everything"


def _box_faults(row: Row, size: Size) -> Iterator[str]:
    boxes: list[tuple[str, Any]] = [
        (f"{key}[{n}].box", one.get("box"))
        for key in ("regions", "texts")
        for n, one in enumerate(row.get(key) or ())
        if isinstance(one, dict)
    ]
    boxes += [(key, row[key]) for key in ("subject", "placed") if row.get(key) is not None]
    for name, box in boxes:
        if box is None and name.startswith("texts"):
            continue
        if not (isinstance(box, list) and len(box) == 4 and all(isinstance(v, int) for v in box)):
            yield f"{name} must be [x0, y0, x1, y1] in whole pixels, found {box!r}"
        elif not (0 <= box[0] < box[2] <= size.width and 0 <= box[1] < box[3] <= size.height):
            yield f"{name} {box} is empty or leaves the canvas of {size}"


def _text_faults(row: Row) -> Iterator[str]:
    """Roles are known; what a text model must write stands in the caption, letter for letter."""
    said = " ".join(row["caption"].split())
    read = "texts" in (row.get("judged") or {})  # off a finished poster, where a reader may be wrong by a letter
    for n, region in enumerate(row.get("regions") or ()):
        if not isinstance(region, dict) or region.get("role") not in ROLES:
            yield f"regions[{n}] needs a role, {' or '.join(ROLES)}; found {region!r}"
        elif read or region["role"] != "major" or not isinstance(region.get("text"), str):
            continue
        elif " ".join(region["text"].split()) not in said:
            yield f"the text {region['text']!r} is not in the caption"


def _leaking(hashes: dict[str, list[tuple[str, str]]]) -> Iterator[Fault]:
    for rows in hashes.values():
        first: dict[str, str] = {}
        for where, split in rows:
            first.setdefault(split, where)
        if len(first) > 1:
            one, other = list(first.items())[:2]
            yield Fault(other[1], f"split {other[0]} has the very target of {one[1]} in split {one[0]}")


def _orphans(index: Path, named: dict[str | None, set[str]]) -> Iterator[Fault]:
    """Pictures in the set's folders or shards that no row names."""
    folder = index.parent
    loose = named.get(None, set())
    if None in named:
        for file in sorted(folder.rglob("*")):
            name = file.relative_to(folder).as_posix()
            hidden = any(part.startswith(".") for part in file.relative_to(folder).parts)
            picture = file.suffix.lower() in Image.registered_extensions()
            if file.is_file() and picture and not hidden and name not in loose and not name.startswith("dropped/"):
                yield Fault(name, "no row names this picture")
    files = SetFiles(folder)
    for shard in sorted(name for name in named if name is not None):
        if (folder / shard).is_file():
            known = {name.split(".")[0] for name in named[shard]}  # a sample's members begin with its id
            try:
                members = files.members(shard)
            except ValueError:  # damaged; each of its rows says so
                continue
            for name in members:
                if name.split(".")[0] not in known:
                    yield Fault(f"{shard} {name}", "belongs to no row")
