"""PosterSample: one training sample, in memory and as a folder of pictures with one JSON line each."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from posterkit.image_io import as_rgb
from posterkit.tasks import TASKS

Box = tuple[int, int, int, int]
RGB = tuple[int, int, int]


@dataclass(frozen=True)
class Region:
    """An area with a role for region-weighted losses: `box` is x0, y0, x1, y1 in pixels, half open."""

    box: Box
    role: str  # "major" (the title) or "minor"
    text: str


@dataclass(frozen=True)
class DrawnLine:
    """One line of a text, and the box of its ink in pixels, half open."""

    text: str
    box: Box


@dataclass(frozen=True)
class DrawnText:
    """A text that stands on the target: its ink's box in pixels, half open, its colour, its font's name, its lines."""

    text: str
    box: Box | None = None
    color: RGB | None = None
    font: str | None = None
    lines: tuple[DrawnLine, ...] = ()


@dataclass
class PosterSample:
    """One poster with everything that a task needs to be learnt from it.

    Attributes:
        id: unique within a set.
        task: "text" or one of `posterkit.tasks.TASKS`.
        target: the finished poster, uint8 `(H, W, 3)` RGB.
        references: input images, uint8 `(h, w, 3)` RGB each; none for "text".
        mask: uint8 `(H, W)`, 255 = to be made, 0 = kept; None for tasks that keep no pixels.
        regions: text areas with their role.
        texts: the texts on the target.
        caption: what the target shows, in words.
        instruction: what an image-to-poster model is asked; equal to the caption for "text".
        words: the instruction's part that a user would type, without the task's frame; None for its default wording.
        theme: the art's family.
        source: where the pictures come from.
        licence: SPDX name of the pictures' licence.
        split: "train" or "heldout".
        background: colour name (a key of `posterkit.prompts.COLORS`) nearest to the target's border.
        palette: the colours that the art was drawn with, background first.
        style: how it was drawn.
        layout: name of the arrangement.
        subject: box of the main motif on the target, in pixels, half open.
        placed: box of reference 0 on the target for tasks that keep pixels.
        judged: who said what of the target, by question: {"aesthetics": {"by": "rules", "said": 0.61}}.
    """

    id: str
    task: str
    target: np.ndarray
    references: list[np.ndarray] = field(default_factory=list)
    mask: np.ndarray | None = None
    regions: list[Region] = field(default_factory=list)
    texts: list[DrawnText] = field(default_factory=list)
    caption: str = ""
    instruction: str = ""
    words: str | None = None
    theme: str = ""
    source: str = "synthetic"
    licence: str = "CC0-1.0"
    split: str = "train"
    background: str | None = None
    palette: tuple[RGB, ...] = ()
    style: str | None = None
    layout: str | None = None
    subject: Box | None = None
    placed: Box | None = None
    judged: dict[str, dict[str, Any]] = field(default_factory=dict)


_RUN_LENGTHS = 3  # zlib's Z_RLE
_PLAIN = (
    "id", "task", "caption", "instruction", "words", "theme", "source", "licence", "split", "background", "style",
    "layout",
)  # fmt: skip


def encode_sample(
    sample: PosterSample, own: tuple[str, bytes] | None = None
) -> tuple[dict[str, Any], dict[str, bytes]]:
    """A sample as its row (DESIGN's JSON line) and its pictures as PNG files, by the names that the row gives them.

    Args:
        own: suffix and content of a file that shows the very target; it is taken in place of a PNG.
    """
    files: dict[str, bytes] = {}

    def png(name: str, picture: np.ndarray) -> str:
        file = io.BytesIO()
        # as small as the default for photographs and a fifth larger for flat art, in a quarter of the time
        Image.fromarray(picture).save(file, "PNG", compress_level=1, compress_type=_RUN_LENGTHS)
        files[name] = file.getvalue()
        return name

    row: dict[str, Any] = {key: getattr(sample, key) for key in _PLAIN}
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
    return row, files


def encode_for_shards(sample: PosterSample) -> tuple[dict[str, Any], dict[str, bytes]]:
    """As `encode_sample`, with the same files for every task: a single pixel stands where a task has no picture.

    Hugging Face `datasets` reads a tar shard only where all of its samples have the same members; the row names the
    real ones.
    """
    row, files = encode_sample(sample)
    pixel = io.BytesIO()
    Image.new("L", (1, 1)).save(pixel, "PNG")
    most = max(task.references[-1] for task in TASKS.values())
    names = [f"{sample.id}.{part}png" for part in ("", *(f"ref{n}." for n in range(most)), "mask.")]
    return row, {name: files.get(name, pixel.getvalue()) for name in names}


def write_sample(sample: PosterSample, folder: str | Path, index: str = "samples.jsonl") -> dict[str, Any]:
    """Write a sample's pictures as PNG files into `folder` and append its line to `folder/index`.

    Returns:
        The line's row; its paths are relative to the index file.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    row, files = encode_sample(sample)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    with open(folder / index, "a", encoding="utf-8") as lines:
        lines.write(json.dumps(row, ensure_ascii=False) + "\n")
    return row


def read_sample(line: str, folder: str | Path) -> PosterSample:
    """Read one JSON line as `write_sample` writes it, with its pictures.

    Raises:
        ValueError: see `sample_from_row`.
        FileNotFoundError: a picture that the line names is not there.
    """
    return sample_from_row(json.loads(line), lambda name: (Path(folder) / name).read_bytes())


def sample_from_row(row: dict[str, Any], read: Callable[[str], bytes]) -> PosterSample:
    """The sample that a row describes; keys that are not there keep their defaults.

    Args:
        read: the bytes of a file that the row names.

    Raises:
        ValueError: the row is no JSON object, lacks `id`, `task` or `target`, or has a value of the wrong kind; or a
            picture is damaged.
    """
    missing = [key for key in ("id", "task", "target") if not isinstance(row, dict) or key not in row]
    if missing:
        raise ValueError(
            f"a sample needs id, task and target; {', '.join(missing)} is missing in {json.dumps(row)[:80]!r}"
        )

    def load(name: str, mode: str) -> np.ndarray:
        content = io.BytesIO(read(name))
        try:
            with Image.open(content) as picture:
                return np.asarray(as_rgb(picture).convert(mode))
        except (OSError, SyntaxError) as error:
            raise ValueError(f"{row['id']}: {name}: damaged image ({(str(error).splitlines() or [''])[0]})") from None

    def maybe(value: Any) -> Any:
        return None if value is None else tuple(value)

    try:
        return PosterSample(
            **{key: row[key] for key in _PLAIN if key in row},
            target=load(row["target"], "RGB"),
            references=[load(name, "RGB") for name in row.get("references") or ()],
            mask=load(row["mask"], "L") if row.get("mask") else None,
            regions=[Region(tuple(r["box"]), r["role"], r["text"]) for r in row.get("regions") or ()],
            texts=[
                DrawnText(
                    t["text"],
                    maybe(t.get("box")),
                    maybe(t.get("color")),
                    t.get("font"),
                    tuple(DrawnLine(line["text"], tuple(line["box"])) for line in t.get("lines") or ()),
                )
                for t in row.get("texts") or ()
            ],
            palette=tuple(tuple(color) for color in row.get("palette") or ()),
            subject=maybe(row.get("subject")),
            placed=maybe(row.get("placed")),
            judged=row.get("judged") or {},
        )
    except (AttributeError, KeyError, TypeError) as error:
        what = f"{error} is missing" if isinstance(error, KeyError) else str(error)
        raise ValueError(f"{row['id']}: a value of the row is of the wrong kind: {what}") from None
