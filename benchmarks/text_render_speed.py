"""How many Text-Render pictures a core makes in a second, beside SynthTIGER and TextRecognitionDataGenerator.

    OMP_NUM_THREADS=1 python benchmarks/text_render_speed.py --synthtiger ENV/bin/python --trdg ENV/bin/python
    OMP_NUM_THREADS=1 python benchmarks/text_render_speed.py --processes 1 2 --count 400

Each peer runs in an environment of its own, since it needs an old Pillow and numpy:

    python3.11 -m venv ENV && ENV/bin/pip install "numpy<1.24" "pillow<10" synthtiger==1.2.1    # or trdg==1.8.0

Like work: crops of the same photographs (scikit-image's), texts of one to five words from the same list in the same
fonts, drawn colours, sizes, places and turns, PNG. Ours also finds a colour that can be read, keeps texts apart, and
writes captions and boxes. Rounds are interleaved; time is the process' own CPU time, so that a busy machine does not
blur the ratios. With --processes the whole tool is timed by the clock: take a quiet machine for that.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parent.parent
PEERS = Path(__file__).parent / "peers"
PHOTOGRAPHS = ("astronaut.png", "chelsea.png", "coffee.png", "hubble_deep_field.jpg", "rocket.jpg")


def ours(photos: Path, count: int, texts: int) -> dict[str, float]:
    """The tool's own steps in this process."""
    sys.path.insert(0, str(ROOT / "data_tools"))
    from render_text import Photos, SetText

    from posterkit.datagen.engine import Drop
    from posterkit.datagen.text_render import shipped_wording
    from posterkit.datasets.sample_files import encode_sample
    from posterkit.sizing import Size
    from posterkit.typeset.fonts import FACES

    source = Photos(photos, tuple(sorted(path.name for path in photos.iterdir())), 0, Size(512, 512))
    step = SetText(0, (shipped_wording("latin"),), FACES, texts, "unknown")

    def make(number: int) -> int:
        sample = step(source[number])
        return 0 if isinstance(sample, Drop) else len(encode_sample(sample)[1])

    for number in range(5):
        make(number)
    start, wall, made, number = time.process_time(), time.perf_counter(), 0, 5
    while made < count:
        made += make(number)
        number += 1
    return {"images": count, "cpu": time.process_time() - start, "wall": time.perf_counter() - wall}


def lay_out(folder: Path) -> None:
    """The photographs, and the Latin fonts with the list of letters beside each that SynthTIGER reads."""
    import skimage

    from posterkit.typeset.fonts import FACES, coverage

    (folder / "photos").mkdir()
    (folder / "fonts").mkdir()
    for name in PHOTOGRAPHS:
        shutil.copy(Path(skimage.__file__).parent / "data" / name, folder / "photos")
    for face in FACES:
        if "Latin" in face.scripts:
            shutil.copy(face.path, folder / "fonts")
            letters = "".join(chr(code) for code in sorted(coverage(face)) if 32 <= code < 0x250)
            (folder / "fonts" / face.path.name).with_suffix(".txt").write_text(letters, encoding="utf-8")


def against_peers(given: argparse.Namespace, folder: Path) -> None:
    words = str(ROOT / "posterkit/data/words/latin.txt")
    photos, fonts, count = str(folder / "photos"), str(folder / "fonts"), str(given.count)
    me = [sys.executable, __file__, "--own", photos, "--count", count, "--texts"]
    calls: dict[str, list[str]] = {"posterkit, 1 text": [*me, "1"], "posterkit, 2 texts": [*me, "2"]}
    if given.synthtiger:
        calls["SynthTIGER, 2 texts"] = [
            given.synthtiger, str(PEERS / "synthtiger_text.py"), photos, fonts, words, count, "2"
        ]  # fmt: skip
    if given.trdg:
        for height, what in ((512, "TRDG, 1 text"), (72, "TRDG, a strip of 512x72")):
            calls[what] = [given.trdg, str(PEERS / "trdg_text.py"), photos, fonts, words, count, str(height)]
    rates: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(given.rounds):
        for name, call in calls.items():
            done = subprocess.run(call, capture_output=True, text=True, check=True)
            found = json.loads(done.stdout.splitlines()[-1])
            rates[name].append(found["images"] / found["cpu"])
    for name, values in rates.items():
        own = "posterkit, 2 texts" if "2" in name.split(",")[1] and "strip" not in name else "posterkit, 1 text"
        line = f"{name:26s} {np.median(values):6.1f} pictures/s per core"
        if name not in ("posterkit, 1 text", "posterkit, 2 texts"):
            low, middle, high = np.percentile(np.array(rates[own]) / values, (25, 50, 75))
            line += f"   posterkit / this: {middle:.2f} (quartiles {low:.2f} to {high:.2f})"
        print(line)


def against_cores(given: argparse.Namespace, folder: Path) -> None:
    tool = [sys.executable, str(ROOT / "data_tools/render_text.py"), str(folder / "photos")]
    seconds: dict[int, list[float]] = {workers: [] for workers in given.processes}
    for turn in range(given.rounds):
        for workers, found in seconds.items():
            out = folder / f"set-{workers}-{turn}"
            start = time.perf_counter()
            more = ["--out", str(out), "--count", str(given.count), "--workers", str(workers), "--shard", "50"]
            subprocess.run([*tool, *more], capture_output=True, check=True)
            found.append(time.perf_counter() - start)
            shutil.rmtree(out)
    one = np.median(seconds[given.processes[0]]) * given.processes[0]
    for workers, found in seconds.items():
        spent = np.median(found)
        rate = given.count / spent
        print(f"{workers} processes: {rate:6.1f} pictures/s, {one / spent / workers:.2f} of linear, start included")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--synthtiger", metavar="PYTHON", help="the Python of an environment that has it")
    parser.add_argument("--trdg", metavar="PYTHON", help="likewise")
    parser.add_argument("--processes", type=int, nargs="+", help="time the whole tool on so many instead")
    parser.add_argument("--count", type=int, default=60, help="pictures a round")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--own", help=argparse.SUPPRESS)
    parser.add_argument("--texts", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.own:
        print(json.dumps(ours(Path(given.own), given.count, given.texts)))
        return
    with tempfile.TemporaryDirectory() as name:
        lay_out(Path(name))
        (against_cores if given.processes else against_peers)(given, Path(name))


if __name__ == "__main__":
    main()
