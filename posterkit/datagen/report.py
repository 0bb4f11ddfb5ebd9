"""One page about a set: samples with their boxes, counts, sizes, text lengths, the funnel and what was dropped."""

from __future__ import annotations

import base64
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment
from PIL import Image, ImageDraw

from posterkit.datasets.dataset import PosterDataset, SetFiles, read_rows
from posterkit.datasets.pair_dataset import as_samples, pictures_of
from posterkit.datasets.sample_files import encoded, sample_from_row
from posterkit.documents import read_json, read_text
from posterkit.image_io import read_size
from posterkit.schema import PosterSample

_PAGE = Path(__file__).with_suffix(".html")
_SHOWN = 24  # thumbnails of dropped items for each reason
_BARS = 16  # of a chart
_ROLE = {"major": (226, 61, 40), "minor": (240, 168, 32)}


def write_report(path: str | Path, out: str | Path, *, samples: int = 24) -> Path:
    """Write the page of a set; it needs no other file and no network.

    Args:
        path: the set's folder, or its index file.
        out: the HTML file.
        samples: how many to show, spread over the tasks and over the set.

    Raises:
        FileNotFoundError: there is no set.
        ValueError: it has no rows, or a shown one cannot be read.
    """
    found = PosterDataset(path)
    rows = found.rows
    if not rows:
        raise ValueError(f"{found.index}: the set has no rows")
    folder, out = found.index.parent, Path(out)
    shown = [(rows[number], _samples(found, number)) for number in _spread(rows, samples)]
    captions = [str(row.get("caption", row.get("prompt", ""))) for row in rows]
    sizes = Counter(f"{one.target.shape[1]}x{one.target.shape[0]}" for _, samples in shown for one in samples)
    charts = [
        _chart("task", Counter(str(row.get("task", "-")) for row in rows)),
        _chart("theme", Counter(str(row.get("theme") or "-") for row in rows)),
        _chart("script of the texts", Counter(script for row in rows for script in scripts(_texts(row)))),
        _chart("split", Counter(str(row.get("split", "train")) for row in rows)),
        _chart("size of the shown targets", sizes),
        _chart("texts on a poster", Counter(str(len(_texts(row))) for row in rows if "texts" in row), True),
        _chart("letters in a text", _binned([len(text) for row in rows for text in _texts(row)], 5), True),
        _chart("words in a caption", _binned([len(caption.split()) for caption in captions], 10), True),
    ]
    template = Environment(autoescape=True, trim_blocks=True).from_string(_PAGE.read_text(encoding="utf-8"))
    page = template.render(
        name=folder.resolve().name, count=len(rows), charts=charts, funnel=_funnel(folder), dropped=_dropped(folder),
        cards=[_card(row, samples) for row, samples in shown],
    )  # fmt: skip
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(page, encoding="utf-8")
    return out


def scripts(texts: Iterable[str]) -> set[str]:
    """Writing systems of some texts, by the names of their letters: Latin, Greek, Cyrillic, Han, Hiragana, ..."""
    names = {unicodedata.name(letter, "").split(" ")[0] for text in texts for letter in text if letter.isalpha()}
    return {"Han" if name == "CJK" else name.capitalize() for name in names if name}


def _texts(row: dict[str, Any]) -> list[str]:
    texts = row.get("texts") if isinstance(row.get("texts"), list) else []
    return [text["text"] for text in texts or () if isinstance(text, dict) and isinstance(text.get("text"), str)]


def _spread(rows: Sequence[dict[str, Any]], count: int) -> list[int]:
    """Numbers of rows: as many of each task as of another, evenly over the set."""
    by_task: dict[str, list[int]] = defaultdict(list)
    for number, row in enumerate(rows):
        by_task[str(row.get("task", "-"))].append(number)
    each = max(1, count // len(by_task))
    return [
        numbers[round(n * (len(numbers) - 1) / max(1, min(each, len(numbers)) - 1))]
        for numbers in by_task.values()
        for n in range(min(each, len(numbers)))
    ]


def _binned(lengths: Iterable[int], width: int) -> Counter[str]:
    return Counter(f"{n // width * width:>3} to {n // width * width + width - 1}" for n in lengths)


def _chart(title: str, counts: Counter[str], by_name: bool = False) -> tuple[str, list[tuple[str, int]], int]:
    """A chart's title, its bars, and how many more there are."""
    ordered = sorted(counts.items()) if by_name else counts.most_common()
    return title, ordered[:_BARS], max(0, len(ordered) - _BARS)


def _funnel(folder: Path) -> list[tuple[str, int, dict[str, int]]] | None:
    """Each step, how many items came, and how many it dropped for which reason; None where no data tool wrote it."""
    path = folder / "funnel.json"
    if not path.is_file():
        return None
    try:
        return [
            (step, int(found["in"]), {str(reason): int(n) for reason, n in found["dropped"].items()})
            for step, found in read_json(read_text(path), str(path)).items()
        ]
    except (KeyError, TypeError, AttributeError):
        raise ValueError(f'{path}: each step must have "in" and "dropped", as the data tools write it') from None


def _dropped(folder: Path) -> dict[str, list[tuple[dict[str, Any], str]]]:
    """By reason: the first rows that were dropped, each with its thumbnail if it has one."""
    path, files = folder / "dropped.jsonl", SetFiles(folder)
    shown: dict[str, list[tuple[dict[str, Any], str]]] = defaultdict(list)
    for _, row in read_rows(path) if path.is_file() else ():
        figures, picture = shown[str(row.get("reason"))], ""
        if len(figures) == _SHOWN:
            continue
        if isinstance(name := row.get("thumbnail"), str):
            with suppress(OSError, ValueError):  # it is gone, or no picture of this set
                content = files.read({}, name)
                read_size(content)
                picture = _data_url(content)
        figures.append((row, picture))
    return shown


def _samples(found: PosterDataset, number: int) -> list[PosterSample]:
    """The posters of a row: one, or the two of a pair."""
    row = found.rows[number]
    return [sample_from_row(one, lambda name: found.files.read(row, name)) for one in as_samples(row)]


def _card(row: dict[str, Any], samples: list[PosterSample]) -> dict[str, Any]:
    """A row: its posters with the boxes of their texts, what they start from, and its words."""
    sample = samples[0]
    inputs = [Image.fromarray(reference) for reference in sample.references]
    if sample.mask is not None:
        inputs.append(Image.fromarray(np.asarray(sample.mask)).convert("RGB"))
    return {
        "posters": list(zip(map(_poster, samples), pictures_of(row) or ("",), strict=True)),
        "inputs": [_url(picture) for picture in inputs], "task": sample.task, "row": row,
        "gap": f", {row['gap']:.3f} apart" if row.get("gap") else "",
        "words": sample.instruction if sample.task != "text" else sample.caption,
    }  # fmt: skip


def _poster(sample: PosterSample) -> str:
    target = Image.fromarray(sample.target)
    scale = 400 / max(target.size)
    target = target.resize((max(1, round(target.width * scale)), max(1, round(target.height * scale))))
    pen = ImageDraw.Draw(target)
    for region in sample.regions:
        pen.rectangle([scale * v for v in region.box], outline=_ROLE.get(region.role, (60, 60, 60)), width=2)
    return _url(target)


def _url(picture: Image.Image) -> str:
    picture = picture.copy()
    picture.thumbnail((400, 400))
    return _data_url(encoded(picture, "JPEG", quality=82))


def _data_url(jpeg: bytes) -> str:
    return f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}"
