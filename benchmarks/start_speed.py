"""How long a stage reads before its first step: a set that it sees for the first time, and one that it knows.

    OMP_NUM_THREADS=1 python benchmarks/start_speed.py --count 5000 --side 256

Draws synthetic posters into a temporary set, then plans it as a stage does: with no memo (every picture is read and
hashed), and again with the one that the first start left. The files are in the system's own cache each time, so that
a real disk's time comes on top of the first figure.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path

from posterkit.datagen.engine import Flow, run_flow
from posterkit.datasets.dataset import PosterDataset
from posterkit.datasets.file_index import FileIndex
from posterkit.datasets.sample_files import encode_for_shards, encode_sample
from posterkit.synthetic import SyntheticPosters
from posterkit.training.loading.fitting import plan_sizes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=5000)
    parser.add_argument("--side", type=int, default=256, help="of the posters in pixels")
    given = parser.parse_args()
    source = SyntheticPosters(seed=0, sizes=((given.side, given.side),))
    for layout in ("folder", "webdataset"):
        with tempfile.TemporaryDirectory() as folder:
            encode = encode_sample if layout == "folder" else encode_for_shards
            run_flow(Flow(source, given.count, (), encode, {"seed": 0}), Path(folder) / "set", layout=layout)
            for path in (Path(folder) / "set").rglob("*"):
                os.utime(path, (time.time() - 3600, time.time() - 3600))  # what has just been written is not trusted
            for start in ("first", "second"):
                began = time.process_time()
                dataset = PosterDataset(Path(folder) / "set")
                opened, wall = time.process_time(), time.perf_counter()
                memo = FileIndex(Path(folder) / "known", dataset)
                plans, _ = plan_sizes(memo, given.side**2)
                spent, wall = time.process_time() - opened, time.perf_counter() - wall
                print(
                    f"{layout}, {start} start: {spent:6.2f} s of a core ({wall:.2f} s in all), {len(plans)} posters, "
                    f"{memo.read} read; index {opened - began:.2f} s; memo {memo.path.stat().st_size / 1e6:.2f} MB",
                    flush=True,
                )


if __name__ == "__main__":
    main()
