"""`posterkit bench layout`: compares planners, or scores a folder of PKU PosterLayout's predictions."""

from __future__ import annotations

import argparse
from pathlib import Path

from posterkit.arguments import whole
from posterkit.lettering import planner_fault


def add_options(command: argparse.ArgumentParser) -> None:
    add = command.add_argument
    # fmt: off
    add("--count", type=whole(1, 100_000), default=300, metavar="N", help="requests (default 300; 60 take a minute)")
    add("--planner", action="append", metavar="NAME",
        help="also this planner, such as cot:URL_OR_FOLDER; repeat for more")
    add("--only", action="store_true", help="only the planners that are named")
    add("--pku", type=Path, metavar="FOLDER", help="score PKU PosterLayout's boxes.pt and clses.pt instead")
    # fmt: on


def run(args: argparse.Namespace) -> int:
    """Print the table."""
    named = args.planner or []
    for spec in named:
        if spec not in ("random", "published-ranker") and (fault := planner_fault(spec)):
            raise ValueError(fault)
    if args.only and not named:
        raise ValueError("--only needs a --planner")
    if args.pku:
        return _score_predictions(args.pku)

    from posterkit.cli.progress import Steps
    from posterkit.evaluation.layout_bench import BASE, as_markdown, compare

    specs = list(dict.fromkeys((*(() if args.only else BASE), *named)))
    done = 0
    with Steps() as shown:
        shown.begin("planning", args.count)

        def step() -> None:
            nonlocal done
            done += 1
            shown.step(done)

        rows = compare(specs, args.count, step=step)
    print(as_markdown(rows, args.count))
    return 0


def _score_predictions(folder: Path) -> int:
    from posterkit.evaluation.pku_predictions import read_predictions
    from posterkit.layout.measures import poster_measures

    layouts = read_predictions(folder)
    print(f"{folder}: {len(layouts)} layouts\n\n| measure | published form | corrected form |\n|---|---|---|")
    pku, corrected = (poster_measures(layouts, form=form) for form in ("pku", "corrected"))
    for name in pku:
        print(f"| {name} | {pku[name]:.8f} | {corrected[name]:.8f} |")
    return 0
