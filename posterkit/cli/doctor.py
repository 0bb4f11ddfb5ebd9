"""`posterkit doctor`: versions, devices, what fits, broken pairs and their cure. Asks no network."""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import os
import platform
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import metadata, requires
from pathlib import Path

from rich.console import Console
from rich.table import Table

from posterkit import __version__
from posterkit.cli.recipes import recipe_root
from posterkit.compatibility import find_bad_pairs, installed_version

PARTS = (
    "torch", "diffusers", "transformers", "accelerate", "peft", "safetensors", "pillow", "numpy", "scipy", "rapidocr",
    "onnxruntime", "xformers", "bitsandbytes", "torchvision",
)  # fmt: skip


@dataclass(frozen=True)
class Trouble:
    """Something that does not work together, and what to type against it."""

    what: str
    cure: str


def add_options(command: argparse.ArgumentParser) -> None:
    """None of its own."""


def run(args: argparse.Namespace) -> int:
    """Print everything; exit code 1 where something is broken."""
    console = Console()
    _print_table(
        console, "versions", [("posterkit", __version__), ("python", platform.python_version()), *_versions()]
    )
    _print_table(console, "devices", devices())
    _print_table(console, "models", models())
    _print_table(console, "what fits", fits())
    found = list(troubles())
    if not found:
        console.print("nothing is broken")
    for trouble in found:
        console.print(f"posterkit: {trouble.what}", style="bold red", markup=False, highlight=False, soft_wrap=True)
        console.print(f"    cure: {trouble.cure}", markup=False, highlight=False, soft_wrap=True)
    return 1 if found else 0


def devices() -> list[tuple[str, str]]:
    """Name and memory of what posterkit can run on."""
    from posterkit.pipelines import presets

    machine = presets.hardware("cpu")
    lines = [("cpu", f"{os.cpu_count()} cores, {machine.ram_gb:.0f} GB of main memory")]
    for name in ("mps", *(f"cuda:{index}" for index in range(64))):
        try:
            card = presets.hardware(name)
        except ValueError:
            if name == "mps":
                continue
            break
        lines.append((name, f"{card.name}, {card.memory_gb:.0f} GB"))
    return lines


def models() -> list[tuple[str, str]]:
    """The shipped checkpoints, and whether they are there."""
    from posterkit import mini

    lines = []
    for name in mini.NAMES:
        try:
            folder = Path(mini.path(name))
            size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
            lines.append((f"mini:{name}", f"{size / 2**20:.0f} MiB, {folder}"))
        except FileNotFoundError:
            lines.append((f"mini:{name}", "missing"))
    return lines


def fits() -> list[tuple[str, str]]:
    """What runs here: mini everywhere, the large models by the presets' needs of card and main memory."""
    from posterkit.pipelines import presets

    machine = presets.hardware()
    lines = [("mini", "runs here")]
    if machine.device.type != "cuda":
        lines.append(("FLUX.1, Qwen-Image-Edit", "need an NVIDIA card of 8 GB or more; on a CPU they take hours"))
        return lines
    chosen = presets.choose_preset(machine.memory_gb)
    card, memory = presets.preset_needs(chosen)
    if machine.memory_gb < card * 0.93:  # cards report up to 7 % less than they are sold with
        return [
            *lines,
            ("FLUX.1, Qwen-Image-Edit", f"need a card of {card:g} GB, this one has {machine.memory_gb:.1f}"),
        ]
    for model, need in (("FLUX.1", memory["postercraft"]), ("Qwen-Image-Edit", memory["posteromni"])):
        verdict = "fits" if machine.ram_gb >= need else f"does not fit: {machine.ram_gb:.0f} GB of main memory"
        lines.append((model, f"preset {chosen} {verdict}, {need:g} GB of main memory needed"))
    return lines


