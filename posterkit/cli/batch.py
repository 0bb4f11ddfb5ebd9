"""`posterkit batch`: a folder of images or a manifest of rows; what is made already stays."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from posterkit.arguments import whole
from posterkit.cli import options
from posterkit.messages import printable
from posterkit.paper import parse_size
from posterkit.tasks import MOST_SEEDS, TASKS, parse_anchor
from posterkit.typeset.exporters import EXPORTERS, check_export

if TYPE_CHECKING:
    from posterkit.batch.engines import BatchResult
    from posterkit.batch.index import RowIndex
    from posterkit.batch.shard import Shard
    from posterkit.batch.worker import Files


def add_options(command: argparse.ArgumentParser) -> None:
    options.add_poster_options(command)
    source = "a folder of images, a pattern such as 'photos/**/*.jpg', or a JSONL, CSV or XLSX file"
    command.add_argument("source", type=Path, metavar="FOLDER_OR_MANIFEST", help=source)
    command.add_argument("-o", "--output", type=Path, metavar="OUT", help="the folder of the posters")
    command.add_argument("--task", default="", help="for rows that name none: " + ", ".join(TASKS))
    command.add_argument(
        "--prompt", default="", help="for rows that have none; {name} is a column, or the picture's name"
    )
    variants = "posters of every row, from seeds one after the other; all are kept"
    command.add_argument("--seeds", type=whole(1, MOST_SEEDS), default=1, metavar="N", help=variants)
    sizes = "one picture of each row in several sizes, the first is drawn: instagram-story,a3,1200x300"
    command.add_argument("--sizes", metavar="SIZES", help=sizes)
    does = "say what would become of each row and where its values come from; nothing is made"
    command.add_argument("--explain", action="store_true", help=does)
    drawn = "rows drawn in one call; above 1, last bits may depend on which rows these are"
    command.add_argument("--batch-size", type=whole(1), default=1, metavar="N", help=drawn)
    part = "make the I-th of N parts of the rows; auto: the part that SLURM or torchrun says"
    command.add_argument("--shard", metavar="I/N", help=part)
    engine = "ray: a pool of Ray Data (needs posterkit[batch])"
    command.add_argument("--engine", choices=("local", "ray"), default="local", help=engine)
    pool = "ray: actors, each with a model and, with --device cuda, a card of its own (default 2)"
    command.add_argument("--workers", type=whole(1, 10_000), metavar="N", help=pool)
    cluster = "ray: a running cluster, such as auto (default: one on this machine)"
    command.add_argument("--ray-address", metavar="ADDRESS", help=cluster)
    for ending, exporter in EXPORTERS.items():
        also = f"each poster also as NAME{ending}: {exporter.title}"
        command.add_argument(_switch(ending), action="store_true", help=also)
    options.add_print_options(command)
    options.add_anchor(command)
    options.add_preserve(command)
    options.add_steering_options(command, "a local model of --planner")
    options.refuse_refine(command)


def _switch(ending: str) -> str:
    return "--" + ending[1:].partition(".")[0]


@contextmanager
def _others(words: Sequence[str], devices: Sequence[str]) -> Iterator[list[subprocess.Popen[bytes]]]:
    """The same call on other devices, which shares the rows with this one; the block waits for their end."""
    running = []
    for device in devices:
        kind, card = _seen_as(device)
        command = [sys.executable, "-m", "posterkit", *words, "--device", kind]
        env = os.environ | ({"CUDA_VISIBLE_DEVICES": card} if card else {})
        running.append(subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
    try:
        yield running
    except BaseException:
        for process in running:
            process.terminate()
        raise
    finally:
        for process in running:
            process.wait()


def _seen_as(device: str) -> tuple[str, str]:
    """A device as its process sees it, and the card that is all it sees: records say the same on each."""
    kind, _, card = device.partition(":")
    return (kind, card) if kind == "cuda" else (device, "")


def run(args: argparse.Namespace) -> int:
    """Make every row that is not made yet; exit code 1 where some failed or are left."""
    _check_call(args)

    from posterkit.batch.shard import AUTO, WHOLE, local_card, parse_shard
    from posterkit.batch.worker import Files
    from posterkit.cli.progress import note

    devices = [device.strip() for device in (args.device or "").split(",") if device.strip()]
    card = ""
    if len(devices) > 1:
        args.device, card = _seen_as(devices[0])
    shard = parse_shard(args.shard) if args.shard else WHOLE
    if args.shard == AUTO:
        card = local_card() or "" if args.device in (None, "cuda") else ""
        note(f"this is part {shard}" + (f", on card {card}" if card else ""))
    if card:
        os.environ["CUDA_VISIBLE_DEVICES"] = card  # before CUDA is asked for anything
    rows = _rows(args)
    files = Files(
        tuple(ending for ending in EXPORTERS if getattr(args, _switch(ending)[2:])), options.export_options(args)
    )
    for ending in rows.endings.union(files.also):
        check_export(f"poster{ending}", files.how)
    options.check_reward(args, bool(rows.chooses))
    if args.explain:
        return _explain(args, rows, files, shard)
    with _others(args.words, devices[1:]) as others:
        outcome = _made(args, rows, files, shard)
        for other in others if outcome.left else ():
            other.terminate()  # stopped here, so there too
    elsewhere = f"{outcome.elsewhere} made by another batch, " if outcome.elsewhere else ""
    of_rows = f"{len(rows)} rows" if shard == WHOLE else f"part {shard} of {len(rows)} rows"
    print(f"{outcome.made} made, {outcome.before} made before, {elsewhere}{outcome.failures} failed, of {of_rows}")
    return _said(args, outcome)


def _check_call(args: argparse.Namespace) -> None:
    """ValueError where the call contradicts itself."""
    options.steering_of(args)
    if "," in (args.device or "") and (args.engine == "ray" or args.shard):
        raise ValueError("several devices share the rows of this machine; leave --engine and --shard out")
    if args.engine != "ray" and (args.workers or args.ray_address):
        raise ValueError("--workers and --ray-address belong to --engine ray")
    if args.sizes and (args.size or args.width or args.height):
        raise ValueError("--sizes says how large the posters are, and so does another option; give one of them")
    if args.output is None:
        if not args.explain:
            raise ValueError("the following arguments are required: -o/--output, the folder of the posters")
        args.output = Path("posters")
    if args.source.is_dir() and args.source.resolve() == args.output.resolve():
        raise ValueError(f"{args.output}: -o is the folder of the images themselves; choose another one")
    if args.metadata == "none":
        raise ValueError("a batch knows its finished posters by their metadata; take --metadata label")
    if args.output.exists() and not args.output.is_dir():
        raise ValueError(f"{args.output}: -o names a file; batch needs a folder")


def _rows(args: argparse.Namespace) -> RowIndex:
    from posterkit.batch.manifest import read_requests
    from posterkit.batch.variants import Variants
    from posterkit.schema import PosterRequest

    sizes = tuple(size.strip() for size in (args.sizes or "").split(",") if size.strip())
    for size in sizes:
        parse_size(size, args.dpi)
    sheet = {key: getattr(args, key) for key in ("dpi", "bleed", "safe") if sizes and getattr(args, key) is not None}
    anchor = parse_anchor(args.anchor) if args.anchor else None
    given = options.request_of(args) | ({} if sizes else options.size_of(args))
    common = PosterRequest(args.prompt, task=args.task, anchor=anchor, **given)
    variants = Variants(args.seeds, sizes, args.seed or 0, sheet)
    return read_requests(args.source, common, skip=args.output, variants=variants, kit=options.brand_kit(args))


def _explain(args: argparse.Namespace, rows: RowIndex, files: Files, shard: Shard) -> int:
    from posterkit.batch.explain import RULES, explain
    from posterkit.generate.maker import PosterMaker

    print(RULES if args.source.is_dir() else f"{args.source}: {len(rows)} rows")
    with PosterMaker(**options.settings_of(args)) as maker:
        for line in explain(rows, maker, args.output, args.seed or 0, files, shard):
            print(printable(line))
    return 0


def _made(args: argparse.Namespace, rows: RowIndex, files: Files, shard: Shard) -> BatchResult:
    from posterkit.batch.engines import run_local
    from posterkit.cli.progress import BatchProgress
    from posterkit.generate.maker import PosterMaker

    settings, seed = options.settings_of(args), args.seed or 0
    with BatchProgress() as progress:
        if args.engine == "ray":
            from posterkit.batch.ray_engine import RayPool, run_ray

            cards = float((args.device or "").startswith("cuda"))
            pool = RayPool(args.workers or 2, cards, address=args.ray_address)
            return run_ray(rows, settings, args.output, progress, seed, files, shard, pool)
        with PosterMaker(**settings) as maker:
            return run_local(rows, maker, args.output, progress, seed, args.batch_size, files, shard)


def _said(args: argparse.Namespace, outcome: BatchResult) -> int:
    """Say what was written and what is left; the exit code."""
    from posterkit.batch.ledger import LEDGER

    for written in filter(None, (args.output / LEDGER, outcome.sheet, outcome.page)):
        print(written)
    goes_on = "the same command goes on from here"
    if outcome.full:
        lacks = f"{outcome.left} rows are left" if outcome.left else "the contact sheets are not whole"
        print(f"posterkit: {args.output}: the disk is full, {lacks}; free some space, and {goes_on}", file=sys.stderr)
    elif outcome.lost:
        print(f"posterkit: {outcome.lost}, {outcome.left} rows are left; {goes_on}", file=sys.stderr)
    elif outcome.left:
        print(f"posterkit: stopped with {outcome.left} rows left; {goes_on}", file=sys.stderr)
    return 1 if outcome.failures or outcome.left else 0
