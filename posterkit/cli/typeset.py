"""`posterkit typeset PICTURE`: texts on a picture, in real fonts; no model."""

from __future__ import annotations

import argparse
import warnings
from functools import partial
from pathlib import Path

from posterkit.cli import options
from posterkit.lettering import mark_faults, unmarked

_SOFT = 2.5  # times that a picture may be enlarged before its poster looks soft


def add_options(command: argparse.ArgumentParser) -> None:
    options.add_output_options(command)
    options.add_lettering_options(command)
    brand = "a brand kit: palette, fonts, logo, margin and voice"
    command.add_argument("--brand", action="append", metavar="KIT", help=brand)
    options.add_metadata(command.add_argument)
    command.add_argument("picture", type=Path, metavar="PICTURE", help="an image file of yours")


def run(args: argparse.Namespace) -> int:
    """Set the texts and write the poster to each of its files."""
    outputs = options.output_paths(args, [args.picture])
    texts, marks = unmarked(options.texts_of(args) or ())
    lettering = options.lettering_of(args)
    if not texts and not (lettering.logo or lettering.qr or lettering.visible_mark or args.brand):
        raise ValueError("typeset needs --text, a --plan with texts, --logo, --qr or --visible-mark")
    if faults := lettering.faults() + mark_faults(texts):
        raise ValueError("; ".join(faults))

    from dataclasses import replace

    from PIL import Image, ImageOps

    from posterkit.cli.progress import note
    from posterkit.generate.obstacles import find_obstacles, find_subject
    from posterkit.generate.preserve import cut_out_in_place
    from posterkit.generate.record import typeset_record, write_poster
    from posterkit.image_io import MAX_PIXELS, read_image, read_size
    from posterkit.prompts import PosterBrief
    from posterkit.schema import PosterRequest
    from posterkit.typeset.placed_text import PictureParts
    from posterkit.typeset.poster import check_safe_area, typeset
    from posterkit.typeset.texts import settle, type_options

    brief = PosterBrief(texts=texts)
    lettering = replace(lettering, marks=tuple(marks))
    if kit := options.brand_kit(args):
        lettering = kit.applied(PosterRequest(texts=texts, lettering=lettering)).lettering
    given = options.size_of(args)
    size, sheet = given.get("size", read_size(args.picture)), given.get("sheet")
    if size.area > MAX_PIXELS:
        raise ValueError(
            f"the poster would be {size}; the limit is {MAX_PIXELS / 2**20:g} megapixels, take a lower --dpi"
        )
    trim = sheet.trim(size) if sheet else size
    how = type_options(lettering, texts, texts, trim)
    check_safe_area(settle(brief, trim, **how), trim, sheet, free=how.get("boxes") is not None)
    picture = read_image(args.picture)
    if picture.size != size:
        enlarged = max(size[0] / picture.width, size[1] / picture.height)
        if enlarged > _SOFT:
            found = "{}x{}".format(*picture.size)
            note(
                f"{args.picture} is {found} and the poster {size}: it is enlarged {enlarged:.1f} times and looks soft"
            )
        picture = ImageOps.fit(picture, size, Image.Resampling.LANCZOS)
    placed = how.get("plan") or how.get("boxes")  # the texts' places are known
    avoid = find_obstacles(picture) + ([] if placed else find_subject(picture))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        poster = typeset(picture, brief, avoid=avoid, sheet=sheet, **how)
    if args.cutout:
        found = cut_out_in_place(picture)
        note(f"{args.picture}: no clean outline of a subject found; the PSD has no layer of it") if not found else None
        poster = replace(poster, parts=PictureParts(picture, (("subject", found),)) if found else None)
    for warning in caught:
        note(str(warning.message))
    record = typeset_record(args.picture, poster, texts, lettering)
    how, metadata = options.export_options(args), args.metadata or "full"
    save = partial(write_poster, poster, record=record, how=how, metadata=metadata)
    for path in options.save_to(outputs, record["id"], save):
        print(f"{path}  {picture.width}x{picture.height}, {poster.layout.archetype}")
    return 0
