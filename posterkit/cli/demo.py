"""`posterkit demo`: three posters with the shipped models, wherever posterkit is installed."""

from __future__ import annotations

import argparse
from pathlib import Path
from shlex import quote

from posterkit.documents import read_text

_MANIFEST = Path(__file__).with_suffix(".jsonl")
_PICTURE = "a white sailboat on blue waves, orange sun, beige sky"


def add_options(command: argparse.ArgumentParser) -> None:
    folder = "for the posters (default posterkit-demo)"
    command.add_argument("-o", "--output", type=Path, default=Path("posterkit-demo"), metavar="FOLDER", help=folder)


def run(args: argparse.Namespace) -> int:
    """Write the demo's manifest and its picture, run a batch over them, and say what to try next."""
    from posterkit.cli.main import main
    from posterkit.generate.record import write_png
    from posterkit.image_io import written_whole
    from posterkit.schema import PosterRequest
    from posterkit.sizing import Size
    from posterkit.synthetic.scene_draft import draft

    folder = args.output
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"{folder}: -o names a file; demo needs a folder")
    manifest, picture = folder / "posters.jsonl", folder / "picture.png"
    if not manifest.exists():
        with written_whole(manifest) as file:
            file.write_text(read_text(_MANIFEST), encoding="utf-8")
    if not picture.exists():
        write_png(draft(PosterRequest(_PICTURE, seed=5), Size(600, 600)), picture)
    code = main(["batch", str(manifest), "-o", str(folder)])
    for poster in sorted(folder.glob("[0-9]_*.png")):
        print(poster)
    here = quote(str(folder))
    print(f"""all on one sheet: {folder / "contact_sheet.png"}

Try next:
  posterkit generate "a jazz concert on an orange background" --text "JAZZ IM PARK" -o jazz.png -o jazz.pdf
  posterkit transform rescaling {here}/picture.png --size instagram-story --text "AHOY" -o ahoy.png
  posterkit info {here}/1_lighthouse.png
  posterkit batch {here}/posters.jsonl -o {here}    (after a change in that file)""")
    return code
