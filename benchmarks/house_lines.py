"""How many lines of `posterkit/` what was there at 663e1ac takes today, new features apart.

    python benchmarks/house_lines.py                # this checkout; half a minute
    python benchmarks/house_lines.py --lists        # by file

Counted are lines of Python, blank ones and comments included, as `git blame -w -M -C` gives them to commits: moved
lines stay with the commit that wrote them. A line counts

- if it is from 663e1ac or before, wherever it stands now;
- if a later commit wrote it that brought nothing new, in a file that no feature began.

house_features.txt names the commits that brought something new. So a line that a feature rewrote counts as the
feature's, and one that was tidied later as what was there. At 663e1ac itself it is every line.
"""

from __future__ import annotations

import argparse
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
THEN = "663e1ac"
FEATURES = Path(__file__).with_name("house_features.txt")


def git(*arguments: str) -> list[str]:
    return subprocess.run(
        ["git", *arguments], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout.splitlines()


def lines_by_file() -> dict[str, tuple[int, int]]:
    """For each file of the package its lines, and those of what was there."""
    since = set(git("log", "--format=%H", f"{THEN}..HEAD"))
    features = tuple(line.split()[0] for line in FEATURES.read_text("utf-8").splitlines() if not line.startswith("#"))
    found = {}
    for file in git("ls-files", "posterkit/*.py"):
        began = git("log", "--follow", "--diff-filter=A", "--format=%H", "--", file)
        of_feature = bool(began) and began[-1].startswith(features)
        commits = [
            line.split()[0].lstrip("^") for line in git("blame", "-l", "-s", "-w", "-M", "-C", "HEAD", "--", file)
        ]
        kept = [one not in since or not (of_feature or one.startswith(features)) for one in commits]
        found[file] = len(kept), sum(kept)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--lists", action="store_true", help="by file, too")
    files = lines_by_file()
    if parser.parse_args().lists:
        for file, (lines, kept) in sorted(files.items(), key=lambda item: -item[1][1]):
            print(f"{kept:5} of {lines:4}  {file}")
    before = sum(len(git("show", f"{THEN}:{file}")) for file in git("ls-tree", "-r", "--name-only", THEN, "posterkit")
                 if file.endswith(".py"))  # fmt: skip
    lines, kept = (sum(numbers) for numbers in zip(*files.values(), strict=True))
    print(f"{THEN}: {before} lines; now {lines}, of them {kept} of what was there then")


if __name__ == "__main__":
    main()
