"""`posterkit typeset PICTURE`: texts on a picture, in real fonts; no model."""

from __future__ import annotations

import argparse
import warnings
from functools import partial
from pathlib import Path

from posterkit.cli import options
from posterkit.lettering import unmarked


def add_options(command: argparse.ArgumentParser) -> None:
    options.add_output_options(command)
    options.add_lettering_options(command)
    command.add_argument("picture", type=Path, metavar="PICTURE", help="an image file of yours")


def run(args: argparse.Namespace) -> int:
    """Set the texts and write the poster to each of its files."""
    outputs = options.output_paths(args, [args.picture])
    texts, marks = unmarked(options.texts_of(args) or ())
    lettering = options.lettering_of(args)
    if not texts:
        raise ValueError("typeset needs --text, or a --plan with texts")
    if faults := lettering.faults():
        raise ValueError("; ".join(faults))

    from dataclasses import replace

    from posterkit.cli.progress import note
    from posterkit.generate.obstacles import find_obstacles
    from posterkit.generate.record import typeset_record, write_poster
    from posterkit.image_io import read_image, read_size
    from posterkit.prompts import PosterBrief
    from posterkit.typeset.poster import typeset
    from posterkit.typeset.texts import settle, type_options

    brief = PosterBrief(texts=texts)
    lettering = replace(lettering, marks=tuple(marks))
    how = type_options(lettering, texts, texts, read_size(args.picture))
    settle(brief, read_size(args.picture), **how)
    picture = read_image(args.picture)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        poster = typeset(picture, brief, avoid=find_obstacles(picture), **how)
    for warning in caught:
        note(str(warning.message))
    record = typeset_record(args.picture, poster, texts, lettering)
    for path in options.save_to(outputs, record["id"], partial(write_poster, poster, record=record, dpi=args.dpi)):
        print(f"{path}  {picture.width}x{picture.height}, {poster.layout.archetype}")
    return 0
