"""Sample sheets during a run, and weights with their cards at its end."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import torch
from PIL import Image

from posterkit.image_io import written_whole
from posterkit.training.errors import writing
from posterkit.training.monitor.model_card import write_card
from posterkit.training.protocols import RunView
from posterkit.training.sharding import gathered, parted_again
from posterkit.training.state import random_state, set_random_state


def write_sheet(run: RunView, sample: Callable[[], Image.Image]) -> None:
    """Draw `samples/<step>.png` from averaged weights, without a change to the run; RunFailed on a full disk.

    With sharded weights all processes draw the same picture together.
    """
    main, config = run.accelerator.is_main_process, run.config
    if not (main or run.sharded):
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
        if main:
            with written_whole(path) as file:
                picture.save(file)
            run.log.picture(run.step, picture, path.with_suffix(".json"))
    set_random_state(kept, run.generator)
    run.model.module.train()


def write_weights(run: RunView, model: Any) -> None:
    """Write the last weights to `model/` and averaged ones to `ema/`, each with its card; RunFailed on a full disk."""
    main = run.accelerator.is_main_process
    model.module.eval()
    for name in ("model", "ema") if run.ema else ("model",):
        weights = run.averaged(model) if name == "ema" else contextlib.nullcontext()
        with writing(run.folder, f"{name}/", main), weights, gathered(model, main):
            if main:
                with written_whole(run.folder / name) as folder:
                    model.save(folder)
                    write_card(folder, model, run, averaged=name == "ema")
