"""What only an NVIDIA card can show: `pytest -m gpu`."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from posterkit.pipelines.presets import load_pipeline

pytestmark = pytest.mark.gpu

PHOTO = Image.fromarray(np.random.default_rng(0).integers(0, 256, (96, 64, 3), dtype=np.uint8)).resize((128, 192))
CALLS: dict[str, dict[str, Any]] = {
    "postercraft": {"prompt": "a navy poster"},
    "posteromni": {"image": PHOTO, "task": "style_driven", "prompt": "a whale"},
}


def draw(name: str, **where: Any) -> np.ndarray:
    pipe = load_pipeline(f"mini:{name}", **where)
    pipe.set_progress_bar_config(disable=True)
    options = {"width": 128, "height": 192, "output_type": "np", "generator": torch.Generator().manual_seed(0)}
    return np.asarray(pipe(**CALLS[name], **options).images[0])


@pytest.mark.parametrize("name", CALLS)
def test_the_card_draws_what_the_cpu_draws(name: str) -> None:
    assert np.abs(draw(name, device="cuda") - draw(name, device="cpu")).mean() < 2 / 255


@pytest.mark.parametrize("name", CALLS)
def test_bfloat16_draws_about_the_same_poster(name: str) -> None:
    assert np.abs(draw(name, device="cuda", dtype="bfloat16") - draw(name, device="cpu")).mean() < 16 / 255


@pytest.mark.parametrize("preset", ["8gb", "16gb", "24gb", "48gb"])
@pytest.mark.parametrize("name", CALLS)
def test_every_preset_draws_about_the_same_poster(name: str, preset: str) -> None:
    pytest.importorskip("bitsandbytes")
    made = draw(name, device="cuda", preset=preset)
    assert made.shape == (192, 128, 3) and np.abs(made - draw(name, device="cpu")).mean() < 32 / 255
