"""Sampling presets for few-step LoRAs: steps, guidance and shift, which live in `sampling_presets.yaml`."""

from __future__ import annotations

import difflib
import math
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from posterkit.documents import read_text, read_yaml

FILE = Path(__file__).with_suffix(".yaml")


@dataclass(frozen=True)
class Sampler:
    """How a few-step LoRA or a distilled model samples.

    Attributes:
        family: whose models it is for.
        steps, guidance: instead of the checkpoint's; a request's own count more.
        shift: of the scheduler's times towards noise, for every size; None keeps the checkpoint's.
    """

    family: str
    steps: int
    guidance: float
    shift: float | None = None


@cache
def samplers() -> dict[str, Sampler]:
    """Every preset by its name."""
    return {name: Sampler(**said) for name, said in read_yaml(read_text(FILE), str(FILE)).items()}


def sampler_named(name: str, family: str) -> Sampler:
    """A preset for models of a family.

    Raises:
        ValueError: there is none of that name, or it is for another family.
    """
    known = samplers()
    if name not in known:
        near = difflib.get_close_matches(name, known, 1)
        meant = f" (did you mean {near[0]!r}?)" if near else ""
        raise ValueError(f"sampler {name!r} is unknown{meant}; there are {', '.join(known)}")
    if known[name].family != family:
        raise ValueError(f"sampler {name!r} is for models of {known[name].family}; this one is of {family}")
    return known[name]


def shift_times(pipe: Any, sampler: Sampler) -> None:
    """Give a pipeline's scheduler the preset's shift, for every size, and no stretch at the end."""
    if sampler.shift is not None:
        mu = math.log(sampler.shift)
        pipe.scheduler = type(pipe.scheduler).from_config(
            pipe.scheduler.config, use_dynamic_shifting=True, base_shift=mu, max_shift=mu, shift_terminal=None,
            time_shift_type="exponential",
        )  # fmt: skip
