"""Changes the seeds at random and gives them to the parsers of bytes, with the checks of test_fuzz: quick, not clever.

python tests/hostile/mutate.py --runs 100000 --seed 1
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from random import Random

import test_fuzz

SEEDS = {
    "test_json": (".json",), "test_yaml": (".yaml",), "test_shards": (".tar",), "test_spreadsheets": (".csv",),
    "test_images": (".png", ".jpg", ".gif", ".bmp", ".tif", ".ppm", ".tga", ".webp"), "test_keys_of_loras": (".keys",),
}  # fmt: skip


def changed(content: bytes, random: Random, others: Sequence[bytes]) -> bytes:
    """Up to six changes: a byte, a piece cut, doubled or filled with noise, the tail of another seed."""
    found = bytearray(content)
    for _ in range(random.randint(1, 6)):
        at, long = random.randrange(len(found) + 1), random.choice((1, 2, 4, 16, 64))
        piece = found[at : at + long]
        how = random.randrange(5)
        if how == 0:
            found[at : at + 1] = bytes([random.choice((0, 1, 127, 128, 255, random.randrange(256)))])
        elif how == 1:
            del found[at : at + long]
        elif how == 2:
            found[at:at] = piece * random.randint(1, 8)
        elif how == 3:
            found[at : at + long] = random.randbytes(long)
        else:
            found[at:] = random.choice(others)[at:]
    return bytes(found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=10_000, help="of each parser")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    for name, suffixes in SEEDS.items():
        check = getattr(test_fuzz, name).hypothesis.inner_test
        whole, random, began = test_fuzz.seeds(*suffixes), Random(f"{args.seed} {name}"), time.process_time()
        for _ in range(args.runs):
            content = changed(random.choice(whole), random, whole)
            try:
                check(content.decode("utf-8", "replace") if name == "test_keys_of_loras" else content)
            except BaseException:
                print(f"{name}: {content!r}", flush=True)
                raise
        spent = time.process_time() - began
        print(f"{name}: {args.runs} executions, {1e3 * spent / args.runs:.2f} ms each", flush=True)


if __name__ == "__main__":
    main()
