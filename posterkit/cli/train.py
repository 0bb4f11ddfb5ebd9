"""`posterkit train RECIPE`: a training recipe."""

from __future__ import annotations

import argparse

from posterkit.cli import recipes


def add_options(command: argparse.ArgumentParser) -> None:
    recipes.add_options(command, "train", "RECIPE")


def run(args: argparse.Namespace) -> int:
    return recipes.run("train", args)
