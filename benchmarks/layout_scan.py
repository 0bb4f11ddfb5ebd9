"""How long a scan of many layouts by LTSim takes on one core: every distance, and the nearest four alone.

python benchmarks/layout_scan.py [--count 10000]
"""

from __future__ import annotations

import argparse
import os
import statistics
import time

import numpy as np

from posterkit.layout.similarity import LayoutScan, label_boxes

LABELS = np.array(["title", "subtitle", "body", "cta", "subject", "logo", "underlay"])


def drawn(rng: np.random.Generator, count: int):
    """Layouts of 2 to 8 elements, as posters have."""
    for _ in range(count):
        n = rng.integers(2, 9)
        corners = rng.random((n, 2)) * 0.7
        yield label_boxes(
            list(LABELS[rng.integers(0, len(LABELS), n)]),
            np.hstack([corners, corners + 0.05 + 0.25 * rng.random((n, 2))]),
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=10_000)
    args = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    rng = np.random.default_rng(0)
    scan, queries = LayoutScan(list(drawn(rng, args.count))), list(drawn(rng, 7))
    for what, run in (("every distance", scan.distances), ("nearest 4", lambda query: scan.nearest(query, 4))):
        times = []
        for query in queries:
            start = time.perf_counter()
            run(query)
            times.append(time.perf_counter() - start)
        low, middle, high = statistics.quantiles(times, n=4)
        print(
            f"{what:15} of {args.count} layouts: median {middle:.3f} s, quartiles {low:.3f} to {high:.3f}, 7 queries"
        )


if __name__ == "__main__":
    main()
