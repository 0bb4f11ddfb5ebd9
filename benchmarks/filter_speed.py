"""How many posters a core filters in a second without OCR, how two processes share the work, and the memory it takes.

    OMP_NUM_THREADS=1 python benchmarks/filter_speed.py [--count N] [--pairs N] [--captions]

Posters are 832x1216 JPEG files in a temporary folder: enlarged synthetic ones and crops of scikit-image's photographs.
The tool itself runs, both its looks at every file and all that it writes, with one and with two workers in turn; the
time that it takes for two posters (start and imports) is taken off. By default every poster is captioned by the
rules; with --captions each has a NAME.txt.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from random import Random

import skimage.data
from PIL import Image

from posterkit.datasets import SyntheticPosters
from posterkit.image_io import read_image

ROOT = Path(__file__).parents[1]
SIZE = (832, 1216)
PHOTOS = ("coffee.png", "chelsea.png", "rocket.jpg", "astronaut.png", "motorcycle_left.png", "hubble_deep_field.jpg")


def make_posters(folder: Path, count: int, captions: bool) -> None:
    """Every other one synthetic, every other one a crop of a photograph."""
    drawn = SyntheticPosters(seed=0, size=(SIZE[0] // 2, SIZE[1] // 2))
    shelf = Path(skimage.data.__file__).parent
    photos = [read_image(shelf / name) for name in PHOTOS]
    for number in range(count):
        rng = Random(number)
        if number % 2:
            photo = rng.choice(photos)
            height = rng.uniform(0.4, 1) * min(photo.height, photo.width * SIZE[1] / SIZE[0])
            width = height * SIZE[0] / SIZE[1]
            x, y = rng.uniform(0, photo.width - width), rng.uniform(0, photo.height - height)
            poster = photo.resize(SIZE, Image.Resampling.BICUBIC, (x, y, x + width, y + height))
        else:
            poster = Image.fromarray(drawn.sample(number, task="text").target).resize(SIZE, Image.Resampling.BICUBIC)
        poster.save(folder / f"{number:05d}.jpg", quality=92)
        if captions:
            (folder / f"{number:05d}.txt").write_text("A poster.\n")


def run(folder: Path, workers: int, shard: int) -> tuple[float, float]:
    """Seconds on the clock, and seconds of all processors."""
    with tempfile.TemporaryDirectory() as out:
        tool = [sys.executable, str(ROOT / "data_tools" / "filter_posters.py"), str(folder), "--out", f"{out}/set"]
        before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        options = ["--no-text", "--least", "0", "--workers", str(workers), "--shard", str(shard)]
        subprocess.run(
            [*tool, *options], check=True, stdout=subprocess.DEVNULL, env=os.environ | {"OMP_NUM_THREADS": "1"}
        )
        seconds, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    return seconds, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def quartiles(values: list[float]) -> str:
    low, middle, high = statistics.quantiles(values if len(values) > 1 else values * 2, n=4, method="inclusive")
    return f"{middle:.2f} ({low:.2f} to {high:.2f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=300, help="posters (default 300)")
    parser.add_argument("--pairs", type=int, default=7, help="runs with one and with two workers (default 7)")
    parser.add_argument("--captions", action="store_true", help="with a caption beside each poster")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as two, tempfile.TemporaryDirectory() as all_of_them:
        make_posters(Path(two), 2, given.captions)
        make_posters(Path(all_of_them), given.count, given.captions)
        found: dict[int, list[tuple[float, float]]] = {1: [], 2: []}
        for _ in range(given.pairs):
            for workers, runs in found.items():
                idle, busy = run(Path(two), workers, 1), run(Path(all_of_them), workers, 25)
                runs.append((busy[0] - idle[0], busy[1] - idle[1]))
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024  # kB on Linux
    many = given.count - 2
    print(f"{given.count} posters of {SIZE[0]}x{SIZE[1]}, {given.pairs} runs: median (quartiles)")
    for workers, runs in found.items():
        print(f"{workers} worker{'s'[: workers - 1]}: {quartiles([many / clock for clock, _ in runs])} posters/s, "
              f"{quartiles([many / spent for _, spent in runs])} posters/s per core of processor time")  # fmt: skip
    share = [alone[0] / (2 * both[0]) for alone, both in zip(found[1], found[2], strict=True)]
    print(f"share of linear from 1 to 2 workers: {quartiles(share)}")
    print(f"peak memory of a process: {peak:.0f} MiB")


if __name__ == "__main__":
    main()
