"""Layouts that planners learn from: the shipped ones, and a user's own in the same form.

One JSON line each: `{"id", "size": [w, h], "elements": [[role, x0, y0, x1, y1, align?], ...], "content"?, "caption"?,
"source", "licence"}`, boxes as shares of the canvas.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from posterkit.documents import read_json, read_lines
from posterkit.image_io import written_whole
from posterkit.layout.layout_request import MOST_ELEMENTS, MOST_PIXELS
from posterkit.layout.types import Box, Element, Layout
from posterkit.lettering import ALIGNS
from posterkit.messages import one_line

SHIPPED = Path(__file__).with_name("exemplars.jsonl")


@dataclass(frozen=True)
class Exemplar:
    """A layout that others are planned after."""

    id: str  # unique in its file
    layout: Layout  # its elements have roles and boxes; no texts
    content: tuple[Box, ...] = ()  # boxes of what is worth seeing on its picture, in pixels
    caption: str = ""  # the poster in words
    source: str = ""  # where it comes from; layouts of one source are kept from each other in evaluations
    licence: str = "CC0-1.0"  # SPDX name


@lru_cache(maxsize=4)
def read_exemplars(path: str | Path = SHIPPED) -> tuple[Exemplar, ...]:
    """The exemplars in a JSON lines file.

    Raises:
        ValueError: one line that names the file's line: it is no exemplar; or the file has none.
        OSError: the file cannot be read.
    """
    found = tuple(_exemplar(read_json(line, f"{path}:{at}"), f"{path}:{at}") for at, line in read_lines(path))
    if not found:
        raise ValueError(f"{path}: holds no exemplars; write some with posterkit.layout.exemplars.write_exemplars")
    return found


def write_exemplars(exemplars: Iterable[Exemplar], path: str | Path) -> int:
    """Write exemplars to a JSON lines file, and say how many."""
    lines = []
    for one in exemplars:
        w, h = one.layout.size
        record = {
            "id": one.id, "size": [w, h],
            "elements": [
                [element.role, *_shares(element.box, w, h), *([element.align] if element.align != "center" else [])]
                for element in one.layout
            ],
            "content": [_shares(box, w, h) for box in one.content], "caption": one.caption, "source": one.source,
            "licence": one.licence,
        }  # fmt: skip
        said = {key: value for key, value in record.items() if value not in ("", [])}
        lines.append(json.dumps(said, ensure_ascii=False, separators=(",", ":")))
    with written_whole(Path(path)) as temporary:
        temporary.write_text("".join(line + "\n" for line in lines), encoding="utf-8")
    return len(lines)


def _shares(box: Box, width: int, height: int) -> list[float]:
    return [round(side / full, 4) for side, full in zip(box, (width, height) * 2, strict=True)]


def _exemplar(record: object, what: str) -> Exemplar:
    try:
        assert isinstance(record, dict)
        w, h = (int(side) for side in record["size"])
        assert 1 <= min(w, h) <= max(w, h) <= MOST_PIXELS
        elements = []
        for index, (role, *rest) in enumerate(record["elements"]):
            align = rest.pop() if len(rest) == 5 else "center"
            assert isinstance(role, str) and align in ALIGNS
            elements.append(Element(index, "", role, _box(rest, w, h), align))
        assert 1 <= len(elements) <= MOST_ELEMENTS
        content = tuple(_box(sides, w, h) for sides in record.get("content", ()))
        words = [record.get(key, "") for key in ("caption", "source", "licence")]
        assert all(isinstance(word, str) for word in words)
        return Exemplar(str(record["id"]), Layout(w, h, tuple(elements)), content, *words)
    except (AssertionError, KeyError, TypeError, ValueError):
        raise ValueError(
            f'{what}: {one_line(json.dumps(record), 60)} is no exemplar; {{"id", "size": [w, h], "elements": '
            "[[role, x0, y0, x1, y1], ...]} with boxes as shares of the canvas is read"
        ) from None


def _box(sides: object, width: int, height: int) -> Box:
    assert isinstance(sides, list) and len(sides) == 4
    x0, y0, x1, y1 = (float(side) for side in sides)
    assert -1 <= x0 <= x1 <= 2 and -1 <= y0 <= y1 <= 2
    return Box(x0 * width, y0 * height, x1 * width, y1 * height)
