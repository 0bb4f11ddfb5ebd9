"""`posterkit train RECIPE` and `posterkit data TOOL`: runs the files of `train/` and `data_tools/`.

They lie beside the package in a checkout, in share/posterkit of a wheel.
"""

from __future__ import annotations

import argparse
import difflib
import runpy
import sys
from importlib import metadata
from pathlib import Path
from typing import Literal

import posterkit

Kind = Literal["train", "data_tools"]


def recipe_root() -> Path:
    """The folder that holds `train/`, `data_tools/` and `configs/`.

    Raises:
        FileNotFoundError: the package was copied without them.
    """
    checkout = Path(posterkit.__file__).resolve().parents[1]
    if (checkout / "data_tools" / "render_text.py").is_file():
        return checkout
    try:
        files = metadata.files("posterkit") or ()
    except metadata.PackageNotFoundError:
        files = ()
    for file in files:
        if file.match("share/posterkit/data_tools/render_text.py") and (found := Path(str(file.locate()))).is_file():
            return found.resolve().parents[1]
    raise FileNotFoundError(
        "train/ and data_tools/ are not installed; install posterkit's wheel or clone the repository"
    )


def recipe_names(kind: Kind) -> list[str]:
    """What `find_recipe` takes, sorted."""
    return sorted(path.stem for path in (recipe_root() / kind).glob("*.py"))


def find_recipe(kind: Kind, name: str) -> Path:
    """The file of a recipe such as "stage3_reward" or "render_text", ".py" or not; ValueError where there is none."""
    names, stem = recipe_names(kind), name.removesuffix(".py")
    if stem not in names:
        near = difflib.get_close_matches(stem, names, 1)
        hint = f'did you mean "{near[0]}"?' if near else f"there are {', '.join(names)}"
        raise ValueError(f'no recipe "{name}" in {kind}/ ({hint})')
    return recipe_root() / kind / f"{stem}.py"


def add_options(command: argparse.ArgumentParser) -> None:
    """The recipe's name, and everything behind it for the recipe itself."""
    command.add_argument("recipe", nargs="?", metavar="RECIPE", help="its name; without one the names are listed")
    command.add_argument("arguments", nargs=argparse.REMAINDER, metavar="...", help="for the recipe, such as --help")


def run(args: argparse.Namespace) -> int:
    """Run a recipe in this process, as `python train/RECIPE.py ARGUMENTS` does; its exit code.

    Raises:
        ValueError: there is none of that name.
    """
    kind: Kind = "train" if args.command == "train" else "data_tools"
    if args.recipe is None:
        print("\n".join(recipe_names(kind)))
        return 0
    path = find_recipe(kind, args.recipe)
    before = sys.argv, list(sys.path)
    sys.argv, sys.path[:] = [str(path), *args.arguments], [str(path.parent), *sys.path]
    try:
        runpy.run_path(str(path), run_name="__main__")
    except SystemExit as end:
        if isinstance(end.code, str):
            raise
        return end.code or 0
    finally:
        sys.argv, sys.path[:] = before
    return 0
