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
from typing import Any

from rich.console import Console
from rich.table import Table

from posterkit import __version__
from posterkit.cli.recipes import recipe_root
from posterkit.compatibility import find_bad_pairs, installed_version

PARTS = (
    "torch", "diffusers", "transformers", "accelerate", "peft", "safetensors", "pillow", "numpy", "scipy", "rapidocr",
    "onnxruntime", "xformers", "bitsandbytes", "torchao", "gguf", "torchvision",
)  # fmt: skip


@dataclass(frozen=True)
class Trouble:
    """Something that does not work together, and what to type against it."""

    what: str
    cure: str


def add_options(command: argparse.ArgumentParser) -> None:
    """A machine other than this one."""
    command.add_argument("--card", type=float, metavar="GB", help="what would fit an NVIDIA card of that size")
    command.add_argument(
        "--ram", type=float, metavar="GB", help="with that much main memory (default: this machine's)"
    )
    asked = command.add_argument_group("may I sell posters that were made with this").add_argument
    asked("--model", metavar="MODEL", help="a folder or hub id (default: the shipped checkpoints and fonts)")
    asked("--transformer", metavar="MODEL", help="a folder, file or hub id")
    asked("--lora", action="append", metavar="LORA", help="a file, folder or hub id; repeat for more")
    asked("--font", action="append", metavar="FONT", help="a font file or shipped family; repeat for more")


def run(args: argparse.Namespace) -> int:
    """Print everything; exit code 1 where something is broken."""
    console = Console()
    _print_table(
        console, "versions", [("posterkit", __version__), ("python", platform.python_version()), *_versions()]
    )
    _print_table(console, "devices", devices())
    _print_table(console, "models", models())
    _print_fits(console, args.card, args.ram)
    _print_table(console, "may I sell this", licences(args.model, args.transformer, args.lora, args.font))
    found = list(troubles())
    if not found:
        console.print("nothing is broken")
    for trouble in found:
        console.print(f"posterkit: {trouble.what}", style="bold red", markup=False, highlight=False, soft_wrap=True)
        console.print(f"    cure: {trouble.cure}", markup=False, highlight=False, soft_wrap=True)
    return 1 if found else 0


def _print_fits(console: Console, card: float | None, ram: float | None) -> None:
    """The asked machine's arithmetic, or this one's."""
    from posterkit.pipelines.presets import hardware

    machine = hardware()
    if card is None and machine.device.type == "cuda":
        card = machine.memory_gb
    console.print("what fits", style="bold")
    console.print("  mini: runs here")
    for title, heads, rows in fits(card, ram or machine.ram_gb, machine.device.type == "mps"):
        console.print(f"  {title}", markup=False, highlight=False, soft_wrap=True)
        if rows:
            table = Table(*heads, box=None, padding=(0, 2), header_style="dim")
            for column in table.columns[1:]:
                column.justify = "right"
            for row in rows:
                table.add_row(*row)
            console.print(table)
    console.print(
        "  by arithmetic, for one poster of 1 megapixel; not yet run on a GPU", markup=False, highlight=False
    )
    console.print()


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


def licences(
    model: str | None = None, transformer: str | None = None, loras: list[str] | None = None,
    fonts: list[str] | None = None,
) -> list[tuple[str, str]]:  # fmt: skip
    """What may be sold of what is made with these, or with what is shipped; ValueError where a font is none."""
    from posterkit import mini
    from posterkit.generate.licences import licence_of_weights, licences_of, verdict
    from posterkit.typeset.fonts import FACES, load_face

    if model or transformer or loras or fonts:
        found = licences_of(model, transformer, loras or (), map(load_face, fonts or ()))
        return [*_answers(found), ("together", verdict(found))]
    own = [licence_of_weights("model", f"mini:{name}") for name in mini.NAMES]
    faces = licences_of(None, None, (), FACES)
    names = ", ".join(sorted({one.licence for one in faces}))
    return [*_answers(own), ("shipped fonts", f"{verdict(faces)}: {names}")]


def _answers(found: list[Any]) -> list[tuple[str, str]]:
    return [(f"{one.what} {one.name}", f"{one.sell}: {one.licence}" + (f" ({one.where})" if one.where else ""))
            for one in found]  # fmt: skip


