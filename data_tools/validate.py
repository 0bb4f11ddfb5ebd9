"""Read a whole set before any GPU work and name every fault with its row.

    python data_tools/validate.py sets/omni [--batch-size 16]

Exits 0 when the set is sound, 1 when anything is wrong, 2 when there is no set.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from posterkit.datagen.command_line import positive_int, run_tool
from posterkit.datasets.validation import validate

if __name__ == "__main__":
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("input", type=Path, metavar="SET", help="the set's folder, or its index file")
    options.add_argument("--batch-size", type=positive_int, metavar="B", help="name sizes that fill no batch of B")
    cores = os.cpu_count() or 1
    options.add_argument("--workers", type=positive_int, default=cores, metavar="N", help="default: one a core")
    given = options.parse_args()

    def main() -> int:
        found = validate(given.input, workers=given.workers, batch_size=given.batch_size)
        for fault in found.faults:
            print(fault)
        for name, counts in found.counts.items():
            print(f"{name}: {', '.join(f'{value} {number}' for value, number in counts.most_common())}")
        print(f"{given.input}: {found.rows} rows, {len(found.faults)} faults")
        return len(found.faults)

    run_tool(main)
