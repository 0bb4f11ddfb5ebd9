"""Planners beside each other: six drawn pictures in rows, a planner in each column, texts set where it says.

    python benchmarks/planner_columns.py --out docs/planner_columns.jpg
    python benchmarks/planner_columns.py --out columns.jpg --planner grammar --planner cot:MODEL

Pictures and texts are those of `posterkit bench layout`, two of them with an underlay; every column has the same.
"""

from __future__ import annotations

import argparse
import warnings
from dataclasses import replace
from pathlib import Path

from PIL import Image

from posterkit.datagen.layout_requests import draw_request
from posterkit.image_io import written_whole
from posterkit.layout import ElementRequest, LayoutRequest
from posterkit.layout.planners.planner_names import open_planner
from posterkit.prompts import PosterBrief
from posterkit.typeset.fonts import for_text
from posterkit.typeset.poster import typeset
from posterkit.typeset.raster import draw_line
from posterkit.typeset.shaping import shape
from posterkit.typeset.texts import settle

PLANNERS = ("archetypes", "grammar", "retrieval", "cot")
# seeds of `draw_request`, and whether an underlay is asked for
REQUESTS = ((8, False), (16, True), (36, False), (25, False), (46, True), (50, False))
HEIGHT, GAP = 360, 10  # pixels of a poster, and between two


def requests() -> list[LayoutRequest]:
    """The requests of the rows, with their pictures."""
    found = []
    for seed, underlay in REQUESTS:
        request = draw_request(seed).request
        more = (ElementRequest("underlay"),) if underlay else ()
        found.append(replace(request, elements=(*request.elements, *more)))
    return found


def poster(request: LayoutRequest, spec: str) -> Image.Image:
    """The request's picture with its texts where a planner puts them."""
    assert request.picture is not None
    brief = PosterBrief(texts=[*request.texts])
    roles = [one.role for one in request.elements if one.is_text]
    job = settle(brief, request.size, style="modern", roles=roles)
    plan = open_planner(spec).plan(request, job.measurer(request.size))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return typeset(request.picture, brief, style="modern", plan=plan).image


def page(columns: dict[str, list[Image.Image]]) -> Image.Image:
    """A row for each picture, a column for each planner, its name on top."""
    rows = list(zip(*columns.values(), strict=True))
    widths = [round(HEIGHT * one.width / one.height) for one, *_ in rows]
    half = -(-len(rows) // 2)  # two blocks beside each other
    blocks = [max(widths[:half]), max(widths[half:])]
    sheet = Image.new("RGB", (GAP + sum(len(columns) * (wide + GAP) + GAP for wide in blocks),
                              40 + half * (HEIGHT + GAP)), "white")  # fmt: skip
    for number, row in enumerate(rows):
        block, line = divmod(number, half)
        left = GAP + block * (len(columns) * (blocks[0] + GAP) + GAP)
        for column, (name, one) in enumerate(zip(columns, row, strict=True)):
            x, y = left + column * (blocks[block] + GAP), 32 + line * (HEIGHT + GAP)
            sheet.paste(one.resize((widths[number], HEIGHT), Image.Resampling.LANCZOS), (x, y))
            if line == 0:
                draw_line(sheet, shape(name, for_text(name)), (x, 22), 15, (90, 90, 94))
    return sheet


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="the picture")
    parser.add_argument("--planner", action="append", metavar="NAME", help=f"a column (default {', '.join(PLANNERS)})")
    options = parser.parse_args()
    asked = requests()
    columns = {spec: [poster(one, spec) for one in asked] for spec in options.planner or PLANNERS}
    with written_whole(options.out) as path:
        page(columns).save(path, quality=85)
    print(options.out)


if __name__ == "__main__":
    main()
