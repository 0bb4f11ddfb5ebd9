"""Memory of a data tool's engine over many samples: it has to stay flat.

    OMP_NUM_THREADS=1 python benchmarks/data_memory.py --count 20000

Builds a Text-Render set of small synthetic pictures in this process and reads its own resident memory at every shard;
then the index is written, and the set is validated.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np
import psutil

from posterkit.datagen.engine import Flow, run_flow
from posterkit.datagen.text_render import shipped_wording
from posterkit.datasets.sample_files import encode_sample
from posterkit.datasets.validation import validate
from posterkit.sizing import Size
from posterkit.typeset.fonts import FACES

ROOT = Path(__file__).parent.parent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=20000)
    parser.add_argument("--side", type=int, default=128, help="of the pictures in pixels")
    given = parser.parse_args()
    sys.path.insert(0, str(ROOT / "data_tools"))
    from render_text import Art, SetText

    own = psutil.Process()
    seen: list[tuple[int, float]] = []

    def note(done: int, _: int) -> None:
        seen.append((done, own.memory_info().rss / 2**20))
        if done % 2000 == 0:
            print(f"{done:6d} samples  {seen[-1][1]:6.1f} MiB", flush=True)

    step = SetText(0, (shipped_wording("latin"), shipped_wording("chinese")), FACES, None, "CC0-1.0")
    source = Art(0, Size(given.side, given.side))
    with tempfile.TemporaryDirectory() as folder:
        flow = Flow(source, given.count, (("text", step),), encode_sample, {"seed": 0})
        outcome = run_flow(flow, Path(folder) / "set", shard=500, progress=note)
        print(f"index written: {own.memory_info().rss / 2**20:.1f} MiB, {outcome.kept} samples")
        found = validate(Path(folder) / "set")
        print(f"validated: {own.memory_info().rss / 2**20:.1f} MiB, {found.rows} rows, {len(found.faults)} faults")
    # fonts and shapes fill their caches in the first quarter
    late = np.array(seen[len(seen) // 4 :])
    slope = np.polyfit(late[:, 0], late[:, 1], 1)[0] * 1000
    first, last = late[0], late[-1]
    print(
        f"from {first[0]:.0f} to {last[0]:.0f}: {first[1]:.1f} to {last[1]:.1f} MiB, {slope:+.2f} MiB per 1000 samples"
    )


if __name__ == "__main__":
    main()
