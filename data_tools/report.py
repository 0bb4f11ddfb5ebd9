"""Write one HTML page about a set: samples, counts, sizes, text lengths, the funnel and what was dropped.

python data_tools/report.py sets/omni [--out sets/omni/report.html]
python data_tools/report.py posters/

Text recall, what was dropped and why, and leaks are printed; of a folder of posters, which is no set, these alone. A
poster's texts stand in NAME.texts.txt beside it, one a line, or in quotes in its caption, NAME.txt, or in its record
where posterkit made it.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from posterkit.datagen.command_line import positive_int, run_tool
from posterkit.datagen.poster_measures import measures_of
from posterkit.datagen.report import write_report

if __name__ == "__main__":
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("input", type=Path, metavar="SET", help="a set's folder or index, or a folder of posters")
    options.add_argument("--out", type=Path, metavar="FILE", help="default: report.html in the set's folder")
    options.add_argument("--samples", type=positive_int, default=24, metavar="N", help="shown samples (default 24)")
    given = options.parse_args()
    folder = given.input if given.input.is_dir() else given.input.parent

    def main() -> int:
        if given.input.is_file() or (folder / "samples.jsonl").is_file():
            print(write_report(given.input, given.out or folder / "report.html", samples=given.samples))
        print(*measures_of(given.input), sep="\n")
        return 0

    run_tool(main)
