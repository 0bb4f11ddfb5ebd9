"""Processor time in which a poster becomes each of its forms: the median of seven runs, in turns.

python benchmarks/forms_speed.py [--size 832x1216] [--cmyk PROFILE]
"""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path

import skimage.data
from PIL import Image

from posterkit.paper import parse_size
from posterkit.prompts import PosterBrief
from posterkit.typeset.export_options import ExportOptions
from posterkit.typeset.exporters import EXPORTERS, export
from posterkit.typeset.graphics import GraphicWish
from posterkit.typeset.poster import typeset

TEXTS = ["JAZZ NIGHT", "An evening by the river", "Friday 8 pm", "Book now"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", default="832x1216", help="as posterkit --size takes it")
    parser.add_argument("--cmyk", type=Path, metavar="PROFILE", help="an ICC profile, for PDF/X-4 and the soft proof")
    args = parser.parse_args()
    size, dpi = parse_size(args.size)
    picture = Image.fromarray(skimage.data.coffee()).resize(size, Image.Resampling.LANCZOS)
    poster = typeset(picture, PosterBrief(texts=TEXTS), graphics=[GraphicWish("qr", "https://example.org")])
    forms = [(ending, ExportOptions(dpi)) for ending in EXPORTERS if ending != ".proof.png"]
    if args.cmyk:
        press = ExportOptions(dpi, args.cmyk)
        forms += [(".pdf", press), (".proof.png", press)]
    seconds: dict[tuple[str, bool], list[float]] = {}
    for _ in range(7):
        for ending, options in forms:
            began = time.process_time()
            content = export(poster, ending, options)
            seconds.setdefault((ending, options.profile is not None), []).append(time.process_time() - began)
            assert content
    print(f"a poster of {size}, median and range of seven:")
    for (ending, inks), times in seconds.items():
        name = f"{ending} in inks" if inks else ending
        print(f"  {name:16} {statistics.median(times):.2f} s  ({min(times):.2f} to {max(times):.2f})")


if __name__ == "__main__":
    main()