def fits(card: float | None, ram: float, apple: bool) -> Iterator[tuple[str, list[str], list[list[str]]]]:
    """What the large models take here, by part and moment.

    Args:
        card: GB of the NVIDIA card; None where there is none.
        ram: GB of main memory.
        apple: whether models would run on Apple's GPU, which shares main memory.

    Yields:
        A family's title and verdict, the columns' heads and the rows; no rows where nothing fits.
    """
    from posterkit.pipelines import memory, preset_table
    from posterkit.pipelines.registry import FAMILIES

    for family in FAMILIES.values():
        sizes = memory.family_sizes(family.name)
        if sizes is None:
            continue
        if card is None:
            device = "mps" if apple else "cpu"
            tried = [(memory.Preset(), width) for width in ((2,) if apple else (4, 2))]
            needs = [memory.footprint(preset, sizes, device, width) for preset, width in tried]
            fitting = [one for one in needs if one.ram <= ram * memory.GB]
            if not fitting:
                yield f"{family.title}: does not fit: {needs[-1].ram / memory.GB:.0f} GB of main memory needed", [], []
                continue
            kind = "bfloat16" if fitting[0] is needs[-1] else "float32"
            note = "" if apple else "; a poster takes hours"
            yield f"{family.title}: {kind} on the {'Apple GPU' if apple else 'CPU'}{note}", *_table(fitting[0])
            continue
        budget = card * memory.GB, ram * memory.GB
        best = preset_table.best_way(sizes, *budget)
        here = preset_table.best_way(sizes, *budget, preset_table.is_installed)
        if best and best != here:
            missing = [name for name in best.packages() if not preset_table.is_installed(name)]
            yield f"{family.title}: {best.words()}, once this is installed: pip install {' '.join(missing)}", [], []
        if here is None:
            least = preset_table.least(sizes)
            yield (
                f"{family.title}: does not fit: {least.card / memory.GB:.1f} GB of a card and "
                f"{least.ram / memory.GB:.1f} GB of main memory needed at least",
                [],
                [],
            )
        else:
            yield f"{family.title}: {here.words()}", *_table(memory.footprint(here, sizes))


def _table(needs: Any) -> tuple[list[str], list[list[str]]]:
    """Heads and rows of a footprint: GB by part and moment, the card's above main memory's."""
    rows = []
    for place in ("card", "ram"):
        moments = [getattr(moment, place) for moment in needs.moments]
        for part in moments[-1]:
            values = [moment.get(part, 0.0) / 1e9 for moment in moments]
            if any(values):
                rows.append(
                    [f"{place}: {part.replace('_', ' ')}", *(f"{value:.1f}" if value else "" for value in values)]
                )
        if any(moments):
            rows.append([f"{place}, together", *(f"{sum(moment.values()) / 1e9:.1f}" for moment in moments)])
    return ["GB", *(moment.name for moment in needs.moments)], rows


def troubles() -> Iterator[Trouble]:
    """Pairs of packages that are known to break each other, and parts that are missing."""
    yield from _too_old()
    for pair, line in find_bad_pairs():
        yield Trouble(line, pair.cure)
    yield from _torchvision()
    yield from _cuda()
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


def _cuda() -> Iterator[Trouble]:
    """A driver that torch does not use: its build for CPUs, or one for another version of CUDA."""
    if not (_installed("torch") and shutil.which("nvidia-smi")):
        return
    import torch

    from posterkit.pipelines.presets import hardware

    if hardware().device.type != "cuda":
        why = "is the build for CPUs" if torch.version.cuda is None else f"(CUDA {torch.version.cuda}) cannot use it"
        cure = f"pip install --force-reinstall torch=={torch.__version__.partition('+')[0]} (from PyPI)"
        yield Trouble(f"there is an NVIDIA driver, and torch {torch.__version__} {why}", cure)


def _impostors() -> Iterator[Trouble]:
    """PyPI's nunchaku is a library for piecewise linear functions, not the 4-bit engine of that name."""
    if _installed("nunchaku") and "diffusion" not in (metadata("nunchaku")["Summary"] or "").lower():
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
