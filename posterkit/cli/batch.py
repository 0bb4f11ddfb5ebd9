"""`posterkit batch`: a folder of images or a manifest of rows; what is made already stays."""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from posterkit.arguments import whole
from posterkit.cli import options
from posterkit.messages import printable
from posterkit.paper import parse_size
from posterkit.tasks import MOST_SEEDS, TASKS, parse_anchor
from posterkit.typeset.exporters import EXPORTERS, check_export


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
    options.refuse_refine(command)


def _switch(ending: str) -> str:
    return "--" + ending[1:].partition(".")[0]


@contextmanager
def _others(words: Sequence[str], devices: Sequence[str]) -> Iterator[list[subprocess.Popen[bytes]]]:
    """The same call on other devices, which shares the rows with this one; the block waits for their end."""
    command = [sys.executable, "-m", "posterkit", *words]
    silent = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    running = [subprocess.Popen([*command, "--device", device], **silent) for device in devices]
    try:
        yield running
    except BaseException:
        for process in running:
            process.terminate()
        raise
    finally:
        for process in running:
            process.wait()


def run(args: argparse.Namespace) -> int:
    """Make every row that is not made yet; exit code 1 where some failed or are left."""
    if "," in (args.device or "") and (args.engine == "ray" or args.shard):
        raise ValueError(
            "--device with several devices shares the rows of this machine; leave --engine and --shard out"
        )
    if args.engine != "ray" and (args.workers or args.ray_address):
        raise ValueError("--workers and --ray-address belong to --engine ray")
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

    from posterkit.batch.engines import run_local
    from posterkit.batch.ledger import LEDGER
    from posterkit.batch.manifest import read_requests
    from posterkit.batch.shards import AUTO, WHOLE, local_device, parse_shard
    from posterkit.batch.variants import Variants
    from posterkit.batch.worker import Files
    from posterkit.cli.progress import BatchProgress, note
    from posterkit.generate.maker import PosterMaker
    from posterkit.schema import PosterRequest

    shard = parse_shard(args.shard) if args.shard else WHOLE
    if args.shard == AUTO:
        args.device = args.device or local_device()
        note(f"this is part {shard}" + (f", on {args.device}" if args.device else ""))
    anchor = parse_anchor(args.anchor) if args.anchor else None
    sizes = tuple(size.strip() for size in (args.sizes or "").split(",") if size.strip())
    if sizes and (args.size or args.width or args.height):
        raise ValueError("--sizes says how large the posters are, and so does another option; give one of them")
    for size in sizes:
        parse_size(size, args.dpi)
    sheet = {key: getattr(args, key) for key in ("dpi", "bleed", "safe") if sizes and getattr(args, key) is not None}
    given = options.request_of(args) | ({} if sizes else options.size_of(args))
    common = PosterRequest(args.prompt, task=args.task, anchor=anchor, **given)
    variants = Variants(args.seeds, sizes, args.seed or 0, sheet)
    rows = read_requests(args.source, common, skip=args.output, variants=variants, kit=options.brand_kit(args))
    files = Files(
        tuple(ending for ending in EXPORTERS if getattr(args, _switch(ending)[2:])), options.export_options(args)
    )
    for ending in rows.endings.union(files.also):
        check_export(f"poster{ending}", files.how)
    options.check_reward(args, bool(rows.chooses))
    devices = [device.strip() for device in (args.device or "").split(",") if device.strip()]
    args.device = devices[0] if devices else None
    if args.explain:
        from posterkit.batch.explain import RULES, explain

        print(RULES if args.source.is_dir() else f"{args.source}: {len(rows)} rows")
        with PosterMaker(**options.settings_of(args)) as maker:
            for line in explain(rows, maker, args.output, args.seed or 0, files, shard):
                print(printable(line))
        return 0
    settings, seed = options.settings_of(args), args.seed or 0
    with _others(args.words, devices[1:]) as others, BatchProgress() as progress:
        if args.engine == "ray":
            from posterkit.batch.ray_engine import RayPool, run_ray

            cards = float((args.device or "").startswith("cuda"))
            pool = RayPool(args.workers or 2, cards, address=args.ray_address)
            outcome = run_ray(rows, settings, args.output, progress, seed, files, shard, pool)
        else:
            with PosterMaker(**settings) as maker:
                outcome = run_local(rows, maker, args.output, progress, seed, args.batch_size, files, shard)
        for other in others if outcome.left else ():
            other.terminate()  # stopped here, so there too
    elsewhere = f"{outcome.elsewhere} made by another batch, " if outcome.elsewhere else ""
    of_rows = f"{len(rows)} rows" if shard == WHOLE else f"part {shard} of {len(rows)} rows"
    print(f"{outcome.made} made, {outcome.before} made before, {elsewhere}{outcome.failures} failed, of {of_rows}")
    print(f"{args.output / LEDGER}")
    for written in filter(None, (outcome.sheet, outcome.page)):
        print(written)
    goes_on = "the same command goes on from here"
    if outcome.full:
        print(f"posterkit: {args.output}: the disk is full, {outcome.left} rows are left; free some space, "
              f"and {goes_on}", file=sys.stderr)  # fmt: skip
    elif outcome.lost:
        print(f"posterkit: {outcome.lost}, {outcome.left} rows are left; {goes_on}", file=sys.stderr)
    elif outcome.left:
        print(f"posterkit: stopped with {outcome.left} rows left; {goes_on}", file=sys.stderr)
    return 1 if outcome.failures or outcome.left else 0
