"""Posters as a model of edits learns them: rendered text as a filling, and what of a poster the task has it make."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from posterkit.pipelines.references import Poster
from posterkit.schema import PosterSample
from posterkit.tasks import TASKS


def as_edit(sample: PosterSample) -> PosterSample:
    """A text-rendering sample as a model of edits learns it: its own picture, to be filled where its texts stood.

    The reference is the target, the mask marks the boxes of its texts (the whole picture where a set names none), and
    the instruction is filling's frame around the caption, which says every letter. Samples of the tasks stay.
    """
    if sample.task != "text":
        return sample
    mask = np.zeros(sample.target.shape[:2], np.uint8)
    for region in sample.regions:
        x0, y0, x1, y1 = (max(0, side) for side in region.box)
        mask[y0:y1, x0:x1] = 255
    if not mask.any():
        mask[:] = 255
    filling = TASKS["filling"]
    return replace(
        sample,
        task=filling.name,
        references=[sample.target],
        mask=mask,
        instruction=filling.instruction(sample.caption),
    )


def made_share(poster: Poster) -> Tensor:
    """`(S,)` in [0, 1]: how much of each patch token is to be made; 1 where the task keeps no pixels."""
    rows, columns = poster.size.height // 16, poster.size.width // 16
    if poster.region is None:
        return torch.ones(rows * columns)
    made = torch.from_numpy(np.asarray(poster.region) / np.float32(255))
    return made.reshape(rows, 16, columns, 16).mean((1, 3)).flatten()
