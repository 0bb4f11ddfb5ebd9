"""What both pipelines return."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from diffusers.utils import BaseOutput
from PIL import Image


@dataclass
class PosterPipelineOutput(BaseOutput):
    """Posters, in the order of the inputs; the images of one prompt stand together.

    Attributes:
        images: a list of RGB PIL images for `output_type="pil"`; for "pt" a float tensor `(B, 3, H, W)` in [0, 1], for
            "np" a float array `(B, H, W, 3)` in [0, 1], for "latent" a packed tensor `(B, S, C)`. Where the posters
            of one call differ in size, the last three are lists of such arrays without their first axis.
        parameters: for each image what was really used to make it (task, instruction, size, steps, guidance, ...),
            so that two runs can be compared; plain JSON values.
    """

    images: list[Image.Image] | np.ndarray | torch.Tensor | list[np.ndarray] | list[torch.Tensor]
    parameters: list[dict[str, Any]] = field(default_factory=list)
