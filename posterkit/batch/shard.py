"""Shards: the n-th part of a batch's rows, named or found in the variables of SLURM and torchrun."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import NamedTuple

AUTO = "auto"
# where a launcher says which of how many processes this is; an array's tasks may be numbered 1, 3, 5
_LAUNCHERS = (
    ("SLURM_ARRAY_TASK_ID", "SLURM_ARRAY_TASK_COUNT"),
    ("RANK", "WORLD_SIZE"),
    ("SLURM_PROCID", "SLURM_NTASKS"),
)
_FIRST, _STEP = "SLURM_ARRAY_TASK_MIN", "SLURM_ARRAY_TASK_STEP"


class Shard(NamedTuple):
    """The rows whose number, counted from 0, leaves `index` when divided by `count`."""

    index: int
    count: int

    def __str__(self) -> str:
        return f"{self.index + 1}/{self.count}"


WHOLE = Shard(0, 1)


def parse_shard(text: str, variables: Mapping[str, str] = os.environ) -> Shard:
    """`2/8` is the second of eight; `auto` is what SLURM's array or tasks, or torchrun, say.

    Raises:
        ValueError: it is no part of a whole, or no launcher says anything.
    """
    if text == AUTO:
        return _of_launcher(variables)
    match = re.fullmatch(r"(\d{1,9})/(\d{1,9})", text)
    if match is None or not 1 <= int(match[1]) <= int(match[2]):
        raise ValueError(f"--shard {text!r} is no part of a whole; write 2/8 for the second of eight, or {AUTO}")
    return Shard(int(match[1]) - 1, int(match[2]))


def local_card(variables: Mapping[str, str] = os.environ) -> str | None:
    """The value that CUDA_VISIBLE_DEVICES needs for this process; None to leave it as it is."""
    own, seen = variables.get("LOCAL_RANK") or variables.get("SLURM_LOCALID"), variables.get("CUDA_VISIBLE_DEVICES")
    if not own or not own.isdigit():
        return None
    if seen is None:
        return own
    cards = seen.split(",")
    return cards[int(own)] if int(own) < len(cards) and len(cards) > 1 else None


def _of_launcher(variables: Mapping[str, str]) -> Shard:
    for index, count in _LAUNCHERS:
        own, all_of_them = variables.get(index, ""), variables.get(count, "")
        if not (own.isdigit() and all_of_them.isdigit()):
            continue
        shard = Shard(int(own), int(all_of_them))
        if "ARRAY" in index:
            first, step = int(variables.get(_FIRST) or 0), int(variables.get(_STEP) or 1)
            shard = Shard((int(own) - first) // step, shard.count)
        if not 0 <= shard.index < shard.count:
            raise ValueError(f"--shard {AUTO}: {index}={own} and {count}={all_of_them} are no part of a whole")
        return shard
    names = "; ".join(f"{index} and {count}" for index, count in _LAUNCHERS)
    raise ValueError(f"--shard {AUTO}: no launcher says which part this is ({names}); write 2/8")
