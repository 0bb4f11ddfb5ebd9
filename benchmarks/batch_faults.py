"""What a batch bears: kills at random moments, a full disk, and manifests of a million rows.

    python benchmarks/batch_faults.py --kills 20
    mount -t tmpfs -o size=500k none small && python benchmarks/batch_faults.py --full small
    python benchmarks/batch_faults.py --rows 10000 100000 1000000

Kills: a batch of small posters is killed (SIGKILL) at random moments until so many kills have hit it, then let run to
its end. Rows that are lost, files that are damaged or left half written, and bytes that differ from an untouched run
are counted. Full: a batch of 30 posters into a folder whose file system is too small for them. Rows: `posterkit batch
--shard 1/N` of a manifest of so many rows makes one poster; its peak memory must not grow with the rows.
"""

from __future__ import annotations

import argparse
import json
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from PIL import Image

BATCH = [sys.executable, "-m", "posterkit", "batch"]
SMALL = ["--width", "96", "--height", "144", "--steps", "2"]
_PEAK = "import resource, sys; from posterkit.cli.main import main; code = main(sys.argv[1:]); " \
        "print('peak', resource.getrusage(resource.RUSAGE_SELF).ru_maxrss); sys.exit(code)"  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=0)
    parser.add_argument("--posters", type=int, default=24, help="rows of the batch that is killed")
    parser.add_argument("--batches", type=int, default=1, help="that share the folder; each kill hits one of them")
    parser.add_argument("--full", type=Path, metavar="FOLDER", help="on a file system too small for 30 posters")
    parser.add_argument("--rows", type=int, nargs="*", default=[])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--model", default="mini", help="the checkpoint")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if args.kills:
            print(kill_table(Path(folder), args))
        if args.full:
            print(full_row(Path(folder), args.full / "posters", args.model))
        for rows in args.rows:
            print(memory_row(Path(folder), rows, args.model), flush=True)


def kill_table(folder: Path, args: argparse.Namespace) -> str:
    """Kill, resume, compare."""
    out, whole = folder / "out", folder / "whole"
    manifest = _manifest(folder, args.posters)
    command = [*BATCH, str(manifest), "--model", args.model, *SMALL]
    began = time.monotonic()
    _run([*command, "-o", str(whole)])
    usual = time.monotonic() - began
    chance, kills, early = random.Random(args.seed), 0, 0
    while kills < args.kills:
        running = [_start([*command, "-o", str(out)]) for _ in range(args.batches)]
        victim = chance.choice(running)
        try:
            victim.wait(chance.uniform(0, usual * 0.9))
            early += 1  # it was done before its kill: everything is made, so begin anew with some posters gone
            for path in chance.sample(sorted(out.glob("poster-*.png")), args.posters // 2):
                path.unlink()
        except subprocess.TimeoutExpired:
            victim.send_signal(signal.SIGKILL)
            kills += 1
        for other in running:
            if other is not victim:
                other.send_signal(signal.SIGKILL if chance.random() < 0.5 else signal.SIGTERM)
            other.wait()
    _run([*command, "-o", str(out)])
    made, untouched = _posters(out), _posters(whole)
    lost = [name for name in untouched if name not in made]
    damaged = [name for name in made if not _is_whole(out / name)]
    differ = [name for name in made if made[name] != untouched.get(name)]
    left = [str(path) for path in out.rglob(".*.tmp")]
    ledger = [json.loads(line) for line in (out / "ledger.jsonl").read_text().splitlines()]
    undone = [line["row"] for line in ledger if line["status"] != "done"]
    return (
        f"{kills} kills of {args.batches} batch(es) over {args.posters} rows ({early} ran to their end first): "
        f"{len(lost)} lost, {len(damaged)} damaged, {len(differ)} not equal to an untouched run, "
        f"{len(left)} half written files left, ledger {len(ledger)} lines, {len(undone)} not done"
    )


def full_row(folder: Path, out: Path, model: str) -> str:
    """What a batch says whose disk is too small."""
    command = [*BATCH, str(_manifest(folder, 30)), "--model", model, *SMALL, "-o", str(out)]
    done = subprocess.run(command, capture_output=True, text=True)
    whole = [name for name in _posters(out) if _is_whole(out / name)]
    said = [done.stdout.splitlines()[0], done.stderr.splitlines()[-1]]
    return f"exit code {done.returncode}, {len(whole)} of {len(_posters(out))} files whole: {'; '.join(said)}"


def memory_row(folder: Path, rows: int, model: str) -> str:
    """Peak memory and time of one shard's poster out of a manifest of so many rows."""
    manifest, out = folder / f"{rows}.jsonl", folder / f"out-{rows}"
    with manifest.open("w") as file:
        for n in range(rows):
            file.write(json.dumps({"prompt": f"a poster of hall {n}", "texts": [f"HALL {n}"], "seed": n}) + "\n")
    command = [sys.executable, "-c", _PEAK, "batch", str(manifest), "--model", model, *SMALL, "-o", str(out)]
    began = time.monotonic()
    said = _run([*command, "--shard", f"1/{rows}"])
    seconds = time.monotonic() - began
    peak = int(said.splitlines()[-1].split()[1]) / 1024
    assert len(_posters(out)) == 1
    return f"{rows:>9} rows: peak {peak:.0f} MiB, {seconds:.0f} s ({1e6 * seconds / rows:.0f} us a row)"


def _manifest(folder: Path, rows: int) -> Path:
    manifest = folder / "jobs.jsonl"
    made = [{"prompt": f"poster {n}", "texts": [f"NIGHT {n}"], "seed": n} for n in range(rows)]
    manifest.write_text("".join(json.dumps(row) + "\n" for row in made))
    return manifest


def _start(command: list[str]) -> subprocess.Popen[str]:
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, text=True)


def _run(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stderr)
    return done.stdout


def _posters(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.glob("poster-*.png")}


def _is_whole(path: Path) -> bool:
    try:
        with Image.open(path) as image:  # noqa: TID251 - another program's eyes
            image.load()
    except (OSError, SyntaxError):
        return False
    return True


if __name__ == "__main__":
    main()
