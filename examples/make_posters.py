"""What `make poster` runs: six posters from text and one for each of the six image tasks, from real photographs.

    python examples/make_posters.py [--out posters]

The posters are the rows of `posters.jsonl`; change a row, or add one, and run it again.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from posterkit.cli.main import main as posterkit


def main() -> int:
    parser = argparse.ArgumentParser(description="Make the example posters.")
    parser.add_argument("--out", type=Path, default=Path("posters"), help="the folder of the posters")
    out = parser.parse_args().out
    manifest = Path(__file__).parent / "posters.jsonl"
    code = posterkit(["batch", str(manifest), "-o", str(out)])
    for line in manifest.read_text(encoding="utf-8").splitlines():
        print(out / json.loads(line)["out"])
    print(f"all on one sheet: {out / 'contact_sheet.png'}")
    return code


if __name__ == "__main__":
    raise SystemExit(main())
