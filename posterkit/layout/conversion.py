"""Exemplars from the data sets that people have: PKU PosterLayout, CGL, RICO, PubLayNet, WebUI, PosterCopilot.

The sets have licences of their own; what is made of them here stays with the user.
"""

from __future__ import annotations

import csv
import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from posterkit.documents import read_json
from posterkit.layout.exemplars import Exemplar
from posterkit.layout.layout_request import MOST_ELEMENTS
from posterkit.layout.measures import LOGO, PKU_SIZE, TEXT, UNDERLAY
from posterkit.layout.types import Box, Element, Layout

_MOST = 2**31  # characters of an annotation file; PubLayNet's has over a gigabyte
_NUMBERS = re.compile(r"-?\d+(?:\.\d+)?")
_PKU = {"1": TEXT, "2": LOGO, "3": UNDERLAY}
_CGL = {1: LOGO, 2: TEXT, 3: UNDERLAY, 4: "decoration", 5: TEXT}


def convert(folder: str | Path, kind: str, licence: str = "") -> Iterator[Exemplar]:
    """The layouts of a folder as exemplars; what has no element, or more than 100, is passed over.

    Args:
        kind: one of `KINDS`.
        licence: of the set, as the user knows it.

    Raises:
        ValueError: the kind is unknown, the folder has no such file, or one that cannot be read.
    """
    if kind not in KINDS:
        raise ValueError(f"unknown kind of layouts {kind!r}; use {', '.join(KINDS)}")
    folder = Path(folder)
    pattern, read = KINDS[kind]
    files = sorted(path for path in (folder.rglob(pattern) if folder.is_dir() else ()) if path.is_file())
    if not files:
        raise ValueError(f"{folder}: has no {pattern}, which layouts of {kind} are read from")
    for file in files:
        try:
            for name, size, elements, caption in read(file):
                made = _layout(size, elements)
                if 1 <= len(made.elements) <= MOST_ELEMENTS:
                    yield Exemplar(f"{kind}/{name}", made, (), caption, f"{kind}/{name}", licence)
        except (KeyError, TypeError, IndexError, AttributeError) as error:
            raise ValueError(f"{file}: not in the form of {kind} ({error!r})") from None


Found = tuple[str, tuple[float, float], list[tuple[str, Sequence[float]]], str]  # name, size, (label, box), caption


def _layout(size: Sequence[float], elements: Sequence[tuple[str, Sequence[float]]]) -> Layout:
    """A layout of elements that have an area on the canvas; texts get the roles that their sizes say."""
    w, h = size
    kept = []
    for label, (x0, y0, x1, y1) in elements:
        box = Box(max(0.0, min(x0, x1)), max(0.0, min(y0, y1)), min(w, max(x0, x1)), min(h, max(y0, y1)))
        if box.width > 0 and box.height > 0:
            kept.append((label, box))
    texts = sorted((box.area for label, box in kept if label == TEXT), reverse=True)
    # the largest text is seen first, the next one second; a text in several lines is large as well
    ranks = {area: ("title", "subtitle")[min(rank, 1)] if rank < 2 else "body" for rank, area in enumerate(texts)}
    placed = [(ranks[box.area] if label == TEXT else label, box) for label, box in kept]
    placed.sort(key=lambda one: (one[0] not in ("title", "subtitle", "body"), one[1].y0, one[1].x0))
    return Layout(round(w), round(h), tuple(Element(i, "", role, box) for i, (role, box) in enumerate(placed)))


def _pku(file: Path) -> Iterator[Found]:
    posters: dict[str, list[tuple[str, Sequence[float]]]] = defaultdict(list)
    with file.open(encoding="utf-8-sig", newline="") as rows:
        for row in csv.DictReader(rows):
            if (label := _PKU.get(row["cls_elem"].strip())) is not None:
                sides = [float(side) for side in _NUMBERS.findall(row["box_elem"])]
                if len(sides) != 4:
                    raise ValueError(f"{file}: {row['poster_path']} has the box {row['box_elem'][:40]!r}")
                posters[row["poster_path"]].append((label, sides))
    for name, elements in posters.items():
        yield name, PKU_SIZE, elements, ""


