"""`posterkit bench layout`: compares planners on drawn requests or a set's; scores PKU PosterLayout's predictions."""

from __future__ import annotations

import argparse
from pathlib import Path

from posterkit.arguments import whole
from posterkit.lettering import planner_fault


def add_options(command: argparse.ArgumentParser) -> None:
    add = command.add_argument
    # fmt: off
    add("--count", type=whole(1, 100_000), default=300, metavar="N", help="requests (default 300)")
    add("--seeds", type=whole(1, 100), default=5, metavar="N", help="plans of each request (default 5)")
    add("--planner", action="append", metavar="NAME", help="also this planner, in one row; repeat for more")
    add("--model", action="append", metavar="MODEL",
        help="a language model, in five rows: its URL, folder or recorded answers; repeat for "
             "more")
    add("--only", action="store_true", help="only the planners and models that are named")
    add("--data", type=Path, metavar="FOLDER", help="a copy of PKU PosterLayout or CGL in place of drawn requests")
    add("--kind", choices=("pku", "cgl"), default="pku", help="which of them it is (default pku)")
    add("-o", "--output", type=Path, metavar="FILE",
        help="keeps results by request (.jsonl): a call that was stopped goes on from there")
    add("--device", default="cpu", help="where a local model runs")
    add("--pku", type=Path, metavar="FOLDER", help="score PKU PosterLayout's boxes.pt and clses.pt instead")
    # fmt: on


def run(args: argparse.Namespace) -> int:
    """Print the tables."""
    named = args.planner or []
    for spec in named:
        if spec not in ("random", "published-ranker") and (fault := planner_fault(spec)):
            raise ValueError(fault)
    if args.only and not (named or args.model):
        raise ValueError("--only needs a --planner or a --model")
    if args.pku:
        return _score_predictions(args.pku)

    from posterkit.cli.progress import Steps
    from posterkit.datagen.layout_requests import draw_request, requests_of
    from posterkit.evaluation.layout_bench import BASE, as_markdown, compare, open_contenders

    specs = list(dict.fromkeys((*(() if args.only else BASE), *named)))
    models = args.model or []
    if args.data:
        requests = requests_of(args.data, args.kind, args.count)
        about = f"{len(requests)} requests of {args.data.name} ({args.kind}), {args.seeds} seeds"
    else:
        requests = (draw_request(seed) for seed in range(args.count))
        about = f"{args.count} drawn requests (2 to 8 elements, four shapes, English and Chinese), {args.seeds} seeds"
    done = 0
    with Steps() as shown:
        shown.begin("planning", args.count)

        def step() -> None:
            nonlocal done
            done += 1
            shown.step(done)

        rows = compare(open_contenders(specs, models, args.device), requests, args.seeds, args.output, step)
    print(as_markdown(rows, about))
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
