"""`posterkit transform TASK`: one poster from images."""

from __future__ import annotations

import argparse
from pathlib import Path

from posterkit.cli import options
from posterkit.cli.generate import make_and_save
from posterkit.tasks import TASKS, parse_anchor


def add_options(command: argparse.ArgumentParser) -> None:
    options.add_output_options(command)
    options.add_poster_options(command)
    command.add_argument("task", choices=TASKS, metavar="TASK", help=", ".join(TASKS))
    command.add_argument("images", nargs="+", type=Path, metavar="IMAGE", help="the reference images")
    command.add_argument("--prompt", default="", help="what to make; quoted parts are texts")
    mask = "filling: white = make this; id_driven: black = the subject"
    command.add_argument("--mask", type=Path, metavar="IMAGE", help=mask)
    options.add_anchor(command)
    options.add_preserve(command)
    options.add_steering_options(command, "a local model of --planner")
    options.refuse_refine(command)


def run(args: argparse.Namespace) -> int:
    """Make the poster and write it."""
    options.check_reward(args, several=(args.best_of or 1) > 1)
    sources = [*args.images, *([args.mask] if args.mask else [])]
    settings, outputs = options.settings_of(args), options.output_paths(args, sources)

    from posterkit.image_io import read_size
    from posterkit.schema import PosterRequest

    for source in sources:
        read_size(source)
    anchor = parse_anchor(args.anchor) if args.anchor else None
    request = PosterRequest(
        args.prompt, task=args.task, images=args.images, mask=args.mask, anchor=anchor,
        id="transform", **options.size_of(args), **options.request_of(args),
    )  # fmt: skip
    if kit := options.brand_kit(args):
        request = kit.applied(request)
    request.check()
    return make_and_save(request, settings, outputs, how=options.export_options(args))
