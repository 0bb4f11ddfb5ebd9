"""`posterkit lora-info`: what a LoRA file changes, how strongly, and on which base."""

from __future__ import annotations

import argparse
import json
from collections import Counter
from typing import TYPE_CHECKING, Any

from posterkit.messages import one_line, printable

if TYPE_CHECKING:
    from posterkit.pipelines.lora_weights import LoraContent


def add_options(command: argparse.ArgumentParser) -> None:
    command.add_argument("lora", metavar="LORA", help="a file, a folder or a hub id, then @REVISION and :FILE")
    command.add_argument("--json", action="store_true", help="the same as JSON")


def run(args: argparse.Namespace) -> int:
    """Print it; ValueError where it is no LoRA, or a damaged one."""
    from posterkit.pipelines.loading import lora_source
    from posterkit.pipelines.lora_weights import read_lora_file

    path = lora_source(args.lora).fetch()
    found = {"file": str(path), **describe(read_lora_file(path))}
    if args.json:
        print(json.dumps(found))
        return 0
    for name, value in found.items():
        if value not in ("", None):
            print(printable(f"{name:14} {value}"))
    return 0


def describe(content: LoraContent) -> dict[str, str]:
    """What a LoRA is, in words."""
    kinds = Counter("text encoder" if encoder else "transformer" for encoder, _ in content.parts)
    ranks = Counter(parts["A"].shape[0] for parts in content.parts.values())
    alphas = Counter(float(parts["alpha"]) for parts in content.parts.values() if "alpha" in parts)
    first = next(iter(content.parts.values()))
    dora = any("magnitude" in parts for parts in content.parts.values())
    alpha = _counted(alphas) or str(
        content.config_of("transformer").get("lora_alpha", "not said, so the rank: scale 1")
    )
    return {
        "kind": "DoRA" if dora else "LoRA",
        "changes": ", ".join(f"{number} layers of the {kind}" for kind, number in kinds.items()),
        "rank": _counted(ranks),
        "alpha": one_line(alpha, 80),
        "dtype": str(first["A"].dtype).removeprefix("torch."),
        "parameters": str(sum(part.numel() for parts in content.parts.values() for part in parts.values())),
        "base": _base(content.base),
        "says": one_line(", ".join(sorted(content.metadata)), 200),
        "first layer": one_line(next(iter(content.parts))[1], 120),
    }


def _counted(values: Counter[int] | Counter[float]) -> str:
    if len(values) == 1:
        return f"{next(iter(values)):g}"
    return ", ".join(f"{value:g} ({number} layers)" for value, number in values.most_common(4))


def _base(base: dict[str, Any]) -> str:
    """The base in words, with the LoRAs that had been added to it."""
    said = " ".join(str(base[key]) for key in ("name", "kind", "weights") if base.get(key))
    match base.get("after"):
        case {"loras": [*added]}:
            said += f", with {', '.join(map(str, added))} added"
    return one_line(said, 120)
