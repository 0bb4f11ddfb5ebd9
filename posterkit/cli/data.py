"""`posterkit data TOOL`: a tool that builds a data set."""

from __future__ import annotations

import argparse

from posterkit.cli import recipes


def add_options(command: argparse.ArgumentParser) -> None:
    recipes.add_options(command, "data_tools", "TOOL")


def run(args: argparse.Namespace) -> int:
    return recipes.run("data_tools", args)
