"""The report of a set before the first step, printed and kept in `data_report.json`: nothing is left out silently."""

from __future__ import annotations

import json
import textwrap
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, cast

from posterkit.datasets.buckets import BucketedLoader
from posterkit.datasets.dataset import PosterDataset
from posterkit.datasets.sample_files import Row
from posterkit.image_io import written_whole
from posterkit.prompts.quotes import quoted_texts
from posterkit.training.adapters import Adapter

FILE = "data_report.json"
_SHOWN = 3  # examples of what was left out, for each reason
_TOGETHER = 1024  # texts through the tokenizer
_CELL = 8  # pixels a latent cell is wide


class Left(NamedTuple):
    """A row that is left out: its id, its line in the index, and what was found there."""

    id: str
    line: int
    found: str


class Overlong(NamedTuple):
    """A row with more words than the checkpoint takes.

    `rest` is the end beyond the limit; `texts` are those of the poster that are then missing from the words, or cut.
    """

    id: str
    line: int
    rest: str
    texts: list[str]


Lost = dict[str, list[Left]]


def leave_out(lost: Lost, reason: str, dataset: PosterDataset, number: int, found: str) -> None:
    """Add a row of a set to what is left out for a reason."""
    name = str(dataset.rows[number].get("id", number))
    lost.setdefault(reason, []).append(Left(name, dataset.lines[number], found.removeprefix(f"{name}: ")))


def beyond_limit(model: Adapter, dataset: PosterDataset, numbers: Sequence[int]) -> list[Overlong]:
    """The rows whose words are more than the checkpoint's `max_sequence_length` tokens."""
    found = []
    for start in range(0, len(numbers), _TOGETHER):
        part = numbers[start : start + _TOGETHER]
        words = [model.text_of(dataset.rows[number]) for number in part]
        for number, text, rest in zip(part, words, model.beyond_limit(words), strict=True):
            if rest:
                row, read = dataset.rows[number], text[: len(text) - len(rest)]
                texts = [shown for shown in _texts(row, text) if shown in text and shown not in read]
                found.append(Overlong(str(row["id"]), dataset.lines[number], rest.strip(), texts))
    return found


def report_of(
    dataset: PosterDataset, loader: BucketedLoader | None, numbers: Sequence[int], lost: Lost,
    overlong: Sequence[Overlong] = (), limit: int = 0, cuts: bool = True,
) -> dict[str, Any]:  # fmt: skip
    """The report of a set, as JSON values.

    Args:
        loader: its kinds are (task group, what `model.bucket` returned); None where nothing can be trained on.
        numbers: rows in the loader's order, some of them more than once.
        limit: the checkpoint's `max_sequence_length`.
        cuts: words beyond it are not read, else the pipeline refuses them.
    """
    buckets = []
    for kind, members in loader.members.items() if loader else ():
        group, shape = cast(tuple[str, Any], kind)
        first, *references = [shape] if isinstance(shape[0], int) else shape
        posters = {numbers[place] for place in members}
        bucket = {"size": _pixels(first), "group": group, "references": [_pixels(one) for one in references]}
        buckets.append({**bucket, "posters": len(posters), "draws_an_epoch": len(members)})
    taken = loader.taken if loader else 0
    drawn = sum(bucket["draws_an_epoch"] for bucket in buckets)
    return {
        "set": str(dataset.index),
        "rows": len(dataset),
        "posters": len(set(numbers)),
        "samples_a_batch": taken,
        "batches_an_epoch": round(drawn / taken, 2) if taken else 0,
        "buckets": sorted(buckets, key=lambda bucket: (bucket["group"], bucket["size"], bucket["references"])),
        "left_out": {reason: [one._asdict() for one in found] for reason, found in sorted(lost.items())},
        "beyond_limit": {"tokens": limit, "cut": cuts, "rows": [one._asdict() for one in overlong]},
    }


