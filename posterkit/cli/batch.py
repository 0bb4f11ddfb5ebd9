"""`posterkit batch`: a folder of images or a manifest of rows; what is made already stays."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from posterkit.arguments import whole
from posterkit.cli import options
from posterkit.tasks import TASKS, parse_anchor


def add_options(command: argparse.ArgumentParser) -> None:
    options.add_poster_options(command)
    source = "a folder of images, a JSONL or a CSV file"
    command.add_argument("source", type=Path, metavar="FOLDER_OR_MANIFEST", help=source)
    command.add_argument("-o", "--output", type=Path, required=True, metavar="OUT", help="the folder of the posters")
    command.add_argument("--task", default="", help="for rows that name none: " + ", ".join(TASKS))
    command.add_argument("--prompt", default="", help="for rows that have none")
    command.add_argument("--batch-size", type=whole(1), metavar="N", help="posters drawn in one call")
    command.add_argument("--svg", action="store_true", help="each poster also as NAME.svg, with live text")
    command.add_argument("--pdf", action="store_true", help="each poster also as NAME.pdf, with live text")
    command.add_argument("--psd", action="store_true", help="each poster also as NAME.psd, in layers")
    options.add_dpi(command)
    options.add_anchor(command)
    options.add_preserve(command)
    options.refuse_refine(command)


def run(args: argparse.Namespace) -> int:
    """Make every row that is not made yet; exit code 1 where some failed or are left."""
    if args.source.is_dir() and args.source.resolve() == args.output.resolve():
        raise ValueError(f"{args.output}: -o is the folder of the images themselves; choose another one")
    if args.metadata == "none":
        raise ValueError("a batch knows its finished posters by their metadata; take --metadata label")
    if args.output.exists() and not args.output.is_dir():
        raise ValueError(f"{args.output}: -o names a file; batch needs a folder")

    from posterkit.batch.engines import Files, run_local
    from posterkit.batch.ledger import LEDGER
    from posterkit.batch.manifest import read_requests
    from posterkit.cli.progress import BatchProgress
    from posterkit.generate.maker import PosterMaker
    from posterkit.schema import PosterRequest, sides

    anchor = parse_anchor(args.anchor) if args.anchor else None
    size, given = sides(args.width, args.height), options.request_of(args)
    common = PosterRequest(args.prompt, task=args.task, anchor=anchor, size=size, **given)
    rows = read_requests(args.source, common, skip=args.output)
    files = Files((".svg",) * args.svg + (".pdf",) * args.pdf + (".psd",) * args.psd, args.dpi)
    if args.psd or any(str(row.out).lower().endswith(".psd") for row in rows if isinstance(row, PosterRequest)):
        from posterkit.typeset.psd import check_psd

        check_psd()
    several = any(isinstance(row, PosterRequest) and (row.best_of or 1) > 1 for row in rows)
    options.check_reward(args, several)
    with BatchProgress() as progress, PosterMaker(**options.settings_of(args)) as maker:
        outcome = run_local(rows, maker, args.output, progress, args.seed or 0, args.batch_size, files)
    print(f"{outcome.made} made, {outcome.before} made before, {len(outcome.failed)} failed, of {len(rows)} rows")
    print(f"{args.output / LEDGER}")
    if outcome.sheet:
        print(outcome.sheet)
    if outcome.full:
        print(f"posterkit: {args.output}: the disk is full, {outcome.left} rows are left; free some space, "
              "and the same command goes on from here", file=sys.stderr)  # fmt: skip
    elif outcome.left:
        print(f"posterkit: stopped with {outcome.left} rows left; the same command goes on from here", file=sys.stderr)
    return 1 if outcome.failed or outcome.left or outcome.full else 0
