"""Runs what the first-hour pages say, from top to bottom in an empty folder, and makes their pictures.

    python benchmarks/first_hours.py designer --out /tmp/designer
    python benchmarks/first_hours.py designer developer researcher --out /tmp/hours --pictures docs

Blocks that begin with three backticks and `bash` or `python` are run; others only show. The first call that fails ends
it, and the next run goes on there.
"""

from __future__ import annotations

import argparse
import os
import re
import shlex
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from PIL import Image, ImageOps

from posterkit.cli.main import main as posterkit
from posterkit.image_io import read_image

ROOT = Path(__file__).resolve().parents[1]
READERS = ("designer", "developer", "researcher")
HEIGHT, QUALITY = 360, 82
# a page's pictures: the files that stand side by side in each
PICTURES: dict[str, dict[str, Sequence[str]]] = {
    "designer": {
        "first_hour_demo.jpg": ("demo/1_lighthouse.png", "demo/2_fox.png", "demo/3_planet.png"),
        "first_hour_words.jpg": ("jazz.png", "jazz_fr.png", "jazz_4.png", "elegant.png"),
        "first_hour_picture.jpg": ("demo/picture.png", "story.png", "style.png"),
        "first_hour_batch.jpg": ("events/contact_sheet.png",),
    },
    "developer": {"first_hour_code.jpg": ("poster.png", "plan.png", "planned.png")},
    "researcher": {
        "first_hour_set.jpg": ("runs/dry/dry_run.png",),
        "first_hour_run.jpg": ("runs/expert/samples/0000000.png", "runs/expert/samples/0000008.png"),
    },
}


def blocks(page: str) -> Iterator[tuple[str, str]]:
    """Language and text of each block that is run."""
    yield from re.findall(r"^```(bash|python)\n(.*?)^```", page, re.DOTALL | re.MULTILINE)


def calls(page: str) -> Iterator[str | list[str]]:
    """What is run, in order: a command of posterkit as its words, all else as code or as a line of a shell."""
    for language, text in blocks(page):
        if language == "python":
            yield text
            continue
        for line in text.splitlines():
            if line.strip():
                yield shlex.split(line) if line.startswith("posterkit ") else ["bash", "-euc", line]


def run_page(reader: str, folder: Path) -> None:
    """Run a page in a folder, in this process; what a former call has done there is not done again.

    Raises:
        RuntimeError: a call fails; it is named, with its exit code.
    """
    folder.mkdir(parents=True, exist_ok=True)
    record, before = folder / ".done", Path.cwd()
    done = len(record.read_text().splitlines()) if record.is_file() else 0
    os.chdir(folder)
    try:
        for number, call in enumerate(calls((ROOT / "docs" / f"first_hour_{reader}.md").read_text(encoding="utf-8"))):
            if number < done:
                continue
            start = time.perf_counter()
            if isinstance(call, str):
                exec(compile(call, f"first_hour_{reader}.md", "exec"), {"__name__": "example"})
                code = 0
            elif call[0] == "posterkit":
                code = posterkit(call[1:])
            else:
                code = subprocess.run(call).returncode
            if code:
                raise RuntimeError(f"{reader}'s first hour: exit code {code} of {call}")
            with Path(".done").open("a") as file:
                file.write(f"{time.perf_counter() - start:.1f} s  {call[:120]!r}\n")
    finally:
        os.chdir(before)


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
