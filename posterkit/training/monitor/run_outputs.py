"""Sample sheets during a run, and weights with their cards at its end."""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Callable
from statistics import fmean
from typing import Any

import torch
from accelerate.utils import gather_object
from PIL import Image

from posterkit.image_io import written_whole
from posterkit.training.errors import RunFailed, writing
from posterkit.training.monitor.model_card import write_card
from posterkit.training.protocols import RunView
from posterkit.training.sharding import gathered, parted_again
from posterkit.training.state import random_state, set_random_state

FIGURE = "figure.json"  # beside the best weights: by which figure, at which step


def write_sheet(run: RunView, sample: Callable[[], Image.Image | None]) -> None:
    """Draw `samples/<step>.png` from averaged weights, without a change to the run; RunFailed on a full disk.

    Args:
        sample: draws it, and returns it in the main process. With sharded weights all processes draw together, and so
            where `sample.divided` says that each draws a part.
    """
    main, config = run.accelerator.is_main_process, run.config
    if not (main or run.sharded or getattr(sample, "divided", False)):
        return
    path = run.folder / "samples" / f"{run.step:07d}.png"
    run.model.module.eval()
    kept = random_state(run.generator)  # a picture on the way must not change the run
    # parts of several dtypes draw together: encoders and a frozen base in `base`, what trains in float32
    several = (run.sharded and config.precision == "bf16") or getattr(config, "base", "fp32") != "fp32"
    precision = torch.autocast(run.device.type, torch.bfloat16, enabled=several)
    with run.log.aside(), writing(run.folder, "a sample sheet", main):
        path.parent.mkdir(exist_ok=True)
        with torch.no_grad(), run.averaged(run.model), parted_again(run.model.module), precision:
            picture = sample()
        if main and picture is not None:
            with written_whole(path) as file:
                picture.save(file)
            run.log.picture(run.step, picture, path.with_suffix(".json"))
    set_random_state(kept, run.generator)
    run.model.module.train()


def write_weights(run: RunView, model: Any) -> None:
    """Write the last weights to `model/` and averaged ones to `ema/`, each with its card; RunFailed on a full disk."""
    model.module.eval()
    for name in ("model", "ema") if run.ema else ("model",):
        _write(run, model, name, averaged=name == "ema")


def keep_best(run: RunView, model: Any, figure: str) -> None:
    """Write the weights that samples are drawn from to `best/` where the latest sheet's figure is the best so far.

    Args:
        figure: its path in the sheet's file; with a minus before it the smallest one is the best.

    Raises:
        RunFailed: the file has no such figure, or the disk is full.
    """
    found: list[dict[str, Any]] = [{}]
    if run.accelerator.is_main_process:
        found = [_latest(run, figure)]
    (latest,) = [one for one in gather_object(found) if one]
    if fault := latest.get("fault"):
        raise RunFailed(f"{run.folder}: best={figure}: {fault}", run.accelerator.is_main_process)
    if latest["better"]:
        model.module.eval()
        _write(run, model, "best", averaged=run.ema is not None, beside={FIGURE: latest["record"]})
        model.module.train()


def _latest(run: RunView, figure: str) -> dict[str, Any]:
    """The latest sheet's figure, and whether it is better than that of the kept weights."""
    sheet, kept = run.folder / "samples" / f"{run.step:07d}.json", run.folder / "best" / FIGURE
    figures = _numbers(json.loads(sheet.read_text(encoding="utf-8"))) if sheet.is_file() else {}
    name = figure.removeprefix("-")
    if name not in figures:
        return {"fault": f"the sample sheet has no such figure, but {', '.join(figures) or 'none'}"}
    record = {"figure": figure, "value": figures[name], "step": run.step}
    sign = -1 if figure.startswith("-") else 1
    best = json.loads(kept.read_text(encoding="utf-8"))["value"] if kept.is_file() else None
    better = not math.isnan(record["value"]) and (best is None or sign * record["value"] > sign * best)
    return {"better": better, "record": record}


def _numbers(found: dict[str, Any], prefix: str = "") -> dict[str, float]:
    """Every number under its dotted path; of a list its mean without what is not a number."""
    numbers: dict[str, float] = {}
    for key, value in found.items():
        if isinstance(value, dict):
            numbers |= _numbers(value, f"{prefix}{key}.")
        elif isinstance(value, list):
            scored = [one for one in value if not math.isnan(one)]
            numbers[prefix + key] = fmean(scored) if scored else math.nan
        else:
            numbers[prefix + key] = float(value)
    return numbers


def _write(run: RunView, model: Any, name: str, averaged: bool, beside: dict[str, Any] | None = None) -> None:
    """One folder of weights with its card.

    Args:
        beside: JSON files by their names.
    """
    main = run.accelerator.is_main_process
    weights = run.averaged(model) if averaged else contextlib.nullcontext()
    with writing(run.folder, f"{name}/", main), weights, gathered(model, main):
        if main:
            with written_whole(run.folder / name) as folder:
                model.save(folder)
                write_card(folder, model, run, averaged=averaged)
                for file, content in (beside or {}).items():
                    (folder / file).write_text(json.dumps(content) + "\n", encoding="utf-8")
