"""A sample as files: its row, a line of JSON, and its pictures."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from posterkit.documents import read_json
from posterkit.image_io import read_image
from posterkit.schema import DrawnLine, DrawnText, PosterSample, Region
from posterkit.tasks import TASKS

Row = dict[str, Any]

_RUN_LENGTHS = 3  # zlib's Z_RLE
_PLAIN = (
    "id", "task", "caption", "instruction", "words", "theme", "source", "licence", "split", "background", "style",
    "layout",
)  # fmt: skip


def encoded(picture: Image.Image, form: str = "PNG", **options: int) -> bytes:
    """A picture as the bytes of a file."""
    file = io.BytesIO()
    picture.save(file, form, **options)
    return file.getvalue()


def encode_sample(sample: PosterSample, own: tuple[str, bytes] | None = None) -> tuple[Row, dict[str, bytes]]:
    """A sample as its row and its pictures as PNG files, by the names that the row gives them.

    Args:
        own: suffix and content of a file that shows the very target; it is taken in place of a PNG.
    """
    files: dict[str, bytes] = {}

    def png(name: str, picture: np.ndarray) -> str:
        # as small as the default for photographs and a fifth larger for flat art, in a quarter of the time
        files[name] = encoded(Image.fromarray(picture), compress_level=1, compress_type=_RUN_LENGTHS)
        return name

    row: Row = {key: getattr(sample, key) for key in _PLAIN}
    if own:
        row["target"] = f"{sample.id}{own[0]}"
        files[row["target"]] = own[1]
    else:
        row["target"] = png(f"{sample.id}.png", sample.target)
    row["references"] = [png(f"{sample.id}.ref{n}.png", picture) for n, picture in enumerate(sample.references)]
    row["mask"] = None if sample.mask is None else png(f"{sample.id}.mask.png", sample.mask)
    row["regions"] = [asdict(region) for region in sample.regions]
    row["texts"] = [asdict(text) for text in sample.texts]
    row |= {"palette": sample.palette, "subject": sample.subject, "placed": sample.placed}
    if sample.judged:
        row["judged"] = sample.judged
    if sample.shows:
        row["shows"] = sample.shows
    return row, files


def encode_for_shards(sample: PosterSample) -> tuple[Row, dict[str, bytes]]:
    """As `encode_sample`, with the same keys and files for every task; see `blank_pictures`."""
    row, files = encode_sample(sample)
    target = f"{sample.id}.png"
    return {"judged": None, "shows": None, **row}, {target: files[target], **blank_pictures(sample.id), **files}


def blank_pictures(name: str) -> dict[str, bytes]:
    """A single pixel as each reference and the mask that a sample of any task can have.

    Hugging Face `datasets` reads a tar shard only where all of its samples have the same members; the rows name the
    real ones.
    """
    most = max(task.references[-1] for task in TASKS.values())
    names = [*(f"{name}.ref{n}.png" for n in range(most)), f"{name}.mask.png"]
    return dict.fromkeys(names, encoded(Image.new("L", (1, 1))))


def write_sample(sample: PosterSample, folder: str | Path) -> Row:
    """Write a sample's pictures as PNG files into `folder` and append its row to `samples.jsonl`; returns the row."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    row, files = encode_sample(sample)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    with open(folder / "samples.jsonl", "a", encoding="utf-8") as lines:
        lines.write(json.dumps(row, ensure_ascii=False) + "\n")
    return row


def read_sample(line: str, folder: str | Path) -> PosterSample:
    """Read one JSON line as `write_sample` writes it, with its pictures; raises as `sample_from_row`."""
    return sample_from_row(read_json(line), lambda name: (Path(folder) / name).read_bytes())


def sample_from_row(row: Row, read: Callable[[str], bytes]) -> PosterSample:
    """The sample that a row describes; keys that are not there keep their defaults.

    Args:
        read: the bytes of a file that the row names.

    Raises:
        ValueError: the row is no JSON object, lacks `id`, `task` or `target`, or has a value of the wrong kind; or a
            picture is damaged.
    """
    missing = [key for key in ("id", "task", "target") if not isinstance(row, dict) or key not in row]
    if missing:
        found = f"{', '.join(missing)} is missing in {json.dumps(row)[:80]!r}"
        raise ValueError(f"a sample needs id, task and target; {found}")

    def load(name: str, mode: str) -> np.ndarray:
        picture = read_image(read(name), name=f"{row['id']}: {name}")
        return np.asarray(picture if mode == "RGB" else picture.convert(mode))

    try:
        return PosterSample(
            **{key: row[key] for key in _PLAIN if key in row},
            target=load(row["target"], "RGB"),
            references=[load(name, "RGB") for name in row.get("references") or ()],
            mask=load(row["mask"], "L") if row.get("mask") else None,
            regions=[Region(tuple(r["box"]), r["role"], r["text"]) for r in row.get("regions") or ()],
            texts=[_text_from_row(text) for text in row.get("texts") or ()],
            palette=tuple(tuple(color) for color in row.get("palette") or ()),
            subject=_tuple(row.get("subject")),
            placed=_tuple(row.get("placed")),
            judged=row.get("judged") or {},
            shows=row.get("shows") or {},
        )
    except (AttributeError, KeyError, TypeError) as error:
        what = f"{error} is missing" if isinstance(error, KeyError) else str(error)
        raise ValueError(f"{row['id']}: a value of the row is of the wrong kind: {what}") from None


def _text_from_row(text: Row) -> DrawnText:
    lines = tuple(DrawnLine(line["text"], tuple(line["box"])) for line in text.get("lines") or ())
    return DrawnText(text["text"], _tuple(text.get("box")), _tuple(text.get("color")), text.get("font"), lines)


def _tuple(value: Any) -> Any:
    return None if value is None else tuple(value)
