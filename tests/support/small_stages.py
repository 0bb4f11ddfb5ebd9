"""What tests of the stages after the pretraining start from: a tiny FLUX.1 folder, a small set, a config for them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import tiny_flux
import yaml

from posterkit import PosterCraftPipeline
from posterkit.datasets import SyntheticPosters, write_sample

SIZE = (64, 96)


def save_tiny_flux(folder: Path, guidance: bool = True) -> Path:
    """A FLUX.1 folder of the real classes, random weights, two blocks of each kind; `guidance`: dev, else schnell."""
    parts = tiny_flux.components(layers=2, single_layers=2, guidance=guidance)
    numbers = {"native_area": SIZE[0] * SIZE[1], "max_sequence_length": 16, "num_inference_steps": 2}
    PosterCraftPipeline(**parts, **numbers).save_pretrained(folder)
    return folder


def write_posters(folder: Path, count: int, tasks: tuple[str, ...] = ("text",), heldout: int = 0) -> Path:
    """A set of synthetic posters on disk, the tasks in turn."""
    for split, number in (("train", count), ("heldout", heldout)):
        source = SyntheticPosters(seed=7, tasks=tasks, size=SIZE, split=split, reference_area=48 * 64)
        for index in range(number):
            write_sample(source.sample(index, task=tasks[index % len(tasks)]), folder)
    return folder


def write_stage(folder: Path, run: str, start: Path, posters: Path | None, **overrides: Any) -> Path:
    """A config of a stage for CPU seconds; its run folder is `folder/run`."""
    data: dict[str, Any] = {"cache": str(folder / "cache")}
    data |= {"path": str(posters)} if posters else {"count": 6, "heldout": 2, "sizes": [[96, 64]]}
    config = {"run_dir": str(folder / run), "init_from": str(start), "data": data, "batch_size": 2, "max_steps": 4,
              "learning_rate": 1e-3, "log_every": 1, **overrides}  # fmt: skip
    path = folder / f"{run}.yaml"
    path.write_text(yaml.safe_dump(config))
    return path


def log_of(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
