"""`posterkit export`: a folder as the hub takes it, from a checkpoint, a run folder or a LoRA."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_options(command: argparse.ArgumentParser) -> None:
    add = command.add_argument
    add("source", metavar="SOURCE", help="a diffusers folder, mini:NAME, a recipe's run folder, or a LoRA")
    add("-o", "--output", type=Path, required=True, metavar="FOLDER", help="a new folder")
    add("--name", metavar="OWNER/NAME", help="its place on the hub, for the card's examples (default: the folder)")
    add("--licence", metavar="ID", help="of the weights, where their card and their base do not say: apache-2.0 ...")
    add("--base", metavar="OWNER/NAME", help="the hub id of the model that it was trained from, where it does not say")


def run(args: argparse.Namespace) -> int:
    """Write the folder, and say what is in it and how to upload it."""
    from posterkit.training.hub_folder import export

    made = export(args.source, args.output, name=args.name, licence=args.licence, base=args.base)
    size = sum(path.stat().st_size for path in args.output.rglob("*") if path.is_file()) / 1e6
    print(f"{args.output}  {made.kind}, {len(made.files)} files, {size:.1f} MB, licence {made.licence}")
    for name in made.left_out:
        print(f"  left out: {name}")
    print(f"  upload it: hf upload {args.name or 'OWNER/NAME'} {args.output}")
    return 0
