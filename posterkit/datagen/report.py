"""One page about a set: samples with their boxes, counts, sizes, text lengths, the funnel and what was dropped."""

from __future__ import annotations

import base64
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from contextlib import suppress
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from posterkit.datasets.dataset import PosterDataset, SetFiles, read_rows
from posterkit.datasets.pair_dataset import as_samples, pictures_of
from posterkit.datasets.sample_files import encoded, sample_from_row
from posterkit.documents import read_json, read_text
from posterkit.image_io import read_size
from posterkit.schema import PosterSample

_STYLE = Path(__file__).with_suffix(".css")
_SHOWN = 24  # thumbnails of dropped items for each reason
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
    if not found.rows:
        raise ValueError(f"{found.index}: the set has no rows")
    folder, out = found.index.parent, Path(out)
    captions = [str(row.get("caption", row.get("prompt", ""))) for row in found.rows]
    charts = [
        _bars("task", Counter(str(row.get("task", "-")) for row in found.rows)),
        _bars("theme", Counter(str(row.get("theme") or "-") for row in found.rows)),
        _bars(
            "script of the texts",
            Counter(script for row in found.rows for script in scripts(_texts(row))),
        ),
        _bars("split", Counter(str(row.get("split", "train")) for row in found.rows)),
        _bars("texts on a poster", Counter(str(len(_texts(row))) for row in found.rows if "texts" in row), True),
        _bars("letters in a text", _binned([len(text) for row in found.rows for text in _texts(row)], 5), True),
        _bars("words in a caption", _binned([len(caption.split()) for caption in captions], 10), True),
    ]
    shown = _spread(found.rows, samples)
    cards = [(found.rows[number], _samples(found, number)) for number in shown]
    sizes = Counter(f"{one.target.shape[1]}x{one.target.shape[0]}" for _, samples in cards for one in samples)
    charts.insert(4, _bars("size of the shown targets", sizes))
    body = [
        f"<h1>{escape(folder.resolve().name)}</h1>",
        f'<p class="sub">{len(found.rows)} samples</p>',
        '<h2>What it holds</h2><div class="charts">', *charts, "</div>",
        _funnel(folder),
        _dropped(folder),
        '<h2>Samples</h2><div class="samples">', *(_card(row, samples) for row, samples in cards), "</div>",
    ]  # fmt: skip
    page = (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{escape(folder.resolve().name)}</title>'
        f"<style>{_STYLE.read_text(encoding='utf-8')}</style><body>{''.join(body)}</body></html>\n"
    )
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


def _bars(title: str, counts: Counter[str], by_name: bool = False) -> str:
    if not counts:
        return ""
    most = max(counts.values())
    ordered = sorted(counts.items()) if by_name else counts.most_common()
    lines = [
        f'<div class="bar"><b title="{escape(name)}">{escape(name)}</b>'
        f'<span style="width:{max(1, round(100 * number / most))}%"></span><i>{number}</i></div>'
        for name, number in ordered[:16]
    ]
    rest = f'<div class="bar"><b>and {len(ordered) - 16} more</b></div>' if len(ordered) > 16 else ""
    return f'<div class="card"><h3>{escape(title)}</h3>{"".join(lines)}{rest}</div>'


def _funnel(folder: Path) -> str:
    path = folder / "funnel.json"
    if not path.is_file():
        return ""
    lines = []
    try:
        steps = {
            step: (int(found["in"]), {str(reason): int(n) for reason, n in found["dropped"].items()})
            for step, found in read_json(read_text(path), str(path)).items()
        }
    except (KeyError, TypeError, AttributeError):
        raise ValueError(f'{path}: each step must have "in" and "dropped", as the data tools write it') from None
    for step, (came, dropped) in steps.items():
        reasons = ", ".join(f"{escape(reason)} {number}" for reason, number in sorted(dropped.items()))
        lines.append(
            f'<tr><td>{escape(step)}</td><td class="n">{came}</td><td class="n">{came - sum(dropped.values())}</td>'
            f'<td class="lost">{reasons}</td></tr>'
        )
    head = '<tr><th>step</th><th class="n">in</th><th class="n">out</th><th>dropped</th></tr>'
    return f'<h2>Funnel</h2><div class="card"><table>{head}{"".join(lines)}</table></div>'


def _dropped(folder: Path) -> str:
    path = folder / "dropped.jsonl"
    if not path.is_file():
        return ""
    shown: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for _, row in read_rows(path):
        if len(shown[str(row.get("reason"))]) < _SHOWN:
            shown[str(row.get("reason"))].append(row)
    files = SetFiles(folder)
    parts = []
    for reason, rows in sorted(shown.items()):
        figures = []
        for row in rows:
            picture = ""
            if isinstance(name := row.get("thumbnail"), str):
                with suppress(OSError, ValueError):  # it is gone, or no picture of this set
                    content = files.read({}, name)
                    read_size(content)
                    picture = f'<img src="{_data_url(content)}">'
            said = "<br>".join(escape(str(row.get(key, ""))) for key in ("id", "detail"))
            figures.append(f"<figure>{picture}<figcaption>{said}</figcaption></figure>")
        parts.append(f'<div class="card"><h3>{escape(reason)}</h3><div class="dropped">{"".join(figures)}</div></div>')
    return f"<h2>What was dropped</h2>{''.join(parts)}" if parts else ""


def _samples(found: PosterDataset, number: int) -> list[PosterSample]:
    """The posters of a row: one, or the two of a pair."""
    row = found.rows[number]
    return [sample_from_row(one, lambda name: found.files.read(row, name)) for one in as_samples(row)]


def _card(row: dict[str, Any], samples: list[PosterSample]) -> str:
    """A row: its posters with the boxes of their texts, what they start from, and its words."""
    keys, sample = pictures_of(row), samples[0]
    pictures = [_poster(sample) for sample in samples]
    if keys:
        named = zip(pictures, keys, strict=True)
        pictures = [f"<figure>{one}<figcaption>{key}</figcaption></figure>" for one, key in named]
    pictures += [_image(Image.fromarray(reference), "small") for reference in sample.references]
    if sample.mask is not None:
        pictures.append(_image(Image.fromarray(np.asarray(sample.mask)).convert("RGB"), "small"))
    words = sample.instruction if sample.task != "text" else sample.caption
    said = f'<span class="tag">{escape(str(sample.task))}</span> {escape(str(words))}'
    more = "".join(f"<p><b>{key}</b> {escape(str(row[key]))}</p>" for key in ("content", "style") if row.get(key))
    under = escape(str(row.get("id", ""))) + (f", {row['gap']:.3f} apart" if row.get("gap") else "")
    shown = "".join(pictures)
    return f'<div class="card"><div class="row">{shown}</div><p>{said}</p>{more}<p class="sub">{under}</p></div>'


def _poster(sample: PosterSample) -> str:
    target = Image.fromarray(sample.target)
    scale = 400 / max(target.size)
    target = target.resize((max(1, round(target.width * scale)), max(1, round(target.height * scale))))
    pen = ImageDraw.Draw(target)
    for region in sample.regions:
        pen.rectangle([scale * v for v in region.box], outline=_ROLE.get(region.role, (60, 60, 60)), width=2)
    return _image(target)


def _image(picture: Image.Image, kind: str = "") -> str:
    picture = picture.copy()
    picture.thumbnail((400, 400))
    return f'<img class="{kind}" src="{_data_url(encoded(picture, "JPEG", quality=82))}">'


def _data_url(jpeg: bytes) -> str:
    return f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}"
