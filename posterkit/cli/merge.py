"""`posterkit merge`: several LoRAs of one base as one file, whoever wrote them."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from posterkit.training.lora_files import LoraFile


def add_options(command: argparse.ArgumentParser) -> None:
    command.add_argument("loras", nargs="+", metavar="LORA", help="a file, a folder or a hub id, then *WEIGHT")
    base = "the base that they were trained on, a diffusers folder or hub id"
    command.add_argument("--model", required=True, help=base)
    command.add_argument("-o", "--output", type=Path, required=True, metavar="FOLDER", help="for the merged LoRA")


def run(args: argparse.Namespace) -> int:
    """Merge and write; ValueError where they do not go together."""
    from posterkit.pipelines.lora_weights import held_by
    from posterkit.training.lora_files import write_lora

    base = _base(args.model)
    loras, weights, files = zip(*(_read(item, base) for item in args.loras), strict=True)
    whole = [file for file, weight in zip(files, weights, strict=True) if weight == 1]
    made = joined([_under(lora, whole, file) for lora, file in zip(loras, files, strict=True)], weights)
    if made.base and len(whole) == len(files):
        made.base["holds"] = [one for file in files for one in held_by(file)]
    if args.output.exists() and not args.output.is_dir():
        raise ValueError(f"{args.output}: is a file; name a folder")
    write_lora(made, args.output)
    print(f"{args.output}  {len(made.layers)} layers of rank {made.config['r']}")
    return 0


def _base(model: str) -> Any:
    """The base's transformer without its weights."""
    import diffusers
    import torch

    from posterkit.pipelines.registry import family_of, resolve

    transformer = getattr(diffusers, family_of(model).transformer)
    with torch.device("meta"):
        made = transformer.from_config(transformer.load_config(resolve(model), subfolder="transformer"))
    return SimpleNamespace(transformer=made)


def _under(lora: LoraFile, whole: Sequence[Path], file: Path) -> LoraFile:
    """A LoRA that was trained on others of the merge, as one of the base below them; ValueError where they are not."""
    from dataclasses import replace

    from posterkit.pipelines.lora_weights import missing_before

    if "after" not in lora.base:
        return lora
    if missing := missing_before(lora.base["after"], whole):
        raise ValueError(f"LoRA {file}: was trained with {missing}")
    return replace(lora, base=lora.base["after"]["base"])


def _read(item: str, base: Any) -> tuple[LoraFile, float, Path]:
    from posterkit.pipelines.loading import lora_source
    from posterkit.pipelines.lora_weights import lora_state_dict, read_lora_file
    from posterkit.training.lora_files import LoraFile

    source = lora_source(item)
    file = source.fetch()
    content = read_lora_file(file)
    try:
        state = lora_state_dict(content, base)
    except ValueError as fault:
        raise ValueError(f"LoRA {source.name}: {fault}") from None
    weights = {key.removeprefix("transformer."): value for key, value in state.items()}
    return LoraFile(weights, {}, content.base), source.weight, file


def joined(loras: Sequence[LoraFile], weights: Sequence[float]) -> LoraFile:
    """The very sum of w B A as one LoRA: its rank is the sum of the ranks, its scale 1; layers may differ.

    Raises:
        ValueError: bases differ, or one is a DoRA, whose magnitudes belong to its own directions.
    """
    import torch

    from posterkit.training.lora_files import LoraFile

    parts: dict[str, list[tuple[Any, Any]]] = {}
    for w, lora in zip(weights, loras, strict=True):
        if any(key.endswith("lora_magnitude_vector") for key in lora.weights):
            raise ValueError("a DoRA has a magnitude for its own directions; only plain LoRAs merge")
        if lora.base and loras[0].base and lora.base.get("weights") != loras[0].base.get("weights"):
            raise ValueError(f"the LoRAs have other bases: {loras[0].base} and {lora.base}")
        for layer in lora.layers:
            a, b = (lora.weights[f"{layer}.{name}.weight"].float() for name in ("lora_A", "lora_B"))
            parts.setdefault(layer, []).append((a, w * b))
    rank = max(sum(len(a) for a, _ in one) for one in parts.values())
    merged = {}
    for layer, one in parts.items():
        a, b = torch.cat([a for a, _ in one], 0), torch.cat([b for _, b in one], 1)
        empty = rank - len(a)  # one rank for all layers, filled up with zeros
        merged[f"{layer}.lora_A.weight"] = torch.nn.functional.pad(a, (0, 0, 0, empty))
        merged[f"{layer}.lora_B.weight"] = torch.nn.functional.pad(b, (0, empty))
    config = {"r": rank, "lora_alpha": rank, "target_modules": sorted(parts), "use_dora": False}
    base = next((lora.base for lora in loras if lora.base), {})
    return LoraFile(merged, config, {key: value for key, value in base.items() if key != "holds"})
