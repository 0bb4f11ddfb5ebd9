"""NaN and infinity are an error with a hint, never a black picture."""

from __future__ import annotations

import numpy as np
import pytest
import tiny_flux
import tiny_qwen
import torch
from PIL import Image

from posterkit import PosterCraftPipeline, PosterOmniPipeline
from posterkit.pipelines.loading import add_loras

PHOTO = Image.fromarray(np.full((96, 64, 3), 128, dtype=np.uint8))
CALLS = {
    "postercraft": (PosterCraftPipeline, tiny_flux, {"prompt": "a poster", "max_sequence_length": 24}),
    "posteromni": (PosterOmniPipeline, tiny_qwen, {"prompt": "a poster", "image": PHOTO, "true_cfg_scale": 1.0}),
}


@pytest.mark.parametrize("number", [torch.nan, torch.inf])
@pytest.mark.parametrize(("part", "name"), [("transformer", "the transformer"), ("vae", "the autoencoder")])
@pytest.mark.parametrize(("kind", "tiny", "call"), CALLS.values(), ids=CALLS)
def test_a_weight_that_is_no_number_ends_in_one_line(kind, tiny, call, part, name, number):
    parts = tiny.components()
    weights = [p for n, p in parts[part].named_parameters() if "decoder" in n or part == "transformer"]
    weights[0 if part == "vae" else -1].data.fill_(number)
    areas = {"reference_area": 64 * 64, "condition_area": 56 * 84} if kind is PosterOmniPipeline else {}
    pipe = kind(**parts, **areas)
    pipe.set_progress_bar_config(disable=True)
    with pytest.raises(ValueError, match=f"{name} gave NaN or infinity in float32: compute in bfloat16 or float32"):
        pipe(**call, width=64, height=96, num_inference_steps=2, generator=torch.manual_seed(0))


@pytest.mark.parametrize("weight", ["nan", "inf", "much"])
def test_a_loras_weight_is_a_number(weight, tmp_path):
    pipe = PosterCraftPipeline(**tiny_flux.components())
    with pytest.raises(ValueError, match=f"the weight behind = must be a number, found '{weight}'"):
        add_loras(pipe, f"{tmp_path}/lora.safetensors={weight}")
