"""The report of a batch whose loss or gradient is not finite, and how to continue."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from posterkit.image_io import written_whole
from posterkit.training.sharding import whole
from posterkit.training.state import EMA

FILE = "bad_batch.json"
_SHOWN = 4  # ids in the line


class BatchFault(NamedTuple):
    """The fault of one process, such as `the loss is nan`, with the ids and tasks of the batch's samples."""

    said: str
    ids: list[str]
    tasks: list[str]
    process: int


def all_finite(weights: Iterable[Tensor], optimizer: torch.optim.Optimizer, ema: EMA | None) -> bool:
    """Whether weights, optimiser and averages hold neither nan nor inf."""
    kept = [value for of_one in optimizer.state.values() for value in of_one.values() if isinstance(value, Tensor)]
    tensors = [*weights, *kept, *(ema.shadow.values() if ema else ())]
    return all(bool(whole(torch.isfinite(one.detach()).all())) for one in tensors if one.is_floating_point())


def write_bad_batch(
    folder: Path, step: int, position: dict[str, Any], faults: Sequence[BatchFault], saved: str, main: bool
) -> str:
    """Write `bad_batch.json`; returns the line that says what happened and how to continue.

    A resumed run takes the same steps and meets the batch again; `skip` leaves it out, and is part of the run from
    then on.

    Args:
        position: of the loader before the step.
        saved: what became of the state, as a clause of the line.
        main: this process writes.
    """
    ids = [name for fault in faults for name in fault.ids]
    if main:
        found = {"step": step, "position": position, "faults": [fault._asdict() for fault in faults]}
        with written_whole(folder / FILE) as path:
            path.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    more = f" and {len(ids) - _SHOWN} more" if len(ids) > _SHOWN else ""
    batch = f"the batch {', '.join(ids[:_SHOWN])}{more}" if ids else "a batch whose samples have no names"
    way_out = f"; with skip=[{ids[0]}], or another of the ids in {FILE}, it is left out" if ids else ""
    return f"{folder}: step {step}: {faults[0].said} on {batch}; {saved}; the same command meets it again{way_out}"
