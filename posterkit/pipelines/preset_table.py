"""Presets by name, by file and by machine: the first way of a family's table that fits. Imports no torch."""

from __future__ import annotations

import difflib
import importlib.util
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path

from posterkit.documents import read_text, read_yaml
from posterkit.pipelines.memory import GB, OFFLOADS, STORED, Footprint, Preset, Sizes, family_sizes, footprint
from posterkit.pipelines.registry import FAMILIES

CARDS = (8, 12, 16, 24, 32, 40, 48, 80, 141)  # GB as they are sold
CACHE = 0.08  # of the first block's output: what diffusers' documentation takes for FLUX.1
_REPORTED = 0.97  # of what a card is sold as, at the least
_ENCODERS = ("text_encoder", "text_encoder_2")


def preset_names() -> list[str]:
    """The presets for cards, smallest first."""
    return [f"{size}gb" for size in CARDS]


def read_preset(name: str, family: str) -> Preset:
    """What a preset says of a family.

    Args:
        name: a card, such as "16gb", for which it is the first way of the table that fits, or a YAML file of the
            user's. "+compile" and "+cache" behind it turn these on.
        family: its name; a preset without a part for it loads everything whole.

    Raises:
        ValueError: there is none of that name, or it says something unknown.
    """
    name, *extras = name.split("+")
    if name.endswith((".yaml", ".yml")) and Path(name).is_file():
        preset = _read_file(Path(name), family)
    elif name in preset_names():
        sizes = family_sizes(family)
        budget = _REPORTED * int(name.removesuffix("gb")) * GB
        preset = (best_way(sizes, budget) if sizes else None) or Preset()
    else:
        raise ValueError(f"preset {name!r} is unknown; there are {', '.join(preset_names())}, or give a YAML file")
    for extra in extras:
        if extra not in ("compile", "cache"):
            raise ValueError(f"preset {name}+{extra}: {extra!r} is unknown; accepted are +compile and +cache")
        preset = replace(preset, **{extra: CACHE if extra == "cache" else True})
    if preset.compile and preset.offload in ("model", "group"):
        raise ValueError(f"preset {name}: what is compiled has to stay on the card; leave compile out, or offload")
    return preset


def best_way(
    sizes: Sizes, card: float, ram: float | None = None, has: Callable[[str], bool] = lambda package: True
) -> Preset | None:
    """The first way that fits; None where none does.

    Args:
        card, ram: bytes; None of main memory asks for no limit.
        has: whether a package is installed.
    """
    for way in sizes.ways:
        needs = footprint(way, sizes)
        if needs.card <= card and (ram is None or needs.ram <= ram) and all(map(has, way.packages())):
            return way
    return None


def is_installed(package: str) -> bool:
    return importlib.util.find_spec(package) is not None


def check_packages(preset: Preset) -> None:
    """Raise ValueError where a preset needs a package that is not installed."""
    if missing := [package for package in preset.packages() if not is_installed(package)]:
        raise ValueError(
            f"the preset ({preset.words()}) needs {' and '.join(missing)}: pip install 'posterkit[gpu]', "
            "or take --preset 8gb, which does without"
        )


def least(sizes: Sizes) -> Footprint:
    """What the way with the smallest peak on the card takes."""
    return min((footprint(way, sizes) for way in sizes.ways), key=lambda needs: needs.card)


def _read_file(file: Path, family: str) -> Preset:
    content = read_yaml(read_text(file), str(file))
    _check_keys(file, content, ("memory_gb", "ram_gb", *FAMILIES))
    said = content.get(family) or {}
    _check_keys(file, said, tuple(one.name for one in fields(Preset)))
    _check_keys(file, said.get("quantize", {}), ("transformer", "modulation", *_ENCODERS))
    preset = Preset(**said)
    for part, how in preset.quantize.items():
        if how not in STORED:
            raise ValueError(f"{file}: {family}.quantize.{part} is {how!r}; accepted are {', '.join(STORED)}")
    if preset.offload not in OFFLOADS:
        raise ValueError(f"{file}: {family}.offload is {preset.offload!r}; accepted are {', '.join(OFFLOADS)}")
    for key in ("tile_vae", "compile"):
        if not isinstance(getattr(preset, key), bool):
            raise ValueError(f"{file}: {family}.{key} is {getattr(preset, key)!r}; accepted are true and false")
    number = isinstance(preset.cache, int | float) and not isinstance(preset.cache, bool)
    if preset.cache is not None and not (number and 0 < preset.cache < 1):
        raise ValueError(f"{file}: {family}.cache is {preset.cache!r}; it is a threshold between 0 and 1")
    return preset


def _check_keys(file: Path, content: object, known: tuple[str, ...]) -> None:
    if not isinstance(content, dict):
        raise ValueError(f"{file}: must hold keys and values, found {content!r}")
    for key in content:
        if key not in known:
            near = difflib.get_close_matches(str(key), known, 1)
            hint = f'did you mean "{near[0]}"?' if near else f"accepted are {', '.join(known)}"
            raise ValueError(f'{file}: unknown key "{key}" ({hint})')
