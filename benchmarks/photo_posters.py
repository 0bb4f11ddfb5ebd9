"""Posters with titles on photographs of yours, each in a look of its own, and a sheet of them to look at.

python benchmarks/photo_posters.py photos/ --out posters --sheet posters/sheet.jpg

NAME.txt beside NAME.jpg holds its texts, as in a folder of `posterkit batch`; photographs without one bear the words
that `WORDS` has for their name, or their name.
"""

from __future__ import annotations

import argparse
from itertools import cycle
from pathlib import Path

from posterkit.batch.contact_sheet import Frame, contact_sheet
from posterkit.cli.main import main as posterkit
from posterkit.image_io import SUFFIXES, written_whole

TALL, WIDE, SQUARE = "832x1216", "1200x800", "1080x1080"
LOOKS = (  # in the order of the photographs' names
    ("--style", "modern", "--size", TALL),
    ("--style", "swiss", "--size", SQUARE),
    ("--style", "rounded", "--size", WIDE),
    ("--style", "elegant", "--size", WIDE, "--align", "right"),
    ("--style", "script", "--size", WIDE, "--layout", "bottom-stack"),
    ("--style", "handwriting", "--size", TALL),
    ("--style", "slab", "--size", TALL, "--layout", "framed"),
    ("--style", "geometric", "--size", TALL, "--layout", "top-and-bottom"),
    ("--font", "Inter", "--size", SQUARE),
    ("--style", "condensed", "--size", TALL),
)
WORDS = {
    "astronaut": ("@title:BEYOND", "An evening with an astronaut", "12 October, 7 pm", "@cta:Book your seat"),
    "camera": ("@title:Silent Frames", "Photographs in black and white", "3 March to 28 May"),
    "chelsea": ("@title:Purr", "@subtitle:The cat café, Mill Lane 4", "@body:Opens on Friday"),
    "china": ("@title:The Painted Roof", "A journey to the palaces of Beijing", "@cta:Read the story"),
    "coffee": ("@title:Slow Mornings", "Coffee and cake from 8 to 11"),
    "flower": ("@title:In Bloom", "The garden festival", "6 to 14 May, free entry"),
    "gravel": ("@title:Rough Ground", "Fair of ceramics and stone", "21 and 22 June"),
    "hubble": ("@title:DEEP FIELD", "Ten thousand galaxies in one picture", "Planetarium, daily at 8 pm"),
    "retina": ("@title:Look after it", "Free eye tests", "World Sight Day, 9 October"),
    "rocket": ("@title:LIFT-OFF", "11 February, 6:03 pm"),
}


def texts_for(photo: Path) -> tuple[str, ...]:
    """The words of one poster, its title first."""
    said = photo.with_suffix(".txt")
    if said.exists():
        return tuple(line for line in said.read_text(encoding="utf-8").splitlines() if line.strip())
    return WORDS.get(photo.stem, (f"@title:{photo.stem}",))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path)
    parser.add_argument("--out", type=Path, default=Path("photo_posters"))
    parser.add_argument("--sheet", type=Path, help="a JPEG of all posters")
    args = parser.parse_args()
    photos = sorted(path for path in args.photos.iterdir() if path.suffix.lower() in SUFFIXES)
    args.out.mkdir(parents=True, exist_ok=True)
    frames = []
    for photo, look in zip(photos, cycle(LOOKS), strict=False):
        poster = args.out / f"{photo.stem}.png"
        poster.unlink(missing_ok=True)
        words = [option for text in texts_for(photo) for option in ("--text", text)]
        if posterkit(["typeset", str(photo), *words, *look, "-o", str(poster)]) == 0:
            frames.append(Frame(poster, photo.stem, " ".join(look[:2]).removeprefix("--")))
    if args.sheet and frames:
        with written_whole(args.sheet) as temporary:
            contact_sheet(frames).convert("RGB").save(temporary, quality=80, optimize=True)


if __name__ == "__main__":
    main()
