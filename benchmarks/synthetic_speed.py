"""How many synthetic samples a core draws in a second, for each task and for the mix.

    OMP_NUM_THREADS=1 python benchmarks/synthetic_speed.py [--count N] [--size WxH]

Time is this process' own CPU time, so that a busy machine does not blur the figures.
"""

from __future__ import annotations

import argparse
import time

from posterkit.datasets import SyntheticPosters
from posterkit.tasks import TASKS


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=150, help="samples of each task")
    parser.add_argument("--size", default="128x192", help="the targets' size in pixels")
    arguments = parser.parse_args()
    width, height = (int(side) for side in arguments.size.split("x"))
    source = SyntheticPosters(seed=0, size=(width, height))
    for index in range(30):  # fonts load once
        source[index]
    seconds = 0.0
    for task in ("text", *TASKS):
        start = time.process_time()
        for index in range(arguments.count):
            source.sample(index, task=task)
        spent = time.process_time() - start
        seconds += spent
        print(f"{task:14s} {arguments.count / spent:7.0f} samples/s")
    print(
        f"{'all tasks':14s} {arguments.count * (1 + len(TASKS)) / seconds:7.0f} samples/s per core at {arguments.size}"
    )


if __name__ == "__main__":
    main()