def troubles() -> Iterator[Trouble]:
    """Pairs of packages that are known to break each other, and parts that are missing."""
    yield from _too_old()
    for pair, line in find_bad_pairs():
        yield Trouble(line, pair.cure)
    yield from _torchvision()
    yield from _impostors()
    yield from _opencv()
    yield from _shaping()
    for name, found in models():
        if found == "missing":
            yield Trouble(f"the checkpoint {name} is not installed", "pip install --force-reinstall posterkit")
    if shutil.disk_usage(Path.cwd()).free < 2**30:
        yield Trouble("less than 1 GiB is free on this disk", "make room before a batch")


def _too_old() -> Iterator[Trouble]:
    """Every core dependency is there and at least as new as the package asks for."""
    from packaging.requirements import Requirement

    for line in requires("posterkit") or ():
        need = Requirement(line)
        if need.marker is not None and not need.marker.evaluate():
            continue
        found = installed_version(need.name)
        if found is None:
            yield Trouble(f"{need.name} is not installed", f'pip install "{need.name}{need.specifier}"')
        elif not need.specifier.contains(found, prereleases=True):
            yield Trouble(
                f"{need.name} {found} is installed, {need.specifier} is needed",
                f'pip install "{need.name}{need.specifier}"',
            )


def _torchvision() -> Iterator[Trouble]:
    """A CUDA torchvision beside a CPU torch: transformers sees that it is there, and then nothing imports."""
    if not (_installed("torch") and _installed("torchvision")):
        return
    import torch

    try:
        importlib.import_module("torchvision")
    except Exception as error:
        reason = str(error).splitlines()[0]
        yield Trouble(
            f"torch {torch.__version__} and torchvision {installed_version('torchvision')} do not fit ({reason})",
            f"{sys.executable} -m pip uninstall torchvision (posterkit does not need it)",
        )


def _impostors() -> Iterator[Trouble]:
    """PyPI's nunchaku is a library for piecewise linear functions, not the 4-bit engine of that name."""
    if _installed("nunchaku") and not _is_engine("nunchaku"):
        what = f"nunchaku {installed_version('nunchaku')} from PyPI is an unrelated library, not the 4-bit engine"
        yield Trouble(what, f"{sys.executable} -m pip uninstall nunchaku")


def _opencv() -> Iterator[Trouble]:
    """Two builds of OpenCV write into one folder; whichever came last wins, until one is removed."""
    builds = [n for n in ("opencv-python", "opencv-python-headless", "opencv-contrib-python") if _installed(n)]
    if len(builds) > 1:
        yield Trouble(
            f"{' and '.join(builds)} share one folder",
            f"{sys.executable} -m pip uninstall -y {' '.join(builds)}, then pip install opencv-python-headless",
        )


def _shaping() -> Iterator[Trouble]:
    from PIL import features

    if not features.check("raqm"):
        yield Trouble("Pillow has no raqm: typeset text is not shaped", "pip install --force-reinstall pillow")


def _is_engine(name: str) -> bool:
    return "diffusion" in (metadata(name)["Summary"] or "").lower()


def _versions() -> list[tuple[str, str]]:
    """The installed version of each part, and the tested one where it is another."""
    try:
        lines = (recipe_root() / "constraints.txt").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    tested = dict(line.split("==") for line in lines if "==" in line)
    shown = []
    for name in PARTS:
        here = installed_version(name)
        differs = here and name in tested and here.partition("+")[0] != tested[name]
        shown.append((name, f"{here}; tested with {tested[name]}" if differs else here or "not installed"))
    return shown


def _installed(name: str) -> bool:
    return installed_version(name) is not None or importlib.util.find_spec(name.replace("-", "_")) is not None


def _print_table(console: Console, title: str, lines: list[tuple[str, str]]) -> None:
    table = Table(title=title, title_justify="left", title_style="bold", show_header=False, box=None, padding=(0, 2))
    for name, value in lines:
        table.add_row(name, value)
    console.print(table, markup=False)
    console.print()
