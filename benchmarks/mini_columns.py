"""What a draft gives and what a model gives: prompts in columns, as the cards of mini show them.

    python benchmarks/mini_columns.py --out docs/mini_columns.jpg    # ten prompts of mini_prompts.jsonl
    python benchmarks/mini_columns.py --out columns.jpg --count 20 --models runs/pictures_postercraft mini:postercraft

Left to right: the drawing that the prompt is read as, painted over at the default strength by the first model, and
from noise alone by each model. Every prompt has one seed for all columns.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from PIL import Image

from posterkit.generate.maker import PosterMaker
from posterkit.image_io import written_whole
from posterkit.schema import PosterRequest
from posterkit.sizing import Size
from posterkit.synthetic.scene_draft import draft
from posterkit.typeset.fonts import for_text
from posterkit.typeset.raster import draw_line
from posterkit.typeset.shaping import shape

SIZE = Size(416, 608)
CELL = Size(150, 219)


def prompts(count: int) -> list[str]:
    """Prompts in ordinary words, spread evenly over the six languages and everything that mini draws."""
    rows = (Path(__file__).parent / "mini_prompts.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(rows[i * len(rows) // count])["prompt"] for i in range(count)]


def drawn(model: str, requests: list[PosterRequest]) -> list[Image.Image]:
    """The posters of some requests by one model, without texts.

    Raises:
        ValueError: what a request is refused for.
    """
    with PosterMaker(model=model) as maker:
        made = maker.make([maker.plan(request) for request in requests])
    for one in made:
        if isinstance(one, Exception):
            raise one
    return [one.image for one in made if not isinstance(one, Exception)]


def page(asked: Sequence[str], columns: dict[str, list[Image.Image]], across: int = 2) -> Image.Image:
    """Rows of prompts, `across` beside each other; over each its words, under each picture its column's name."""
    group = len(columns) * (CELL.width + 8) + 24
    tall = CELL.height + 64
    sheet = Image.new("RGB", (24 + across * group, 24 + math.ceil(len(asked) / across) * tall), "white")
    for i, prompt in enumerate(asked):
        left, top = 24 + i % across * group, 16 + i // across * tall
        draw_line(sheet, shape(prompt, for_text(prompt)), (left, top + 14), 15, (30, 30, 34))
        for column, (name, pictures) in enumerate(columns.items()):
            x = left + column * (CELL.width + 8)
            sheet.paste(pictures[i].resize(CELL, Image.Resampling.LANCZOS), (x, top + 22))
            draw_line(sheet, shape(name, for_text(name)), (x, top + CELL.height + 36), 12, (120, 120, 124))
    return sheet


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="the picture")
    parser.add_argument("--models", nargs="+", default=["mini:postercraft"], help="the first one paints over drafts")
    parser.add_argument("--count", type=int, default=10, help="prompts")
    options = parser.parse_args()
    asked = prompts(options.count)
    requests = [PosterRequest(prompt, texts=(), size=SIZE, seed=i) for i, prompt in enumerate(asked)]
    columns = {"drawing": [draft(request, SIZE) for request in requests]}
    columns["painted over it"] = drawn(options.models[0], requests)
    for model in options.models:
        name = "from noise" + f" by {Path(model).name}" * (len(options.models) > 1)
        columns[name] = drawn(model, [replace(request, draft="none") for request in requests])
    with written_whole(options.out) as path:
        page(asked, columns).save(path, quality=88)


if __name__ == "__main__":
    main()
