"""Build the layouts that planners learn from: drawn posters with planned texts, and a table of layouts made by hand.

    python data_tools/build_exemplars.py --out posterkit/layout/exemplars.jsonl --count 120

Each drawn poster is laid out by every arrangement that suits it; the layouts that cover none of its subject are kept,
as different from each other as can be. Everything that comes out is CC0.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

from posterkit.datagen.layout_requests import draw_request
from posterkit.layout import Box, Element, ElementRequest, Layout
from posterkit.layout.exemplars import Exemplar, write_exemplars
from posterkit.layout.faults import find_faults
from posterkit.layout.ground import Ground
from posterkit.layout.planners.grammar import GrammarPlanner
from posterkit.layout.similarity import labelled, ltsim_distance
from posterkit.lettering import Align
from posterkit.typeset.line_breaking import measure

# name, width x height, then role x0 y0 x1 y1 in per cent, a letter behind it for the alignment (l, c, r)
BY_HAND = """
gig 832x1216: title 7 5 93 22 c; subtitle 20 24 80 28 c; subject 12 32 88 78 c; body 20 84 80 88 c; body 30 90 70 94 c
gallery 832x1216: logo 7 5 24 9 l; title 7 62 80 78 l; subtitle 7 80 70 84 l; body 7 90 40 94 l; body 55 90 93 94 l; subject 10 14 90 58 c
product 832x1216: title 7 6 93 16 c; subtitle 15 18 85 21 c; subject 18 26 82 80 c; underlay 34 86 66 92 c; cta 40 88 60 90 c
menu 832x1216: logo 40 4 60 9 c; title 12 12 88 22 c; body 14 28 86 46 c; body 14 50 86 68 c; body 14 72 86 86 c; cta 38 91 62 93 c
lecture 832x1216: title 7 6 70 26 l; subtitle 7 29 60 33 l; body 7 80 46 92 l; body 54 80 93 92 l; image 7 38 93 75 c
film 832x1216: subject 0 0 100 70 c; title 8 72 92 84 c; subtitle 20 86 80 89 c; body 10 93 90 96 c
offer 832x1216: underlay 7 58 93 95 c; title 12 62 88 76 c; subtitle 16 78 84 82 c; cta 40 88 60 91 c; subject 15 8 85 52 c
minimal 832x1216: subject 30 30 70 62 c; title 7 84 60 93 l; body 70 88 93 93 r
stack-left 832x1216: title 7 8 62 34 l; subtitle 7 37 56 41 l; body 7 45 50 49 l; body 7 51 50 55 l; cta 10 60 26 62 l; subject 40 46 97 97 c
square-sale 1024x1024: title 8 8 92 30 c; subject 25 34 75 78 c; body 20 82 80 87 c; cta 40 91 60 94 c
square-card 1024x1024: underlay 15 28 85 74 c; title 20 34 80 50 c; subtitle 24 53 76 58 c; cta 40 65 60 68 c; subject 0 0 100 100 c
square-corner 1024x1024: logo 78 7 93 14 r; title 7 66 66 86 l; subtitle 7 88 60 93 l; subject 24 8 96 62 c
square-split 1024x1024: image 50 0 100 100 c; title 7 12 45 38 l; subtitle 7 42 44 48 l; body 7 54 44 64 l; cta 10 76 28 79 l; logo 7 87 20 93 l
banner-left 1216x832: title 6 20 48 50 l; subtitle 6 54 46 60 l; cta 9 72 22 75 l; subject 52 8 96 92 c
banner-right 1216x832: title 54 18 94 48 l; subtitle 54 52 92 58 l; body 54 64 90 74 l; subject 4 8 48 92 c
banner-center 1216x832: title 15 10 85 34 c; subject 30 38 70 86 c; body 10 90 30 94 l; body 70 90 90 94 r
banner-event 1216x832: logo 6 7 18 13 l; title 6 40 60 64 l; subtitle 6 67 56 72 l; body 6 84 30 90 l; body 34 84 56 90 l; subject 60 12 97 90 c
banner-quote 1216x832: underlay 10 20 90 80 c; title 15 28 85 56 c; subtitle 30 64 70 70 c; decoration 44 22 56 24 c
story-top 720x1280: title 8 7 92 22 c; subtitle 16 24 84 28 c; subject 8 34 92 82 c; cta 36 90 64 92 c
story-bottom 720x1280: subject 6 8 94 58 c; title 8 64 92 78 l; subtitle 8 80 80 84 l; body 8 87 80 90 l; cta 12 94 36 96 l
story-list 720x1280: title 8 8 92 18 l; body 8 26 92 34 l; body 8 38 92 46 l; body 8 50 92 58 l; image 8 64 92 92 c
story-brand 720x1280: logo 36 5 64 10 c; subject 12 18 88 62 c; title 10 68 90 80 c; underlay 28 88 72 94 c; cta 36 90 64 92 c
leaflet 832x1216: title 7 5 93 13 l; image 7 17 48 44 c; image 52 17 93 44 c; subtitle 7 48 93 53 l; body 7 57 48 90 l; body 52 57 93 90 l
seal 832x1216: decoration 68 6 92 22 c; title 7 68 93 86 l; subtitle 7 88 70 92 l; subject 10 10 72 62 c; logo 80 93 93 96 r
"""  # noqa: E501 - one layout a line
_SIDES: dict[str, Align] = {"l": "left", "c": "center", "r": "right"}
_FAR = 0.045  # LTSim's distance, from which a layout is new
_EACH = 3  # layouts of one picture at most


def by_hand() -> Iterator[Exemplar]:
    for line in BY_HAND.strip().splitlines():
        head, _, rest = line.partition(":")
        name, _, shape = head.partition(" ")
        w, h = (int(side) for side in shape.split("x"))
        elements = []
        for index, said in enumerate(rest.split(";")):
            role, *sides, letter = said.split()
            x0, y0, x1, y1 = (float(side) / 100 for side in sides)
            elements.append(Element(index, "", role, Box(x0 * w, y0 * h, x1 * w, y1 * h), _SIDES[letter]))
        yield Exemplar(f"hand/{name}", Layout(w, h, tuple(elements)), source=f"hand/{name}")


def drawn(count: int) -> Iterator[Exemplar]:
    kept: list[Exemplar] = []
    planner, seed = GrammarPlanner(), 0
    while len(kept) < count:
        one = draw_request(seed, "train")
        seed += 1
        assert one.subject is not None  # every drawn poster has one
        request = replace(one.request, elements=(*one.request.elements, *_more(seed)))
        measurer = partial(measure, style="modern", least=8.0)
        ground = Ground(request)
        found = 0
        for layout in planner.candidates(request, measurer, 12):
            layout = _with_subject(layout, one.subject)
            far = all(ltsim_distance(labelled(layout), labelled(other.layout)) > _FAR for other in kept)
            faults = find_faults(layout, request, None, ground)
            asked = len(layout.elements) - 1  # the subject was not asked for
            clean = all(not fault.hard and fault.kind == "margin" for fault in faults if asked not in fault.elements)
            clean = clean and all(text.box.shared(one.subject) < 0.1 * text.box.area for text in layout.texts)
            if far and clean and found < _EACH and len(kept) < count:
                name = f"drawn/{seed - 1}"
                bare = tuple(replace(element, text="") for element in layout)
                found += 1
                kept.append(Exemplar(f"{name}-{found}", replace(layout, elements=bare, rules=()), (one.subject,),
                                     request.description, name))  # fmt: skip
    yield from kept


def _more(seed: int) -> list[ElementRequest]:
    """Things that some posters have beside their texts."""
    return [ElementRequest("underlay")] if seed % 5 == 0 else []


def _with_subject(layout: Layout, subject: Box) -> Layout:
    return replace(layout, elements=(*layout.elements, Element(len(layout.elements), "", "subject", subject)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--count", type=int, default=120, help="drawn ones, beside those made by hand")
    args = parser.parse_args()
    print(f"{args.out}: {write_exemplars([*by_hand(), *drawn(args.count)], args.out)} layouts")


if __name__ == "__main__":
    main()