def report_lines(report: dict[str, Any], where: Path) -> list[str]:
    """The report as lines for people; the whole of it is in the file `where`."""
    taken, found = report["samples_a_batch"], report["left_out"]
    said = f"{report['set']}: {report['rows']} rows, {report['posters']} to train on"
    count = report["batches_an_epoch"]
    batches = f"{round(count) if count > 9 else round(count, 1):g} batch{'es' * (count != 1)}"
    lines = [f"{said}, about {batches} of {taken} an epoch" if taken else said]
    lines += [f"  {line}" for line in _bucket_lines(report["buckets"], taken)]
    if found:
        lines.append(f"  left out: {sum(map(len, found.values()))}, all named in {where}")
        for reason, rows in sorted(found.items(), key=lambda item: -len(item[1])):
            examples = [f"{row['id']} ({row['found']})" for row in rows[:_SHOWN]]
            lines.append(f"    {len(rows)} {reason}: {_listed(examples, len(rows))}")
    return lines + [f"  {line}" for line in _overlong_lines(report["beyond_limit"])]


def keep_report(report: dict[str, Any], folder: Path) -> Path:
    """Add a set's report to the folder's file, which holds those of all sets of the run; returns the file."""
    path = folder / FILE
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, json.JSONDecodeError):
        kept = {}
    kept[report["set"]] = {name: value for name, value in report.items() if name != "set"}
    with written_whole(path) as temporary:
        temporary.write_text(json.dumps(kept, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return path


def _bucket_lines(buckets: Iterable[dict[str, Any]], taken: int) -> list[str]:
    """A line for each size and task group, and one for the shapes that are rare."""
    posters: Counter[str] = Counter()
    drawn: Counter[str] = Counter()
    rare = []
    for bucket in buckets:
        name = f"{bucket['size']} {bucket['group']}"
        posters[name] += bucket["posters"]
        drawn[name] += bucket["draws_an_epoch"]
        if bucket["draws_an_epoch"] < taken:
            rare.append(bucket)
    lines = [
        f"{name}: {_posters(count)}" + (f", drawn {drawn[name]} times an epoch" if drawn[name] != count else "")
        for name, count in sorted(posters.items())
    ]
    if rare:
        most = taken / min(bucket["draws_an_epoch"] for bucket in rare)
        shapes = [
            f"{one['size']} {one['group']}" + (f" beside {' + '.join(one['references'])}" if one["references"] else "")
            for one in rare[:_SHOWN]
        ]
        count = sum(bucket["posters"] for bucket in rare)
        lines.append(
            f"of these {_posters(count)} in {len(rare)} shape{'s' * (len(rare) > 1)} of fewer than a batch, which "
            f"come{'s' * (len(rare) == 1)} every few epochs (the rarest every {most:g}): {_listed(shapes, len(rare))}"
        )
    return lines


def _overlong_lines(found: dict[str, Any]) -> list[str]:
    rows = found["rows"]
    if not rows:
        return []
    if not found["cut"]:
        return [
            f"instructions of more than {found['tokens']} tokens: {len(rows)}, learnt whole, but the pipeline refuses "
            f"them: {_listed([row['id'] for row in rows[:_SHOWN]], len(rows))}"
        ]
    losing = [row for row in rows if row["texts"]]
    shown = (losing + [row for row in rows if not row["texts"]])[:_SHOWN]
    lines = [
        f"captions of more than {found['tokens']} tokens, which lose their end: {len(rows)}; "
        f"{len(losing) or 'none'} of them lose{'s' * (len(losing) < 2)} a text that the poster shows"
    ]
    for row in shown:
        lost = ", ".join(f'"{text}"' for text in row["texts"])
        rest = textwrap.shorten(row["rest"], 70, placeholder=" …")
        lines.append(f"  {row['id']} loses {lost + ' in ' if lost else ''}… {rest}")
    return lines


def _texts(row: Row, words: str) -> list[str]:
    """The texts on the poster by the row, else the quoted ones of its words."""
    marked = [*(row.get("texts") or ()), *(row.get("regions") or ())]
    shown = [one["text"] for one in marked if isinstance(one, dict) and one.get("text")]
    return list(dict.fromkeys(shown or quoted_texts(words)))


def _pixels(shape: Sequence[int]) -> str:
    return f"{shape[-1] * _CELL}x{shape[-2] * _CELL}"


def _posters(count: int) -> str:
    return f"{count} poster{'s' * (count != 1)}"


def _listed(shown: Sequence[str], count: int) -> str:
    return "; ".join(shown) + (f" and {count - len(shown)} more" if count > len(shown) else "")