def _coco(file: Path, labels: Callable[[int, str], str]) -> Iterator[Found]:
    """Images and annotations of COCO; in CGL the annotations of an image lie in a list of their own."""
    document = read_json(file.read_bytes(), str(file), _MOST)
    names = {one["id"]: str(one["name"]) for one in document.get("categories", ())}
    images = {one["id"]: one for one in document["images"]}
    posters: dict[Any, list[tuple[str, Sequence[float]]]] = defaultdict(list)
    for entry in document["annotations"]:
        for one in entry if isinstance(entry, list) else [entry]:
            x, y, w, h = (float(side) for side in one["bbox"])
            label = labels(one["category_id"], names.get(one["category_id"], ""))
            posters[one["image_id"]].append((label, (x, y, x + w, y + h)))
    for key, elements in posters.items():
        image = images[key]
        yield str(image["file_name"]), (image["width"], image["height"]), elements, ""


def _cgl(file: Path) -> Iterator[Found]:
    return _coco(file, lambda number, name: _CGL.get(number, "decoration"))


def _publaynet(file: Path) -> Iterator[Found]:
    return _coco(file, lambda number, name: "paragraph" if name == TEXT else name or str(number))


def _rico(file: Path) -> Iterator[Found]:
    """Semantic annotations: a tree of nodes with bounds; the leaves that have a label are elements."""
    root = read_json(file.read_bytes(), str(file))
    x0, y0, x1, y1 = root["bounds"]
    elements: list[tuple[str, Sequence[float]]] = []
    nodes = list(reversed(root.get("children") or []))
    while nodes:
        node = nodes.pop()
        if not isinstance(node, dict):
            continue
        if "componentLabel" in node and len(elements) <= MOST_ELEMENTS:
            a, b, c, d = node["bounds"]
            elements.append((str(node["componentLabel"]), (a - x0, b - y0, c - x0, d - y0)))
        nodes += reversed(node.get("children") or [])
    yield file.stem, (x1 - x0, y1 - y0), elements, ""


def _webui(file: Path) -> Iterator[Found]:
    """A list of pages: `{"text", "canvas_width", "elements": [{"type", "position": [x, y, w, h]}]}`."""
    document = read_json(file.read_bytes(), str(file))
    for number, page in enumerate(document if isinstance(document, list) else [document]):
        width = float(page["canvas_width"])
        elements = []
        for one in page["elements"]:
            x, y, w, h = (float(side) for side in one["position"])
            label = str(one["type"])
            elements.append(("paragraph" if label == TEXT else label, (x, y, x + w, y + h)))
        yield f"{file.stem}-{number}", (width, float(page.get("canvas_height") or width)), elements, str(page["text"])


def _postercopilot(file: Path) -> Iterator[Found]:
    """`{"canvas_size", "layers": [{"category", "x", "y", "w", "h"}]}`; a layer of the whole canvas is its ground."""
    document = read_json(file.read_bytes(), str(file))
    if not isinstance(document, dict) or "layers" not in document:
        return
    size = float(document["canvas_size"]["width"]), float(document["canvas_size"]["height"])
    kinds = {"type": TEXT, "image": "image", "smartobject": "image", "pixel": "image", "shape": "decoration"}
    elements = []
    for layer in document["layers"]:
        box = [float(layer[key]) for key in ("x", "y", "w", "h")]
        if layer["category"] != "background" and box[2] * box[3] < 0.95 * size[0] * size[1]:
            label = kinds.get(layer["category"], "decoration")
            elements.append((label, (box[0], box[1], box[0] + box[2], box[1] + box[3])))
    yield f"{file.parent.name}/{file.stem}", size, elements, ""


# by the set's name: its files, and what reads one
KINDS: dict[str, tuple[str, Callable[[Path], Iterator[Found]]]] = {
    "pku": ("*.csv", _pku), "cgl": ("layout*.json", _cgl), "rico": ("*.json", _rico),
    "publaynet": ("*.json", _publaynet), "webui": ("*.json", _webui),
    "postercopilot": ("layout*.json", _postercopilot),
}  # fmt: skip
