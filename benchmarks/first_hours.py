"""Runs what the first-hour pages say, from top to bottom in an empty folder, and makes their pictures.

    python benchmarks/first_hours.py designer --out /tmp/designer
    python benchmarks/first_hours.py designer developer researcher --out /tmp/hours --pictures docs

Blocks that begin with three backticks and `bash` or `python` are run; others only show. The first that fails ends it.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from PIL import Image, ImageOps

from posterkit.image_io import read_image

ROOT = Path(__file__).resolve().parents[1]
READERS = ("designer", "developer", "researcher")
HEIGHT, QUALITY = 360, 82
# a page's pictures: the files that stand side by side in each
PICTURES: dict[str, dict[str, Sequence[str]]] = {
    "designer": {
        "first_hour_demo.jpg": ("demo/1_lighthouse.png", "demo/2_fox.png", "demo/3_sailing.png"),
        "first_hour_words.jpg": ("jazz.png", "jazz_fr.png", "jazz_4.png", "elegant.png"),
        "first_hour_picture.jpg": ("demo/picture.png", "extended.png", "subject.png"),
        "first_hour_batch.jpg": ("events/contact_sheet.png",),
    },
    "developer": {"first_hour_code.jpg": ("poster.png", "extended.png", "plan.png", "planned.png")},
    "researcher": {
        "first_hour_set.jpg": ("runs/dry/dry_run.png",),
        "first_hour_run.jpg": ("runs/expert/samples/0000000.png", "runs/expert/samples/0000008.png"),
    },
}


def blocks(page: str) -> Iterator[tuple[str, str]]:
    """Language and text of each block that is run."""
    yield from re.findall(r"^```(bash|python)\n(.*?)^```", page, re.DOTALL | re.MULTILINE)


def run_page(reader: str, folder: Path) -> None:
    """Run a page in a folder; RuntimeError with the block and its last words where one fails."""
    folder.mkdir(parents=True, exist_ok=True)
    programs = folder / ".programs"
    programs.mkdir(exist_ok=True)
    shim = programs / "posterkit"  # as pip installs it, for this very checkout
    shim.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m posterkit "$@"\n')
    shim.chmod(0o755)
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = os.environ | {
        "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": os.pathsep.join(paths),
    }
    for language, text in blocks((ROOT / "docs" / f"first_hour_{reader}.md").read_text(encoding="utf-8")):
        command = ["bash", "-euc", text] if language == "bash" else [sys.executable, "-c", text]
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"{reader}'s first hour:\n{text}\n{(done.stdout + done.stderr)[-2000:]}")


def row(files: Sequence[Path]) -> Image.Image:
    """Pictures side by side, all of one height."""
    shown = [ImageOps.contain(read_image(file), (1400 // len(files), HEIGHT)) for file in files]
    width = sum(one.width for one in shown) + 12 * (len(shown) - 1)
    sheet = Image.new("RGB", (width, max(one.height for one in shown)), "white")
    left = 0
    for one in shown:
        sheet.paste(one, (left, (sheet.height - one.height) // 2))
        left += one.width + 12
    return sheet


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("readers", nargs="+", choices=READERS)
    options.add_argument("--out", type=Path, required=True, help="a folder for each reader is made in it")
    options.add_argument("--pictures", type=Path, help="where the pages' pictures go")
    given = options.parse_args()
    for reader in given.readers:
        folder = given.out / reader
        run_page(reader, folder)
        print(f"{reader}: {folder}")
        for name, files in PICTURES[reader].items() if given.pictures else ():
            row([folder / file for file in files]).save(given.pictures / name, quality=QUALITY, optimize=True)
            print(f"  {given.pictures / name}")


if __name__ == "__main__":
    main()
